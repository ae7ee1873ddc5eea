"""Which browser the tests drive, and how quietly."""

from __future__ import annotations

import os
import shutil

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


def chromium() -> str | None:
    """The browser that the tests drive: $CHROMIUM, else one on PATH."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
