"""Write plugins for the Xapiary daemon in Python.

A plugin is a module ``plugin`` with one function for each subscription of its ``plugin.toml``::

    from xapiary import Change, Event, log, on

    @on("power")
    def power(event: Event, change: Change) -> None:
        if change.new is not None:
            log.info(f"{change.new['name_label']} is {change.new['power_state']}")

Each event meets a fresh instance of the module, as it was right after it was imported: what must be remembered goes into
:mod:`xapiary.store`. A handler that returns is done for good. One that raises :class:`Retry` is called again later, one that
raises :class:`GiveUp` never again for this event. An :class:`Error` that nobody catches is tried again when the pool could not
be reached and given up otherwise; any other exception is a mistake in the plugin, is told with its place, and is tried again a
few times.

The clock shows the time of the event and randomness is the same in every attempt, so that a run can be repeated exactly. There
are no files, no sockets and no environment.
"""

from . import calls, log, objects, settings, store
from .dispatch import on
from .errors import Error, Fault, GiveUp, Retry
from .event import Alert, Change, Connection, Ending, Event, Operation, Origin, TaskOutcome, Tick
from .objects import Object
from .values import Reference

__all__ = [
    "Alert",
    "Change",
    "Connection",
    "Ending",
    "Error",
    "Event",
    "Fault",
    "GiveUp",
    "Object",
    "Operation",
    "Origin",
    "Reference",
    "Retry",
    "TaskOutcome",
    "Tick",
    "calls",
    "log",
    "objects",
    "on",
    "settings",
    "store",
]
