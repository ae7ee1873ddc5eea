"""Close spellings, for messages about names that nothing carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORTH_NAMING = 60.0  # rapidfuzz's 0-100 ratio; below this the suggestion only confuses


def closest(word: str, choices: Sequence[str], limit: int = 3) -> list[str]:
    """The ``limit`` choices nearest to ``word`` in spelling, best first, case ignored."""
    # imported on the way to an error message: no successful command pays for it
    from rapidfuzz import fuzz, process, utils

    found = process.extract(
        word,
        choices,
        scorer=fuzz.WRatio,
        processor=utils.default_process,
        limit=4 * limit,
        score_cutoff=_WORTH_NAMING,
    )
    # WRatio finds parts too, and gives them all the same score: the whole decides between them
    found.sort(key=lambda each: (each[1], fuzz.ratio(word.lower(), each[0].lower())), reverse=True)
    return [choice for choice, _score, _index in found[:limit]]


def did_you_mean(word: str, choices: Sequence[str]) -> str:
    """``; did you mean "a" or "b"?`` to append to a message, or nothing when nothing is near."""
    near = closest(word, choices)
    return f"; did you mean {' or '.join(map(quoted, near))}?" if near else ""


def quoted(text: str, longest: int = 60) -> str:
    """``text`` in double quotes for a message: control characters escaped, long text cut."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f'"{shown[: longest - 1]}…"' if len(shown) > longest else f'"{shown}"'
