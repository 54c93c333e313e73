"""Built-in functions and methods, replaced where they are.

Code that was loaded long ago holds `time.time` itself: as a name of its own, as a default argument, in a
tuple, inside a library that is written in C or Rust. Replacing names finds some of these; here the function
object is changed, so that whoever holds it calls the replacement, and nothing has to be found.

In CPython, a built-in function is a record of a definition (a C function and how it takes its arguments)
and an object that is passed to it. The C functions below are the interpreter's own for calling an object,
with the arguments in the very order in which a built-in gets them: given the replacement as that object they
call it, and its exceptions are raised as any other. So `datetime.datetime` stays the class that it was, for
`isinstance`, pickle and every model that was built on it.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType
from typing import Any, Final

from simsla.virtualtime.errors import VirtualTimeError

# The flags of a definition that say how its C function takes arguments, and what calls an object in that way.
_VARARGS, _VARARGS_KEYWORDS, _NOARGS, _O, _FASTCALL_KEYWORDS = 0x1, 0x3, 0x4, 0x8, 0x82
_CONVENTION: Final = 0x8F
_CALLERS: Final = {
    _VARARGS: "PyObject_CallObject",
    _VARARGS_KEYWORDS: "PyObject_Call",
    _NOARGS: "PyObject_CallNoArgs",
    _O: "PyObject_CallOneArg",
    _FASTCALL_KEYWORDS: "PyObject_Vectorcall",
}


class _Definition(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_void_p),
    )


# Two words of a built-in function, after what every object begins with: its definition, and its object.
_Words = ctypes.c_void_p * 2

# Never freed: a call in another thread may be on its way through one.
_definitions: dict[int, _Definition] = {}


def _words(function: Any) -> Any:
    """The words of a built-in function, to read or to write. Raises VirtualTimeError."""
    if sys.implementation.name != "cpython" or type(function) is not BuiltinFunctionType:
        raise VirtualTimeError(f"{function!r} is no built-in function of CPython; its clock stays real")
    words = _Words.from_address(id(function) + object.__basicsize__)
    if words[1] != id(function.__self__):
        raise VirtualTimeError(f"this interpreter keeps {function!r} in a way that is not known here")
    return words


def original_of(function: Any) -> Callable[..., Any]:
    """A built-in function of its own that does what `function` does now, whatever becomes of that one."""
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    original: Callable[..., Any] = make(_words(function)[0], function.__self__, function.__module__)
    return original


class Replaced:
    """A built-in function that calls `replacement`, until `undo`."""

    __slots__ = ("_function", "_replacement", "_words")

    def __init__(self, function: Any, replacement: Callable[..., Any]) -> None:
        """Raises VirtualTimeError where this interpreter, or this function, is not known here."""
        words = _words(function)
        before = tuple(words)
        definition = _definitions.get(before[0])
        if definition is None:
            definition = _definitions[before[0]] = _calling(_Definition.from_address(before[0]))
        # As an object that the function holds it is counted, for the garbage collector counts, too.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(replacement))
        self._function, self._replacement, self._words = function, replacement, before
        # Both at once, as no other thread gets a turn within one assignment.
        words[:] = (ctypes.addressof(definition), id(replacement))

    def undo(self) -> None:
        """Make the function what it was."""
        _Words.from_address(id(self._function) + object.__basicsize__)[:] = list(self._words)
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(self._replacement))


def _calling(original: _Definition) -> _Definition:
    """A definition that takes arguments as `original` does, and calls the object with them."""
    name = _CALLERS.get(original.flags & _CONVENTION)
    if name is None:
        raise VirtualTimeError(f"a built-in function with flags {original.flags:#x} is not known here")
    caller = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    return _Definition(original.name, caller, original.flags, original.doc)


class ReplacedMethods:
    """Class methods of a built-in class, and of its subclasses, that call `replacements`, until `undo`.

    Bound methods that somebody holds already, such as a field's `default_factory=datetime.now`, call it too.
    """

    def __init__(self, owner: type, replacements: Mapping[str, Callable[..., Any]]) -> None:
        """`replacements`, by the names of the methods, are called with the class and the arguments."""
        self._owner = owner
        self._originals = {name: vars(owner)[name] for name in replacements}
        self._bound = [
            Replaced(found, _Bound(replacements[found.__name__], found.__self__))
            for found in gc.get_objects()
            if type(found) is BuiltinFunctionType
            and found.__name__ in replacements
            and isinstance(found.__self__, type)
            and issubclass(found.__self__, owner)
        ]
        self._put({name: classmethod(replacement) for name, replacement in replacements.items()})

    def undo(self) -> None:
        """Make the methods what they were."""
        self._put(self._originals)
        while self._bound:
            self._bound.pop().undo()

    def _put(self, methods: Mapping[str, object]) -> None:
        # What stands behind the read-only view that a class gives of its namespace.
        (namespace,) = gc.get_referents(vars(self._owner))
        namespace.update(methods)
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(self._owner))


class _Bound:
    """A class method's replacement, bound to a class."""

    __slots__ = ("_class", "_replacement")

    def __init__(self, replacement: Callable[..., Any], owner: type) -> None:
        self._replacement, self._class = replacement, owner

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._replacement(self._class, *args, **kwargs)
