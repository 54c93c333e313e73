"""`python -m simsla` is `simsla`."""

from __future__ import annotations

from simsla.cli import main

main()
