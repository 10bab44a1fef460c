"""Calls to the pool. Every XAPI method can be named; the grant decides.

A call that changes something is recorded before it is sent. When an attempt was cut short, the same call of a later one is
answered from the record, so a plugin need not remember what it has done already.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from . import wire
from .errors import Error, Fault, of_wire, told
from .values import Argument, Reference, from_wire, to_wire


@told
def call(method: str, *arguments: Argument) -> Any:
    """Calls a method and waits for the answer.

    The method is named as XAPI names it; the session is the daemon's and is no argument. An object may stand for its
    reference::

        calls.call("VM.add_tags", vm, "seen")
    """
    return from_wire(wire.calls.call(method, [to_wire(argument) for argument in arguments]))


@told
def start(method: str, *arguments: Argument) -> Task:
    """Calls a method asynchronously; it is named without ``Async.``.

    After a crash, the redelivered event gets the same task back::

        calls.start("VM.start", vm, False, False).wait(timedelta(seconds=60)).result()
    """
    return Task(wire.calls.start(method, [to_wire(argument) for argument in arguments]))


class State(Enum):
    """How far a task is."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """The task vanished before its outcome was seen: look at the object itself."""


@dataclass(frozen=True)
class Progress:
    """How far a task is, with what belongs to it."""

    state: State
    part: float = 0.0
    """The part that is done, 0.0 to 1.0, while it is pending."""
    value: Any = None
    """The method's result, when it succeeded."""
    error: Error | None = None
    """XAPI's error, when it failed."""

    def result(self) -> Any:
        """The method's result, for those who want nothing else.

        :raises Error: XAPI's own; ``TASK_CANCELLED``; of fault ``IN_DOUBT``, ``TASK_PENDING`` and ``TASK_LOST``.
        """
        match self.state:
            case State.SUCCEEDED:
                return self.value
            case State.FAILED if self.error is not None:
                raise self.error
            case State.CANCELLED:
                raise Error(Fault.XAPI, "TASK_CANCELLED")
            case state:
                raise Error(Fault.IN_DOUBT, f"TASK_{state.name}")


class Task:
    """A call that runs in the pool. Dropping it does not stop it."""

    def __init__(self, task: Any) -> None:
        self._task = task

    @property
    def reference(self) -> Reference:
        """The handle of XAPI's task object."""
        return Reference(self._task.reference())

    def wait(self, at_most: timedelta) -> Progress:
        """Waits at most so long and says how far the task is. Waiting is not CPU time."""
        return _progress(self._task.wait(max(0, round(at_most.total_seconds() * 1000))))

    @told
    def cancel(self) -> None:
        """Asks XAPI to stop the task. Not every task can be stopped, and one that was asked to may still succeed."""
        self._task.cancel()


def _progress(progress: Any) -> Progress:
    state = State[type(progress).__name__.removeprefix("Progress_").upper()]
    match state:
        case State.PENDING:
            return Progress(state, part=progress.value)
        case State.SUCCEEDED:
            return Progress(state, value=from_wire(progress.value))
        case State.FAILED:
            return Progress(state, error=of_wire(progress.value))
        case _:
            return Progress(state)
