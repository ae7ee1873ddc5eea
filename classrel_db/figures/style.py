"""What all figures share: size, type, colours, and how they are written."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from classrel_db.errors import ArgumentError
from classrel_db.figures.lettering import (
    FAMILY,
    LINE,
    SMALL,
    TINY,
    families,
    fitted,
    widest,
    with_fonts,
    wrapped,
)
from classrel_db.outputs import replacing
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from duckdb import DuckDBPyRelation
    from matplotlib.axes import Axes

IMAGE_FORMATS = ("png", "svg", "pdf")
_MM = 25.4  # in an inch
WIDTHS = {"column": 89.0, "page": 183.0}  # mm: one and two columns of a journal (Nature's)
TALLEST = 240.0  # mm that a page leaves for a figure
_MOST_PIXELS = 2**28  # of which each takes four bytes
GREY = "#8c8c8c"
INK = "#262626"

_STYLE: Any = {
    "font.family": [FAMILY],
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
        require_pixels(self.figure, dpi)
        written = content(self.figure, image, dpi)
        with replacing(path) as target:
            target.write_bytes(written)


@contextmanager
def drawing(*texts: Iterable[str]) -> Iterator[None]:
    """The style of a figure with these texts in it, for as long as it is drawn."""
    found = families("".join(sorted({c for each in texts for text in each for c in text})))
    with _styled({"font.family": found}):
        yield


@contextmanager
def _styled(more: Any) -> Iterator[None]:
    """Our style alone, and ``more``, whatever matplotlib is set to."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, **more})
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


class Sheet:
    """A new figure measured in inches from its lower left corner, with its title above what is drawn.

    ``width`` is column, page or millimetres, ``height`` that of what is drawn; the title takes its own.
    """

    def __init__(self, width: str | float, height: float, title: str = "") -> None:
        self.across = inches(width)
        size = SMALL + 1
        lines = wrapped(title, self.across - 0.15, size) if title else []
        line = size * LINE / 72
        self.tall = height + (len(lines) * line + 0.12 if lines else 0.0)
        self.figure = Figure(figsize=(self.across, self.tall), layout=None)
        if lines:
            self.figure.suptitle(
                "\n".join(lines),
                x=0.06 / self.across,
                y=1 - 0.05 / self.tall,
                ha="left",
                va="top",
                size=size,
                linespacing=LINE,
            )

    def axes(self, left: float, bottom: float, wide: float, high: float) -> Axes:
        """Axes at a place on the sheet."""
        return self.figure.add_axes(
            (left / self.across, bottom / self.tall, wide / self.across, high / self.tall)
        )


def legend_height(lines: int) -> float:
    """What a legend of so many lines takes at the foot of a figure, in inches."""
    return 0.135 * lines + 0.1 if lines else 0.0


class Legend:
    """What colours mean, at the foot of a figure ``across`` inches wide; it takes ``height`` there."""

    def __init__(
        self, names: Sequence[str], paint: Sequence[str], across: float, *, round: bool = False
    ) -> None:
        self.names = [fitted(name, across - 0.5) for name in names]
        self.paint = paint
        self.marker = {"marker": "o", "linestyle": "none", "markersize": 3} if round else {}
        entry = widest(self.names) + 0.36
        self.columns = max(1, min(len(names), int((across - 0.1) / entry)))
        self.height = legend_height(-(-len(names) // self.columns))

    def draw(self, figure: Figure) -> None:
        from matplotlib.lines import Line2D

        if not self.names:
            return
        handles = [
            Line2D([], [], color=colour, linewidth=2, label=name, **self.marker)  # type: ignore[arg-type]
            for name, colour in zip(self.names, self.paint, strict=True)
        ]
        figure.legend(
            handles=handles,
            loc="lower left",
            ncols=self.columns,
            handlelength=1.2,
            handletextpad=0.5,
            columnspacing=1.2,
            borderaxespad=0.2,
            labelspacing=0.3,
        )


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


def letters_on(red: float, green: float, blue: float) -> str:
    """The colour of letters that can be read on this one: dark or white (Rec. 709 luminance)."""
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45 else "white"


def content(figure: Figure, image: str, dpi: int) -> bytes:
    """The figure as a file of this format: the same for the same figure."""
    written = io.BytesIO()
    with _styled({}):
        figure.savefig(written, format=image, dpi=dpi, metadata=_METADATA[image])
    found = written.getvalue()
    return with_fonts(found.decode()).encode() if image == "svg" else found


_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": "classrel"},
    "svg": {"Creator": "classrel", "Date": None},
    "pdf": {"Creator": "classrel", "CreationDate": None},
}


def require_pixels(figure: Figure, dpi: int) -> None:
    """Raise ArgumentError for a resolution that makes no picture."""
    if not 10 <= dpi <= 2_400:
        raise ArgumentError(f"dpi is {dpi}; it is 10 to 2400")
    across, tall = (round(side * dpi) for side in figure.get_size_inches())
    if across * tall > _MOST_PIXELS or max(across, tall) >= 2**16:
        raise ArgumentError(
            f"{across:,} × {tall:,} pixels are more than a picture can have ({_MOST_PIXELS:,}, and 65,535 a "
            "side); give a smaller --dpi or --width"
        )


def require_image(path: Path) -> str:
    """The format that a file's ending names. Raises ArgumentError."""
    image = path.suffix.lower().removeprefix(".")
    if image not in IMAGE_FORMATS:
        raise ArgumentError(
            f"can't draw {path}: its ending is {quoted(path.suffix)}; use .png, .svg or .pdf"
        )
    return image
