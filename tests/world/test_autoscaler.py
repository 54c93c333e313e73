"""The autoscaler against sequences worked out by hand, the documented examples among them.

Source of the examples: "Horizontal Pod Autoscaling" and the note on configurable tolerance, kubernetes.io.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsla.scenario.gateway import Autoscaler
from simsla.world.gateway.autoscaler import HorizontalAutoscaler
from simsla.world.gateway.demand import PodReading

FREELY = {"stabilisation": 0, "policies": [{"percent": 100000}], "tolerance": 0.1}
"""One direction without any brake but the tolerance."""

AT_ONCE = {"stabilisation": 0, "tolerance": 0.1}
"""Scale-down by the default policy, 100 % in 15 s, without its window."""


def rules(target=100.0, metric="latency_p99_s", **changes):
    return Autoscaler.model_validate(
        {"min": 1, "max": 1000, "metrics": [{"metric": metric, "target": target}]} | changes
    )


def scaler(*args, **changes):
    return HorizontalAutoscaler(rules(*args, **changes))


def follow(machine, pods, values, *, sync_s=15.0, start_s=0.0):
    """The numbers of pods after each look, all of them ready at once."""
    numbers = []
    for i, value in enumerate(values):
        pods = machine.look(start_s + i * sync_s, pods, pods, [value])
        numbers.append(pods)
    return numbers


# The formula: desired = ceil(current x metric / target)


@pytest.mark.parametrize(
    ("pods", "value", "target", "wanted"),
    [
        (3, 200, 100, 6),  # "if the current metric value is 200m, and the desired value is 100m": doubled
        (6, 50, 100, 3),  # "if the current value is instead 50m": halved
        (5, 50, 100, 3),  # 2.5, rounded up
        (50, 90, 75, 60),  # 50 x 90/75, the example of the note on tolerances
        (4, 3.4, 2.0, 7),  # the playbook's provider tail against its SLO: 4 x 1.7 = 6.8
    ],
)
def test_the_ratio_of_metric_and_target(pods, value, target, wanted):
    assert scaler(target, scale_up=FREELY, scale_down=AT_ONCE).look(0, pods, pods, [value]) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (2.0, 10),
        (2.19, 10),  # 9.5 % above the target: within the tolerance of 0.1
        (2.21, 12),  # 10.5 % above: 11.05, rounded up
        (1.81, 10),
        (1.79, 9),  # 8.95, rounded up
    ],
)
def test_a_ratio_close_to_1_changes_nothing(value, wanted):
    assert scaler(2.0, scale_up=FREELY, scale_down=AT_ONCE).look(0, 10, 10, [value]) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (2.0, 10),
        (2.001, 11),  # "out above a 2 s SLO": no tolerance upwards
        (1.501, 10),
        (1.5, 10),  # 1 - 1.5/2 = 0.25: still within
        (1.499, 8),  # "in below 1.5 s": 7.495, rounded up
    ],
)
def test_out_above_2_s_in_below_1_5_s_is_a_tolerance_for_each_direction(value, wanted):
    """The playbook's autoscaler; without `tolerance` by direction there is no such one."""
    up, down = FREELY | {"tolerance": 0}, AT_ONCE | {"tolerance": 0.25}
    assert scaler(2.0, scale_up=up, scale_down=down).look(0, 10, 10, [value]) == wanted


def test_the_note_on_tolerances():
    """Its example: none upwards, 5 % downwards."""
    up, down = FREELY | {"tolerance": 0}, AT_ONCE | {"tolerance": 0.05}
    assert scaler(100, scale_up=up, scale_down=down).look(0, 100, 100, [101]) == 101
    assert scaler(100, scale_up=up, scale_down=down).look(0, 100, 100, [96]) == 100
    assert scaler(100, scale_up=up, scale_down=down).look(0, 100, 100, [94]) == 94


# Policies: how much may change within a period


