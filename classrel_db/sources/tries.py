"""Another try, where a connection breaks or a server is busy."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TRIES_TO_CONNECT = 3  # without a network nothing is gained by more
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The answers of servers that another try may change."""

LOOK_EVERY = 0.2  # seconds, whether anyone still waits

_TRIES = 5  # in a row that brought next to nothing
_FIRST_PAUSE = 0.5  # seconds, doubled with each try
_LONGEST_PAUSE = 60.0


class Again(Exception):  # noqa: N818
    """This try came to nothing, one of ``tries`` may: after ``pause`` seconds, if the server named them."""

    def __init__(self, reason: str, pause: float | None = None, tries: int = _TRIES) -> None:
        super().__init__(reason)
        self.pause = pause
        self.tries = tries


def wait_after(tries: int, again: Again, alive: Callable[[], None]) -> None:
    """Let the time pass between this try and the next; it ends where ``alive`` raises."""
    backoff: float = _FIRST_PAUSE * 2 ** (tries - 1)
    _wait(min(backoff if again.pause is None else again.pause, _LONGEST_PAUSE), alive)


def _wait(seconds: float, alive: Callable[[], None]) -> None:
    while seconds > 0:
        alive()
        time.sleep(min(seconds, LOOK_EVERY))
        seconds -= LOOK_EVERY


def retry_after(text: str) -> float | None:
    """The seconds that a header Retry-After names, as a number or as a date."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
