"""How long prompts and answers are: drawn, resampled from a trace, or those of the replayed row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from simsla.scenario.arrivals_trace import TraceArrivals
from simsla.world.streams import BLOCK

if TYPE_CHECKING:
    from simsla.distributions import Distribution
    from simsla.scenario import RequestClass, Trace
    from simsla.world.traffic import Block

__all__ = ["Lengths", "lengths_of"]

FloatArray = npt.NDArray[np.float64]

# The inverse normal distribution is infinite at 0, which a uniform may be.
_LEAST_U = 2.0**-54


class Lengths(Protocol):
    """The lengths of a class."""

    def add_to(self, block: Block, prompt_u: FloatArray, output_u: FloatArray) -> None:
        """Give every request of a block its lengths, which are functions of its uniforms."""


def lengths_of(spec: RequestClass) -> Lengths:
    """The lengths that a class has."""
    if isinstance(spec.arrivals, TraceArrivals):
        return Replayed(spec.arrivals.load())
    if spec.lengths is not None:
        return Resampled(spec.lengths.load())
    assert spec.prompt_tokens is not None
    assert spec.output_tokens is not None
    return Drawn(spec.prompt_tokens, spec.output_tokens, spec.length_correlation or 0.0)


class Drawn:
    """Lengths from two distributions, joined by a Gaussian copula (Nelsen, "An Introduction to Copulas",
    2006): each keeps its distribution, and the normal scores of the two have the given correlation.
    """

    def __init__(self, prompt: Distribution, output: Distribution, correlation: float) -> None:
        self._prompt = prompt
        self._output = output
        self._correlation = correlation

    def add_to(self, block: Block, prompt_u: FloatArray, output_u: FloatArray) -> None:
        """Prompts have their own uniforms; those of the outputs are mixed with them."""
        rho = self._correlation
        if rho:
            one, other = (ndtri(np.maximum(u, _LEAST_U)) for u in (prompt_u, output_u))
            # The inverse has no value at 1, to which the far end may round.
            mixed = ndtr(rho * one + math.sqrt(1 - rho * rho) * other)
            output_u = np.minimum(mixed, np.nextafter(1.0, 0.0))
        block.prompt_tokens = _tokens(self._prompt, prompt_u)
        block.output_tokens = _tokens(self._output, output_u)


class Resampled:
    """Both lengths of one row of a trace, each row as likely."""

    def __init__(self, trace: Trace) -> None:
        self._prompt = trace.prompt_tokens
        self._output = np.maximum(trace.output_tokens, 1)

    def add_to(self, block: Block, prompt_u: FloatArray, output_u: FloatArray) -> None:
        """The prompt's uniform chooses the row."""
        rows = (prompt_u * len(self._prompt)).astype(np.int64)
        block.prompt_tokens = self._prompt[rows].tolist()
        block.output_tokens = self._output[rows].tolist()


class Replayed:
    """The lengths of the rows that are replayed."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._blocks = math.ceil(len(trace) / BLOCK)

    def add_to(self, block: Block, prompt_u: FloatArray, output_u: FloatArray) -> None:
        """A loop begins anew after so many blocks."""
        first = block.index % self._blocks * BLOCK
        block.prompt_tokens = self._trace.prompt_tokens[first : first + BLOCK].tolist()
        block.output_tokens = self._trace.output_tokens[first : first + BLOCK].tolist()


def _tokens(distribution: Distribution, u: FloatArray) -> list[int]:
    """Whole tokens, at least one."""
    tokens: list[int] = np.maximum(np.rint(distribution.ppf(u)), 1).astype(np.int64).tolist()
    return tokens
