"""Policies that are named on a command line and cannot be used, and one that can."""

from __future__ import annotations

from simulation.policies import naive

fine = naive

not_callable = 5


class Holder:
    naive = staticmethod(naive)


def blocking(transport):
    def answer_at_once(request):
        return "an answer"

    return answer_at_once


def nothing(transport):
    return None


def failing(transport):
    raise LookupError("no configuration found")
