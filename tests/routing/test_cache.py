from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from routing.fakes import copied, play
from routing.staged import Answers, asking, now, through

from simsla.routing import ConfigError, Request, RoutingPolicy, ServerError
from simsla.routing.progress import Progress
from simsla.routing.router.caching import CacheStage
from simsla.routing.router.guard import Guard

ASKED = "please increase the size of the connection pool of our primary database to two hundred"
OPPOSITE = ASKED.replace("increase", "decrease")
OTHER = "who wrote the music for that old film about trains"


class Setup:
    """A cache between requests and their answers."""

    def __init__(self, backend=None, tier_of=None, **settings):
        policy = RoutingPolicy.from_dict({"cache": {"threshold": 0.9} | settings}).cache
        self.guard = Guard()
        more = {} if tier_of is None else {"tier_of": tier_of}
        self.backend = policy.build() if backend is None else backend
        self.stage = CacheStage(policy, self.backend, self.guard, now, **more)
        self.answers = Answers()

    async def ask(self, request, **more):
        reply, progress = await through([self.stage], request, self.answers, **more)
        return reply, progress

    def play(self, *requests):
        """The replies to these requests, one after the other."""

        async def main():
            return [(await self.ask(request))[0] for request in requests]

        return play(main())


def hits(replies):
    return [reply.metadata is not None and "cache" in reply.metadata for reply in replies]


def test_the_same_question_is_answered_from_the_cache_and_told():
    cache = Setup()

    async def main():
        first, _ = await cache.ask(asking(ASKED, 1))
        await asyncio.sleep(5)
        return first, *await cache.ask(asking(ASKED, 2, stream=True))

    first, second, progress = play(main())
    assert (second.text, second.model, second.deployment) == (first.text, "model", "standard")
    assert (second.tokens_in, second.tokens_out, second.total_s, second.finish_reason) == (0, 0, 0.0, "stop")
    assert second.metadata["cache"] == {
        "similarity": 1.0,
        "stored_request": 1,
        "age_s": 5.0,
        "topic": None,
        "true_hit": None,
    }
    assert [step[1:3] for step in progress.steps] == [("cache", "hit")]
    assert cache.stage.counts == {"miss": 1, "hit": 1}
    assert len(cache.answers.calls) == 1
    assert progress.spent_usd == 0.0


def test_a_similar_question_hits_and_a_false_hit_is_counted_as_such():
    cache = Setup(threshold=0.8)
    replies = cache.play(
        asking(ASKED, 1, topic="grow"),
        asking("Please: " + ASKED, 2, topic="grow"),
        asking(OPPOSITE, 3, topic="shrink"),
        asking(OTHER, 4, topic="music"),
    )
    assert hits(replies) == [False, True, True, False]
    assert [reply.metadata["cache"]["true_hit"] for reply in replies[1:3]] == [True, False]
    assert cache.stage.counts == {"hit": 2, "true_hit": 1, "false_hit": 1, "miss": 2}


@pytest.mark.parametrize(("threshold", "hit"), [(0.85, True), (0.95, False), (1.0, False)])
def test_the_threshold_decides_whether_an_opposite_is_taken_for_the_question(threshold, hit):
    assert hits(Setup(threshold=threshold).play(asking(ASKED), asking(OPPOSITE))) == [False, hit]


@pytest.mark.parametrize(
    ("first", "second", "settings", "hit"),
    [
        ({"tier": "economy"}, {"tier": "premium"}, {}, False),
        ({"tier": "economy"}, {"tier": "premium"}, {"serve_lower_tiers": True}, True),
        ({"tier": "premium"}, {"tier": "economy"}, {}, True),
        ({"tier": "economy"}, {}, {}, True),
        ({"client": "a"}, {"client": "b"}, {}, False),
        ({"client": "a"}, {"client": "b"}, {"per": []}, True),
        ({"request_class": "a"}, {"request_class": "b"}, {}, True),
        ({"request_class": "a"}, {"request_class": "b"}, {"per": ["request_class"]}, False),
        ({}, {"needs": ("json",)}, {}, False),
        ({}, {"max_tokens": 9}, {}, False),
        ({}, {"max_tokens": 10}, {}, True),
    ],
)
def test_who_may_get_whose_answer(first, second, settings, hit):
    replies = Setup(**settings).play(asking(ASKED, 1, **first), asking(ASKED, 2, **second))
    assert hits(replies) == [False, hit]


