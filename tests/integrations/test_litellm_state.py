"""What litellm keeps for the process is set aside for a run, and comes back."""

from __future__ import annotations

import importlib.util
import os
import threading
from functools import partial

import pytest

from simsla.integrations import litellm_state
from simsla.integrations.litellm_state import litellm_set_aside, local_prices
from simsla.simulation import run_one

MODELS = [
    {"model_name": "g", "litellm_params": {"model": "openai/x", "api_key": "k"}, "model_info": {"id": "i"}}
]


@pytest.fixture
def litellm():
    with local_prices():
        import litellm
    return litellm


def test_a_run_finds_nothing_and_leaves_nothing(litellm, monkeypatch):
    mine = [lambda *_: None]
    monkeypatch.setattr(litellm, "success_callback", mine)
    monkeypatch.setattr(litellm, "num_retries", 7)
    clients, prices = litellm.in_memory_llm_clients_cache, litellm.model_cost
    with litellm_set_aside():
        assert litellm.success_callback == []
        assert litellm.disable_aiohttp_transport is True
        litellm.Router(model_list=MODELS)
        litellm.num_retries = 0
        assert litellm.success_callback
        assert litellm.in_memory_llm_clients_cache is not clients
        assert "i" in litellm.model_cost
    assert litellm.success_callback is mine
    assert len(mine) == 1
    assert litellm.num_retries == 7
    assert litellm.in_memory_llm_clients_cache is clients
    assert litellm.model_cost is prices
    assert "i" not in prices
    assert litellm.disable_aiohttp_transport is False


def test_it_comes_back_whatever_happens(litellm, monkeypatch):
    monkeypatch.delenv("LITELLM_LOCAL_MODEL_COST_MAP", raising=False)
    before = litellm.callbacks

    def interrupted():
        with litellm_set_aside():
            litellm.callbacks.append("mine")
            assert os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert litellm.callbacks is before
    assert "mine" not in before
    assert "LITELLM_LOCAL_MODEL_COST_MAP" not in os.environ


def test_callbacks_run_in_the_thread_of_the_run(litellm):
    from litellm.litellm_core_utils.thread_pool_executor import executor

    with litellm_set_aside():
        assert executor.submit(threading.get_ident).result(timeout=0) == threading.get_ident()
        assert isinstance(executor.submit(lambda: 1 / 0).exception(timeout=0), ZeroDivisionError)
    assert executor.submit(threading.get_ident).result(timeout=10) != threading.get_ident()


def test_a_compiled_router_is_refused_where_it_is_made(litellm, monkeypatch):
    found = importlib.util.find_spec

    def find_spec(name):
        return object() if name == "litellm.router_rust" else found(name)

    monkeypatch.setattr(litellm_state.importlib.util, "find_spec", find_spec)
    with (
        litellm_set_aside(),
        pytest.raises(ImportError, match="on has its Router in Rust"),
    ):
        litellm.Router(model_list=MODELS)
    litellm.Router(model_list=MODELS)


def test_every_replication_begins_as_the_first(litellm, world):
    scenario = world({"main": {"errors": {"500": 0.3}}}, {"chat": ["main"]}, horizon="1min", rate="30/min")
    from simsla.integrations.litellm_router import policy

    seen = []

    def watched(transport, **options):
        handle = policy(transport, **options)
        seen.append(
            [len(callbacks) for callbacks in (litellm.success_callback, litellm._async_success_callback)]
        )
        return handle

    factory = partial(watched, **scenario.routing.options)
    runs = [run_one(scenario, factory, seed=1).log.requests_frame() for _ in range(3)]
    assert seen[0] == seen[1] == seen[2]
    assert runs[0].equals(runs[1])
    assert runs[0].equals(runs[2])