def test_80_pods_to_10_with_4_pods_or_10_percent_a_minute():
    """The documented example: 8 go (10 % of 80), then 8 again (7.2, rounded up); from 40 on, 4 at a time.

    Worked out: 80, 72, 64 (floor 64.8), 57 (57.6), 51 (51.3), 45 (45.9), 40 (40.5), 36, 32, ..., 12, 10.
    """
    down = {
        "stabilisation": 0,
        "policies": [{"pods": 4, "period": "60s"}, {"percent": 10, "period": "60s"}],
    }
    machine, pods, numbers = scaler(100, min=10, scale_down=down), 80, []
    for minute in range(20):
        pods = machine.look(60.0 * minute, pods, pods, [1.0])
        numbers.append(pods)
    assert numbers == [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, *([10] * 7)]


def test_a_period_longer_than_the_sync_allows_its_change_once():
    """With a look every 15 s, 10 % a minute: 100 to 90 at the first, the next when a minute has passed."""
    down = {"stabilisation": 0, "policies": [{"percent": 10, "period": "60s"}]}
    numbers = follow(scaler(100, scale_down=down), 100, [1.0] * 9)
    assert numbers == [90, 90, 90, 90, 81, 81, 81, 81, 72]


def test_the_smaller_of_10_percent_and_5_pods():
    """The documented example: `selectPolicy: Min`, so no more than 5 are removed in a minute."""
    down = {
        "stabilisation": 0,
        "select": "min",
        "policies": [{"percent": 10, "period": "60s"}, {"pods": 5, "period": "60s"}],
    }
    assert scaler(100, scale_down=down).look(0, 80, 80, [1.0]) == 75  # 10 % would be 8
    assert scaler(100, scale_down=down).look(0, 20, 20, [1.0]) == 18  # 10 % are 2


def test_scale_down_disabled():
    down = {"stabilisation": 0, "select": "disabled", "policies": [{"percent": 100}]}
    machine = scaler(100, scale_down=down)
    assert follow(machine, 10, [1.0] * 50) == [10] * 50
    assert machine.look(1000, 10, 10, [200.0]) == 20


def test_by_default_the_number_doubles_or_grows_by_4_in_15_s():
    """From 1 with an enormous metric: 5 (1 + 4), 10 (twice), 20, 40, ... up to the maximum."""
    assert follow(scaler(1, max=100), 1, [1000.0] * 7) == [5, 10, 20, 40, 80, 100, 100]


def test_the_playbooks_tail_lets_the_number_grow_by_1_7_at_every_look():
    """p99 3.4 s, which the provider causes, against a target of 2 s: ceil(1.7 n), up to the maximum.

    4, 7 (6.8), 12 (11.9), 21 (20.4), 36 (35.7), 62 (61.2), 100. Doubling is allowed, so no policy limits it.
    """
    assert follow(scaler(2.0, max=100), 4, [3.4] * 8) == [7, 12, 21, 36, 62, 100, 100, 100]


# Stabilisation


def test_for_5_minutes_the_largest_recommendation_counts():
    """10 pods; the metric halves at the first look. The first recommendation of all is the present number.

    So 10 stays until it is 300 s old: looks at 0, 15, ..., 285 leave it, and the one at 300 s, when nothing
    but "5" was recommended within the window, scales in.
    """
    numbers = follow(scaler(100), 10, [50.0] * 21)
    assert numbers == [10] * 20 + [5]


def test_a_peak_within_the_window_puts_scaling_in_off():
    """Looks every 15 s; the metric is at half its target but for one look at 150 s.

    That one recommends 10 once more, so it is 150 + 300 = 450 s before 5 pods are enough.
    """
    values = [100.0 if i == 10 else 50.0 for i in range(40)]
    numbers = follow(scaler(100), 10, values)
    assert numbers.index(5) == 30
    assert set(numbers[:30]) == {10}


def test_a_window_of_a_minute():
    """The documented example `stabilizationWindowSeconds: 60`: in after 60 s."""
    numbers = follow(scaler(100, scale_down={"stabilisation": "60s"}), 10, [50.0] * 6)
    assert numbers == [10, 10, 10, 10, 5, 5]


