"""Drawing episodes: windows, releases, flapping, repairs, and the timeline of years."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.scenarios import deployment, exp, scenario

from simsla.analysis.states import fault_intervals
from simsla.world.environment import FAULT_KINDS, Environment
from simsla.world.faults import YEAR_S, draw_environment, timeline

DAY = 86400.0


def world(*faults, **parts):
    """A scenario whose component `g` has these faults."""
    components = {"g": {"faults": list(faults)}} | parts.pop("components", {})
    return scenario({"a": deployment(components=["g"])}, components=components, **parts)


def drawn(spec, until_s, **options):
    return draw_environment(spec, options.get("seed", 1), options.get("replication", 0), until_s)


def rows(environment):
    """The episodes without codes that depend on the other episodes."""
    frame = environment.frame().astype({"component": str, "kind": str, "only": str})
    return list(frame.itertuples(index=False, name=None))


# Planned maintenance


def test_a_window_comes_again_and_again():
    fault = {"kind": "outage", "schedule": [{"every": "7d", "at": "03:00", "for": "30min"}]}
    found = drawn(world(fault), 30 * DAY)
    assert found.start_s.tolist() == [3 * 3600 + 7 * DAY * week for week in range(5)]
    assert (found.end_s - found.start_s).tolist() == [1800.0] * 5
    assert found.planned().all()
    assert len(drawn(world(fault), 3 * 3600)) == 0


def test_windows_and_single_episodes_stand_side_by_side():
    fault = {
        "kind": "brownout",
        "severity": 0.5,
        "schedule": [{"every": "10s", "at": 5, "for": 1, "severity": 0.2}, {"at": 12, "for": 1}],
    }
    found = drawn(world(fault), 30)
    assert list(zip(found.start_s.tolist(), found.severity.tolist(), strict=True)) == [
        (5, 0.2),
        (12, 0.5),
        (15, 0.2),
        (25, 0.2),
    ]


# Releases that are rolled back


def releases(**rollback):
    return {
        "kind": "brownout",
        "severity": 0.3,
        "schedule": [{"every": "1d", "at": "14:00"}],
        "rollback": {"noticed": exp(900)} | rollback,
    }


def test_a_bad_release_lasts_until_it_is_noticed():
    found = drawn(world(releases()), 4000 * DAY)
    assert len(found) == 4000
    assert (found.start_s % DAY == 14 * 3600).all()
    lasted = found.end_s - found.start_s
    assert lasted.mean() == pytest.approx(900, rel=0.08)
    assert lasted.std() == pytest.approx(900, rel=0.12)


def test_only_so_many_releases_are_bad():
    every, some = (drawn(world(releases(bad=bad)), 4000 * DAY) for bad in (1, 0.25))
    assert len(some) == pytest.approx(1000, rel=0.12)
    ends = dict(zip(every.start_s.tolist(), every.end_s.tolist(), strict=True))
    assert all(
        ends[start] == end for start, end in zip(some.start_s.tolist(), some.end_s.tolist(), strict=True)
    )


def test_the_next_release_replaces_a_bad_one():
    found = drawn(world(releases(noticed="10d")), 20 * DAY)
    assert (found.end_s - found.start_s).tolist() == [DAY] * 20


def test_releases_may_come_by_chance():
    fault = {
        "kind": "brownout",
        "severity": 0.3,
        "uptime": exp(1000),
        "rollback": {"noticed": 50, "bad": 0.2},
    }
    found = drawn(world(fault), 1e7)
    assert len(found) == pytest.approx(0.2 * 1e7 / 1050, rel=0.1)
    assert found.end_s - found.start_s == pytest.approx(50)
    assert not found.planned().any()


# Flapping


def test_an_episode_goes_on_and_off():
    fault = {"kind": "outage", "schedule": [{"at": 100, "for": 70}], "flapping": {"up": "20s", "down": 10}}
    found = drawn(world(fault), 1000)
    assert found.start_s.tolist() == [100, 130, 160]
    assert found.end_s.tolist() == [110, 140, 170]


def test_drawn_flaps_have_their_long_run_share_and_stay_in_their_episodes():
    fault = {"kind": "outage", "uptime": exp(20_000), "repair": exp(5000)}
    whole = drawn(world(fault), 2e6)
    parts = drawn(world(fault | {"flapping": {"up": exp(30), "down": exp(10)}}), 2e6)
    within = np.searchsorted(whole.start_s, parts.start_s, side="right") - 1
    assert (parts.end_s <= whole.end_s[within]).all()
    assert set(whole.start_s.tolist()) <= set(parts.start_s.tolist()), "an episode begins by striking"
    down, all_of_it = (float((e.end_s - e.start_s).sum()) for e in (parts, whole))
    assert down / all_of_it == pytest.approx(0.25, rel=0.05)


# Repairs


def test_a_repair_ends_what_lasts_and_nothing_else():
    fault = {"kind": "outage", "schedule": [{"at": at, "for": 10} for at in (10, 30, 50)]}
    other = {"h": {"faults": [fault]}}
    found = drawn(
        world(fault, components=other, schedule=[{"at": 33, "repair": "g"}, {"at": 60, "repair": "g"}]), 99
    )
    assert rows(found) == [
        ("g", "outage", 10.0, 20.0, 1.0, "everybody"),
        ("h", "outage", 10.0, 20.0, 1.0, "everybody"),
        ("g", "outage", 30.0, 33.0, 1.0, "everybody"),
        ("h", "outage", 30.0, 40.0, 1.0, "everybody"),
        ("g", "outage", 50.0, 60.0, 1.0, "everybody"),
        ("h", "outage", 50.0, 60.0, 1.0, "everybody"),
    ]


def test_a_repair_ends_drawn_episodes_and_their_flapping_and_moves_no_other():
    fault = {
        "kind": "outage",
        "gap": exp(500),
        "repair": exp(100),
        "flapping": {"up": exp(5), "down": exp(5)},
    }
    before = drawn(world(fault), 20_000)
    at = float(before.start_s[len(before) // 2]) + 1e-3
    after = drawn(world(fault, schedule=[{"at": at, "repair": "g"}]), 20_000)
    assert len(after) < len(before)
    left, whole = set(rows(after)), set(rows(before))
    assert {row for row in left - whole if row[3] != at} == set(), (
        "what is left is as it was, or cut at the repair"
    )
    gone = np.array([row[2] for row in whole - left])
    assert gone.max() - at < 3000
    assert ((gone > at) | (gone == gone.min())).all()


def test_what_is_scheduled_lasts_until_the_next_repair():
    schedule = [
        {"at": 50, "repair": "g"},
        {"at": 10, "fail": "g"},
        {"at": 20, "slow": "g", "factor": 3, "for": 5},
        {"at": 60, "limit": "g", "share": 0.5},
        {"at": 60, "repair": "g"},
    ]
    found = drawn(world(schedule=schedule), 99)
    assert rows(found) == [
        ("g", "outage", 10.0, 50.0, 1.0, "everybody"),
        ("g", "slowdown", 20.0, 25.0, 3.0, "everybody"),
        ("g", "rate_limit_storm", 60.0, float("inf"), 0.5, "everybody"),
    ]


# A longer run, another component: nothing that was drawn moves

LENGTHS = st.floats(1, 400)
PROCESSES = st.one_of(
    st.fixed_dictionaries({"gap": LENGTHS.map(exp), "repair": LENGTHS.map(exp)}),
    st.fixed_dictionaries({"uptime": LENGTHS.map(exp), "repair": LENGTHS.map(exp)}),
    st.fixed_dictionaries(
        {
            "uptime": LENGTHS.map(exp),
            "rollback": st.fixed_dictionaries({"noticed": LENGTHS.map(exp), "bad": st.floats(0.2, 1)}),
        }
    ),
    st.fixed_dictionaries(
        {
            "schedule": st.just([{"at": 30, "every": 200}, {"at": 70}]),
            "rollback": st.fixed_dictionaries({"noticed": LENGTHS.map(exp), "bad": st.floats(0.2, 1)}),
        }
    ),
    st.just({"schedule": [{"at": 30, "every": 200, "for": 50}, {"at": 70, "for": 500}]}),
)
MORE = st.fixed_dictionaries(
    {},
    optional={"flapping": st.fixed_dictionaries({"up": LENGTHS.map(exp), "down": LENGTHS.map(exp)})},
)


@settings(max_examples=60, deadline=None)
@given(process=PROCESSES, more=MORE, crew=st.booleans(), until=st.floats(1, 5000), repairs=st.lists(LENGTHS))
def test_a_longer_run_meets_the_same_episodes_first(process, more, crew, until, repairs):
    fault = {"kind": "hang", **process, **more}
    family = {"parent": "p", "beta": 0.5, "faults": [fault]} | ({"crew": "ops"} if crew else {})
    spec = world(
        fault,
        components={"p": {}, "x": family, "y": family},
        crews={"ops": 1},
        schedule=[{"at": at, "repair": "x"} for at in repairs],
    )
    short, long = (rows(drawn(spec, end)) for end in (until, 3 * until))
    cut = [(*row[:3], min(row[3], until), *row[4:]) for row in long if row[2] < until]
    assert sorted(cut) == sorted((*row[:3], min(row[3], until), *row[4:]) for row in short)
    assert all(row[3] > 0 and row[2] >= 0 and row[3] > row[2] for row in long)


@settings(max_examples=30, deadline=None)
@given(process=PROCESSES, more=MORE)
def test_another_component_moves_no_draw(process, more):
    fault = {"kind": "hang", **process, **more}
    alone = rows(drawn(world(fault), 3000))
    other = {"z": {"faults": [fault]}, "f": {"faults": [fault, fault]}}
    schedule = [{"at": 3, "fail": "z"}, {"at": 9, "repair": "z"}]
    together = rows(drawn(world(fault, components=other, schedule=schedule), 3000))
    assert [row for row in together if row[0] == "g"] == alone


# The timeline


def test_chance_alone_may_be_drawn():
    planned = {"kind": "outage", "schedule": [{"every": 1, "at": 0, "for": 0.5}]}
    chance = {"kind": "hang", "uptime": exp(900), "repair": exp(90)}
    schedule = [{"at": 5, "fail": "g"}, {"at": 9, "repair": "g"}]
    both = draw_environment(world(planned, chance, schedule=schedule), 1, 0, 1e4, planned=False)
    assert rows(both) == rows(drawn(world(chance), 1e4))


def test_a_timeline_is_what_a_replication_meets_and_more():
    spec = world({"kind": "outage", "gap": exp(86400), "repair": exp(3600)})
    years = timeline(spec, 2, seed=5)
    assert years.start_s.max() > YEAR_S
    month = draw_environment(spec, 5, 0, 30 * DAY)
    assert years.start_s[: len(month)].tolist() == month.start_s.tolist()
    assert timeline(spec, 2, seed=6).start_s.tolist() != years.start_s.tolist()
    assert timeline(spec, 2, seed=5, replication=1).start_s.tolist() != years.start_s.tolist()


@pytest.mark.parametrize("years", [0, -1, float("inf"), float("nan")])
def test_a_timeline_has_a_length(years):
    with pytest.raises(ValueError, match="years must be above 0"):
        timeline(world(), years)


# The columns


def test_states_of_the_environment_tell_grey_failures_apart():
    fault = {"kind": "hang", "schedule": [{"at": 1, "for": 1}]}
    grey = [fault | {"only": {"classes": ["chat"], "clients": share}} for share in (0.2, 0.3)]
    intervals = fault_intervals(drawn(world(fault, *grey), 9), 0, 9)
    assert len({interval.key for interval in intervals}) == 3


def test_an_environment_says_whom_it_hits():
    only = {"classes": ["chat"], "regions": ["r"], "clients": 0.25}
    fault = {"kind": "hang", "schedule": [{"at": 1, "for": 1}]}
    found = drawn(world(fault | {"only": only}, fault, regions={"r": None}), 9)
    assert sorted(row[5] for row in rows(found)) == ["0.25 of the clients of chat in r", "everybody"]
    assert len(found.select(found.start_s > 5)) == 0


def test_rows_given_by_hand_are_ordinary():
    given_ = Environment.of([(0, FAULT_KINDS.index("connect"), 1.0, 2.0, 1.0, 0)], ("g",))
    assert given_.manner_codes().tolist() == [0]
    assert not given_.planned().any()
    assert rows(given_) == [("g", "connect", 1.0, 2.0, 1.0, "everybody")]
