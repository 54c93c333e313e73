"""Finding a policy by name, and asking it for its `handle`."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from simsla.routing import Request, Transport
from simsla.routing.errors import nearest

Handle = Callable[[Request], Awaitable[Any]]
Policy = Callable[[Transport], Handle]


class PolicyError(Exception):
    """A policy that cannot be found, or that is not one."""


class BlockingPolicyError(PolicyError, TypeError):
    """A policy whose `handle` is a plain function, which would stop virtual time while it runs."""


class PolicyFactoryError(RuntimeError):
    """A policy whose factory raised; the cause is what it raised."""


def resolve_policy(policy: Policy | str) -> Policy:
    """The factory itself, or what `"package.module:factory"` names. Raises PolicyError."""
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
    return resolve_policy(found)


def name_of(policy: Policy | str) -> str:
    """How results name a policy: as it was given, or by the name of its factory."""
    if isinstance(policy, str):
        return policy
    module, name = getattr(policy, "__module__", None), getattr(policy, "__qualname__", None)
    return f"{module}:{name}" if module and name else type(policy).__name__


def handle_of(policy: Policy, transport: Transport) -> Handle:
    """Call the factory, and check what it returns. Raises PolicyError or PolicyFactoryError."""
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
    if not _is_async(handle):
        raise BlockingPolicyError(
            f"policy {name_of(policy)}: its handle {getattr(handle, '__qualname__', handle)!r} is a plain "
            "function; write it as 'async def': blocking code is not supported yet"
        )
    return handle


def _is_async(handle: object) -> bool:
    while isinstance(handle, functools.partial):
        handle = handle.func
    if not (inspect.isfunction(handle) or inspect.ismethod(handle)):
        handle = getattr(handle, "__call__", handle)  # noqa: B004 - an object with `async def __call__`
    # Whatever it is, `inspect` answers; its stubs ask for a callable.
    return inspect.iscoroutinefunction(inspect.unwrap(handle)) or inspect.iscoroutinefunction(handle)  # type: ignore[arg-type]
