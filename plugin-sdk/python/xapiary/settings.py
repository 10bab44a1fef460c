"""What the administrator set for this plugin, checked against the manifest, with its defaults filled in."""

from __future__ import annotations

import json
from typing import Any

from . import wire
from .errors import told


def all() -> dict[str, Any]:  # noqa: A001  The contract's name.
    """All settings by name, without secrets."""
    return json.loads(wire.settings.all())


def get(name: str, default: Any = None) -> Any:
    """One setting; ``default`` when it is not set and the manifest has no default for it."""
    return all().get(name, default)


@told
def secret(name: str) -> str:
    """One secret by the name that the grant gives it. One that is not granted is an error of fault ``DENIED``."""
    return wire.settings.secret(name)
