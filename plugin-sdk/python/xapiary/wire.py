"""The contract as componentize-py gives it. Not for authors.

Outside of a component, such as in a plugin's own tests, there is no daemon to talk to. Importing works there all the same, so
that what a plugin decides can be tested; whatever needs the daemon says so when it is used.
"""

from typing import Any


class _NoDaemon:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        raise RuntimeError(f"{self._name}.{attribute} needs the daemon: it works in a component only")


try:
    from componentize_py_types import Err
    from wit_world.imports import calls, events, log, objects, settings, store, types
except ImportError:
    calls, events, log, objects, settings, store, types = (
        _NoDaemon(name) for name in ("calls", "events", "log", "objects", "settings", "store", "types")
    )

    class Err(Exception):  # type: ignore[no-redef]
        """Never raised outside of a component."""

        value: Any


__all__ = ["Err", "calls", "events", "log", "objects", "settings", "store", "types"]
