"""Finding a policy by name, and asking it for its `handle`."""

from __future__ import annotations

import functools
import importlib
import inspect
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from simsla.routing import Request, Transport
from simsla.routing.errors import nearest
from simsla.scenario.factories import FactoryName
from simsla.virtualtime import VirtualTimeError, blocking

Handle = Callable[[Request], Awaitable[Any]]
Policy = Callable[[Transport], Handle]


class PolicyError(Exception):
    """A policy that cannot be found, or that is not one."""


class PolicyFactoryError(RuntimeError):
    """A policy whose factory raised; the cause is what it raised."""


class PolicyExitError(VirtualTimeError):
    """A policy that would end the process, and with it the run without a word."""


def exited(error: SystemExit) -> PolicyExitError:
    """What ends the run in place of a policy's `sys.exit`."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return PolicyExitError(
        f"the policy called sys.exit({error.code!r}), which would end the process: "
        f"{frame.filename}:{frame.lineno} in {frame.name}"
    )


def resolve_policy(policy: Policy | str) -> Policy:
    """The factory itself, or what `"package.module:factory"` names, with its options. Raises PolicyError."""
    if not isinstance(policy, str):
        if not callable(policy):
            raise PolicyError(f"a policy is a factory(transport) -> handle(request), not {policy!r}")
        return policy
    module_name, colon, name = policy.partition(":")
    if not (module_name and colon and name):
        raise PolicyError(f"policy {policy!r}: expected 'package.module:factory'")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise PolicyError(f"policy {policy!r}: cannot import {module_name!r}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            hint = nearest(part, [known for known in dir(found) if not known.startswith("_")])
            raise PolicyError(
                f"policy {policy!r}: {getattr(found, '__name__', found)!r} has no {part!r}"
                + (f"; did you mean {hint!r}?" if hint else "")
            )
        found = getattr(found, part)
    factory = resolve_policy(found)
    options = policy.options if isinstance(policy, FactoryName) else None
    return functools.partial(factory, **options) if options else factory


def name_of(policy: Policy | str) -> str:
    """How results name a policy: as it was given, or by the name of its factory."""
    if isinstance(policy, str):
        return str(policy)
    while isinstance(policy, functools.partial):
        policy = policy.func
    module, name = getattr(policy, "__module__", None), getattr(policy, "__qualname__", None)
    return f"{module}:{name}" if module and name else type(policy).__name__


def handle_of(policy: Policy, transport: Transport) -> Handle:
    """Call the factory, and check what it returns; a plain function is run as blocking code in virtual time.

    Raises PolicyError or PolicyFactoryError.
    """
    try:
        handle = policy(transport)
    except Exception as error:
        raise PolicyFactoryError(
            f"policy {name_of(policy)}: its factory raised {type(error).__name__}: {error}"
        ) from error
    if not callable(handle):
        raise PolicyError(
            f"policy {name_of(policy)}: the factory must return handle(request), not {handle!r}"
        )
    if _is(handle, inspect.isgeneratorfunction) or _is(handle, inspect.isasyncgenfunction):
        raise PolicyError(
            f"policy {name_of(policy)}: its handle {getattr(handle, '__qualname__', handle)!r} yields, "
            "so that calling it answers nothing; it must return the answer"
        )
    return handle if _is(handle, inspect.iscoroutinefunction) else blocking.handle_of(handle)


def is_blocking(handle: Handle) -> bool:
    """Whether `handle_of` was given a plain function for it."""
    return getattr(handle, "__code__", None) is _BLOCKING_CODE


_BLOCKING_CODE = getattr(blocking.handle_of(print), "__code__", None)


def _is(handle: Callable[..., Any], kind: Callable[[object], bool]) -> bool:
    while isinstance(handle, functools.partial):
        handle = handle.func
    # Or an object with a method `__call__` of that kind.
    return kind(handle) or kind(getattr(handle, "__call__", None))  # noqa: B004
