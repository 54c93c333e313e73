"""`threading.local` for blocking calls: each has values of its own, as if it ran in a thread of its own."""

from __future__ import annotations

import _thread
import threading
from typing import Any
from weakref import WeakKeyDictionary

from greenlet import getcurrent, greenlet

from simsla.virtualtime.blocking.calls import BlockingCall

RealLocal = threading.local

_get = object.__getattribute__
_set = object.__setattr__


class _Values:
    """The values of one local, by the blocking call or the main greenlet of a thread that has them."""

    __slots__ = ("arguments", "keywords", "lock", "of", "real")

    def __init__(self, real: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self.real = real
        self.arguments = arguments
        self.keywords = keywords
        self.lock = _thread.RLock()
        self.of: WeakKeyDictionary[greenlet, dict[str, Any]] = WeakKeyDictionary()


class VirtualLocal:
    """`threading.local`, in which a blocking call begins with nothing, as a thread does.

    As there, the arguments of a subclass's `__init__` are kept, and it is called again for each thread and
    each blocking call that comes by.
    """

    __slots__ = ("__dict__", "__weakref__", "_virtual_values")

    def __new__(cls, /, *args: Any, **kwargs: Any) -> VirtualLocal:
        """Arguments are for the `__init__` of a subclass; TypeError if there is none."""
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        values = _Values(None, args, kwargs)
        values.of[_whose()] = {}
        return _with(cls, values)

    def __getattribute__(self, name: str) -> Any:
        """What this call or thread has set, or an attribute of the class."""
        with _get(self, "_virtual_values").lock:
            _show(self)
            return _get(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        """Set it for this call or thread alone."""
        if name == "__dict__":
            raise AttributeError(f"{type(self).__name__!r} object attribute '__dict__' is read-only")
        with _get(self, "_virtual_values").lock:
            _show(self)
            _set(self, name, value)

    def __delattr__(self, name: str) -> None:
        """Delete it for this call or thread alone."""
        with _get(self, "_virtual_values").lock:
            _show(self)
            object.__delattr__(self, name)


def local_over(real: threading.local) -> VirtualLocal:
    """A virtual local that has the values of an existing real one outside of blocking calls."""
    return _with(VirtualLocal, _Values(real, (), {}))


def _with(cls: type[VirtualLocal], values: _Values) -> VirtualLocal:
    self = object.__new__(cls)
    _set(self, "_virtual_values", values)
    return self


def _whose() -> greenlet:
    caller = getcurrent()
    if type(caller) is not BlockingCall:
        while caller.parent is not None:
            caller = caller.parent
    return caller


def _show(local: VirtualLocal) -> None:
    """Make the values of the caller the attributes of `local`."""
    values: _Values = _get(local, "_virtual_values")
    caller = _whose()
    mine = values.of.get(caller)
    if mine is not None:
        _set(local, "__dict__", mine)
        return
    if values.real is not None and type(caller) is not BlockingCall:
        # Never kept: a real local makes a dictionary of its own for each thread, whose it is.
        _set(local, "__dict__", values.real.__dict__)
        return
    values.of[caller] = mine = {}
    _set(local, "__dict__", mine)
    if type(local).__init__ is not object.__init__:
        type(local).__init__(local, *values.arguments, **values.keywords)
