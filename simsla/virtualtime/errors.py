"""What virtual time refuses, and how it says so."""

from __future__ import annotations


class VirtualTimeError(RuntimeError):
    """Something that cannot be, or must not be, done in virtual time."""


class RealIOError(VirtualTimeError, NotImplementedError):
    """A call that would reach the real world: a socket, a subprocess, a file descriptor, another thread.

    It is also a `NotImplementedError`, which is what portable asyncio code expects of a loop without the call.
    """


class DeadlockError(VirtualTimeError):
    """Everything waits and the calendar is empty, so virtual time can never move again.

    `waiting` holds one line for each unfinished task: its name, where it stands and what it awaits.
    """

    def __init__(self, message: str, waiting: tuple[str, ...] = ()) -> None:
        """`message` says what happened; the lines of `waiting` are appended to it."""
        self.waiting = waiting
        super().__init__("\n".join((message, *(f"  {line}" for line in waiting))))


class LivelockError(VirtualTimeError):
    """Callbacks keep following one another at a single instant, so virtual time does not move."""