def test_a_window_upwards_takes_the_smallest_recommendation():
    """30 s upwards: a peak of one look does nothing; three in a row do."""
    up = {"stabilisation": "30s"}
    assert follow(scaler(100, scale_up=up), 10, [100.0, 200, 100, 200, 100]) == [10] * 5
    # The first recommendation, 10 at 0 s, has left the window at 30 s.
    assert follow(scaler(100, scale_up=up), 10, [200.0, 200, 200]) == [10, 10, 20]


def test_looks_off_the_grid_of_the_period_change_nothing():
    """Rounding: looks at 0.1, 15.1, 30.1, ... are 15 s apart but for their last bits."""
    grid = follow(scaler(1, max=1000), 1, [1000.0] * 8)
    assert follow(scaler(1, max=1000), 1, [1000.0] * 8, start_s=0.1) == grid


# Several metrics, and metrics that are missing


def test_of_several_metrics_the_largest_wish_counts():
    two = {"metrics": [{"metric": "latency_p99_s", "target": 2}, {"metric": "concurrency", "target": 10}]}
    pods = [PodReading(15.0)] * 4
    machine = HorizontalAutoscaler(rules(**two))
    assert machine.look(0, 4, 4, [2.0, pods]) == 6  # 4 x 1.5
    assert HorizontalAutoscaler(rules(**two)).look(0, 4, 4, [4.0, pods]) == 8


def test_with_a_metric_missing_there_can_be_more_pods_but_not_fewer():
    two = {
        "metrics": [{"metric": "latency_p99_s", "target": 2}, {"metric": "concurrency", "target": 10}],
        "scale_down": AT_ONCE,
    }
    assert HorizontalAutoscaler(rules(**two)).look(0, 4, 4, [None, [PodReading(20.0)] * 4]) == 8
    assert HorizontalAutoscaler(rules(**two)).look(0, 4, 4, [None, [PodReading(5.0)] * 4]) == 4
    assert HorizontalAutoscaler(rules(**two)).look(0, 4, 4, [1.0, [PodReading(5.0)] * 4]) == 2
    assert HorizontalAutoscaler(rules(**two)).look(0, 4, 4, [None, []]) == 4


def of_pods(metric, values, *, now=1000.0, scale_down=AT_ONCE, **changes):
    machine = HorizontalAutoscaler(rules(10.0, metric, scale_up=FREELY, scale_down=scale_down, **changes))
    ready = sum(pod.ready for pod in values)
    return machine.look(now, len(values), ready, [values])


MISSING = PodReading(None, ready=False)
PENDING = PodReading(None, ready=False, pending=True)


def test_a_pod_without_a_value_counts_as_nothing_where_there_would_be_more():
    """Three pods at 20 against 10 want 6. With a fourth unknown: (3 x 20 + 0) / 4 = 15, so 4 x 1.5 = 6.

    With three unknown: 60 / 6 = 10, the target: no change.
    """
    three = [PodReading(20.0)] * 3
    assert of_pods("concurrency", three) == 6
    assert of_pods("concurrency", [*three, MISSING]) == 6
    assert of_pods("concurrency", [*three, *[MISSING] * 3]) == 6  # of 6 pods: unchanged


def test_a_pod_without_a_value_counts_as_the_target_where_there_would_be_fewer():
    """Three pods at 4 want 2 (1.2). With a fourth unknown: (12 + 10) / 4 = 5.5, so 4 x 0.55 = 2.2: 3."""
    three = [PodReading(4.0)] * 3
    assert of_pods("concurrency", three) == 2
    assert of_pods("concurrency", [*three, MISSING]) == 3


def test_what_the_guess_turns_round_is_no_change():
    """Two pods at 12 and two unknown: 1.2 becomes 0.6, which would be fewer pods: nothing is done."""
    assert of_pods("concurrency", [PodReading(12.0)] * 2 + [MISSING] * 2) == 4


