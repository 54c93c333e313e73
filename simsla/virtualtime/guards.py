"""What must not be touched from inside virtual time, past the event loop: sockets, processes, threads.

The interpreter announces these calls to audit hooks, whoever makes them and under whatever name, from C code
too. A hook cannot be taken away again, so there is one for the process, which does nothing in a thread that
is not sealed.
"""

from __future__ import annotations

import _thread
import contextlib
import sys
from _thread import get_ident
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

from simsla.virtualtime.clock.in_place import Replaced, original_of
from simsla.virtualtime.errors import RealIOError, VirtualTimeError
from simsla.virtualtime.places import here

_NETWORK: Final = {
    "socket.connect": "connects a socket",
    "socket.bind": "binds a socket",
    "socket.sendto": "sends over a socket",
    "socket.sendmsg": "sends over a socket",
    "socket.getaddrinfo": "looks up an address",
    "socket.gethostbyname": "looks up an address",
    "socket.gethostbyaddr": "looks up an address",
    "socket.getnameinfo": "looks up an address",
}
_PROCESSES: Final = {
    "subprocess.Popen": "starts a process",
    "os.system": "starts a process",
    "os.posix_spawn": "starts a process",
    "os.spawn": "starts a process",
    "os.startfile": "starts a process",
    "os.exec": "starts a process",
    "os.fork": "forks the process",
    "os.forkpty": "forks the process",
}
_REFUSED: Final = _NETWORK | _PROCESSES

_INSTEAD: Final = {
    **dict.fromkeys(_NETWORK, "only calls of HTTP clients are answered by the simulated world"),
    **dict.fromkeys(_PROCESSES, "a process knows no virtual time"),
}

# Not every version announces a new thread: these functions of `_thread` are replaced instead.
_THREAD_STARTERS: Final = ("start_new_thread", "start_joinable_thread")

# Libraries ask these of the machine, and do without an answer.
_HARMLESS_PROGRAMS: Final = ("lsb_release", "uname", "ldconfig", "file")

Refuse = Callable[[VirtualTimeError], NoReturn]

_sealed: dict[int, Refuse] = {}
_installed = False

# Contexts in several threads share what is replaced: the first replaces it, and the last takes it back.
_entering = _thread.allocate_lock()
_entered = 0
_replaced: list[Replaced] = []


@contextlib.contextmanager
def sealed(refuse: Refuse | None = None) -> Iterator[None]:
    """While entered, calls in this thread that lead out of virtual time raise RealIOError.

    These are connecting, binding and sending over sockets, looking up addresses, starting processes, forking
    and starting threads. The message names the call and the place. `refuse` is given the error in place of
    its being raised, and must raise. Other threads are free. Contexts may be nested.
    """
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_watch)
    thread = get_ident()
    before = _sealed.get(thread)
    _enter()
    try:
        _sealed[thread] = _raise if refuse is None else refuse
        yield
    finally:
        _leave()
        if before is None:
            _sealed.pop(thread, None)
        else:
            _sealed[thread] = before


def _enter() -> None:
    global _entered
    with _entering:
        _entered += 1
        if _entered == 1:
            try:
                starters = [getattr(_thread, name, None) for name in _THREAD_STARTERS]
                _replaced.extend(
                    Replaced(starter, _guarded(original_of(starter))) for starter in starters if starter
                )
            except BaseException:
                _entered -= 1
                _take_back()
                raise


def _leave() -> None:
    global _entered
    with _entering:
        _entered -= 1
        if not _entered:
            _take_back()


def _take_back() -> None:
    while _replaced:
        _replaced.pop().undo()


def _guarded(start: Callable[..., Any]) -> Callable[..., Any]:
    def start_thread(*args: Any, **kwargs: Any) -> Any:
        refuse = _sealed.get(get_ident())
        if refuse is None:
            return start(*args, **kwargs)
        function = args[0] if args else kwargs.get("function")
        # `Thread.start` hands over a method of the thread, which knows what it is for.
        target = getattr(getattr(function, "__self__", None), "_target", None) or function
        return refuse(
            RealIOError(
                f"a thread is started for {getattr(target, '__qualname__', target)} from inside virtual "
                f"time{here()}; a thread knows no virtual time: use tasks, or a blocking `handle`"
            )
        )

    return start_thread


def _raise(error: VirtualTimeError) -> NoReturn:
    raise error


def _watch(event: str, args: tuple[Any, ...]) -> None:
    """The audit hook."""
    if not _sealed or event not in _REFUSED:
        return
    refuse = _sealed.get(get_ident())
    if refuse is None:
        return
    told = _told(event, args)
    if told is None:
        if event in _PROCESSES:
            raise FileNotFoundError(2, f"not inside a simulation: {args[0]}")
        return
    refuse(
        RealIOError(f"{event}{told} {_REFUSED[event]} from inside virtual time{here()}; {_INSTEAD[event]}")
    )


def _told(event: str, args: tuple[Any, ...]) -> str | None:
    """The arguments that a message shows; None for what is harmless."""
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"):
        address = args[1] if len(args) > 1 else None
        if event == "socket.bind" and isinstance(address, tuple) and address[1] == 0:
            # Any free port: how libraries find out what the machine can do.
            return None
        return f"({_short(address)})"
    if event in _NETWORK:
        return f"({_short(args[0] if args else None)})"
    if event == "subprocess.Popen":
        program = str(args[0])
        if program.rpartition("/")[2] in _HARMLESS_PROGRAMS:
            return None
        return f"({_short(program)})"
    if event in ("os.fork", "os.forkpty"):
        return "()"
    return f"({_short(args[0] if args else None)})"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
