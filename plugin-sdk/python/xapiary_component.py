"""The module that componentize-py makes a component of. It brings the author's module ``plugin`` and the SDK together."""

import plugin  # noqa: F401  The handlers of the plugin register themselves when it is imported.
from xapiary.dispatch import WitWorld

__all__ = ["WitWorld"]
