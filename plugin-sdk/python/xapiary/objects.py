"""The pool as the daemon last saw it.

Nothing here reaches the pool, so reading is cheap and never loads it; what was read may be older than a call that this
delivery has just made. Of the pool, a plugin sees what its grant shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from . import wire
from .errors import told
from .values import Reference, from_wire

_PAGE_OBJECTS = 64


class Object:
    """One object's record at one moment. It does not change while the plugin holds it.

    Fields are read by XAPI's own names: ``vm["power_state"]``. An unknown field is an :class:`~xapiary.Error` of fault
    ``INVALID``, one that the grant hides is ``DENIED``.
    """

    def __init__(self, record: Any) -> None:
        self._record = record

    @property
    def cls(self) -> str:
        """The class, as XAPI spells it: ``VM``, ``host``, ``VDI``."""
        return self._record.class_()

    @property
    def reference(self) -> Reference:
        """The handle, for :mod:`xapiary.calls` and for :func:`by_reference`."""
        return Reference(self._record.reference())

    @property
    def uuid(self) -> str | None:
        """The UUID; ``None`` for the few classes that have none."""
        return self._record.uuid()

    def fields(self) -> list[str]:
        """The names of the fields that this record has and the grant shows."""
        return self._record.fields()

    @told
    def __getitem__(self, field: str) -> Any:
        return from_wire(self._record.get(field))

    @told
    def follow(self, field: str) -> list[Object]:
        """The objects that a reference field points to, in order. Those that are gone or that the grant hides are left out."""
        return [Object(record) for record in self._record.follow(field)]

    def record(self) -> dict[str, Any]:
        """All fields that the grant shows, as ``json`` reads them. It costs as much as reading each of them."""
        return json.loads(self._record.to_json())

    def __repr__(self) -> str:
        return f"<Object {self.cls} {self.uuid or self.reference}>"


def find(cls: str, where: str = "") -> Iterator[Object]:
    """The objects of a class for which a CEL expression over ``self`` holds; without one, all.

    They come in a stable order, a page at a time, so a search that stops early costs little::

        for vm in objects.find("VM", "self.power_state == 'Halted'"):
            log.info(f"{vm['name_label']} is halted")
    """
    after: str | None = None
    while True:
        page = _page(cls, where, after)
        for record in page.objects:
            yield Object(record)
        after = page.next
        if after is None:
            return


@told
def _page(cls: str, where: str, after: str | None) -> Any:
    return wire.objects.find(cls, where, _PAGE_OBJECTS, after)


@told
def by_reference(reference: Reference) -> Object | None:
    """The object behind a handle; ``None`` when it no longer exists."""
    return _maybe(wire.objects.by_reference(reference))


@told
def by_uuid(cls: str, uuid: str) -> Object | None:
    """The object of a class with this UUID; ``None`` when there is none."""
    return _maybe(wire.objects.by_uuid(cls, uuid))


@told
def by_name_label(cls: str, name: str) -> list[Object]:
    """The objects of a class with this ``name_label``. Names are not unique."""
    return [Object(record) for record in wire.objects.by_name_label(cls, name)]


def _maybe(record: Any) -> Object | None:
    return None if record is None else Object(record)