def test_the_tier_asked_for_may_come_from_the_complexity():
    cuts = RoutingPolicy().complexity
    cache = Setup(tier_of=lambda request: request.tier or cuts.tier(request.complexity))
    cache.answers = Answers()
    replies = cache.play(
        asking(ASKED, 1, tier="economy"),
        asking(ASKED, 2, complexity=0.9),
        asking(ASKED, 3, complexity=0.1),
    )
    assert hits(replies) == [False, False, True]


def chat(*texts, number=1, system=None):
    roles = ("user", "assistant") * len(texts)
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return Request(number, messages=messages)


def test_what_stands_before_the_question_must_be_the_same():
    replies = Setup().play(
        chat("Shall I delete it?", "Sure?", "yes"),
        chat("Shall I keep it?", "Sure?", "yes"),
        chat("Shall I keep it?", "Sure?", "yes"),
        chat("yes", system="Be brief."),
        chat("yes", system="Be brief."),
    )
    assert hits(replies) == [False, False, True, False, True]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": "what is it"}, {"type": "image_url"}]},
        {"role": "tool", "content": "what is it"},
        {"role": "user", "content": ""},
    ],
)
def test_what_is_not_all_in_words_is_not_cached(message):
    cache = Setup()
    assert hits(cache.play(*[Request(number, messages=[message]) for number in (1, 2)])) == [False, False]


def test_synthetic_prompts_are_not_alike_just_because_they_have_no_words():
    assert hits(Setup().play(Request(1, prompt_tokens=10), Request(2, prompt_tokens=10))) == [False, False]


@pytest.mark.parametrize(
    "answers",
    [
        Answers(finish_reason="length"),
        Answers(finish_reason="content_filter"),
        Answers(degrade=True),
        Answers(text=""),
    ],
)
def test_only_whole_answers_of_the_tier_asked_for_are_kept(answers):
    cache = Setup()
    cache.answers = answers
    assert hits(cache.play(asking(ASKED, 1), asking(ASKED, 2))) == [False, False]


def test_failures_are_not_kept_and_nothing_is_left_of_them():
    cache = Setup()
    cache.answers = Answers(error=ServerError())
    with pytest.raises(ServerError):
        cache.play(asking(ASKED))
    cache.answers = Answers()
    assert hits(cache.play(asking(ASKED), asking(ASKED))) == [False, True]


@pytest.mark.parametrize("question", [ASKED, "Please, " + ASKED])
def test_an_answer_is_kept_for_its_time_and_no_longer(question):
    cache = Setup(ttl_s=100.0, threshold=0.8)

    async def main():
        await cache.ask(asking(ASKED))
        stored_s = now()
        await asyncio.sleep(99.0)
        early, _ = await cache.ask(asking(question))
        await asyncio.sleep(stored_s + 100.0 - now())
        late, _ = await cache.ask(asking(question))
        return hits([early, late])

    assert play(main()) == [True, False]


def test_the_capacity_is_kept():
    cache = Setup(capacity=2)
    words = ["one thing", "some other matter", "a third affair"]
    replies = cache.play(*map(asking, words), asking(words[0]), asking(words[2]))
    assert hits(replies) == [False, False, False, False, True]
    assert len(cache.backend) == 2


class Fails:
    """Every part of it raises."""

    async def embed(self, text):
        raise ConnectionError("no connection, key sk-1")

    async def nearest(self, vector, scopes, now):
        raise ConnectionError

    async def put(self, vector, entry, now):
        raise ConnectionError

    async def expire(self, now):
        raise ConnectionError


class FailsToFind(Fails):
    async def embed(self, text):
        return text


class FailsToPut(FailsToFind):
    async def nearest(self, vector, scopes, now):
        return None


class Rubbish(FailsToPut):
    async def nearest(self, vector, scopes, now):
        return "rubbish"


class HalfAnEntry(FailsToPut):
    class Entry:
        tokens_out = 1
        topic = None

    async def nearest(self, vector, scopes, now):
        return self.Entry(), 0.99


class NotEvenACoroutine(Fails):
    def embed(self, text):
        raise KeyError


class Hangs(FailsToPut):
    async def embed(self, text):
        await asyncio.sleep(1e6)


@pytest.mark.parametrize(
    "backend", [Fails, FailsToFind, FailsToPut, Rubbish, HalfAnEntry, NotEvenACoroutine, Hangs]
)
def test_a_failing_backend_is_a_miss_and_is_counted(backend):
    cache = Setup(backend())
    replies = cache.play(asking(ASKED, 1), asking(OTHER, 2))
    assert [reply.text for reply in replies] == ["an answer"] * 2
    assert cache.stage.counts == {"miss": 2}
    assert cache.guard.swallowed["cache"] >= 2


