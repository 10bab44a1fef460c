"""XAPI's values as Python knows them.

================================  =====================================
XAPI                              Python
================================  =====================================
void, the null reference          ``None``
string, enumeration               ``str``
int                               ``int``
float                             ``float``
bool                              ``bool``
datetime                          ``datetime.datetime``, with time zone
reference                         :class:`Reference`
set of strings                    ``list[str]``
set of references                 ``list[Reference]``
map of strings                    ``dict[str, str]``
anything deeper                   what ``json`` makes of it
================================  =====================================
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Union

from . import wire

if TYPE_CHECKING:
    from .objects import Object


class Reference(str):
    """A handle to one object, made by the daemon for this plugin. It is good for one delivery: remember a UUID instead."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Reference({str(self)!r})"


Value = Union[
    None, str, int, float, bool, datetime, Reference, list[str], list[Reference], dict[str, str], dict[str, Any], list[Any]
]
"""What a field holds and what a call gives."""

Argument = Union[Value, "Object"]
"""What a call takes: a value, or an object in place of its reference."""


def from_wire(value: Any) -> Any:
    """A value of the contract as Python's own."""
    types = wire.types
    match value:
        case types.Value_Nothing():
            return None
        case types.Value_Moment():
            return datetime.fromisoformat(value.value)
        case types.Value_Reference():
            return Reference(value.value)
        case types.Value_References():
            return [Reference(one) for one in value.value]
        case types.Value_Pairs():
            return dict(value.value)
        case types.Value_Json():
            return json.loads(value.value)
        case _:
            return value.value


def to_wire(argument: Argument) -> Any:
    """An argument as a value of the contract.

    :raises TypeError: for what XAPI has no value for; the daemon judges the rest by the method's own types.
    """
    types = wire.types
    reference = getattr(argument, "reference", None)
    if isinstance(reference, Reference):
        return types.Value_Reference(reference)
    match argument:
        case None:
            return types.Value_Nothing()
        # Before int, which bool is too, and before str, which Reference is.
        case bool():
            return types.Value_Truth(argument)
        case Reference():
            return types.Value_Reference(argument)
        case str():
            return types.Value_Text(argument)
        case int():
            return types.Value_Whole(argument)
        case float():
            return types.Value_Real(argument)
        case datetime():
            return types.Value_Moment(argument.astimezone(timezone.utc).isoformat())
        case list() | tuple() | set() | frozenset():
            return _set(argument)
        case dict():
            if all(isinstance(key, str) and isinstance(value, str) for key, value in argument.items()):
                return types.Value_Pairs(list(argument.items()))
            return types.Value_Json(json.dumps(argument))
        case _:
            raise TypeError(f"XAPI has no value for {type(argument).__name__}: {argument!r}")


def _set(argument: Any) -> Any:
    types = wire.types
    items = [getattr(item, "reference", item) for item in argument]
    if items and all(isinstance(item, Reference) for item in items):
        return types.Value_References(items)
    if all(isinstance(item, str) for item in items):
        return types.Value_Texts(items)
    return types.Value_Json(json.dumps(items))
