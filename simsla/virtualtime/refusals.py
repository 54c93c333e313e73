"""The methods of an event loop that reach the real world: each is refused by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from simsla.virtualtime.errors import RealIOError, VirtualTimeError
from simsla.virtualtime.places import here

_REFUSED = (
    # file descriptors and signals
    *("add_reader", "remove_reader", "add_writer", "remove_writer"),
    *("add_signal_handler", "remove_signal_handler"),
    # sockets
    *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into"),
    *("sock_sendall", "sock_sendto", "sock_sendfile", "sock_connect", "sock_accept"),
    # connections, servers and names
    *("create_connection", "create_server", "create_unix_connection", "create_unix_server"),
    *("create_datagram_endpoint", "connect_accepted_socket", "sendfile", "start_tls"),
    *("getaddrinfo", "getnameinfo"),
    # pipes and subprocesses
    *("connect_read_pipe", "connect_write_pipe", "subprocess_shell", "subprocess_exec"),
)

# Portable code may ask for signals or descriptors, and do without them; not so for what leads out.
_LEADING_OUT = ("sock_connect", "create_", "getaddrinfo", "getnameinfo", "subprocess_")


class NoRealIOLoop(asyncio.BaseEventLoop):
    """An event loop whose calls for sockets, pipes, subprocesses and names raise `RealIOError`."""

    on_refusal: Callable[[VirtualTimeError], object] | None = None
    """Told of each call that no simulation can allow, before it raises: whoever made it may catch that."""

    def refuse(self, error: VirtualTimeError) -> NoReturn:
        """Tell `on_refusal` of `error`, and raise it."""
        if self.on_refusal is not None:
            self.on_refusal(error)
        raise error


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(self: NoRealIOLoop, *_: object, **__: object) -> NoReturn:
        error = RealIOError(f"{name}() would touch the real world from inside virtual time{here()}")
        if name.startswith(_LEADING_OUT):
            self.refuse(error)
        raise error

    refuse.__name__ = name
    refuse.__qualname__ = f"{NoRealIOLoop.__name__}.{name}"
    refuse.__doc__ = "Not in virtual time: raises RealIOError."
    return refuse


for _name in _REFUSED:
    setattr(NoRealIOLoop, _name, _refusal(_name))
