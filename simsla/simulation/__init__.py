"""One replication: scenario, policy and environment become records."""

from simsla.simulation.policies import BlockingPolicyError, Policy, PolicyError, name_of, resolve_policy
from simsla.simulation.replication import Replication, run_one

__all__ = [
    "BlockingPolicyError",
    "Policy",
    "PolicyError",
    "Replication",
    "name_of",
    "resolve_policy",
    "run_one",
]
