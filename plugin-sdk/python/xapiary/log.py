"""The plugin's voice. Lines go to the daemon's log, which adds plugin, pool, event and attempt.

Fields are named arguments: ``log.info("started it again", vm=uuid, starts=2)``. What is written to standard output and error
goes there too, line by line.
"""

from __future__ import annotations

from typing import Any

from . import wire


def trace(message: str, **fields: Any) -> None:
    """Every step, for the author."""
    _write("TRACE", message, fields)


def debug(message: str, **fields: Any) -> None:
    """Why a decision was made."""
    _write("DEBUG", message, fields)


def info(message: str, **fields: Any) -> None:
    """What was done."""
    _write("INFO", message, fields)


def warn(message: str, **fields: Any) -> None:
    """Something is odd, and work goes on."""
    _write("WARN", message, fields)


def error(message: str, **fields: Any) -> None:
    """Something was not done, and a person should look."""
    _write("ERROR", message, fields)


def _write(level: str, message: str, fields: dict[str, Any]) -> None:
    wire.log.write(wire.log.Level[level], message, [(name, str(value)) for name, value in fields.items()])
