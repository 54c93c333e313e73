"""What litellm keeps for the whole process, set aside for each run.

Callbacks, clients, settings and prices live in modules of litellm: a Router registers itself there and never
leaves, so that the second run of a process would be another than the first, and slower.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from types import ModuleType
from typing import Any, Final

from simsla.integrations.litellm_blocking import run_async_patches
from simsla.scenario.importers.litellm_settings import MODULE_SETTINGS
from simsla.virtualtime.http.patching import Patch, Patcher

__all__ = ["litellm_set_aside", "local_prices"]

_COMPILED_SINCE: Final = "1.110.0"
"""Since this version the Router runs in threads, and by a clock, that Python does not reach."""

_CALLBACKS: Final = (
    "_async_failure_callback",
    "_async_input_callback",
    "_async_success_callback",
    "callbacks",
    "failure_callback",
    "input_callback",
    "service_callback",
    "success_callback",
)

_LOGGERS: Final = ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router")

_WORKER: Final[dict[str, Callable[[], Any]]] = {
    "_aggressive_clear_in_progress": bool,
    "_bound_loop": lambda: None,
    "_dequeued_tasks": dict,
    "_last_aggressive_clear_time": float,
    "_queue": lambda: None,
    "_running_tasks": set,
    "_sem": lambda: None,
    "_timeout_burst_count": int,
    "_timeout_summary_task": lambda: None,
    "_worker_task": lambda: None,
}
"""What the worker that runs callbacks has before its first one."""


@contextlib.contextmanager
def litellm_set_aside() -> Iterator[None]:
    """Whoever uses litellm meanwhile finds it as after its import; afterwards it is as it was before.

    Meanwhile its HTTP goes through httpx, callbacks that it would run in threads run at once, and its table
    of prices is the one it ships, not the one it would download. It logs nothing (an error for each request
    that fails, else) unless LITELLM_LOG is set in the environment. It need not be installed. A version whose
    Router cannot be simulated raises ImportError where one is made.
    """
    try:
        with local_prices(), _PATCHER:
            _forget_prices()
            yield
    finally:
        _forget_prices()


def _forget_prices() -> None:
    """What litellm remembers of its table of prices may be of another table."""
    utils = sys.modules.get("litellm.utils")
    forget = getattr(utils, "_invalidate_model_cost_lowercase_map", None)
    if forget is not None:
        forget()


@contextlib.contextmanager
def local_prices() -> Iterator[None]:
    """Where litellm is imported meanwhile, it takes the prices that it ships and calls nobody."""
    name = "LITELLM_LOCAL_MODEL_COST_MAP"
    before = os.environ.get(name)
    os.environ[name] = "True"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _patches(library: ModuleType) -> Iterable[Patch]:
    """Everything that is another for each run; versions differ in what they have of it."""
    for name in _CALLBACKS:
        yield from _if_there(library, name, lambda _: [])
    for name in MODULE_SETTINGS:
        yield from _if_there(library, name, lambda value: value)
    yield from _if_there(library, "cache", lambda _: None)
    yield from _if_there(library, "in_memory_llm_clients_cache", lambda cache: type(cache)())
    yield from _if_there(
        library, "model_cost", lambda prices: {key: dict(row) for key, row in prices.items()}
    )
    yield from _if_there(library, "disable_aiohttp_transport", lambda _: True)
    for module, name in (("litellm_logging", "_in_memory_loggers"), ("litellm_logging", "callback_list")):
        yield from _if_there(_module(f"litellm.litellm_core_utils.{module}"), name, lambda _: [])
    utils = _module("litellm.utils")
    yield from _if_there(utils, "callback_list", lambda _: [])
    yield from _if_there(utils, "_runtime_registered_model_cost", lambda _: {})
    if "LITELLM_LOG" not in os.environ:
        for name in _LOGGERS:
            yield Patch(logging.getLogger(name), "disabled", lambda _: True)
    if importlib.util.find_spec("litellm.router_rust") is not None:
        yield Patch(library.Router, "__init__", lambda _: _no_router)
    executor = getattr(_module("litellm.litellm_core_utils.thread_pool_executor"), "executor", None)
    yield from _if_there(executor, "submit", lambda _: _at_once)
    run_async = getattr(_module("litellm.litellm_core_utils.asyncify"), "run_async_function", None)
    yield from run_async_patches(run_async)
    worker = getattr(_module("litellm.litellm_core_utils.logging_worker"), "GLOBAL_LOGGING_WORKER", None)
    for name, fresh in _WORKER.items():
        yield from _if_there(worker, name, partial(_made, fresh))


_PATCHER: Final = Patcher({"litellm": _patches})


def _no_router(*_: object, **__: object) -> None:
    """In the place of a compiled Router's `__init__`."""
    raise ImportError(
        f"litellm from version {_COMPILED_SINCE} on has its Router in Rust, out of the reach of virtual "
        "time: pip install 'simsla[litellm]' for the last version that has it in Python"
    )


def _made(fresh: Callable[[], Any], _: Any) -> Any:
    return fresh()


def _if_there(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[Patch]:
    if hasattr(owner, name):
        yield Patch(owner, name, make)


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _at_once(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
    """In the place of `Executor.submit`."""
    future: Future[Any] = Future()
    try:
        future.set_result(function(*args, **kwargs))
    except Exception as error:
        future.set_exception(error)
    return future
