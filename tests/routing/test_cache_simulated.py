"""The stages in the simulated world, where it is known which hits are true."""

from __future__ import annotations

import pytest
from routing.staged import now, through
from routing.test_cache import Fails
from simulation.runs import digest
from simulation.scenarios import deployment, scenario, traffic

from simsla.routing import RoutingPolicy, Timeouts
from simsla.routing.router.caching import CacheStage
from simsla.routing.router.classifying import ClassifyStage
from simsla.routing.router.guard import Guard
from simsla.routing.router.sampling import SamplingStage, ShadowStage
from simsla.routing.selection.chains import Candidate
from simsla.simulation import run_one

WORLD = scenario(
    {"cheap": deployment(tier="economy"), "dear": deployment(tier="premium"), "new": deployment()},
    {
        "chat": traffic(
            20.0,
            topics={"count": 200, "near_misses": 0.1},
            prompt_tokens={"kind": "lognormal", "mean": 300, "sigma": 0.5},
        )
    },
    horizon=60.0,
)


class Play:
    """One replication with these stages around a router of one attempt."""

    def __init__(self, backend=None, **settings):
        self.policy = RoutingPolicy.from_dict(settings)
        self.backend = backend
        self.guard = Guard()
        self.stages = []
        self.run = run_one(WORLD, self.factory, seed=3)
        self.requests = self.run.log.requests_frame()
        self.attempts = self.run.log.attempts_frame()

    def factory(self, transport):
        by_name = {each.name: each for each in transport.deployments}

        async def send(name, request, progress):
            where = by_name[name]
            progress.answered_by = Candidate(
                where, asked=where.tier, chain=where.tier, timeouts=Timeouts(), health=None
            )
            return await transport.send(request, where, timeouts=Timeouts(total_s=30.0))

        async def answer(request, progress):
            return await send("cheap" if request.tier == "economy" else "dear", request, progress)

        async def copy(request, progress):
            return await send("new", request, progress)

        policy, rng = self.policy, transport.random
        if policy.quality is not None:
            self.stages.append(SamplingStage(policy.quality, answer, self.guard, now, rng))
        if policy.cache is not None:
            backend = self.backend or policy.cache.build()
            self.stages.append(CacheStage(policy.cache, backend, self.guard, now))
        if policy.classify is not None:
            self.stages.append(ClassifyStage(policy.classify.build(), answer, self.guard, now))
        if policy.shadow is not None:
            self.stages.append(ShadowStage(policy.shadow, copy, self.guard, now, rng))

        async def handle(request):
            return (await through(self.stages, request, answer))[0]

        return handle

    def share(self, hit):
        return (self.requests["cache_hit"] == hit).mean()


def test_the_threshold_trades_hits_for_false_hits():
    plays = {threshold: Play(cache={"threshold": threshold}) for threshold in (0.6, 0.9, 0.95)}
    hits = [play.share("true") + play.share("false") for play in plays.values()]
    assert hits[0] > hits[1] > hits[2] > 0.3
    # A near miss shares 0.914 of the vector, more than most paraphrases: only above it no hit is false.
    assert [play.share("false") > 0.02 for play in plays.values()] == [True, True, False]
    assert plays[0.95].share("false") == 0.0
    for play in plays.values():
        counts = play.stages[0].counts
        assert counts["true_hit"] == (play.requests["cache_hit"] == "true").sum()
        assert counts["false_hit"] == (play.requests["cache_hit"] == "false").sum()
        assert counts["miss"] == len(play.attempts)
        assert not play.guard.swallowed


def test_a_failing_backend_leaves_the_run_as_it_is_where_words_must_be_the_same():
    broken = Play(Fails(), cache={"threshold": 0.9})
    assert digest(broken.run) == digest(Play(cache={"threshold": 1}).run)
    looked_up = int((broken.requests["outcome"] != "cached").sum())
    assert 0 < looked_up < len(broken.requests)
    # Each look-up fails, and so does the one time at which the backend is asked to forget.
    assert broken.guard.swallowed == {"cache": looked_up + 1}


EVERYTHING = {
    "cache": {"threshold": 0.95},
    "classify": {"kind": "call"},
    "quality": {"automated_check_share": 0.2},
    "shadow": {"deployment": "new", "share": 0.5},
}


def test_subordinate_calls_are_billed_to_their_request():
    play, again = Play(**EVERYTHING), Play(**EVERYTHING)
    assert digest(play.run) == digest(again.run)
    assert play.run.unowned == 0
    assert set(play.requests["outcome"]) == {"ok", "cached"}
    calls = play.attempts.groupby("purpose", observed=True).size()
    answered = calls["answer"]
    assert calls["classify"] == pytest.approx(answered, abs=25)
    assert calls["shadow"] / answered == pytest.approx(0.5, abs=0.1)
    assert calls["check"] / len(play.requests) == pytest.approx(0.2, abs=0.05)
    quality, *_, shadow = play.stages
    assert shadow.spent_usd["shadow"] > 0.0
    assert quality.spent_usd["automated_check"] > 0.0


def test_sampling_and_shadow_traffic_change_no_answer():
    sampled = Play(quality=EVERYTHING["quality"], shadow=EVERYTHING["shadow"])
    assert set(sampled.attempts["purpose"]) == {"answer", "check", "shadow"}
    columns = ["request", "outcome", "end_s", "first_token_s", "deployment", "output_tokens"]
    assert sampled.requests[columns].equals(Play().requests[columns])


def test_a_replaced_request_stays_the_worlds_own():
    def factory(transport):
        async def handle(request):
            replaced = request.replace(tier="premium")
            assert (replaced.prompt, replaced.id) == (request.prompt, request.id)
            return await transport.send(replaced, transport.deployments[1], timeouts=Timeouts())

        return handle

    run = run_one(WORLD, factory, seed=3)
    assert (run.unowned, run.failures) == (0, {})
    assert set(run.log.requests_frame()["outcome"]) == {"ok"}
