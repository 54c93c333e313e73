"""Faults on purpose: a drill of the policy against the real providers."""