@pytest.mark.parametrize("backend", [Fails, FailsToFind, FailsToPut, Hangs])
def test_the_same_words_are_found_although_the_backend_fails(backend):
    cache = Setup(backend())
    assert hits(cache.play(asking(ASKED, 1), asking(OTHER, 2), asking(ASKED, 3))) == [False, False, True]


def test_a_request_that_is_cancelled_while_it_is_looked_up_leaves_nothing_behind():
    cache = Setup(Hangs(), timeout_s=None)

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(cache.ask(asking(ASKED)), 1.0)
        return len(cache.stage._missed)

    assert play(main()) == 0


def test_a_hanging_backend_costs_its_time_limit_at_most_and_never_the_deadline():
    cache = Setup(Hangs(), timeout_s=0.5)

    async def main():
        start = now()
        _, progress = await cache.ask(asking(ASKED), deadline_s=60.0)
        assert now() - start == 1.5
        progress.deadline = now() + 0.25
        start = now()
        await cache.stage.enter(asking(OTHER), progress)
        assert now() - start == 0.25

    play(main())


@pytest.mark.parametrize("timeout_s", [None, 50.0])
def test_a_look_up_without_a_limit_of_its_own_ends_with_the_deadline(timeout_s):
    cache = Setup(Hangs(), timeout_s=timeout_s)

    async def main():
        start = now()
        await cache.stage.enter(asking(ASKED), Progress(asking(ASKED), start + 5.0))
        assert now() - start == 5.0

    play(main())
    assert cache.guard.swallowed == {"cache": 1}


class Remote:
    """A backend that takes its time and remembers what it was asked."""

    def __init__(self):
        self.kept = []
        self.calls = Counter()

    async def embed(self, text):
        self.calls["embed"] += 1
        await asyncio.sleep(0.01)
        return text.split()

    async def nearest(self, vector, scopes, now):
        self.calls["nearest"] += 1
        await asyncio.sleep(0.01)
        for entry, known in self.kept:
            if known == vector and entry.scope in scopes:
                return copied(entry), 0.99
        return None

    async def put(self, vector, entry, now):
        self.calls["put"] += 1
        await asyncio.sleep(0.01)
        self.kept.append((entry, vector))

    async def expire(self, now):
        self.calls["expire"] += 1


def test_a_remote_backend_is_written_to_behind_the_reply():
    remote = Remote()
    cache = Setup(remote, ttl_s=100.0)

    async def main():
        start = now()
        await cache.ask(asking(ASKED, 1))
        assert now() - start == pytest.approx(1.02)
        assert remote.kept == []
        await asyncio.sleep(1)
        assert len(remote.kept) == 1
        # Not the same words, so the backend is asked.
        reply, _ = await cache.ask(asking(ASKED.replace(" ", "  "), 2))
        await asyncio.sleep(1)
        return reply

    reply = play(main())
    assert reply.metadata["cache"]["similarity"] == 0.99
    assert reply.total_s == pytest.approx(0.02)
    assert remote.calls == {"embed": 2, "nearest": 2, "put": 1, "expire": 1}


def test_a_cancelled_request_leaves_nothing_behind():
    cache = Setup(Hangs(), timeout_s=None)

    async def main():
        task = asyncio.ensure_future(cache.ask(asking(ASKED)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await cache.stage.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    play(main())
    assert not cache.stage._missed
    assert not cache.guard.swallowed


def test_a_slow_put_is_given_up_on_closing():
    class SlowPut(Remote):
        async def put(self, vector, entry, now):
            await asyncio.sleep(1e6)

    cache = Setup(SlowPut())

    async def main():
        await cache.ask(asking(ASKED))
        await asyncio.sleep(1)
        await cache.stage.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    play(main())


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({}, "routing.cache.threshold"),
        ({"threshold": 0}, "routing.cache.threshold"),
        ({"threshold": True}, "routing.cache.threshold"),
        ({"threshold": 0.9, "capacity": 0}, "routing.cache.capacity"),
        ({"threshold": 0.9, "per": ["clients"]}, "routing.cache.per.0"),
        ({"threshold": 0.9, "timeout_s": 61}, "routing.cache.timeout_s"),
    ],
)
def test_mistakes_are_refused(settings, path):
    with pytest.raises(ConfigError) as caught:
        RoutingPolicy.from_dict({"cache": settings})
    assert caught.value.path == path
