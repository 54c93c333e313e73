"""Whatever can answer a request is a policy, and goes through one entry point."""

from __future__ import annotations

import asyncio
import functools
import re
from pathlib import Path

import pytest
from simulation import broken_policies
from simulation.policies import TIGHT, naive
from simulation.runs import digest, play
from simulation.scenarios import deployment, scenario, traffic, varied

import simsla
from simsla.analysis import SimslaWarning
from simsla.routing import Request, RoutingPolicy, Timeouts
from simsla.simulation import (
    PolicyError,
    PolicyFactoryError,
    name_of,
    resolve_policy,
    run_one,
)


class AsObject:
    """A handle that is an object."""

    def __init__(self, transport):
        self.transport = transport

    async def __call__(self, request):
        return await naive(self.transport)(request)


class AsMethod:
    def __init__(self, transport):
        self.transport = transport

    async def handle(self, request):
        return await naive(self.transport)(request)


async def with_transport(transport, request):
    return await naive(transport)(request)


def decorated(transport):
    handle = naive(transport)

    @functools.wraps(handle)
    async def wrapper(request):
        return await handle(request)

    return wrapper


@pytest.mark.parametrize(
    "policy",
    [
        "simulation.policies:naive",
        "simulation.broken_policies:fine",
        "simulation.broken_policies:Holder.naive",
        functools.partial(naive, timeouts=TIGHT),
        AsObject,
        lambda transport: AsMethod(transport).handle,
        lambda transport: functools.partial(with_transport, transport),
        decorated,
    ],
    ids=["name", "alias", "dotted", "partial", "object", "method", "partial handle", "decorated"],
)
def test_every_form_of_a_policy_gives_the_same_run(policy):
    world = varied(60)
    assert digest(run_one(world, policy)) == digest(run_one(world, naive))


def test_the_built_in_router_goes_through_the_same_entry_point():
    world = varied(60)
    own = RoutingPolicy.from_dict({"max_attempts": 2})
    runs = [
        run_one(world.with_values({"routing.max_attempts": 2})),
        run_one(world, own),
        run_one(world, lambda transport: own(transport)),
    ]
    assert len({digest(run) for run in runs}) == 1
    assert digest(runs[0]) != digest(run_one(world, naive))


def test_the_scenario_may_name_a_policy():
    world = varied(60, routing={"policy": "simulation.policies:naive"})
    assert digest(run_one(world)) == digest(run_one(varied(60), naive))


def test_a_policy_is_made_once_for_each_run_inside_the_loop():
    loops = []

    def factory(transport):
        loops.append(asyncio.get_running_loop())
        assert asyncio.get_running_loop().time() == 0
        return naive(transport)

    run_one(scenario(horizon=5), factory)
    run_one(scenario(horizon=5), factory)
    assert len(loops) == 2
    assert loops[0] is not loops[1]
    assert all(loop.is_closed() for loop in loops)


def test_nothing_in_the_simulator_mentions_the_built_in_router():
    package = Path(simsla.__file__).parent
    files = [*(package / "simulation").glob("*.py"), *(package / "world").glob("*.py"), package / "run.py"]
    assert len(files) > 8
    for file in files:
        assert not re.search(r"\bRouter\b|simsla\.routing\.router", file.read_text(encoding="utf-8")), (
            file.name
        )


# Refusals


