"""How a scenario looks at a prompt and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from simsla.scenario.arrivals import SessionArrivals
from simsla.scenario.arrivals_trace import TraceArrivals
from simsla.scenario.quantities import format_duration

if TYPE_CHECKING:
    from simsla.scenario.objectives import Objective
    from simsla.scenario.scenario import Scenario
    from simsla.scenario.traffic import RequestClass

__all__ = ["as_html", "as_text"]


def counted(n: int, noun: str) -> str:
    plural = noun if n == 1 else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{n} {plural}"


def limit(objective: Objective) -> str:
    of_class = "" if objective.request_class is None else f" of {objective.request_class}"
    return f"{objective.metric}{of_class} {'≥' if objective.more_is_better else '≤'} {objective.target:g}"


def arrivals(request_class: RequestClass) -> str:
    process = request_class.arrivals
    if isinstance(process, TraceArrivals):
        low, high = process.share
        return f"{(high - low) * process.thin:.0%} of {process.path}"
    if isinstance(process, SessionArrivals):
        return counted(process.users, "user")
    return f"{process.mean_rate_per_s() * 86400:,.0f} a day"


def as_text(scenario: Scenario) -> str:
    """One line: how long, what serves, what arrives, what is promised."""
    daily = 86400 * sum(c.arrivals.mean_rate_per_s() for c in scenario.traffic.values())
    models = {deployment.model for deployment in scenario.deployment_specs}
    regions = {deployment.region for deployment in scenario.deployment_specs if deployment.region}
    served = [counted(len(scenario.deployments), "deployment"), "of", counted(len(models), "model")]
    if regions:
        served += ["in", counted(len(regions), "region")]
    parts = [
        f"{format_duration(scenario.horizon_s)} × {counted(scenario.replications, 'replication')}",
        " ".join(served),
        f"{counted(len(scenario.traffic), 'request class')}, {daily:,.0f} requests a day",
        *(limit(objective) for objective in scenario.objectives),
    ]
    return f"<Scenario {scenario.name}: {'; '.join(parts)}>"


def as_html(scenario: Scenario) -> str:
    """The parts of the scenario as small tables, escaped."""
    facts = [
        ("horizon", f"{format_duration(scenario.horizon_s)}, warm-up {format_duration(scenario.warmup_s)}"),
        ("replications", str(scenario.replications)),
        ("routing", scenario.routing if isinstance(scenario.routing, str) else "built-in router"),
        ("objectives", ", ".join(map(limit, scenario.objectives)) or "none"),
        ("components", ", ".join(scenario.all_components) or "none"),
    ]
    serving = [
        (
            d.name,
            d.model,
            d.tier,
            d.provider or "",
            d.region or "",
            f"{d.price.usd_per_mtok_in:g}",
            f"{d.price.usd_per_mtok_out:g}",
        )
        for d in scenario.deployment_specs
    ]
    arriving = [
        (c.name, c.tier or "", arrivals(c), format_duration(c.deadline_s)) for c in scenario.traffic.values()
    ]
    return (
        f"<div><strong>{escape(scenario.name)}</strong> {escape(scenario.description)}"
        + table(("", ""), facts)
        + table(("deployment", "model", "tier", "provider", "region", "$/M in", "$/M out"), serving)
        + table(("request class", "tier", "arrivals", "deadline"), arriving)
        + "</div>"
    )


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header) if any(header) else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
