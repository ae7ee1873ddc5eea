"""What all figures share: size, type, colours, and how they are written."""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from classrel_db.errors import ArgumentError
from classrel_db.outputs import replacing
from classrel_db.spelling import quoted
from classrel_db.text import printable

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from duckdb import DuckDBPyRelation
    from matplotlib.axes import Axes

IMAGE_FORMATS = ("png", "svg", "pdf")
_MM = 25.4  # in an inch
WIDTHS = {"column": 89.0, "page": 183.0}  # mm: one and two columns of a journal (Nature's)
TALLEST = 240.0  # mm that a page leaves for a figure
SMALL, TINY = 7.0, 6.0  # points: type in a figure of that width, and in its ticks
GREY = "#8c8c8c"
INK = "#262626"

_FAMILY = "DejaVu Sans"  # comes with matplotlib: the same figure on every machine
_STYLE: Any = {
    "font.family": [_FAMILY],
    "font.size": SMALL,
    "axes.titlesize": SMALL + 1,
    "axes.titlelocation": "left",
    "axes.labelsize": SMALL,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": TINY,
    "ytick.labelsize": TINY,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": TINY,
    "legend.frameon": False,
    "lines.linewidth": 0.8,
    "image.cmap": "viridis",
    "text.parse_math": False,  # a $ in a label is a $
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "classrel",  # the same figure is the same file
    "pdf.fonttype": 42,  # fonts are embedded as fonts
}


@dataclass(frozen=True)
class Drawn:
    """A figure and the axes drawn on; ``data`` are the numbers behind it, as a DuckDB relation.

    ``figure, axes = drawn`` takes the two; a notebook shows the figure.
    """

    figure: Figure
    axes: tuple[Axes, ...]
    _data: Callable[[], DuckDBPyRelation]

    @cached_property
    def data(self) -> DuckDBPyRelation:
        return self._data()

    def __iter__(self) -> Iterator[Any]:
        return iter((self.figure, self.axes))

    def _repr_png_(self) -> bytes:
        return content(self.figure, "png", 150)

    def save(self, output: str | os.PathLike[str], *, dpi: int = 300) -> None:
        """Write the figure as .png, .svg or .pdf, whole or not at all, with its fonts in it.

        ``dpi`` is the resolution of a .png, and of images in the others. Raises ArgumentError for another
        ending, and for a file that can't be written.
        """
        path = Path(output)
        image = require_image(path)
        if not 10 <= dpi <= 2_400:
            raise ArgumentError(f"dpi is {dpi}; it is 10 to 2400")
        written = content(self.figure, image, dpi)
        with replacing(path) as target:
            target.write_bytes(written)


@contextmanager
def drawing(*texts: Iterable[str]) -> Iterator[None]:
    """The style of a figure with these texts in it, for as long as it is drawn."""
    families = _families("".join(sorted({c for each in texts for text in each for c in text})))
    with mpl.rc_context({**_STYLE, "font.family": families}):
        yield


def inches(width: str | float) -> float:
    """A width, a name or millimetres, in inches. Raises ArgumentError."""
    if isinstance(width, str) and width in WIDTHS:
        return WIDTHS[width] / _MM
    try:
        size = float(width)
    except ValueError:
        size = 0.0
    if not 20 <= size <= 5_000:
        raise ArgumentError(
            f"width is {quoted(str(width))}; it is column (89 mm), page (183 mm) or millimetres, 20 to 5000"
        )
    return size / _MM


def new_figure(width: str | float, height: float) -> Figure:
    """An empty figure; ``height`` is in inches."""
    return Figure(figsize=(inches(width), height), layout=None)


def figure_of(axis: Axes) -> Figure:
    """The figure that axes are in, also those of a part of one."""
    figure = axis.get_figure(root=True)
    if figure is None:
        raise ArgumentError("these axes are in no figure; give axes of a figure")
    return figure


def colours(n: int) -> list[str]:
    """``n`` colours of which each differs from the next, the last also from the first.

    Petroff's ten, chosen to be told apart with any colour vision (arXiv:2107.02270), again and again.
    """
    ten = [mpl.colors.to_hex(each) for each in mpl.color_sequences["petroff10"]]
    cycle = [ten[i % len(ten)] for i in range(n)]
    if n > 1 and cycle[-1] == cycle[0]:
        cycle[-1] = ten[4]
    return cycle


def shortened(label: str, longest: int = 40) -> str:
    """A label as it is shown: control characters written out, one line, not too long."""
    shown = printable(label)
    return f"{shown[: longest - 1]}…" if len(shown) > longest else shown


def letters_on(red: float, green: float, blue: float) -> str:
    """The colour of letters that can be read on this one: dark or white (Rec. 709 luminance)."""
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45 else "white"


def content(figure: Figure, image: str, dpi: int) -> bytes:
    """The figure as a file of this format: the same for the same figure."""
    written = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(written, format=image, dpi=dpi, metadata=_METADATA[image])
    found = written.getvalue()
    return _with_fonts(found.decode()).encode() if image == "svg" else found


_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": "classrel"},
    "svg": {"Creator": "classrel", "Date": None},
    "pdf": {"Creator": "classrel", "CreationDate": None},
}


def require_image(path: Path) -> str:
    """The format that a file's ending names. Raises ArgumentError."""
    image = path.suffix.lower().removeprefix(".")
    if image not in IMAGE_FORMATS:
        raise ArgumentError(
            f"can't draw {path}: its ending is {quoted(path.suffix)}; use .png, .svg or .pdf"
        )
    return image


# --- type ---------------------------------------------------------------------------------------------


@cache
def _families(characters: str) -> list[str]:
    """The fonts that together have these characters, as many as can be; a warning names the rest."""
    import warnings

    from matplotlib import font_manager

    from classrel_db.errors import ClassrelWarning

    families = [_FAMILY]
    missing = {ord(c) for c in characters if c.isprintable() and ord(c) > 0x7E}
    missing -= _has(font_manager.findfont(families[0]))
    if not missing:
        return families
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda each: (each.name, each.fname)):
        if not missing:
            break
        # a colour font has no outlines that could be drawn
        if entry.style != "normal" or int(entry.weight) != 400 or "color" in entry.name.lower():
            continue
        found = _has(entry.fname) & missing
        if found:
            families.append(entry.name)
            missing -= found
    if missing:
        some = " ".join(f"{chr(code)} (U+{code:04X})" for code in sorted(missing)[:5])
        warnings.warn(
            f"no font on this machine has {some}{' and others' if len(missing) > 5 else ''}: a box "
            "stands for each, but in .svg, where the reader's own fonts are used; install a font that has "
            "them, such as Noto Sans",
            ClassrelWarning,
            stacklevel=6,
        )
    return families


@cache
def _has(file: str) -> set[int]:
    """The characters that a font file has."""
    from matplotlib.ft2font import FT2Font

    return set(FT2Font(file).get_charmap())


def _with_fonts(svg: str) -> str:
    """An SVG with the letters that it uses in it, so that it looks the same where the font is not known."""
    import base64
    import html

    from fontTools import subset
    from fontTools.ttLib import TTFont
    from matplotlib import font_manager

    file = font_manager.findfont(_FAMILY)
    used = {ord(c) for text in re.findall(r">([^<>]+)<", svg) for c in html.unescape(text)}
    font = TTFont(file)
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
        f"@font-face{{font-family:'{_FAMILY}';"
        f"src:url(data:font/woff;base64,{coded}) format('woff');}}"
    )
    first = svg.index("<defs>")
    return f'{svg[:first]}<defs><style type="text/css">{face}</style></defs>\n {svg[first:]}'


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
