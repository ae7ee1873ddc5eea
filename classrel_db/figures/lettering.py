"""Letters: which fonts have them, how much room they take, and what is done where there is too little."""

from __future__ import annotations

import base64
import html
import io
import re
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from classrel_db.errors import ClassrelWarning
from classrel_db.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

FAMILY = "DejaVu Sans"  # comes with matplotlib: the same figure on every machine
LINE = 1.17  # the height of a line of type, of its size
SMALL, TINY = 7.0, 6.0  # points: type in a figure, and in its ticks and labels
_BOXES = "Last Resort High-Efficiency"  # matplotlib's font of boxes, for any character
_FINE = 720  # dots an inch, in which texts are measured
_LONGEST = 60  # characters of a label, whatever room there is


def families(characters: str) -> list[str]:
    """The fonts that together have these characters, as many as can be; a warning names the rest."""
    found, missing = _search(characters)
    if missing:
        some = " ".join(f"{chr(code)} (U+{code:04X})" for code in missing[:5])
        warnings.warn(
            f"no font on this machine has {some}{' and others' if len(missing) > 5 else ''}: a box "
            "stands for each, but in .svg, where the reader's own fonts are used; install a font that has "
            "them, such as Noto Sans",
            ClassrelWarning,
            stacklevel=7,
        )
        return [*found, _BOXES]
    return found


@cache
def _search(characters: str) -> tuple[list[str], list[int]]:
    """The fonts for these characters, and the characters that none has."""
    families = [FAMILY]
    missing = {ord(c) for c in characters if c.isprintable() and ord(c) > 0x7E}
    missing -= _has(font_manager.findfont(families[0]))
    if not missing:
        return families, []
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda each: (each.name, each.fname)):
        if not missing:
            break
        # a colour font has no outlines that could be drawn, and the last resort nothing but boxes
        name = entry.name.lower()
        if entry.style != "normal" or int(entry.weight) != 400:
            continue
        if "color" in name or name.replace(" ", "").startswith("lastresort"):
            continue
        found = _has(entry.fname) & missing
        if found:
            families.append(entry.name)
            missing -= found
    return families, sorted(missing)


@cache
def _has(file: str) -> set[int]:
    """The characters that a font file has."""
    from matplotlib.ft2font import FT2Font

    return set(FT2Font(file).get_charmap())


def with_fonts(svg: str) -> str:
    """An SVG with the letters that it uses in it, so that it looks the same where the font is not known."""
    from fontTools import subset
    from fontTools.ttLib import TTFont

    file = font_manager.findfont(FAMILY)
    used = {
        ord(c)
        for text in re.findall(r"<(?:text|tspan)[^>]*>([^<]+)<", svg)
        for c in html.unescape(text)
    }
    font = TTFont(file, recalcTimestamp=False)
    # the letters alone: matplotlib placed each word as a whole, without the font's rules for pairs of them
    unused = ["FFTM", "GSUB", "GPOS", "GDEF", "kern"]
    options = subset.Options(layout_features=[], drop_tables=unused, hinting=False, name_IDs=[])
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=used & _has(file))
    subsetter.subset(font)
    font.flavor = "woff"
    packed = io.BytesIO()
    font.save(packed)
    coded = base64.b64encode(packed.getvalue()).decode()
    face = (
        f"@font-face{{font-family:'{FAMILY}';"
        f"src:url(data:font/woff;base64,{coded}) format('woff');}}"
    )
    first = svg.index("<defs>")
    return f'{svg[:first]}<defs><style type="text/css">{face}</style></defs>\n {svg[first:]}'


@cache
def _renderer() -> Any:
    return RendererAgg(1, 1, _FINE)  # type: ignore[no-untyped-call]


@cache
def _width(text: str, size: float, families: tuple[str, ...]) -> float:
    letters = FontProperties(family=list(families), size=size)
    return float(_renderer().get_text_width_height_descent(text, letters, False)[0]) / _FINE


def width(text: str, size: float = TINY) -> float:
    """The width of a line of type in inches, in the fonts of the figure that is being drawn."""
    # below a point as above it, in proportion
    of_size = max(size, TINY)
    return _width(text, of_size, tuple(mpl.rcParams["font.family"])) * size / of_size


def widest(texts: Sequence[str], size: float = TINY) -> float:
    """The width of the widest line in inches, 0 where there is none."""
    return max((width(text, size) for text in texts), default=0.0)


def shortened(label: str, longest: int = _LONGEST) -> str:
    """A label as it is shown: control characters written out, one line, not too many letters."""
    shown = printable(label)
    return f"{shown[: longest - 1]}…" if len(shown) > longest else shown


def fitted(label: str, room: float, size: float = TINY) -> str:
    """A label as it is shown in a room of so many inches."""
    shown = shortened(label)
    if width(shown, size) <= room:
        return shown
    low, high = 1, len(shown)
    while low < high:
        middle = (low + high + 1) // 2
        if width(f"{shown[:middle]}…", size) <= room:
            low = middle
        else:
            high = middle - 1
    return f"{shown[:low].rstrip()}…"


def wrapped(text: str, room: float, size: float) -> list[str]:
    """A text in lines of at most so many inches, broken between words where that can be."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if width(longer, size) <= room:
            lines[-1] = longer
        elif width(word, size) <= room:
            lines.append(word)
        else:
            lines.append(fitted(word, room, size))
    return [line for line in lines if line]


class Letters(FontProperties):
    """The font of a text of any size: matplotlib's own are of a point or more, and labels to zoom in to
    may be smaller."""

    def __init__(self, size: float) -> None:
        super().__init__(family=mpl.rcParams["font.family"], size=max(size, 1.0))
        self.points = size

    def get_size(self) -> float:
        return self.points

    def get_size_in_points(self) -> float:
        return self.points

    def __copy__(self) -> Letters:
        other = Letters.__new__(Letters)
        other.__dict__.update(self.__dict__)
        return other

    copy = __copy__


def spread(places: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Places for labels, rising as ``places`` do and at least ``least`` apart, as near to them as can be
    (least squares) and between ``low`` and ``high`` where there is room."""
    import numpy as np
    from scipy.optimize import isotonic_regression

    if not len(places):
        return []
    steps = least * np.arange(len(places))
    found = isotonic_regression(np.asarray(places, dtype=float) - steps).x
    room = max(high - steps[-1], low)
    placed: list[float] = (np.clip(found, low, room) + steps).tolist()
    return placed
