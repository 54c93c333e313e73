"""The Router, and everything in it that awaits."""

from simsla.routing.router.router import Router

__all__ = ["Router"]
