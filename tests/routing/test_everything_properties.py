"""What holds for every policy with any of its sections, in every world, whoever leaves early."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import weakref
from collections import Counter
from contextlib import asynccontextmanager

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from routing.any_policy import NAMES, REGIONS, policies
from routing.fakes import HANG, Answer, ScriptedTransport, Streamed, copied, deployment, play

from simsla.routing import (
    ATTEMPT_ERRORS,
    TIERS,
    AllAttemptsFailed,
    AttemptError,
    Backends,
    BadRequest,
    DeadlineExceeded,
    NoDeployment,
    Reply,
    Request,
    Router,
    RoutingError,
    RoutingPolicy,
    Shed,
)
from simsla.routing.limits.spend import Ledger

TIMER_STEP_S = 0.001
VERDICTS = (BadRequest, NoDeployment, Shed, DeadlineExceeded, AllAttemptsFailed)
DAY_S = 90_000.0
"""After so long every window, cooldown and budget has forgotten everything."""


class Watching(ScriptedTransport):
    """Sees what each request costs, and when whose attempts are in flight."""

    def __init__(self, deployments, script, seed):
        super().__init__(deployments, script, seed)
        self.calls = []
        self.usd = Counter()
        self.now = Counter()
        self.together = Counter()
        self.callers = Counter()
        self.most_callers = 0

    @asynccontextmanager
    async def seen(self, request, name):
        """One attempt. Copies for a shadow are outside of all limits."""
        root = request.id if request.parent_id is None else request.parent_id
        self.calls.append((root, request.purpose, name, asyncio.get_running_loop().time()))
        counted = request.purpose != "shadow"
        waited_for = request.purpose in ("answer", "classify")
        self.now[name] += counted
        self.together[name] = max(self.together[name], self.now[name])
        self.callers[root] += waited_for
        self.most_callers = max(self.most_callers, sum(count > 0 for count in self.callers.values()))
        try:
            yield
        finally:
            self.now[name] -= counted
            self.callers[root] -= waited_for

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        async with self.seen(request, deployment.name):
            reply = await super().send(request, deployment, timeouts=timeouts, max_tokens=max_tokens)
        most = request.max_tokens if max_tokens is None else max_tokens
        reply.tokens_out = min(reply.tokens_out, most or reply.tokens_out)
        root = request.id if request.parent_id is None else request.parent_id
        self.usd[root] += deployment.cost_usd(reply.tokens_in, reply.tokens_out)
        return reply

    @asynccontextmanager
    async def stream(self, request, deployment, *, timeouts, max_tokens=None):
        async with (
            self.seen(request, deployment.name),
            super().stream(request, deployment, timeouts=timeouts, max_tokens=max_tokens) as chunks,
        ):
            yield chunks

    def of(self, number, purpose="answer"):
        """The deployments called for this request, in order."""
        return [name for root, why, name, _ in self.calls if (root, why) == (number, purpose)]


class FailingCache:
    async def embed(self, text):
        raise OSError("refused")

    async def nearest(self, vector, scopes, now):
        raise AssertionError("there is no vector")

    def put(self, vector, entry, now):
        raise AssertionError("there is no vector")

    def expire(self, now):
        raise OSError("refused")


class HangingCache(FailingCache):
    async def embed(self, text):
        await asyncio.get_running_loop().create_future()


class Mistake(Exception):
    """What a transport raises that has a bug."""


def failing(*args):
    raise ValueError("an optional part fails")


BACKENDS = {
    "own": Backends,
    "failing": lambda: Backends(FailingCache(), failing, failing, failing),
    "hanging": lambda: Backends(cache=HangingCache()),
}

worlds = st.lists(
    st.tuples(
        st.sampled_from(TIERS),
        st.sampled_from(REGIONS),
        st.sampled_from((None, 10, 100)),
        st.sampled_from((0.0, 1.0, 10.0)),
        st.sampled_from(((), ("json",))),
    ),
    min_size=len(NAMES),
    max_size=len(NAMES),
)
after = st.sampled_from((0.0, 0.1, 0.4, 1.0)) | st.floats(0, 5)
scripts = st.lists(
    st.one_of(
        st.tuples(st.just("reply"), after),
        st.tuples(st.sampled_from(sorted(ATTEMPT_ERRORS)), after, st.none() | st.floats(0, 20)),
        st.just(("hang",)),
        st.just(("mistake",)),
        st.tuples(
            st.just("stream"),
            st.lists(st.floats(0, 1), max_size=4),
            st.none() | st.sampled_from(("server_error", "rate_limited", "stream_interrupted")),
            st.booleans(),
        ),
    ),
    min_size=1,
    max_size=5,
)
ways = st.sampled_from(("handle", "handle", "streamed", "stream", "leave"))
asked = st.lists(
    st.fixed_dictionaries(
        {"after_s": st.floats(0, 3), "way": ways},
        optional={
            "patience_s": st.floats(0, 8),
            "deadline_s": st.floats(-1, 20),
            "tier": st.sampled_from((*TIERS, "gold")),
            "complexity": st.floats(0, 1),
            "region": st.sampled_from(("us", "eu", "asia")),
            "needs": st.just(("json",)),
            "priority": st.integers(0, 2),
            "topic": st.sampled_from("ab"),
            "prompt_tokens": st.sampled_from((1, 50)),
            "max_tokens": st.integers(1, 30),
        },
    ),
    min_size=1,
    max_size=6,
)


class World:
    """The same policy, deployments and script as often as wanted."""

    def __init__(self, values, rows, script, backends, closes_at_once):
        self.policy = RoutingPolicy.from_dict(values)
        self.rows = rows
        self.lines = script
        self.backends = BACKENDS[backends]
        self.closes_at_once = closes_at_once
        self.made = []

    def transport(self, healthy=False):
        deployments = [
            deployment(name, tier, region, context_window=window, usd_per_mtok_out=usd, capabilities=can)
            for name, (tier, region, window, usd, can) in zip(NAMES, self.rows, strict=True)
        ]
        script = {} if healthy else {name: [*map(self.answer, self.lines[name])] for name in NAMES}
        return Watching(deployments, script, seed=3)

    def answer(self, line):
        what, *more = line
        if what == "reply":
            return Answer(*more)
        if what == "hang":
            return HANG
        if what == "mistake":
            return Answer(0.2, Mistake)
        if what == "stream":
            gaps_s, error, cut = more
            return Streamed(*gaps_s, error=error and self.error(error, None), cut=cut)
        return Answer(more[0], self.error(what, more[1]))

    def error(self, kind, retry_after_s):
        def make():
            error = ATTEMPT_ERRORS[kind](retry_after_s=retry_after_s)
            self.made.append(weakref.ref(error))
            return error

        return make


def limit_of(policy, asked_s):
    return policy.deadline_s if asked_s is None else max(0.0, min(policy.deadline_s, asked_s))


async def get(router, request, way):
    if way in ("handle", "streamed"):
        return await router.handle(request)
    async with router.stream(request) as stream:
        if way == "stream":
            return await stream.read()
        async for _ in stream:
            break
        return "left"


async def ask(router, number, after_s, way, patience_s=None, deadline_s=None, **more):
    loop = asyncio.get_running_loop()
    await asyncio.sleep(after_s)
    start = loop.time()
    deadline = None if deadline_s is None else start + deadline_s
    request = Request(number, deadline=deadline, stream=way != "handle", **more)
    task = asyncio.create_task(get(router, request, way))
    if patience_s is not None:
        loop.call_later(patience_s, task.cancel)
    try:
        outcome = await task
    except (RoutingError, Mistake, asyncio.CancelledError) as error:
        outcome = error
    try:
        return outcome, loop.time() - start
    finally:
        del task, outcome


def check(policy, transport, number, asked, outcome, took_s):
    """What holds for one request."""
    limit_s = limit_of(policy, asked.get("deadline_s"))
    patience_s = asked.get("patience_s")
    if isinstance(outcome, asyncio.CancelledError):
        assert patience_s is not None
        limit_s = min(limit_s, patience_s)
    assert took_s <= limit_s + TIMER_STEP_S
    called = transport.of(number)
    assert len(called) <= policy.max_attempts
    if isinstance(outcome, RoutingError) and not isinstance(outcome, VERDICTS):
        # A stream broke off after its first token.
        assert isinstance(outcome, AttemptError)
        assert asked["way"] != "handle"
    if isinstance(outcome, RoutingError | Reply):
        explanation = outcome.explanation
        assert (explanation is not None) == policy.explain
        if explanation is not None:
            assert explanation.attempts == len(called)
            assert explanation.spent_usd >= -1e-12
            told = Counter(step.subject for step in explanation.steps if step.what == "attempt")
            # A classification that failed tells of its attempts as well.
            assert Counter(called) <= told <= Counter(called) + Counter(transport.of(number, "classify"))
    if isinstance(outcome, Reply) and called:
        assert outcome.deployment in called


def taken(router, spend, now):
    """What the router's state machines still count of attempts and requests, and of the day's money."""
    found = {}
    seen = set()
    ahead = [router]
    while ahead:
        each = ahead.pop()
        if id(each) in seen or isinstance(each, type | str | asyncio.AbstractEventLoop):
            continue
        seen.add(id(each))
        own = type(each).__module__.startswith("simsla.routing")
        if own:
            for name in ("in_flight", "inside", "active", "retrying", "waiting"):
                value = getattr(each, name, 0)
                if value:
                    found[f"{type(each).__name__}.{name}"] = value
            pending = getattr(each, "pending", {})
            found |= {f"pending.{name}": count for name, count in pending.items() if count}
            if isinstance(each, Ledger) and each.left_usd(now) < (spend.per_day_usd or 0.0) - 1e-9:
                found["reserved"] = spend.per_day_usd - each.left_usd(now)
        if own or isinstance(each, dict | list | tuple) or callable(each):
            ahead += [
                inner
                for inner in gc.get_referents(each)
                if type(inner).__module__.startswith(("simsla.routing", "functools"))
                or isinstance(inner, dict | list | tuple)
                or hasattr(inner, "__self__")
            ]
    return found


def play_all(world, requests):
    """All requests, then a long time, then one at a time in a world that is well."""
    policy = world.policy
    transport = world.transport()
    router = Router(policy, transport, world.backends())
    complaints = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        outcomes = await asyncio.gather(
            *(ask(router, number, **each) for number, each in enumerate(requests))
        )
        if world.closes_at_once:
            await router.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not any(transport.in_flight.values())
        await asyncio.sleep(DAY_S)
        assert not any(transport.in_flight.values())
        assert taken(router, policy.spend, loop.time()) == {}
        told = []
        for number, (each, (outcome, took_s)) in enumerate(zip(requests, outcomes, strict=True)):
            check(policy, transport, number, each, outcome, took_s)
            told.append((str(outcome), took_s, str(getattr(outcome, "explanation", None))))
        outcome = None
        outcomes.clear()
        calls = list(transport.calls)
        transport.script = {}
        last = [await plain(router, number, policy.default_tier) for number in range(12)]
        fresh = Router(policy, world.transport(healthy=True), world.backends())
        if await plain(fresh, 0, policy.default_tier):
            assert all(last[-3:])
        await asyncio.sleep(60.0)
        await router.aclose()
        await fresh.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return told, calls

    told = play(main())
    # A hedge that lost has nobody to whom to tell of a bug.
    assert set(complaints) <= {"a hedge that lost"}
    check_limits(policy, transport)
    return told


async def plain(router, number, tier):
    await asyncio.sleep(DAY_S)
    try:
        await router.handle(Request(f"later {number}", tier=tier, prompt_tokens=1, max_tokens=1))
    except RoutingError:
        return False
    return True


def check_limits(policy, transport):
    """What holds for all requests together."""
    quotas = policy.limits
    for name, most in transport.together.items():
        quota = quotas.deployments.get(name)
        limit = quota and quota.max_concurrent
        if limit is None and quotas.each is not None:
            limit = quotas.each.max_concurrent
        assert limit is None or most <= limit
    if policy.queue is not None and policy.queue.max_concurrent is not None:
        assert transport.most_callers <= policy.queue.max_concurrent
    if policy.spend is not None and policy.spend.per_request_usd is not None:
        assert all(usd <= policy.spend.per_request_usd + 1e-9 for usd in transport.usd.values())


EXAMPLES = 100


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    values=policies,
    rows=worlds,
    script=st.fixed_dictionaries(dict.fromkeys(NAMES, scripts)),
    requests=asked,
    backends=st.sampled_from(sorted(BACKENDS)),
    closes_at_once=st.booleans(),
)
def test_every_request_ends_once_in_time_and_gives_everything_back(
    values, rows, script, requests, backends, closes_at_once
):
    world = World(values, rows, script, backends, closes_at_once)
    gc.disable()
    try:
        random.seed(1)
        first = play_all(world, requests)
        assert [error for each in world.made if (error := each()) is not None] == []
        random.seed(2)
        assert play_all(world, requests) == first
    finally:
        gc.enable()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies)
def test_every_policy_survives_files_processes_and_sets(values):
    policy = RoutingPolicy.from_dict(values)
    assert RoutingPolicy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy
    assert copied(policy) == policy
    assert hash(copied(policy)) == hash(policy)