def test_pods_that_are_not_ready_yet_dampen_growth_and_do_not_stop_shrinking():
    """Four at 20 want 8. With four that have just been started: 80 / 8 = 10, the target: 8 are enough.

    Downwards they are left out: four at 4 of 10 want 2 (1.6), though there are 8.
    """
    assert of_pods("concurrency", [PodReading(20.0)] * 4) == 8
    assert of_pods("concurrency", [PodReading(20.0)] * 4 + [PENDING] * 4) == 8
    assert of_pods("concurrency", [PodReading(20.0)] * 4 + [PENDING] * 2) == 8  # 80/6 = 13.3: 6 x 1.33
    assert of_pods("concurrency", [PodReading(4.0)] * 4 + [PENDING] * 4) == 2


def test_a_pod_being_initialised_is_set_aside_for_cpu_alone():
    """Started 100 s ago and ready for 20 s, its 60 s of CPU were measured in part before it was ready."""
    young = PodReading(40.0, started_s=900.0, changed_s=980.0, measured_s=60.0)
    old = [PodReading(20.0, measured_s=60.0)] * 2
    # For CPU it counts as nothing: (20 + 20 + 0) / 3 = 13.3, 3 x 1.33 = 4. Otherwise: 80 / 3 = 26.7, so 8.
    assert of_pods("cpu", [*old, young]) == 4
    assert of_pods("concurrency", [*old, young]) == 8


def test_a_pod_that_is_past_its_initialisation_counts_for_cpu():
    """Six minutes after its start, its readiness of a moment ago is not taken for the first."""
    again = PodReading(40.0, started_s=640.0, changed_s=980.0, measured_s=60.0)
    assert of_pods("cpu", [*([PodReading(20.0, measured_s=60.0)] * 2), again]) == 8


def test_a_pod_that_never_became_ready_is_not_ready_yet_for_cpu():
    """Unready since 10 s after its start, within the delay of 30 s; one that failed later is judged."""
    never = PodReading(40.0, ready=False, started_s=500.0, changed_s=510.0)
    later = PodReading(40.0, ready=False, started_s=500.0, changed_s=900.0)
    old = [PodReading(20.0)] * 2
    assert of_pods("cpu", [*old, never]) == 4
    assert of_pods("cpu", [*old, later]) == 8


def test_a_metric_of_the_whole_is_the_work_of_the_pods_that_are_ready():
    """4 of 7 are ready, and p99 is at 1.7 times its target: 4 x 1.7 = 6.8, so 7 are enough."""
    machine = scaler(2.0)
    assert machine.look(0, 7, 4, [3.4]) == 7
    assert machine.look(15, 7, 7, [3.4]) == 12


# Bounds


def test_a_number_outside_the_bounds_is_brought_inside_at_once():
    assert scaler(100, min=3).look(0, 1, 1, [100.0]) == 3
    assert scaler(100, max=10).look(0, 50, 50, [500.0]) == 10


def test_nothing_goes_below_the_minimum():
    assert scaler(100, min=2, scale_down=AT_ONCE).look(0, 10, 10, [0.0]) == 2


@given(
    values=st.lists(st.floats(0, 1e4), min_size=1, max_size=60),
    pods=st.integers(2, 20),
    share=st.floats(0, 1),
)
def test_bounds_policies_and_the_window_hold_whatever_the_metric_does(values, pods, share):
    machine = scaler(100, min=2, max=20)
    wished = []
    for i, value in enumerate(values):
        ready = max(1, math.ceil(share * pods))
        after = machine.look(15.0 * i, pods, ready, [value])
        assert 2 <= after <= 20
        assert after <= max(2 * pods, pods + 4)
        wished.append(pods if 0.9 <= value / 100 <= 1.1 else math.ceil(value / 100 * ready))
        if after < pods:  # no more is removed than any wish of the last 300 s allows
            assert after >= min(20, max(wished[max(0, i - 19) :]))
        if value / 100 > 1.1 and ready == pods:
            assert after >= pods
        pods = after
