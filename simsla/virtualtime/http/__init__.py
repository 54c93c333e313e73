"""HTTP clients in virtual time: the calls of every client in a thread are answered by a world."""

from simsla.virtualtime.http.answering import answered_by
from simsla.virtualtime.http.exchange import (
    Answer,
    Breakdown,
    Call,
    ExchangeError,
    HttpWorld,
    Pieces,
    close_at_once,
)

__all__ = [
    "Answer",
    "Breakdown",
    "Call",
    "ExchangeError",
    "HttpWorld",
    "Pieces",
    "answered_by",
    "close_at_once",
]
