"""What a request can do without never fails it: end to end, each part at its worst."""

from __future__ import annotations

import asyncio

import pytest
from routing.fakes import HANG, Answer, ScriptedTransport, deployment, fails, play, policy

from simsla.routing import Backends, ContentFiltered, Reply, Request, Router, ServerError

WORLD = [deployment("main"), deployment("cheap", "economy"), deployment("new", "premium")]


def explode(*args):
    raise ValueError("an optional part fails")


def leave(*args):
    raise asyncio.CancelledError  # as a client does whose own connection was cancelled


async def forever(*args):
    await asyncio.get_running_loop().create_future()


class Backend:
    """A cache that works but for one of its methods."""

    def __init__(self, broken=None, how=explode):
        if broken is not None:
            setattr(self, broken, how)

    async def embed(self, text):
        return text

    async def nearest(self, vector, scopes, now):
        return None

    def put(self, vector, entry, now):
        return None

    def expire(self, now):
        return None


async def broken(*args):
    explode()


async def cancelled(*args):
    leave()


def ask(settings, backends=None, script=None, stream=False, **more):
    """What the router replies, and itself when everything behind the reply has ended."""

    async def main():
        transport = ScriptedTransport(WORLD, script)
        async with Router(policy(**settings), transport, backends or Backends()) as router:
            request = Request(1, messages=[{"role": "user", "content": "What is it?"}], **more)
            start = asyncio.get_running_loop().time()
            reply = await (router.stream(request).read() if stream else router.handle(request))
            took_s = asyncio.get_running_loop().time() - start
            await asyncio.sleep(100.0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not any(transport.in_flight.values())
        return reply, router, took_s

    return play(main())


CACHE = {"cache": {"threshold": 0.9}}
CHECK = {"quality": {"human_review_share": 0.0, "automated_check_share": 1.0, "check_tier": "economy"}}
REVIEW = {"quality": {"human_review_share": 1.0, "automated_check_share": 0.0}}
SHADOW = {"shadow": {"deployment": "new"}}
CALL = {"classify": {"kind": "call"}}
SCORE = {"classify": {"kind": "routellm", "threshold": 0.5}}

CASES = {
    **{
        f"cache {method} {how.__name__}": ("cache", CACHE, Backends(Backend(method, how)), {})
        for method in ("embed", "nearest", "put", "expire")
        for how in (explode, broken)
    },
    "cache cancels itself": ("cache", CACHE, Backends(Backend("embed", cancelled)), {}),
    "cache finds rubbish": ("cache", CACHE, Backends(Backend("nearest", lambda *_: "rubbish")), {}),
    "classifier fails": ("classify", CALL, None, {"cheap": [fails(ServerError)]}),
    "classifier is refused": ("classify", CALL, None, {"cheap": [fails(ContentFiltered)]}),
    "classifier hangs": ("classify", CALL, None, {"cheap": [HANG]}),
    "classifier's transport is broken": ("classify", CALL, None, {"cheap": [fails(KeyError)]}),
    "score fails": ("classify", SCORE, Backends(score=explode), {}),
    "score is no number": ("classify", SCORE, Backends(score=lambda request: "high"), {}),
    "check fails": ("quality", CHECK, None, {"cheap": [fails(ServerError)]}),
    "check's transport is broken": ("quality", CHECK, None, {"cheap": [fails(KeyError)]}),
    "check hangs": ("quality", CHECK, None, {"cheap": [HANG]}),
    "review fails": ("quality", REVIEW, Backends(review=explode), {}),
    "shadow fails": ("shadow", SHADOW, None, {"new": [fails(ServerError)]}),
    "shadow hangs": ("shadow", SHADOW, None, {"new": [HANG]}),
    "comparison fails": ("shadow", SHADOW, Backends(compare=explode), {}),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_part_that_fails_is_counted_and_fails_no_request(case, stream):
    part, settings, backends, script = CASES[case]
    # Nobody but the parts themselves calls the economy tier.
    reply, router, _ = ask(settings | {"degrade": False}, backends, script, stream)
    assert isinstance(reply, Reply)
    assert reply.deployment == "main"
    assert router.swallowed == {part: 1}
    assert reply.explanation.attempts == 1


@pytest.mark.parametrize(
    ("limit_s", "waits_s"), [(0.2, 0.2), ("5s", 5.0), (None, 8.0)], ids=["short", "long", "none"]
)
def test_a_hanging_cache_costs_its_limit_and_never_more_than_the_deadline(limit_s, waits_s):
    async def main():
        transport = ScriptedTransport(WORLD)
        settings = {"cache": {"threshold": 0.9, "timeout_s": limit_s}, "deadline_s": 8.0}
        router = Router(policy(**settings), transport, Backends(Backend("embed", forever)))
        start = asyncio.get_running_loop().time()
        request = Request(1, messages=[{"role": "user", "content": "What is it?"}])
        await asyncio.gather(router.handle(request), return_exceptions=True)
        return asyncio.get_running_loop().time() - start, router.swallowed

    took_s, swallowed = play(main())
    assert waits_s <= took_s <= min(8.0, waits_s + 0.1) + 0.001
    assert swallowed == {"cache": 1}


def test_everything_fails_at_once_and_the_answer_is_the_one_without_all_of_it():
    everything = {**CACHE, **CALL, **CHECK, **SHADOW, "degrade": False}
    backends = Backends(Backend("embed", broken), explode, explode, explode)
    script = {"cheap": [fails(ServerError)], "new": [fails(ServerError)]}
    reply, router, _ = ask(everything, backends, script)
    plain, bare, _ = ask({"degrade": False})
    assert (reply.text, reply.deployment, reply.metadata) == (plain.text, plain.deployment, plain.metadata)
    assert router.swallowed == {"cache": 1, "classify": 1, "quality": 1, "shadow": 1}
    assert bare.swallowed == {}


def test_a_request_that_explains_nothing_is_answered_alike():
    script = {"main": [fails(ServerError), Answer()]}
    told, _, _ = ask({"retry": {"max_attempts": 2, "backoff": {"kind": "constant"}}}, script=script)
    silent, _, _ = ask(
        {"retry": {"max_attempts": 2, "backoff": {"kind": "constant"}}, "explain": False}, script=script
    )
    assert told.explanation.attempts == 2
    assert silent.explanation is None
    assert (silent.text, silent.metadata) == (told.text, told.metadata)


def test_what_goes_on_in_the_background_is_counted_and_billed():
    settings = {"quality": {"human_review_share": 0.5, "automated_check_share": 0.5, "usd_per_review": 2.0}}
    transport = ScriptedTransport(
        [deployment("main", usd_per_mtok_out=100.0), deployment("new", "premium", usd_per_mtok_out=200.0)]
    )

    async def main():
        async with Router(policy(**settings, **SHADOW), transport) as router:
            for number in range(20):
                await router.handle(Request(number))
            await asyncio.sleep(100.0)
            return router.counts, router.spent_usd

    counts, spent_usd = play(main())
    reviewed, checked = counts["quality"]["human_review"], counts["quality"]["automated_check"]
    assert reviewed + checked == counts["shadow"]["answered"] == 20
    assert spent_usd == {
        "human_review": 2.0 * reviewed,
        "automated_check": pytest.approx(0.001 * checked),
        "shadow": pytest.approx(0.002 * 20),
    }
