"""Running a piece of code against the world, and comparing runs."""

from __future__ import annotations

import hashlib

import numpy as np

from simsla.simulation import run_one


def play(scenario, script, **options):
    """Run `script(transport, request)` for the first request alone; what it returned, and the run.

    Later requests are answered with nothing. What the script raises is raised here.
    """
    results = []

    def factory(transport):
        asked = []

        async def handle(request):
            if not asked:
                asked.append(request)
                try:
                    results.append(await script(transport, request))
                except BaseException as error:
                    results.append(error)

        return handle

    run = run_one(scenario, factory, **options)
    assert results, "no request arrived"
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0], run


def digest(run) -> str:
    """A hash of both logs, every bit of them."""
    together = hashlib.sha256()
    for columns in (run.requests, run.attempts):
        for name, column in sorted(columns.items()):
            together.update(f"{name} {column.dtype.str} {column.shape}".encode())
            together.update(np.ascontiguousarray(column).tobytes())
    return together.hexdigest()


def arrivals(run):
    """What does not depend on the policy: one row per request, by class and arrival, on absolute time."""
    frame = run.log.requests_frame()
    frame["arrival_s"] += run.epoch_s
    columns = ["request_class", "arrival_s", "request", "prompt_tokens", "deadline_s", "valid"]
    frame = frame[columns].astype({"request_class": str})
    return frame.sort_values(["request_class", "arrival_s"]).reset_index(drop=True)


def draws(run):
    """The attempts by (request, deployment, ordinal, purpose), with the time each took."""
    frame = run.log.attempts_frame()
    frame["took_s"] = frame["end_s"] - frame["start_s"]
    frame["to_first_token_s"] = frame["first_token_s"] - frame["start_s"]
    frame = frame.astype({"deployment": str, "purpose": str, "outcome": str})
    return frame.set_index(["request", "deployment", "ordinal", "purpose"]).sort_index()
