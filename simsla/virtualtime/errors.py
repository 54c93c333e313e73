"""What virtual time refuses, and how it says so."""

from __future__ import annotations

# A message shows no more tasks than this; `DeadlockError.waiting` holds them all.
_MOST_LINES = 20


class VirtualTimeError(RuntimeError):
    """Something that cannot be, or must not be, done in virtual time."""


class RealIOError(VirtualTimeError, NotImplementedError):
    """A call that would reach the real world: a socket, a subprocess, a file descriptor, another thread.

    It is also a `NotImplementedError`, which portable asyncio code expects of a loop without the call.
    """


class DeadlockError(VirtualTimeError):
    """Everything waits and the calendar is empty, so virtual time can never move again.

    `waiting` holds one line for each unfinished task: its name, where it stands and what it awaits.
    """

    def __init__(self, message: str, waiting: tuple[str, ...] = ()) -> None:
        """`message` says what happened; the first lines of `waiting` are appended to it."""
        self.waiting = waiting
        super().__init__(with_lines(message, waiting))


class LeakedTasksError(VirtualTimeError):
    """Tasks that were cancelled at the end of a run, and would not end.

    `waiting` holds one line for each, as in `DeadlockError`.
    """

    def __init__(self, message: str, waiting: tuple[str, ...] = ()) -> None:
        """`message` says what happened; the first lines of `waiting` are appended to it."""
        self.waiting = waiting
        super().__init__(with_lines(message, waiting))


class LivelockError(VirtualTimeError):
    """Callbacks or SimPy events keep following one another at a single instant: time does not move."""


class TaskCancelledError(Exception):
    """What a SimPy process gets when the task it waits for is cancelled.

    SimPy processes handle an `Exception`, which `asyncio.CancelledError` is not.
    """


def with_lines(message: str, lines: tuple[str, ...]) -> str:
    """`message` followed by the first of the `lines`, indented, and by how many were left out."""
    shown = [f"  {line}" for line in lines[:_MOST_LINES]]
    if len(lines) > _MOST_LINES:
        shown.append(f"  and {len(lines) - _MOST_LINES:,} more")
    return "\n".join((message, *shown))
