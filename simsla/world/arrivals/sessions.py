"""Users in sessions: whose request has which number, and how long each thinks before it.

When a user asks again depends on when the answer came, so no time is drawn here, only pauses. A user's n-th
request has the same number and the same luck however long the answers before it took: numbers are laid out in
blocks of 1,024, each the next requests of up to 32 neighbouring users, who are about equally far.

A window cannot know how many requests its users have made before it. They begin it with fresh sessions, at
the ordinal that they would have reached by then with answers in no time: windows far apart meet different
luck, but a window is not a part of the full run, as it is for arrivals from outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from simsla.world.streams import BLOCK, FloatArray, Stream

if TYPE_CHECKING:
    from simsla.scenario.arrivals import SessionArrivals
    from simsla.world.traffic import Block

__all__ = ["SessionUsers", "User"]

_USERS_PER_BLOCK: Final = 32

# One row of uniforms per thing that is drawn for a request; new ones are appended, so that no other moves.
_THINK, _PAUSE, _LENGTH, _PHASE, _ROWS = range(5)


class User:
    """Somebody in a session: the ordinal of the next request, and how many more there are in the session."""

    __slots__ = ("left", "number", "ordinal", "session")

    def __init__(self, number: int, ordinal: int) -> None:
        self.number = number
        self.ordinal = ordinal
        self.session = ordinal
        self.left = 0


class _Page:
    """A block of requests with the pauses before them, kept until its last user has left it."""

    __slots__ = ("block", "lengths", "pauses_s", "phases", "thinks_s", "users")

    def __init__(self, spec: SessionArrivals, block: Block, u: FloatArray, users: int) -> None:
        self.block = block
        self.users = users
        self.thinks_s: list[float] = spec.think.ppf(u[_THINK]).tolist()
        self.pauses_s: list[float] = spec.between.ppf(u[_PAUSE]).tolist()
        lengths = np.maximum(np.rint(spec.requests_per_session.ppf(u[_LENGTH])), 1)
        self.lengths: list[int] = lengths.astype(np.int64).tolist()
        self.phases: list[float] = u[_PHASE].tolist()


class SessionUsers:
    """The users of one request class within a run."""

    def __init__(self, spec: SessionArrivals, stream: Stream, block_of: Callable[[int], Block]) -> None:
        """`block_of` draws what a request of the class has, by the index of its block."""
        self._spec = spec
        self._stream = stream
        self._block_of = block_of
        self._across = min(_USERS_PER_BLOCK, 1 << (spec.users - 1).bit_length())
        self._deep = BLOCK // self._across
        self._groups = math.ceil(spec.users / self._across)
        self._pages: dict[int, _Page] = {}

    def begin(self, begin_s: float) -> list[tuple[User, float]]:
        """All users, and the seconds after which each makes its first request: a part of a think time."""
        per_user = self._spec.mean_rate_per_s() / self._spec.users
        ordinal = math.floor(begin_s * per_user)
        users = [User(number, ordinal) for number in range(self._spec.users)]
        return [(user, self._first_s(user)) for user in users]

    def next(self, user: User) -> tuple[Block, int]:
        """The block and the place of a user's request, which is made now."""
        page, place = self._page(user)
        if user.left == 0:
            user.left = page.lengths[place]
            user.session = user.ordinal
        return page.block, place

    def done(self, user: User) -> float:
        """The request has ended; seconds until the user's next one."""
        user.left -= 1
        page, _ = self._page(user)
        user.ordinal += 1
        if user.ordinal % self._deep == 0:
            page.users -= 1
            if not page.users:
                del self._pages[page.block.index]
        page, place = self._page(user)
        return page.thinks_s[place] if user.left else page.pauses_s[place]

    def _first_s(self, user: User) -> float:
        page, place = self._page(user)
        return page.phases[place] * page.thinks_s[place]

    def _page(self, user: User) -> tuple[_Page, int]:
        group, column = divmod(user.number, self._across)
        turn, row = divmod(user.ordinal, self._deep)
        index = turn * self._groups + group
        page = self._pages.get(index)
        if page is None:
            u = self._stream.uniforms((_ROWS, BLOCK), index)
            users = min(self._across, self._spec.users - group * self._across)
            page = self._pages[index] = _Page(self._spec, self._block_of(index), u, users)
        return page, column * self._deep + row
