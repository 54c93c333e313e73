"""Conformance of transports and routers: the same cases in virtual time and over real HTTP on loopback.

    @pytest.mark.parametrize("case", CONFORMANCE_CASES, ids=lambda case: case.name)
    def test_my_transport(case):
        check_transport(MyTransport, [case])

    def test_my_policy_decides_alike_in_simulation_and_over_http():
        check_router(RoutingPolicy.from_dict(...))

Nothing leaves 127.0.0.1. The words of a script, such as ``SERVER_ERROR``, are in `simsla.testing.behaviours`.
"""

from simsla.testing.asking import TransportCase
from simsla.testing.behaviours import Behaviour
from simsla.testing.check import CONFORMANCE_CASES, check_router, check_transport
from simsla.testing.fault_server import FaultServer
from simsla.testing.router_cases import ROUTER_EPISODES, Episode

__all__ = [
    "CONFORMANCE_CASES",
    "ROUTER_EPISODES",
    "Behaviour",
    "Episode",
    "FaultServer",
    "TransportCase",
    "check_router",
    "check_transport",
]
