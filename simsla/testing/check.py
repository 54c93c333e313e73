"""`check_transport` and `check_router`: the suite as two functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from simsla.routing import Deployment, PolicyFactory
from simsla.testing.answer_cases import ANSWER_CASES
from simsla.testing.arms import Arm, HttpArm, MakeTransport, SimulatedArm
from simsla.testing.asking import TransportCase
from simsla.testing.error_cases import ERROR_CASES
from simsla.testing.router_cases import ROUTER_EPISODES, Episode, deployments_of, play

CONFORMANCE_CASES: Final[tuple[TransportCase, ...]] = (*ANSWER_CASES, *ERROR_CASES)
"""Every case of `check_transport`."""

CASE_LIMIT_S: Final = 10.0
"""A case of a transport that is not over by then has failed. Most take less than half a second."""


def check_transport(
    make_transport: MakeTransport | None = None, cases: Iterable[TransportCase] = CONFORMANCE_CASES
) -> None:
    """Run the conformance cases on a transport.

    ``make_transport(deployments)`` makes the transport under test for deployments that a `FaultServer` on
    loopback serves; each has the name of an environment variable with its key. Without it the cases run on
    the simulated transport, in virtual time. Raises AssertionError with a line for each failed case, naming
    the case and the arm.
    """
    arm: Arm = SimulatedArm() if make_transport is None else HttpArm(make_transport)
    deployment = Deployment("under-test", "under-test")
    failures: list[tuple[str, Exception]] = []
    for case in cases:
        try:
            arm.run([deployment], {deployment.name: case.script}, case.body, CASE_LIMIT_S)
        except Exception as error:
            failures.append((f"{case.name} [{arm.name}]: {_said(error)}", error))
    if failures:
        raise AssertionError("\n".join(line for line, _ in failures)) from failures[0][1]


def check_router(
    policy: PolicyFactory,
    *,
    make_transport: MakeTransport | None = None,
    deployments: Sequence[Deployment] | None = None,
    episodes: Iterable[Episode] = ROUTER_EPISODES,
    limit_s: float = 60.0,
) -> None:
    """Run each episode under the policy on both arms, and see that both decide alike.

    Alike are the deployments that are called, in their order, how each attempt ends, and how each request
    does. ``deployments`` are by default those that the policy's tiers name, or three where it names none;
    ``make_transport`` is that of the real arm, by default of `OpenAITransport`.

    The real arm takes as long as the limits and waits of the policy make it, and an episode that is not over
    after ``limit_s`` has failed. So give a policy with short times, but not so short that they compete with
    what a call takes on a busy machine, some ten milliseconds. Both arms draw the same random numbers.

    Raises AssertionError with a line for each failed episode that tells both arms.
    """
    chosen = deployments_of(policy) if deployments is None else list(deployments)
    arms: tuple[Arm, Arm] = (SimulatedArm(), HttpArm(make_transport))
    failures = []
    for episode in episodes:
        scripts = episode.scripts_for(chosen)
        found = {}
        for arm in arms:
            try:
                found[arm.name] = arm.run(chosen, scripts, play(policy, episode), limit_s)
            except Exception as error:
                failures.append(f"{episode.name} [{arm.name}]: {_said(error)}")
        if len(found) == len(arms) and len({tuple(each) for each in found.values()}) > 1:
            told = "; ".join(f"[{name}] {' | '.join(each)}" for name, each in found.items())
            failures.append(f"{episode.name}: {told}")
    if failures:
        raise AssertionError("\n".join(failures))


def _said(error: Exception) -> str:
    return str(error) if type(error) is AssertionError else f"{type(error).__name__}: {error}"
