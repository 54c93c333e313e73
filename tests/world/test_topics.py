"""Topics: how popular they are, in which words they come, and what that costs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats
from simulation.policies import patient
from simulation.runs import digest, play
from simulation.scenarios import scenario, traffic, varied

from simsla.simulation import run_one
from simsla.world import requests
from simsla.world.streams import BLOCK
from simsla.world.topics import question
from simsla.world.traffic import ClassTraffic


def asked(count, until_s=1000.0, *, begin_s=0.0, seed=1, replication=0, rate=10.0, name="chat", **topics):
    """Topic and wording of the requests of a window, by number, in the order in which they arrive."""
    spec = scenario(None, {name: traffic(rate, topics={"count": count, **topics})}).traffic[name]
    return {
        block.index * BLOCK + place: (block.topic[place], block.wording[place])
        for block, places in ClassTraffic(spec, seed, replication, 1).blocks(begin_s, until_s)
        for place in places
    }


def popularity(count, zipf):
    weights = np.arange(1, count + 1) ** -float(zipf)
    return weights / weights.sum()


@pytest.mark.parametrize("zipf", [0, 0.8, 1, 1.5])
def test_topics_are_as_popular_as_zipf_says(zipf):
    topics = Counter(topic for topic, _ in asked(20, 2000, zipf=zipf, near_misses=0).values())
    observed = [topics[f"chat-{rank}"] for rank in range(1, 21)]
    assert sum(observed) == sum(topics.values()) > 19_000
    expected = popularity(20, zipf) * sum(observed)
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_wordings_and_near_misses_have_their_shares_whatever_the_topic():
    drawn = list(asked(4, 2000, zipf=0, paraphrases=3, near_misses=0.25).values())
    table = Counter(
        (topic.removesuffix("-near"), topic.endswith("-near"), wording) for topic, wording in drawn
    )
    cells = [
        (f"chat-{rank}", near, wording) for rank in range(1, 5) for near in (0, 1) for wording in range(3)
    ]
    expected = [len(drawn) / 4 / 3 * (0.25 if near else 0.75) for _, near, _ in cells]
    assert sum(table[cell] for cell in cells) == len(drawn)
    assert stats.chisquare([table[cell] for cell in cells], expected).pvalue > 1e-3


def test_one_topic_in_one_wording_is_possible():
    assert set(asked(1, 100, paraphrases=1, near_misses=0).values()) == {("chat-1", 0)}
    assert set(asked(1, 100, paraphrases=1, near_misses=1).values()) == {("chat-1-near", 0)}


def test_a_steep_law_over_a_million_topics_stays_a_law():
    ranks = {
        int(topic.removeprefix("chat-")) for topic, _ in asked(1_000_000, zipf=0, near_misses=0).values()
    }
    assert 1 <= min(ranks) < 1000 < 999_000 < max(ranks) <= 1_000_000
    assert {topic for topic, _ in asked(1_000_000, 100, zipf=500, near_misses=0).values()} == {"chat-1"}


def test_a_later_window_meets_the_same_topics():
    whole, part = asked(1000), asked(1000, 700.0, begin_s=300.0)
    assert len(part) > 3000
    assert part.items() <= whole.items()


def test_a_replayed_trace_is_about_topics_too(tmp_path):
    path = tmp_path / "trace.csv"
    rows = [f"2023-11-16 18:00:{n:02},100,5" for n in range(60)]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]) + "\n")
    replayed = {"arrivals": {"kind": "trace", "path": str(path)}, "topics": {"count": 1000}}
    spec = scenario(None, {"chat": replayed}).traffic["chat"]
    [(block, places)] = ClassTraffic(spec, 1, 0, 1).blocks(0, 100)
    assert [block.topic[place] for place in places] == [topic for topic, _ in list(asked(1000).values())[:60]]


def test_seeds_replications_and_classes_ask_about_other_things():
    first = list(asked(1000, 50, near_misses=0).values())
    others = [{"seed": 2}, {"replication": 1}, {"name": "batch"}]
    for other in others:
        drawn = list(asked(1000, 50, near_misses=0, **other).values())
        ranks = [[topic.split("-")[1] for topic, _ in each] for each in (first, drawn)]
        same = sum(a == b for a, b in zip(*ranks, strict=False))
        assert same < 0.1 * len(first), other


def test_topics_move_no_other_draw():
    with_topics = varied().with_values({"traffic.chat.topics": {"count": 100}})
    assert digest(run_one(with_topics, patient)) == digest(run_one(varied(), patient))


def test_no_text_is_made_that_nobody_asks_for(monkeypatch):
    monkeypatch.setattr(requests, "question", lambda *_: pytest.fail("a text was made"))
    topics = []

    def factory(transport):
        handle = patient(transport)

        async def answer(request):
            topics.append(request.derive(purpose="classify").topic)
            return await handle(request)

        return answer

    run_one(scenario(None, {"chat": traffic(topics={"count": 3})}), factory)
    assert set(topics) >= {"chat-1", "chat-2", "chat-3"}


# The words


def alike(one, other):
    """The cosine of two bags of words."""
    a, b = Counter(one), Counter(other)
    return sum(a[word] * b[word] for word in a) / np.sqrt(
        sum(n * n for n in a.values()) * sum(n * n for n in b.values())
    )


@pytest.mark.parametrize("words", [4, 12, 100])
def test_paraphrases_have_most_words_in_common_and_near_topics_all_but_one(words):
    for rank in range(1, 30):
        own = question(f"chat-{rank}", 0, words)
        assert len(own) == words
        for wording in range(5):
            here = question(f"chat-{rank}", wording, words)
            near = question(f"chat-{rank}-near", wording, words)
            assert here[:-1] == near[:-1]
            assert here[-1] != near[-1]
            replaced = sum(a != b for a, b in zip(own, here, strict=True))
            assert replaced <= max(1, words // 6)
            assert (replaced > 0) == (wording > 0)


def test_a_bag_of_words_takes_a_near_miss_for_closer_than_a_paraphrase():
    topics = range(1, 200)
    near = [alike(question(f"c-{k}", 2, 12), question(f"c-{k}-near", 2, 12)) for k in topics]
    paraphrase = [alike(question(f"c-{k}", 0, 12), question(f"c-{k}", 2, 12)) for k in topics]
    two_of_them = [alike(question(f"c-{k}", 1, 12), question(f"c-{k}", 2, 12)) for k in topics]
    strangers = [alike(question(f"c-{k}", 0, 12), question(f"c-{k + 1}", 0, 12)) for k in topics]
    assert np.mean(near) == pytest.approx(11 / 12, abs=0.005)
    assert np.mean(paraphrase) == pytest.approx(10 / 12, abs=0.005)
    assert 8 / 12 - 0.01 < np.mean(two_of_them) < 9 / 12
    assert np.mean(strangers) < 0.02
    assert np.min(near) > np.mean(paraphrase)


def test_all_topics_and_wordings_differ():
    texts = {
        " ".join(question(f"chat-{k}{near}", w, 12))
        for k in range(500)
        for near in ("", "-near")
        for w in range(5)
    }
    assert len(texts) == 500 * 2 * 5


@pytest.mark.parametrize("tokens", [1, 11, 12, 13, 1000])
def test_the_prompt_is_the_question_and_the_messages_have_the_requests_length(tokens):
    world = scenario(None, {"chat": traffic(prompt_tokens=tokens, topics={"count": 5})})

    async def look(transport, request):
        return request, request.derive(purpose="classify"), request.derive(purpose="check", messages=[])

    (request, classify, own), _ = play(world, look)
    text = request.prompt.split()
    said = [message["content"].split() for message in request.messages]
    assert request.topic.startswith("chat-")
    assert len(text) == min(tokens, 12)
    assert said[-1] == text
    assert sum(map(len, said)) == tokens
    assert [message["role"] for message in request.messages] == ["system", "user"][-len(said) :]
    assert classify.prompt == request.prompt
    # Made-up context begins with whose text it is.
    told = [message["content"].replace("/classify", "", 1) for message in classify.messages]
    assert told == [message["content"] for message in request.messages]
    assert (own.prompt, own.messages) == ("", [])


def test_a_prompt_without_a_topic_is_words_after_the_mark_of_the_request():
    async def look(transport, request):
        return request

    request, _ = play(scenario(None, {"chat": traffic(prompt_tokens=3)}), look)
    assert (request.topic, request.prompt) == (None, "simsla:0 word word")
    assert request.messages == [{"role": "user", "content": "simsla:0 word word"}]


# What a cache can hope for


def distinct(probabilities, n):
    """How many of many things are met in n draws: the mean, and a bound of its standard deviation."""
    met = -np.expm1(n * np.log1p(-probabilities))
    # Occupancy is negatively associated: the variance of the sum is at most the sum of variances.
    return met.sum(), np.sqrt((met * (1 - met)).sum())


@pytest.mark.parametrize("zipf", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("what", ["topics", "texts"])
def test_repeats_come_as_often_as_the_closed_form_says(zipf, what):
    """A perfect cache answers what was met before: n less the distinct ones, of n."""
    near, wordings = 0.1, 5
    p = popularity(1000, zipf)
    p = np.concatenate((p * (1 - near), p * near))
    if what == "texts":
        p = np.repeat(p / wordings, wordings)
    for replication in range(5):
        drawn = list(
            asked(
                1000, 500, zipf=zipf, replication=replication, near_misses=near, paraphrases=wordings
            ).values()
        )
        met = (
            {topic for topic, _ in drawn} if what == "topics" else {" ".join(question(*d, 12)) for d in drawn}
        )
        mean, deviation = distinct(p, len(drawn))
        assert abs(len(met) - mean) < 4 * deviation
