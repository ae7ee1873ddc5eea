"""classrel: an embedding database for classification heads.

``classrel_db.open(path)`` gives a :class:`~classrel_db.catalog.Catalog`. The names below are loaded
on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from classrel_db.version import __version__

if TYPE_CHECKING:
    from classrel_db.catalog import Catalog, open  # noqa: A004
    from classrel_db.errors import ClassrelError

_HOMES = {
    "Catalog": "classrel_db.catalog",
    "open": "classrel_db.catalog",
    "ClassrelError": "classrel_db.errors",
}

__all__ = ["Catalog", "ClassrelError", "__version__", "open"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
