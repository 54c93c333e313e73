"""Colours that stay apart for readers with any kind of colour vision."""

from __future__ import annotations

from typing import Final

BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
BLACK: Final = "#000000"
GREY: Final = "#8C8C8C"

SERIES: Final = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
"""Okabe and Ito (2008), without their yellow, which is lost on white."""

MARKERS: Final = ("o", "s", "D", "v", "P", "X", "h")
"""A second sign beside the colour. No triangle pointing up: that marks a value that is only bounded."""

LINE_STYLES: Final = ("-", "--", "-.", ":")

WINE: Final = "#882255"
INDIGO: Final = "#332288"

FAULTS: Final = {
    "outage": VERMILION,
    "hang": PURPLE,
    "brownout": ORANGE,
    "slowdown": SKY,
    "cut": BLUE,
    "malformed": GREEN,
    "rate_limit_storm": INDIGO,
    "connect": WINE,
}
"""By the kind of fault; the last two are of Paul Tol's muted scheme, darker than all the others."""
