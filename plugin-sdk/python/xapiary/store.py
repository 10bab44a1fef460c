"""The plugin's own keys.

What a delivery writes is kept when the delivery is done, and forgotten when it fails, so a second attempt begins with what the
first one saw. A delivery reads its own writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from . import wire
from .errors import told

_PAGE_KEYS = 256


@told
def get(key: str) -> bytes | None:
    """The value of a key; ``None`` when it was never set or was deleted."""
    return wire.store.get(key)


@told
def set(key: str, value: bytes) -> None:  # noqa: A001  The contract's name.
    """Sets a key, of 1 to 512 bytes. Going over the size that the grant gives is an error of fault ``LIMIT``."""
    wire.store.set(key, value)


@told
def delete(key: str) -> None:
    """Deletes a key. Deleting what is not there is no error."""
    wire.store.delete(key)


def get_json(key: str, default: Any = None) -> Any:
    """The value of a key that :func:`set_json` wrote; ``default`` when there is none."""
    value = get(key)
    return default if value is None else json.loads(value)


def set_json(key: str, value: Any) -> None:
    """Sets a key to what ``json`` makes of a value."""
    set(key, json.dumps(value).encode())


def keys(prefix: str = "") -> Iterator[str]:
    """The keys that begin with a prefix, in the order of their bytes."""
    after: str | None = None
    while page := _page(prefix, after):
        yield from page
        after = page[-1]


@told
def _page(prefix: str, after: str | None) -> list[str]:
    return wire.store.keys(prefix, _PAGE_KEYS, after)
