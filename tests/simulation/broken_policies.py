"""Policies that are named on a command line and cannot be used, and one that can."""

from __future__ import annotations

from simulation.policies import naive

fine = naive

not_callable = 5


class Holder:
    naive = staticmethod(naive)


def yielding(transport):
    def piece_by_piece(request):
        yield "an answer"

    return piece_by_piece


def yielding_async(transport):
    async def piece_by_piece(request):
        yield "an answer"

    return piece_by_piece


def nothing(transport):
    return None


def failing(transport):
    raise LookupError("no configuration found")
