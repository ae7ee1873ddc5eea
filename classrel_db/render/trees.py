"""Trees of classes, drawn with lines: the root at the left, a line for each tip."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment, Segments
from rich.style import Style
from rich.text import Text

from classrel_db.render.tables import console_for
from classrel_db.render.tree_files import per_cent, read_trees, tip_names
from classrel_db.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyRelation
    from rich.console import Console

    from classrel_db.render.tree_files import ClassTree

_PIPED_WIDTH = 60  # characters of a tree where the output is no terminal; labels come whole
_MOST_WIDTH = 100  # of a tree on a wide terminal: longer lines are hard to follow
_LEAST_SHARE = 0.4  # of the terminal that is a tree's own before labels are cut
_NO_EDGE = 10_000  # the width of a console that is no terminal
_MARKED = 16  # characters behind a label that say which of several it is, and are not cut off
_AXIS = "height"
_TICK = 9  # characters a tick of the scale has at least

_LEFT, _RIGHT, _UP, _DOWN, _CLADE = 1, 2, 4, 8, 16
# the signs of a cell, by which of its sides a line leaves it
_SIGNS = " ──" + "─│╯╰┴│╮╭┬│┤├┼" + "━"
_ASCII = " --" + "-|''+|..+|+++" + "="
_LINES, _CLADES = Style(dim=True), Style(bold=True)


class _Layout(NamedTuple):
    """Where the nodes of a tree stand, by their positions in it, and how long its lines are."""

    width: int
    columns: list[int]
    lines: list[int]
    tips: list[int]


def dendrogram(rows: DuckDBPyRelation, out: TextIO) -> None:
    """Draw the tree of each model in the rows, one below the other.

    Classes are joined as far from the right as their distance says, to within a character; joins
    nearer to each other than that are drawn as one, and so is one that is lower than its parts.
    """
    console = console_for(out)
    trees = read_trees(rows)
    for number, tree in enumerate(trees):
        if number:
            console.print()
        _draw(tree, console, out)
    if not trees:
        console.print(Text("no tree to draw", style="dim"))


def _draw(tree: ClassTree, console: Console, out: TextIO) -> None:
    signs = _SIGNS if "utf" in (getattr(out, "encoding", None) or "ascii").lower() else _ASCII
    labels = [printable(name) for name in tip_names(tree) if name is not None]
    longest = max(len(_AXIS), *map(cell_len, labels))
    if console.width == _NO_EDGE:
        width = _PIPED_WIDTH
    else:
        least = math.floor(console.width * _LEAST_SHARE)
        width = min(_MOST_WIDTH, max(least, console.width - longest - 1))
        if not getattr(out, "scrolls", False):
            labels = [_cut(label, console.width - width - 1) for label in labels]
    to_scale = tree.has_heights and (tree.nodes[0].values["height"] or 0.0) > 0
    layout = _laid_out(tree, width, to_scale)
    _print_text(_title(tree), console, "bold")
    console.print(Segments(_segments(tree, layout, labels, signs)), soft_wrap=True)
    if to_scale:
        for line in _scale(tree.nodes[0].values["height"], width, signs):
            _print_text(line, console, "dim")
    for line in _legend(tree, signs):
        _print_text(line, console, "dim")


def _print_text(line: str, console: Console, style: str) -> None:
    console.print(Text(line, style=style), soft_wrap=console.width == _NO_EDGE)


def _title(tree: ClassTree) -> str:
    root = tree.nodes[0].values
    name = printable(root["name"] or f"clade {root['node']}")
    size = f"{root['size']:,} class" + ("es" if root["size"] != 1 else "")
    # no branch leads to the root: what supports it stands here
    known = _support(root, both=_has_both(tree))
    supported = f", support {known} %" if known and len(tree.nodes) > 1 else ""
    model = "" if tree.model is None else f"{printable(tree.model)}: "
    return f"{model}{name}, {size}{supported}"


def _cut(label: str, room: int) -> str:
    """The label within ``room`` cells, cut before what tells it from others."""
    if cell_len(label) <= room:
        return label
    name, gap, mark = label.rpartition(" (")
    if not (gap and label.endswith(")") and cell_len(gap + mark) <= min(_MARKED, room - 2)):
        name, gap, mark = label, "", ""
    return set_cell_size(name, room - cell_len(gap + mark) - 1).rstrip() + "…" + gap + mark


def _laid_out(tree: ClassTree, width: int, to_scale: bool) -> _Layout:
    nodes = tree.nodes
    depths = [0] * len(nodes)
    for number, node in enumerate(nodes):
        depths[number] = depths[node.above] + 1 if node.above >= 0 else 0
    deepest = max(1, *depths)
    top = nodes[0].values["height"]
    columns = [0] * len(nodes)
    for number, node in enumerate(nodes):
        if to_scale:
            share = 1 - (node.values["height"] or 0.0) / top
        else:
            share = 1.0 if node.tip else depths[number] / deepest
        column = round(share * (width - 1))
        if node.above >= 0:
            # a join that is no lower than its parent's counts as one with it
            column = max(column, columns[node.above] + node.tip)
        # a leaf ends at the edge, and whatever its height some of a clade's line is seen before it
        edge = width - 3 + node.tip
        columns[number] = min(column, edge) if not node.tip or node.collapsed else width - 1
    tips = [number for number, node in enumerate(nodes) if node.tip]
    lines = [0] * len(nodes)
    for line, number in enumerate(tips):
        lines[number] = line
    first, last = lines.copy(), lines.copy()
    seen = [False] * len(nodes)
    for number in range(len(nodes) - 1, -1, -1):  # children stand behind their parents
        if not nodes[number].tip:
            lines[number] = (first[number] + last[number]) // 2
        above = nodes[number].above
        if above >= 0:
            first[above] = lines[number]
            if not seen[above]:
                last[above] = lines[number]
                seen[above] = True
    return _Layout(width, columns, lines, tips)


def _cells(tree: ClassTree, layout: _Layout) -> tuple[list[bytearray], list[int]]:
    """Which sides lines leave each cell by, and the join that each node's own is drawn with."""
    nodes, columns, lines = tree.nodes, layout.columns, layout.lines
    cells = [bytearray(layout.width) for _ in layout.tips]
    drawn_with = list(range(len(nodes)))
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, node in enumerate(nodes):
        line = cells[lines[number]]
        if node.above >= 0:
            join = drawn_with[node.above]
            if not node.tip and columns[number] == columns[join]:
                drawn_with[number] = join
                continue
            first[join] = min(first.get(join, lines[number]), lines[number])
            last[join] = max(last.get(join, lines[number]), lines[number])
            line[columns[join]] |= _RIGHT
            between = columns[number] - columns[join] - 1
            line[columns[join] + 1 : columns[number]] = bytes([_LEFT | _RIGHT]) * between
            line[columns[number]] |= _LEFT
        if node.collapsed:
            line[columns[number] :] = bytes([_CLADE]) * (layout.width - columns[number])
    # Joins in one column don't stand beside each other in one line, so each cell is met once.
    for join, top in first.items():
        column, bottom = columns[join], last[join]
        for line_number in range(top, bottom):
            cells[line_number][column] |= _DOWN
            cells[line_number + 1][column] |= _UP
    return cells, drawn_with


