"""What a plugin hears."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Union

from . import wire
from .errors import Error, of_wire
from .objects import Object
from .values import Reference, from_wire


class Origin(Enum):
    """Where an event comes from."""

    LIVE = "live"
    """The pool said so as it happened."""
    RESYNC = "resync"
    """Found by comparing the whole pool after an interruption."""
    REPLAY = "replay"
    """An old event, run again on purpose."""


class Operation(Enum):
    """What happened to an object."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"


@dataclass(frozen=True)
class Change:
    """An object appeared, changed or went away."""

    cls: str
    """The class, as XAPI spells it."""
    reference: Reference
    uuid: str | None
    """Its UUID, where the class has one."""
    operation: Operation
    old: Object | None
    """The record before; ``None`` when the object was added."""
    new: Object | None
    """The record after; ``None`` when the object was deleted."""
    changed: list[str]
    """The names of the fields that differ between the two."""
    caused_by: str | None
    """The delivery whose call caused this, where it was the daemon's: ``PLUGIN/SEQUENCE``."""


class Ending(Enum):
    """How a task ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Unseen: the task vanished before its outcome was known."""


@dataclass(frozen=True)
class TaskOutcome:
    """A task of the pool has ended."""

    reference: Reference
    """The task's handle; the object itself may be gone."""
    name: str
    """What was asked for, such as ``Async.VM.start``."""
    ending: Ending
    value: Any
    """The method's result, when it succeeded."""
    error: Error | None
    """XAPI's error, when it failed."""
    started_by: str | None
    """The delivery that started it, where it was the daemon's: ``PLUGIN/SEQUENCE``."""


@dataclass(frozen=True)
class Alert:
    """The pool has something to tell: an object of XAPI's class ``message``."""

    name: str
    """The kind of alert, such as ``HA_HOST_FAILED``."""
    priority: int
    """1 (most pressing) to 5; 0 where the pool says something else."""
    cls: str
    """The class of the object that it is about."""
    uuid: str
    """The UUID of that object."""
    body: str
    """What it says, often XML; empty where no ``[[read]]`` of the grant shows ``body`` of ``message``."""


@dataclass(frozen=True)
class Tick:
    """A schedule of the manifest is due."""

    schedule: str
    due: datetime
    """When it was due. A late delivery keeps the time that was planned."""


class Link(Enum):
    """What became of the connection to the pool."""

    CONNECTED = "connected"
    """A session is there and the pool has been read."""
    LOST = "lost"
    """It broke. What happens now is told after the resync."""
    MOVED = "moved"
    """Another member answers now."""
    RESYNCED = "resynced"
    """The pool was compared with what was known, and the differences came before this event."""


@dataclass(frozen=True)
class Connection:
    """The daemon's connection to the pool changed."""

    link: Link
    detail: str
    """Why it was lost, or where it moved to; empty otherwise."""


Subject = Union[Change, TaskOutcome, Alert, Tick, Connection]


@dataclass(frozen=True)
class Event:
    """One delivery of one event."""

    sequence: int
    """Position in the journal: the same event has the same number on every attempt."""
    pool: str
    """The pool's name in the daemon's configuration."""
    at: datetime
    """When the daemon learned of it."""
    origin: Origin
    gap: bool
    """Changes may have been missed or folded before this one."""
    attempt: int
    """1 on the first delivery."""
    subscription: str
    """The manifest's name of the subscription that matched."""
    subject: Subject
    """What it is about; what the handler gets as its second argument."""


def from_contract(event: Any) -> Event:
    """The contract's event as the handlers see it."""
    return Event(
        sequence=event.sequence,
        pool=event.pool,
        at=datetime.fromisoformat(event.at),
        origin=Origin[event.origin.name],
        gap=event.gap,
        attempt=event.attempt,
        subscription=event.subscription,
        subject=_subject(event.subject),
    )


def _subject(subject: Any) -> Subject:
    events, about = wire.events, subject.value
    match subject:
        case events.Subject_Change():
            return Change(
                cls=about.class_,
                reference=Reference(about.reference),
                uuid=about.uuid,
                operation=Operation[about.operation.name],
                old=None if about.old is None else Object(about.old),
                new=None if about.new is None else Object(about.new),
                changed=list(about.changed),
                caused_by=about.caused_by,
            )
        case events.Subject_Task():
            ending = Ending[type(about.ending).__name__.removeprefix("Ending_").upper()]
            return TaskOutcome(
                reference=Reference(about.reference),
                name=about.name,
                ending=ending,
                value=from_wire(about.ending.value) if ending is Ending.SUCCEEDED else None,
                error=of_wire(about.ending.value) if ending is Ending.FAILED else None,
                started_by=about.started_by,
            )
        case events.Subject_Alert():
            return Alert(about.name, about.priority, about.class_, about.uuid, about.body)
        case events.Subject_Tick():
            return Tick(about.schedule, datetime.fromisoformat(about.due))
        case _:
            link = Link[type(about).__name__.removeprefix("Connection_").upper()]
            return Connection(link, getattr(about, "value", ""))
