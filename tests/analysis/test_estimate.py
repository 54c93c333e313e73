from __future__ import annotations

import json
import math
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsla.analysis import Estimate

NAN = math.nan


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.99951, 0.9993, 0.9997, 20, unit="share"), "99.951 % [99.93, 99.97]"),
        (Estimate(1.0, 0.999993, 1.0, 20, unit="share"), "100 % [99.9993, 100]"),
        (Estimate(0.0, 0.0, 0.0019, 20, unit="share"), "0 % [0, 0.19]"),
        (Estimate(1.2345678, 1.21, 1.26, 20, unit="s"), "1.235 s [1.21, 1.26]"),
        (Estimate(12345.678, 12000, 12700, 6, unit="usd"), "12,345.7 USD [12,000, 12,700]"),
        (Estimate(1.234e-5, 1.21e-5, 1.25e-5, 6, unit="usd"), "0.00001234 USD [0.0000121, 0.0000125]"),
        (Estimate(0.1, 0.1 - 1e-14, 0.1 + 1e-14, 6, unit="usd"), "0.100000 USD [0.10000, 0.10000]"),
        (Estimate(0.99951, NAN, NAN, 1, unit="share"), "99.951 %, no interval (one replication)"),
        (Estimate(NAN, NAN, NAN, 0, unit="s"), "undefined"),
    ],
)
def test_text(estimate, text):
    assert str(estimate) == text


def test_an_upper_end_close_to_100_is_not_rounded_to_it():
    assert str(Estimate(0.9997, 0.981, 0.99981, 20, unit="share")) == "99.97 % [98.1, 99.98]"


def test_an_end_is_not_shown_on_the_wrong_side_of_the_value():
    assert str(Estimate(0.9951, 0.99301, 0.9951, 5, unit="share")) == "99.51 % [99.3, 99.51]"


def test_repr_format_and_html():
    estimate = Estimate(0.99951, 0.9993, 0.9997, 20, method="t & <logit>", unit="share")
    assert repr(estimate) == "Estimate(99.951 % [99.93, 99.97], n=20, t & <logit>)"
    assert f"{estimate:.4f}" == "99.9510 % [99.9300, 99.9700]"
    assert f"{estimate:>30}" == " " * 7 + "99.951 % [99.93, 99.97]"
    assert estimate._repr_html_() == (
        '<span title="n = 20; t &amp; &lt;logit&gt;">99.951 % [99.93, 99.97]</span>'
    )


def test_dict_is_json_without_nan_or_infinity():
    assert json.dumps(Estimate(0.5, NAN, math.inf, 1, "m").to_dict(), allow_nan=False) == (
        '{"value": 0.5, "ci_low": null, "ci_high": null, "n": 1, "method": "m"}'
    )


def test_half_width_and_pickling():
    estimate = Estimate(2.0, 1.0, 4.0, 3)
    assert estimate.half_width == 1.5
    assert pickle.loads(pickle.dumps(estimate)) == estimate


shares = st.floats(0, 1)


@given(st.lists(shares, min_size=3, max_size=3).map(sorted))
def test_no_share_is_shown_as_0_or_100_that_is_not_and_order_is_kept(ends):
    low, value, high = ends
    shown = [
        float(number) for number in re.findall(r"[\d.]+", str(Estimate(value, low, high, 9, unit="share")))
    ]
    value_shown, low_shown, high_shown = shown
    assert low_shown <= value_shown <= high_shown
    for exact, number in zip((value, low, high), shown, strict=True):
        if 1e-12 < exact < 1 - 1e-12:
            assert 0 < number < 100
        assert number == pytest.approx(100 * exact, abs=max(100 * (high - low), 1e-11) if low < high else 1)
