"""Drawings for the terminal: a distribution as bars, a matrix in half blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TextIO

from rich.color import Color
from rich.style import Style
from rich.text import Text

from classrel_db.render.tables import bar, console_for, dicts
from classrel_db.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyRelation

# Viridis at nine places (Smith & van der Walt, matplotlib, CC0): dark to bright, for any colour vision.
_VIRIDIS = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
    (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip
_SHADES = " .:-=+*#%@"  # where there are no colours
_CLIPPED = 0.005  # of the pairs, at either end of the scale
_WIDE = 48  # characters of the longest bar of a distribution
_MOST_LINES = 32
NAMES = 18  # characters of the labels beside a matrix


def histogram(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``Catalog.histogram``: the counts on a logarithmic scale, and what chance would give."""
    found = dicts(rows)
    first = found[0]
    console = console_for(file)
    joined = -(-len(found) // _MOST_LINES)
    groups = [found[start : start + joined] for start in range(0, len(found), joined)]
    pairs = [sum(row["pairs"] for row in group) for group in groups]
    null = [sum(row["null_share"] for row in group) * first["n"] for group in groups]
    longest = math.log10(max(pairs) + 1)
    width = max(10, min(_WIDE, console.width - 40)) if console.is_terminal else _WIDE
    pair = "pairs" if first["n"] > 1 else "pair"
    console.print(
        Text(f"cosines of {first['n']:,} {pair} of classes in {printable(first['model'])}\n")
    )
    console.print(Text(f" {'cosine':>14}   {'pairs':>9}   {'by chance':>9}"))
    for group, count, expected in zip(groups, pairs, null, strict=True):
        line = Text(f" {group[0]['low']:>5.2f} to {group[-1]['high']:>5.2f}   {count:>9,}")
        line.append(f"   {expected:>9,.0f}   ")
        line.append_text(bar(math.log10(count + 1), longest, file, width))
        console.print(line)
    by_chance = round(first["null_mean"], 4) + 0.0  # no -0
    console.print(
        Text(
            f"\nbars are logarithmic; mean {first['mean']:.4f}, by chance {by_chance:.4f}; "
            f"{first['above']:.1%} of the pairs are beyond 97.5 % of chance ({first['null_high']:.3f})"
        )
    )


def heatmap(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The rows of a matrix of blocks: two of its rows a line, bright is alike."""
    found = rows.project("place_a, place_b, cosine, model, class_a, class_b").fetchall()
    console = console_for(file)
    places = sorted({place for row in found for place in row[:2]})
    at = {place: number for number, place in enumerate(places)}
    cells: list[list[float | None]] = [[None] * len(places) for _ in places]
    names: dict[int, str] = {}
    for a, b, cosine, _, *names_of in found:
        names.update(zip((a, b), names_of, strict=True))
        cells[at[a]][at[b]] = cells[at[b]][at[a]] = cosine
    values = sorted(row[2] for row in found)
    cut = int(len(values) * _CLIPPED)
    low, high = values[cut], values[-1 - cut]
    if high == low:
        high = low + 1e-6
    console.print(Text(f"cosines of the classes of {printable(found[0][3])}, bright is alike;"))
    console.print(Text("beside each line the first of its classes\n"))
    coloured = console.is_terminal and console.color_system is not None
    for top in range(0, len(cells), 2):
        below = cells[top + 1] if top + 1 < len(cells) else [None] * len(places)
        line = _line(cells[top], below, low, high, coloured)
        name = printable(names[places[top]])
        line.append(f"  {name if len(name) <= NAMES else name[: NAMES - 1] + '…'}")
        console.print(line, no_wrap=True, crop=True)
    scale = Text(f"\n{low:.3f} ")
    for step in range(24):
        level = step / 23
        scale.append(
            "█" if coloured else _shade(level), Style(color=_colour(level)) if coloured else ""
        )
    console.print(scale.append(f" {high:.3f} cosine"))


def _line(
    above: Sequence[float | None],
    below: Sequence[float | None],
    low: float,
    high: float,
    coloured: bool,
) -> Text:
    line = Text()
    for upper, lower in zip(above, below, strict=True):
        levels = [
            None if each is None else min(1.0, max(0.0, (each - low) / (high - low)))
            for each in (upper, lower)
        ]
        if not coloured:
            known = [each for each in levels if each is not None]
            line.append(_shade(sum(known) / len(known)) if known else " ")
            continue
        colours = [None if each is None else _colour(each) for each in levels]
        if colours[0] is None:
            line.append("▄" if colours[1] else " ", Style(color=colours[1]))
        else:
            line.append("▀", Style(color=colours[0], bgcolor=colours[1]))
    return line


def _shade(level: float) -> str:
    return _SHADES[min(len(_SHADES) - 1, int(level * len(_SHADES)))]


def _colour(level: float) -> Color:
    place = level * (len(_VIRIDIS) - 1)
    first = min(int(place), len(_VIRIDIS) - 2)
    part = place - first
    red, green, blue = (
        round(a + (b - a) * part) for a, b in zip(_VIRIDIS[first], _VIRIDIS[first + 1], strict=True)
    )
    return Color.from_rgb(red, green, blue)