@pytest.mark.parametrize("policy", [broken_policies.yielding, broken_policies.yielding_async])
def test_a_handle_that_yields_is_refused_by_name(policy):
    with pytest.raises(PolicyError, match=r"its handle 'yielding.*piece_by_piece' yields.*return the answer"):
        run_one(scenario(), policy)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("simulation.policies:niave", r"'simulation\.policies' has no 'niave'; did you mean 'naive'\?"),
        ("simulation.broken_policies:Holder.nave", r"no 'nave'; did you mean 'naive'\?"),
        ("simulation.no_such_module:naive", r"cannot import 'simulation\.no_such_module'"),
        ("no_such_package:naive", r"cannot import 'no_such_package'"),
        ("simulation.policies", r"expected 'package\.module:factory'"),
        (":naive", r"expected 'package\.module:factory'"),
        ("simulation.broken_policies:not_callable", "not 5"),
        (5, "not 5"),
    ],
)
def test_what_is_not_a_policy_is_refused(policy, message):
    with pytest.raises(PolicyError, match=message):
        resolve_policy(policy)
    with pytest.raises(PolicyError, match=message):
        run_one(scenario(), policy)


def test_a_factory_that_returns_no_handle_is_refused_by_name():
    with pytest.raises(PolicyError, match=r"broken_policies:nothing.* not None"):
        run_one(scenario(), broken_policies.nothing)


def test_what_a_factory_raises_ends_the_run():
    with pytest.raises(
        PolicyFactoryError, match=r"broken_policies:failing.*no configuration found"
    ) as caught:
        run_one(scenario(), broken_policies.failing)
    assert isinstance(caught.value.__cause__, LookupError)
    # Nothing is left running: the next run begins afresh.
    run_one(scenario(horizon=5), naive)


def test_how_policies_are_named():
    assert name_of("a.b:c") == "a.b:c"
    assert name_of(naive) == "simulation.policies:naive"
    assert name_of(AsObject).endswith(":AsObject")
    assert name_of(functools.partial(naive)) == "simulation.policies:naive"


# What a policy sees


def test_a_request_shows_what_a_client_would_send():
    world = scenario(
        None,
        {
            "chat": traffic(
                tier="premium",
                complexity=0.25,
                deadline=30,
                priority=3,
                stream=True,
                max_tokens=77,
                region="eu",
            )
        },
        regions={"eu": {}},
    )

    async def script(transport, request):
        left = request.deadline - asyncio.get_running_loop().time()
        return request, left, len(request.prompt.split()), request.messages[0]["role"]

    (request, left, words, role), _ = play(world, script)
    assert (request.request_class, request.purpose, request.tier) == ("chat", "answer", "premium")
    assert (request.prompt_tokens, request.max_tokens, words, role) == (1000, 77, 1000, "user")
    assert (request.complexity, request.priority, request.stream, request.region) == (0.25, 3, True, "eu")
    assert left == pytest.approx(30)
    # The true length is the world's secret.
    public = {name: getattr(request, name) for name in Request.__slots__}
    assert 100 not in public.values()


def test_the_transport_offers_the_scenarios_deployments():
    world = scenario({"a": deployment(tier="economy", context_window=5000), "b": deployment()})

    async def script(transport, request):
        return transport.deployments

    deployments, _ = play(world, script)
    assert tuple(deployments) == tuple(spec.to_deployment() for spec in world.deployments.values())


def test_randomness_comes_from_the_transport_and_depends_on_the_replication():
    async def script(transport, request):
        return [transport.random.random() for _ in range(3)]

    same, again, other = (
        play(scenario(), script, seed=1, replication=replication)[0] for replication in (0, 0, 1)
    )
    assert same == again
    assert same != other


# Whose call it is


def crediting(make):
    """A policy that calls for a request that it makes itself."""

    def factory(transport):
        async def handle(request):
            return await transport.send(make(request), transport.deployments[0], timeouts=Timeouts())

        return handle

    return factory


def test_a_plain_request_is_credited_by_its_id():
    run = run_one(scenario(), crediting(lambda request: Request(request.id, prompt_tokens=10)))
    requests, attempts = run.log.requests_frame(), run.log.attempts_frame()
    assert set(requests["outcome"]) == {"ok"}
    assert set(requests["attempts"]) == {1}
    assert run.unowned == 0
    # Its own prompt is billed, and the true length of the request's answer.
    assert set(attempts["tokens_in"]) == {10}
    assert set(attempts["tokens_out"]) == {100}


