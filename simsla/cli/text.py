"""A result as text of at most 100 columns, the same in a terminal and in a pipe."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from simsla.analysis import MORE_IS_BETTER, Estimate
from simsla.scenario.quantities import format_duration

if TYPE_CHECKING:
    from simsla.run import Result
    from simsla.scenario import Scenario

WIDTH: Final = 100
LONGEST_NAME: Final = 24
MOST_FAILURES: Final = 3

HEADLINES: Final = {
    "availability": "availability",
    "latency_p50_s": "latency p50",
    "latency_p95_s": "latency p95",
    "latency_p99_s": "latency p99",
    "latency_p999_s": "latency p99.9",
    "ttft_p99_s": "first token p99",
    "cost_usd_per_day": "cost per day",
    "cost_pods_usd_per_day": "pods besides, per day",
    "cost_usd_per_1k_requests": "cost per 1,000 requests",
    "amplification": "attempts per request",
    "requests_per_intent": "requests per intent",
    "intent_availability": "intents served",
    "degraded_share": "degraded",
    "satisfaction": "satisfaction",
    "cache_hit_share": "cache hits",
    "cache_false_hit_share": "false cache hits",
}
OF_PRICES: Final = ("cost_usd_per_day", "cost_usd_per_1k_requests")
SHOWN_WHERE: Final[Mapping[str, Callable[[Mapping[str, float]], bool]]] = {
    "cost_pods_usd_per_day": lambda values: values["cost_pods_usd_per_day"] > 0,
    "requests_per_intent": lambda values: values["requests_per_intent"] > 1,
    "intent_availability": lambda values: values["requests_per_intent"] > 1,
    "satisfaction": lambda values: True,
    "cache_hit_share": lambda values: values["cache_hit_share"] > 0,
    "cache_false_hit_share": lambda values: values["cache_hit_share"] > 0,
}
"""When there is something to say: pods that cost something, clients who asked again, hits. A number that is
not known, such as satisfaction without scores of quality, is not shown either."""

BY_CLASS: Final = {
    "availability": ("availability", "share"),
    "latency_p99_s": ("latency p99", "s"),
    "cost_usd_per_1k_requests": ("cost per 1,000", "usd"),
}
BY_DEPLOYMENT: Final = {
    "traffic_share": ("traffic", "share"),
    "error_share": ("failed attempts", "share"),
    "cost_usd_per_day": ("cost per day", "usd"),
}

Numbers = Mapping[str, Any]


def report(result: Result, data: Mapping[str, Any]) -> str:
    """The whole result; `data` is `result.to_dict()`."""
    parts = [
        headline(result, data) + fidelity(result),
        table(["", "value", "95 % interval"], [estimate_row(result, name) for name in headlines(result)]),
        outcomes(result),
        breakdown(result, data, "request_class", BY_CLASS),
        breakdown(result, data, "deployment", BY_DEPLOYMENT),
    ]
    if result.objectives:
        rows = [objective_row(result, row) for row in result.objectives]
        heads = ["objective", "target", "value", "met", "budget spent", "breached by"]
        parts.append(table(heads, rows))
        parts += [wrapped(text) for row in result.objectives for text in service_level(row)]
    parts += [note(caveat) for caveat in result.caveats]
    return "\n\n".join(parts)


def headline(result: Result, data: Mapping[str, Any]) -> str:
    scenario = result.scenario
    runs = "1 replication" if result.replications == 1 else f"{result.replications} replications"
    warmup = f" after a warm-up of {format_duration(scenario.warmup_s)}" if scenario.warmup_s else ""
    return (
        f"{scenario.name}, policy {result.policy}, seed {result.seed}\n"
        f"{runs} to {format_duration(scenario.horizon_s)}{warmup}: "
        f"{data['requests']:,} requests, {data['attempts']:,} attempts"
    )


def fidelity(result: Result) -> str:
    """How the policy ran, and what its SDK did underneath it; nothing for asyncio code on the transport."""
    if result.fidelity == "transport":
        return ""
    told = f"fidelity: {result.fidelity}"
    if result.http_calls:
        told += (
            f"; {result.sdk_retries:.2%} of {result.http_calls:,} HTTP calls were retries of the SDK's own, "
            f"{result.sdk_amplification:.2f} calls for each that the policy made"
        )
    if result.hash_seed is None:
        told += "; texts hashed at random, so that code which iterates sets of them may differ next time"
    else:
        told += f"; texts hashed with PYTHONHASHSEED={result.hash_seed}"
    lines = [wrapped(told)]
    complaints = sorted(result.complaints.items(), key=lambda item: -item[1])
    lines += [
        wrapped(f"{times:,} HTTP calls reached no deployment: {what}")
        for what, times in complaints[:MOST_FAILURES]
    ]
    return "".join(f"\n{line}" for line in lines)


def headlines(result: Result) -> list[str]:
    """The metrics that have something to say; without prices, what calls cost is not known."""
    values = {name: result.metrics[name].value for name in HEADLINES}
    unknown = () if priced(result.scenario) else OF_PRICES
    return [
        name
        for name, value in values.items()
        if name not in unknown
        and (name not in SHOWN_WHERE or (not math.isnan(value) and SHOWN_WHERE[name](values)))
    ]


def priced(scenario: Scenario) -> bool:
    """Whether any deployment has a price."""
    return any(
        any(spec.price.at(day))
        for spec in scenario.deployment_specs
        for day in (None, *(change.valid_from for change in spec.price.changes))
    )


def breakdown(
    result: Result, data: Mapping[str, Any], dimension: str, columns: Mapping[str, tuple[str, str]]
) -> str:
    """A table by request class or deployment; `columns` maps metrics to a title and a unit."""
    shown = {
        metric: column
        for metric, column in columns.items()
        if metric not in OF_PRICES or priced(result.scenario)
    }
    heads = [dimension.replace("_", " "), *(title for title, _ in shown.values())]
    return table(heads, members(data["by"][dimension], {metric: unit for metric, (_, unit) in shown.items()}))


def estimate_row(result: Result, name: str) -> list[str]:
    value, separator, rest = str(result.metrics[name]).partition(" [")
    if not separator:
        value, _, rest = value.partition(", ")
        return [HEADLINES[name], value, rest]
    return [HEADLINES[name], value, f"[{rest}"]


def outcomes(result: Result) -> str:
    total = sum(result.outcomes.values())
    counts = [
        f"{name} {count:,} ({count / total:.2%})" if count < total else f"{name} {count:,}"
        for name, count in result.outcomes.items()
        if count
    ]
    lines = [wrapped(f"outcomes: {', '.join(counts) or 'none'}")]
    failures = sorted(result.failures.items(), key=lambda item: -item[1].times)
    lines += [
        textwrap.shorten(
            f"{raised.times:,} times the policy raised {name}, first: {raised.first}",
            WIDTH,
            placeholder=" ...",
        )
        for name, raised in failures[:MOST_FAILURES]
    ]
    return "\n".join(lines)


def members(by: Mapping[str, Mapping[str, Numbers]], metrics: Mapping[str, str]) -> Iterator[list[str]]:
    """A row for each class or deployment; `metrics` maps names to units."""
    for member, values in by.items():
        yield [member, *(number(values[metric], unit) for metric, unit in metrics.items())]


def objective_row(result: Result, row: Numbers) -> list[str]:
    metric = str(row["metric"])
    unit = unit_of(result, metric)
    spent, breach = row["budget_spent"], row["breach_probability"]
    return [
        title(row),
        f"{metric.removesuffix('_s')} {limit(row, unit)}",
        number(row, unit),
        "yes" if row["met"] else "no",
        "-" if spent is None else f"{100 * spent:,.0f} %",
        "-" if breach is None else f"{round(breach * row['breach_n'])} of {row['breach_n']}",
    ]


def service_level(row: Numbers) -> Iterator[str]:
    """Sentences on months, credits and alerts, for an objective that is a promise about requests."""
    missed = row["month_miss_probability"]
    if missed is None:
        return
    low, high = row["month_miss_ci_low"], row["month_miss_ci_high"]
    share = Estimate(missed, as_nan(low), as_nan(high), row["months"], unit="share")
    text = f"{title(row)}: {str(share).partition(', no interval')[0]} of months miss it"
    text += f" ({row['months_method']})"
    if "expected_credit" in row:
        low, high = as_nan(row["expected_credit_ci_low"]), as_nan(row["expected_credit_ci_high"])
        credit = Estimate(row["expected_credit"], low, high, row["months"], unit="share")
        text += (
            f"; expected credit {str(credit).partition(', no interval')[0]} of the bill ({row['credits']})"
        )
    yield text + "."
    fired = [alert for alert in row["alerts"] if alert["fired"]]
    if fired:
        told = ", ".join(
            f"{alert['rule']} {alert['fired']:,} times (first after "
            f"{format_duration(round(alert['first_s'], -1))}, {100 * alert['budget_spent']:.2g} % gone)"
            for alert in fired
        )
        yield f"{title(row)}: alerts that would have fired: {told} of a 30-day error budget."
    elif row["alerts"]:
        yield f"{title(row)}: no burn-rate alert would have fired."


def as_nan(value: float | None) -> float:
    return math.nan if value is None else value


def title(row: Numbers) -> str:
    """An objective's name, with the request class that it is about where it is not about all."""
    of_class = row["request_class"]
    return str(row["name"]) if of_class is None else f"{row['name']} ({of_class})"


