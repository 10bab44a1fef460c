"""From one delivery to the handler of its subscription, and from its end to what the daemon is told."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from . import log, wire
from .errors import Error, Fault, GiveUp, Retry
from .event import Event, from_contract

Handler = Callable[[Event, Any], None]
_H = TypeVar("_H", bound=Handler)

_handlers: dict[str, Handler] = {}

TRANSPORT_RETRY = timedelta(seconds=10)
"""How soon an event is tried again when the pool could not be reached and nobody caught the error."""


def on(*subscriptions: str) -> Callable[[_H], _H]:
    """Makes a function the handler of subscriptions, by their names in ``plugin.toml``.

    It is called with the event and with what the event is about: a :class:`~xapiary.Change`,
    :class:`~xapiary.TaskOutcome`, :class:`~xapiary.Alert`, :class:`~xapiary.Tick` or :class:`~xapiary.Connection`.
    """

    def register(handler: _H) -> _H:
        for subscription in subscriptions:
            if subscription in _handlers:
                raise ValueError(f"the subscription {subscription!r} has two handlers: {_handlers[subscription]}, {handler}")
            _handlers[subscription] = handler
        return handler

    return register


def deliver(event: Event) -> None:
    """Calls the handler of an event's subscription."""
    handler = _handlers.get(event.subscription)
    if handler is None:
        near = difflib.get_close_matches(event.subscription, _handlers, n=1)
        hint = f"; is {near[0]!r} meant for it?" if near else ""
        raise GiveUp(f"the plugin has no handler for its subscription {event.subscription!r}: add @on({event.subscription!r}){hint}")
    handler(event, event.subject)


class WitWorld:
    """What the component exports."""

    def handle(self, event: Any) -> None:
        """Handles one delivery."""
        try:
            deliver(from_contract(event))
        except Retry as retry:
            raise wire.Err(_retry(retry.after, str(retry))) from None
        except GiveUp as reason:
            raise wire.Err(wire.events.Failure_GiveUp(str(reason))) from None
        except Error as error:
            if error.fault is Fault.TRANSPORT:
                raise wire.Err(_retry(TRANSPORT_RETRY, str(error))) from None
            advice = f"; {error.advice}" if error.advice else ""
            raise wire.Err(wire.events.Failure_GiveUp(f"{error}{advice}")) from None
        except Exception as mistake:
            # The daemon tells this line as the reason, and stops the instance as it does with any other plugin that breaks.
            frame = traceback.extract_tb(mistake.__traceback__)[-1]
            message = "".join(traceback.format_exception_only(mistake)).strip()
            log.error(f"the plugin panicked: {message}", place=f"{frame.filename}:{frame.lineno} in {frame.name}")
            raise


def _retry(after: timedelta, why: str) -> Any:
    return wire.events.Failure_Retry(wire.events.Pause(max(0, round(after.total_seconds() * 1000)), why))