def test_a_plain_request_meets_the_luck_of_the_request():
    world = varied(60)
    own, copied = (
        run_one(world, policy)
        for policy in (naive_once, crediting(lambda r: Request(r.id, prompt_tokens=r.prompt_tokens)))
    )
    assert digest(own) == digest(copied)


def naive_once(transport):
    async def handle(request):
        return await transport.send(request, transport.deployments[0], timeouts=Timeouts())

    return handle


def test_an_unknown_id_is_nobodys_counted_and_warned_about():
    world = scenario()
    policy = crediting(lambda request: Request("somebody else's", prompt_tokens=10))
    run = run_one(world, policy)
    count = len(run.requests["request"])
    assert run.unowned == count
    assert set(run.attempts["request"]) == {-1}
    assert set(run.log.requests_frame()["outcome"]) == {"cached"}
    assert set(run.requests["attempts"]) == {0}
    assert (run.attempts["cost_usd"] > 0).all()
    with pytest.warns(SimslaWarning, match="belong to no request"):
        result = simsla.simulate(world, policy, replications=2)
    assert result.cost_per_day.value > 0
    assert (result.attempts["request"] == -1).all()


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("purpose", ["classify", "check"])
def test_a_derived_call_is_credited_to_its_request_with_its_purpose(purpose, plain):
    def classifying(transport):
        async def handle(request):
            asked = Request(request.id, prompt_tokens=1000) if plain else request
            call = asked.derive(purpose=purpose, prompt_tokens=5, max_tokens=1)
            await transport.send(call, transport.deployments[0], timeouts=Timeouts())
            return await transport.send(request, transport.deployments[1], timeouts=Timeouts())

        return handle

    run = run_one(scenario({"small": deployment(), "large": deployment()}), classifying)
    frame = run.log.attempts_frame().astype({"purpose": str, "deployment": str, "relation": str})
    requests = run.log.requests_frame()
    assert run.unowned == 0
    assert set(requests["attempts"]) == {2}
    assert set(requests["deployment"]) == {"large"}
    calls = frame[frame["purpose"] == purpose]
    assert set(calls["deployment"]) == {"small"}
    assert (set(calls["tokens_in"]), set(calls["tokens_out"])) == ({5}, {1})
    # A call of another purpose makes the answer neither a retry nor a hedge.
    assert set(frame["relation"]) == {"first"}


def test_calls_of_other_purposes_move_no_draw_of_the_answer():
    def classifying(transport):
        async def handle(request):
            await transport.send(
                request.derive(purpose="classify", max_tokens=1),
                transport.deployments[0],
                timeouts=Timeouts(),
            )
            return await transport.send(request, transport.deployments[0], timeouts=Timeouts())

        return handle

    world = scenario({"a": deployment(latency={"total": {"kind": "exponential", "mean": 1}})})
    with_call, without = run_one(world, classifying), run_one(world, naive_once)
    first = with_call.log.attempts_frame()
    took = {}
    for name, frame in (
        ("with", first[first["purpose"] == "answer"]),
        ("without", without.log.attempts_frame()),
    ):
        assert set(frame["ordinal"]) == {0}
        took[name] = (frame["end_s"] - frame["start_s"]).set_axis(frame["request"]).sort_index()
    assert took["with"].to_numpy() == pytest.approx(took["without"].to_numpy())
    own = first[first["purpose"] == "classify"].set_index("request")
    differs = (own["end_s"] - own["start_s"]).sort_index().to_numpy() - took["with"].to_numpy()
    assert (abs(differs) > 1e-6).all()


def test_a_mistake_of_the_recorder_ends_the_run_with_its_error():
    class Full:
        def open_request(self, *row):
            pass

        def attempt(self, *row):
            pass

        def close_request(self, *row):
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        run_one(scenario(), naive, recorder=Full())