def missed_objectives(result: Result) -> list[str]:
    """A line for each objective that the bound of its interval does not meet."""
    lines = []
    for row in result.objectives:
        if not row["met"]:
            unit = unit_of(result, str(row["metric"]))
            told = f"{row['metric']} {number(row, unit)}, target {limit(row, unit)}"
            lines.append(f"objective missed: {title(row)}: {told}")
    return lines


def unit_of(result: Result, metric: str) -> str:
    """Quantiles that are not always reported are times."""
    return result.metrics[metric].unit if metric in result.metrics else "s"


def limit(row: Numbers, unit: str) -> str:
    sign = ">=" if row["metric"] in MORE_IS_BETTER else "<="
    suffix = {"share": " %", "s": " s", "usd": " USD"}.get(unit, "")
    return f"{sign} {row['target'] * (100 if unit == 'share' else 1):.10g}{suffix}"


def number(numbers: Numbers, unit: str) -> str:
    """An estimate in a table, which has no room for the reason why an interval is missing."""
    value, low, high = (
        math.nan if numbers[key] is None else float(numbers[key]) for key in ("value", "ci_low", "ci_high")
    )
    return str(Estimate(value, low, high, int(numbers["n"]), unit=unit)).partition(", no interval")[0]


def note(caveat: Warning) -> str:
    """One paragraph."""
    return wrapped(f"note: {caveat}")


def wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def table(heads: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> str:
    """Aligned columns: the first to the left, a long name in it shortened."""
    lines = [list(heads), *([shortened(first), *others] for first, *others in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."
