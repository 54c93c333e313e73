"""Closed forms as values, and beside estimates."""

from __future__ import annotations

import inspect
import math

import pytest
from simulation.scenarios import deployment, scenario, traffic

import simsla
from simsla.analysis import Estimate, slo
from simsla.analysis import closed_forms as cf
from simsla.distributions import from_spec

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")

HALF = cf.ClosedForm("a half", 0.5, "a fair coin", "Bernoulli 1713")


def beside(form, *numbers, unit="share"):
    return cf.Pair(form, Estimate(*numbers, 20, "t", unit))


def test_every_formula_says_what_it_assumes_and_where_it_comes_from():
    functions = [getattr(cf, name) for name in cf.__all__ if inspect.isfunction(getattr(cf, name))]
    formulas = [f for f in functions if f not in (cf.independence, cf.side_by_side)]
    assert set(cf.FORMULAS) == set(formulas)
    for function, known in cf.FORMULAS.items():
        assert all(known)
        assert f"Source: {known.source}." in inspect.getdoc(function)


@pytest.mark.parametrize("package", [cf, slo], ids=["closed_forms", "slo"])
def test_everything_public_says_what_it_is(package):
    for name in package.__all__:
        value = getattr(package, name)
        if not callable(value):
            continue
        words = inspect.getdoc(value)
        assert words, name
        assert not words.startswith(f"{name}("), f"{name} has a dataclass's signature for words"
        for member, found in vars(value).items() if inspect.isclass(value) else ():
            if not member.startswith("_") and isinstance(found, property | classmethod):
                assert inspect.getdoc(found), f"{name}.{member}"


def test_a_formula_becomes_a_closed_form():
    form = cf.ClosedForm.of(cf.erlang_b, 8, 6.4, metric="error_share", request_class="chat")
    assert form.value == pytest.approx(0.144394, abs=5e-7)
    assert (form.name, form.source, form.metric) == ("Erlang B", "Erlang 1917", "error_share")
    assert "Poisson arrivals" in form.assumption
    assert str(form).startswith("Erlang B: error_share of chat 0.1443")
    assert "Erlang 1917" in form._repr_html_()
    miss = cf.ClosedForm.of(cf.miss_probability, [cf.Episodes(1e-6, from_spec(HOUR := 3600))], 0.999)
    assert miss.value == pytest.approx(-math.expm1(-1e-6 * cf.MONTH_S), rel=1e-6)
    assert HOUR > 2592


def test_what_is_no_formula_or_not_one_number_is_refused():
    with pytest.raises(ValueError, match="a formula of"):
        cf.ClosedForm.of(len, [1])
    with pytest.raises(ValueError, match="one number"):
        cf.ClosedForm.of(cf.erlang_b, 8, [1.0, 2.0])


def test_inside_and_ratio():
    assert beside(HALF, 0.6, 0.4, 0.8).inside is True
    assert beside(HALF, 0.6, 0.55, 0.8).inside is False
    assert beside(HALF, 0.6, math.nan, math.nan).inside is None
    assert beside(HALF, 0.49999999, 0.49999999, 0.49999999, unit="s").inside is True
    assert beside(HALF, 0.49999999, 0.49999999, 0.49999999).inside is False
    assert beside(HALF, 0.6, 0.4, 0.8).ratio == pytest.approx(0.8)  # of what fails
    errors = cf.ClosedForm("a half", 0.5, "a fair coin", "Bernoulli 1713", metric="error_share")
    assert beside(errors, 0.6, 0.4, 0.8).ratio == pytest.approx(1.2)
    nothing = cf.ClosedForm("never", 1.0, "", "")
    assert beside(nothing, 0.9, 0.8, 0.95).ratio == math.inf
    assert math.isnan(beside(nothing, 1.0, 0.9, 1.0).ratio)
    many_nines = cf.ClosedForm("almost never", 1.0, "", "", shortfall=1e-20)
    assert beside(many_nines, 0.999, 0.99, 0.9999).ratio == pytest.approx(1e17)


@pytest.fixture(scope="module")
def result():
    """A tenth of the attempts fail and nobody retries."""
    once = {"max_attempts": 1, "retry": {"max_attempts": 1}, "breaker": None}
    world = scenario(
        {"a": deployment(errors={500: 0.1})}, {"chat": traffic(5), "batch": traffic(5)}, routing=once
    )
    return simsla.simulate(world, seed=3, replications=5)


def test_a_result_beside_several_forms(result):
    right = cf.ClosedForm("own errors", 0.9, "errors are independent", "the scenario")
    wrong = cf.ClosedForm.of(cf.retry_availability, 0.1, 1, request_class="batch")
    answer = cf.ClosedForm("tokens x speed", 1.1, "no queue", "the scenario", metric="latency_mean_s")
    table = result.against(right, [wrong, answer])
    assert [pair.inside for pair in table.pairs] == [True, False, True]
    assert table.pairs[0].simulated == result.availability
    assert table.pairs[2].ratio == pytest.approx(1)
    frame = table.frame
    assert list(frame["closed_form"]) == ["own errors", "availability with retries", "tokens x speed"]
    assert list(frame["inside"]) == [True, False, True]
    assert frame["simulated"][0] == result.availability.value
    assert frame["request_class"][1] == "batch"
    lines = str(table).splitlines()
    assert lines[0].split("  ")[0] == "metric"
    assert "own errors" in lines[1]
    for words in ("90.0 %", "yes", "x the failures"):
        assert words in lines[1]
    for words in ("availability (batch)", " no "):
        assert words in lines[2]
    assert any(line.startswith("own errors assumes: errors are independent") for line in lines[4:])
    assert repr(table) == str(table)
    page = table._repr_html_()
    assert page.count("<tr>") == 4
    assert "own errors assumes" in page


def test_what_a_result_does_not_have_is_refused(result):
    with pytest.raises(KeyError, match="no metric"):
        result.against(cf.ClosedForm("x", 1, "", "", metric="lateness"))
    with pytest.raises(KeyError, match="no request class"):
        result.against(cf.ClosedForm("x", 1, "", "", request_class="nobody"))
    with pytest.raises(ValueError, match="at least one closed form"):
        result.against()


def test_html_is_escaped():
    form = cf.ClosedForm("<b>", 0.5, "a & b", "<i>")
    page = cf.SideBySide((beside(form, 0.5, 0.4, 0.6),))._repr_html_()
    assert "<b>" not in page
    assert "a &amp; b" in page
    assert "<b>" not in form._repr_html_()