def _segments(tree: ClassTree, layout: _Layout, labels: Sequence[str], signs: str) -> list[Segment]:
    cells, drawn_with = _cells(tree, layout)
    both = _has_both(tree)
    numbers: dict[int, list[tuple[int, str]]] = {}
    for number, node in enumerate(tree.nodes):
        if node.above < 0 or drawn_with[number] != number:
            continue
        text = _support(node.values, both)
        column = layout.columns[number]
        # a piece of line before it and one behind
        start = column - 1 - len(text)
        line = layout.lines[number]
        behind = cells[line][column + 1 :]
        if text and start > layout.columns[drawn_with[node.above]] + 1:
            numbers.setdefault(line, []).append((start, text))
        elif text and not set(behind) - {_LEFT, _LEFT | _RIGHT} and len(behind) > len(text) + 1:
            # no room before the join, but the branch to a class, which has no support itself, goes on
            numbers.setdefault(line, []).append((column + 2, text))
    signs_of = dict(enumerate(signs))
    found: list[Segment] = []
    for line, (position, label) in enumerate(zip(layout.tips, labels, strict=True)):
        drawing = cells[line].decode("latin-1").translate(signs_of)
        done = 0
        for start, text in sorted(numbers.get(line, ())):
            found += (Segment(drawing[done:start], _LINES), Segment(text))
            done = start + len(text)
        style = _CLADES if tree.nodes[position].collapsed else None
        found += (Segment(drawing[done:], _LINES), Segment(f" {label}", style), Segment.line())
    return found


def _has_both(tree: ClassTree) -> bool:
    """Whether its nodes have support and a share of models, so that two numbers are shown."""
    return all(
        any(node.values[key] is not None for node in tree.nodes) for key in ("support", "models")
    )


def _support(item: Any, both: bool) -> str:
    """98, or 98/67, or 98/– where one of both is unknown here, or nothing."""
    shares = [item["support"], item["models"]]
    if shares == [None, None]:
        return ""
    if both:
        return "/".join("–" if share is None else per_cent(share) for share in shares)
    return per_cent(next(share for share in shares if share is not None))


def _scale(top: float, width: int, signs: str) -> list[str]:
    """The axis of the heights below a tree, and the numbers below that."""
    step = 10 ** math.floor(math.log10(top * _TICK / width))
    step *= next(times for times in (1, 2, 5, 10) if top * _TICK / width <= times * step)
    ends = {0: f"{top:.3g}", width - 1: "0"}
    ticks = dict(ends)
    for count in range(1, math.floor(top / step) + 1):
        column = round((1 - count * step / top) * (width - 1))
        text = f"{count * step:.6g}"
        if column - len(text) // 2 > len(ends[0]):
            ticks[column] = text
    axis = [signs[_LEFT | _RIGHT]] * width
    numbers = [" "] * width
    for column, text in ticks.items():
        axis[column] = signs[_LEFT | _RIGHT | _UP | _DOWN]
        start = 0 if column == 0 else min(column - len(text) // 2, width - len(text))
        numbers[start : start + len(text)] = text
    axis[0], axis[-1] = signs[_UP | _DOWN | _RIGHT], signs[_UP | _DOWN | _LEFT]
    return [f"{''.join(axis)} {_AXIS}", "".join(numbers)]


def _legend(tree: ClassTree, signs: str) -> list[str]:
    lines = []
    if _has_both(tree):
        lines.append(
            "at joins: support from resampling / share of the other models with the clade, %"
        )
    elif any(node.values["support"] is not None for node in tree.nodes):
        lines.append("at joins: support from resampling, in per cent")
    elif any(node.values["models"] is not None for node in tree.nodes):
        lines.append("at joins: share of the models with the clade, in per cent")
    if any(node.collapsed for node in tree.nodes):
        lines.append(f"{signs[_CLADE]} (n): a clade of n classes, drawn as one")
    return lines
