"""The command line. Numerical libraries load when a command needs them, so that `simsla --help` is quick."""

from __future__ import annotations

from simsla.cli.app import app, main

__all__ = ["app", "main"]
