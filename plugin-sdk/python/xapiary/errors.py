"""Why something was not done, and how a handler says that a delivery did not work out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import Any, ParamSpec, TypeVar

from . import wire

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Fault(Enum):
    """Whose fault an error is, which decides whether trying again can help."""

    DENIED = "the grant does not allow it: "
    """The grant does not allow it; the error's advice holds the line that would."""
    LIMIT = "a limit is used up: "
    """A limit of this plugin or of this delivery is used up."""
    XAPI = "the pool answered "
    """XAPI said no; code and params are XAPI's own."""
    TRANSPORT = "the pool could not be reached: "
    """The pool could not be reached; nothing was done."""
    IN_DOUBT = "it is not known whether it was done: "
    """It may or may not have been done, and the daemon could not find out."""
    DRY_RUN = "planned only, this is a dry run: "
    """The plugin runs in dry-run: it was planned, not done."""
    INVALID = "this makes no sense: "
    """The arguments make no sense: unknown method, class, field or filter, or a value of another kind than expected."""


class Error(Exception):
    """Why something was not done."""

    def __init__(self, fault: Fault, code: str, params: list[str] | None = None, advice: str = "") -> None:
        super().__init__(fault, code, params, advice)
        self.fault = fault
        self.code = code
        """A stable name for programs, such as ``VM_BAD_POWER_STATE``."""
        self.params = params or []
        """The details that belong to the code, in its order."""
        self.advice = advice
        """What a person can do about it; empty where there is nothing to say."""

    def __str__(self) -> str:
        details = f" ({', '.join(self.params)})" if self.params else ""
        return f"{self.fault.value}{self.code}{details}"


class Retry(Exception):
    """Raised by a handler that wants the event again, not before ``after`` has passed.

    What this attempt wrote to the store is forgotten.
    """

    def __init__(self, after: timedelta, why: str) -> None:
        super().__init__(why)
        self.after = after


class GiveUp(Exception):
    """Raised by a handler when trying again cannot help: the delivery becomes a dead letter with this reason."""


def told(call: Callable[_P, _T]) -> Callable[_P, _T]:
    """Has the contract's errors raised as :class:`Error`."""

    @functools.wraps(call)
    def wrapped(*arguments: _P.args, **named: _P.kwargs) -> _T:
        try:
            return call(*arguments, **named)
        except wire.Err as err:
            raise of_wire(err.value) from None

    return wrapped


def of_wire(error: Any) -> Error:
    """The contract's error as an exception."""
    return Error(Fault[error.fault.name], error.code, list(error.params), error.advice)
