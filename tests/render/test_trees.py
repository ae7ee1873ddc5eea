"""Trees for people: a line for each tip, joins as far right as their height says, within the window."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from scipy.cluster.hierarchy import leaves_list

from classrel_db.errors import ArgumentError
from classrel_db.render.answers import drawer
from classrel_db.render.trees import dendrogram

from .test_tables import ANSI
from .test_tree_files import DEEP, caterpillar, node, relation, rows_of, ward

SMALL = np.array([[0, 1, 1, 2], [2, 3, 2, 2], [4, 5, 4, 4]], dtype=float)
# where a line leaves a cell: left, right, up, down
SIDES = {
    "─": "LR", "│": "UD", "╭": "RD", "╰": "RU", "╮": "LD", "╯": "LU", "├": "UDR", "┤": "UDL",
    "┬": "LRD", "┴": "LRU", "┼": "LRUD", " ": "", "━": "L",
}  # fmt: skip


class Pipe(io.StringIO):
    encoding = "utf-8"


class Terminal(Pipe):
    def isatty(self):
        return True


class Scrolling(Terminal):
    scrolls = True


@pytest.fixture(autouse=True)
def _a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


def drawn(rows, out=Pipe):
    file = out()
    dendrogram(relation(rows), file)
    return file.getvalue()


def plain(rows, out=Terminal):
    return ANSI.sub("", drawn(rows, out)).splitlines()


def small(**inner):
    return rows_of(SMALL, ["tench", "goldfish", "hen", "cock"], **inner)


def test_a_small_tree_is_drawn_to_scale():
    assert plain(small(), Pipe) == [
        "m: clade 6, 4 classes",
        "╭───────────────────────────────────────────┬─────────────── tench",
        "│                                           ╰─────────────── goldfish",
        "╰─────────────────────────────┬───────────────────────────── hen",
        "                              ╰───────────────────────────── cock",
        "├──────────────┼──────────────┼─────────────┼──────────────┤ height",
        "4              3              2             1              0",
    ]  # fmt: skip


def test_what_it_is_drawn_with_where_there_is_no_utf_8():
    text = drawn(small(support=lambda _: 0.5), io.StringIO)
    assert text.isascii()
    assert "\n.----------------------------------------50-+--------------- tench\n" in text
    assert "\n|                                           '--------------- goldfish\n" in text


def test_it_is_found_by_its_name():
    file = Pipe()
    drawer("trees.dendrogram")(relation(small()), file)
    assert file.getvalue() == drawn(small())


def test_support_stands_before_its_node_and_is_explained():
    lines = plain(small(support=lambda n: {4: 0.984, 5: 0.07}.get(n)))
    assert re.match(r"╭─+─98─┬─+ tench", lines[1])
    assert re.match(r"╰─+─7─┬─+ hen", lines[3])
    assert lines[0] == "m: clade 6, 4 classes"
    assert lines[-1] == "at joins: support from resampling, in per cent"


def test_support_and_the_share_of_models_stand_together():
    lines = plain(
        small(
            support=lambda n: {4: 1.0, 6: 0.5}.get(n), models=lambda n: {5: 1 / 3, 6: 0.25}.get(n)
        )
    )
    assert lines[0] == "m: clade 6, 4 classes, support 50/25 %"
    assert re.match(r"╭─+─100/–─┬─+ tench", lines[1])
    assert re.match(r"╰─+─–/33─┬─+ hen", lines[3])
    assert lines[-1].startswith("at joins: support from resampling / share of the other models")


def test_a_share_of_models_alone_is_one_number():
    lines = plain(small(models=lambda n: 2 / 3))
    assert re.match(r"╭─+─67─┬─+ tench", lines[1])
    assert lines[-1] == "at joins: share of the models with the clade, in per cent"


def test_support_without_room_before_its_join_stands_behind():
    Z = SMALL.copy()
    for height, drawing in (
        (3.9, "╭┬─100─+"),
        (3.66, "╭─+┬─100─+"),
        (3.6, "╭─*100─┬─+"),
    ):
        Z[0, 2] = height
        line = plain(rows_of(Z, support=lambda _: 1.0), Pipe)[1]
        assert re.fullmatch(f"{drawing} class 0", line)


def test_collapsed_tips_are_named_with_their_size():
    rows = [
        node(9, None, 1300, height=4.0, name="animal"),
        node(5, 9, 1200, height=2.0, place=0, name="dog"),
        node(6, 9, 50, height=1.0, place=1),
        node(7, 9, name="crab", height=0.0),
    ]
    lines = plain(rows, Pipe)
    assert lines[0] == "m: animal, 1,300 classes"
    assert lines[1] == "╭" + "─" * 29 + "━" * 30 + " dog (1,200)"
    assert lines[2] == "├" + "─" * 43 + "━" * 16 + " clade 6 (50)"
    assert lines[3] == "╰" + "─" * 59 + " crab"
    assert lines[-1] == "━ (n): a clade of n classes, drawn as one"
    assert "\x1b[1m dog (1,200)" in drawn(rows, Terminal)


def test_a_collapsed_tip_is_seen_whatever_its_height():
    rows = [
        node(9, None, 9, height=4.0),
        node(5, 9, 3, height=5.0, place=0),
        node(6, 9, 6, height=1e-5, place=1),
        node(7, 6, 3, height=1e-6, place=1),
        node(8, 6, 3, height=1e-7, place=2),
    ]
    assert [line[:60] for line in plain(rows, Pipe)[1:4]] == [
        "╭" + "━" * 59,
        "╰" + "─" * 56 + "┬━━",
        " " * 57 + "╰━━",
    ]


def test_no_legend_for_what_is_not_there():
    assert len(plain(small())) == 1 + 4 + 2


def test_a_consensus_is_drawn_by_depth():
    rows = [
        node(0, None, 5, place=0), node(1, 0, 3, place=0, models=0.9),
        *(node(2 + i, 1, name=name) for i, name in enumerate("abc")),
        node(5, 0, name="d"), node(6, 0, name="e"),
    ]  # fmt: skip
    lines = plain(rows, Pipe)
    assert lines[1:6] == [
        "                              ╭───────────────────────────── a",
        "╭──────────────────────────90─┼───────────────────────────── b",
        "│                             ╰───────────────────────────── c",
        "├─────────────────────────────────────────────────────────── d",
        "╰─────────────────────────────────────────────────────────── e",
    ]
    assert "height" not in "".join(lines)


def test_equal_rows_are_drawn_by_depth():
    Z = SMALL.copy()
    Z[:, 2] = 0
    lines = plain(rows_of(Z), Pipe)
    assert [line.index("┬") for line in (lines[1], lines[3])] == [30, 30]
    assert "height" not in "".join(lines)


def test_a_join_above_its_parent_is_drawn_with_it():
    Z = np.array([[0, 1, 2.0, 2], [2, 3, 1.5, 3]])  # as centroid linkage makes them
    lines = plain(rows_of(Z), Pipe)
    assert [line[0] for line in lines[1:4]] == ["╭", "├", "╰"]
    assert lines[4].startswith("├")
    assert lines[5].startswith("1.5 ")


def test_a_single_class_and_no_tree_at_all():
    assert plain([node(7, None, name="sea snake", height=0.0)], Pipe)[0] == "m: sea snake, 1 class"
    assert plain([]) == ["no tree to draw"]
    with pytest.raises(ArgumentError, match="no tree"):
        drawn([node(1, 2, 1, "a")])


def test_each_model_has_its_tree():
    lines = plain(rows_of(SMALL, model="b") + rows_of(SMALL, model="a"))
    assert [line for line in lines if "classes" in line] == [
        "b: clade 6, 4 classes",
        "a: clade 6, 4 classes",
    ]
    assert lines.count("") == 1


LABELS = [
    "[bold]x[/bold]",
    ":smile:",
    "螃" * 40,
    "سرطان",
    "y" * 300,
    "e\u0301" * 50,
    "ok",
    "🦀 crab",
]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_is_never_written_beyond_its_edge(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for n in (5, 30, 200):
        labels = [LABELS[i % 8] + f" {i}" for i in range(n)]
        rows = rows_of(ward(n), labels, support=lambda _: 0.98, models=lambda _: 1.0)
        lines = plain(rows)
        assert max(map(cell_len, lines)) <= columns
        tips = lines[1 : n + 1]
        (edge,) = {cell_len(line) - cell_len(label_of(line)) for line in tips}
        assert edge >= 0.4 * columns
        for label in ("ok 6",) if n == 5 else ("ok 6", "[bold]x[/bold] 0", ":smile: 1"):
            assert n <= 6 or any(line.endswith(f" {label}") for line in tips)


def label_of(line):
    return re.match(r"[ ─│╭╰╮╯├┤┬┴┼━\d/]*─ (.*)", line)[1]


def test_labels_are_whole_as_long_as_half_of_the_window_is_left(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    labels = ["x" * 40, "螃" * 20, "e\u0301" * 40, "a"]
    lines = plain(rows_of(SMALL, labels))
    assert sorted(label_of(line) for line in lines[1:5]) == sorted(labels)
    assert {cell_len(line) for line in lines[1:4]} == {80}


def test_what_tells_labels_apart_is_not_cut(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    lines = plain(rows_of(SMALL, ["x" * 90, "x" * 90, "螃" * 60, "ok"]))
    cut = [label_of(line) for line in lines[1:5]]
    assert cut[0] == "x" * 26 + "… (n0000)" == cut[1].replace("1)", "0)") != cut[1]
    assert cut[2] == "螃" * 17 + "…"
    assert label_of(plain(rows_of(SMALL, ["a" * 33 + " " + "b" * 30, *"xyz"]))[1]) == "a" * 33 + "…"
    assert cell_len(cut[2]) == 35


@pytest.mark.parametrize("out", [Pipe, Scrolling])
def test_labels_are_whole_where_there_is_no_edge(out):
    labels = ["y" * 300, "螃" * 90, "ok", "x"]
    assert sorted(label_of(line) for line in plain(rows_of(SMALL, labels), out)[1:5]) == sorted(
        labels
    )


def test_a_pipe_gets_no_colours_and_a_terminal_does():
    assert "\x1b" not in drawn(small(support=lambda _: 0.5), Pipe)
    text = drawn(small(support=lambda _: 0.5), Terminal)
    assert "\x1b[1mm: clade 6" in text
    assert re.search(r"─\x1b\[0m tench\n", text)
    assert re.search(r"\x1b\[0m50\x1b\[2m─┬", text)


@pytest.mark.parametrize("out", [Pipe, Terminal, io.StringIO])
def test_labels_steer_nothing(out):
    evil = "a\x1b[2Jb\n\r\u202ec\x9b"
    rows = rows_of(SMALL, [evil, "b", "c", "d"], model=evil)
    rows[6]["name"] = evil
    rows += rows_of(SMALL, ["b", "c", "d", "e"], model=f"{evil}2")
    text = ANSI.sub("", drawn(rows, out)) if out is Terminal else drawn(rows, out)
    assert text.count("\\x1b[2Jb\\n\\r\\u202ec\\x9b") == 4
    assert not set(text) & set("\x1b\r\u202e\x9b")
    assert len(text.splitlines()) == 7 + 1 + 7


def sound(lines, n):
    """Whether every line that leaves a cell enters the next, all in one piece, a tip at each line."""
    grid = [re.match(r"[ ─│╭╰╮╯├┤┬┴┼━]*(?= )", line)[0] for line in lines]
    (width,) = set(map(len, grid))
    assert len(grid) == n
    linked = {}
    for y, row in enumerate(grid):
        assert row[-1] in "─━"
        for x, sign in enumerate(row):
            sides = SIDES[sign]
            right = x + 1 < width and "L" in SIDES[row[x + 1]]
            below = y + 1 < n and "U" in SIDES[grid[y + 1][x]]
            assert ("R" in sides or sign == "━") == right or x + 1 == width
            assert ("D" in sides) == below
            linked[y, x] = [(y, x + 1)] * right + [(y + 1, x)] * below
    # a tree of cells: one link less than there are cells
    cells = sum(sign != " " for row in grid for sign in row)
    assert sum(map(len, linked.values())) == cells - 1


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 40), st.integers(0, 10**6), st.sampled_from(["ward", "centroid", "single"]))
def test_the_lines_of_any_tree_make_one_tree(n, seed, method):
    Z = ward(n, seed, method)
    rows = rows_of(Z, ["x"] * n)
    lines = plain(rows, Pipe)[1 : n + 1]
    sound(lines, n)
    names = [label_of(line) for line in lines]
    assert names == [f"x (n{i:04d})" for i in leaves_list(Z)]
    # joins are where their height says, a column for all at one height
    top = Z[-1, 2]
    for line, leaf in zip(lines, leaves_list(Z), strict=True):
        joined = next(row[2] for row in Z if leaf in row[:2])
        grid = line[:60]
        last = max(i for i, sign in enumerate(grid) if sign not in "─ ")
        expected = min(57, max(0, round((1 - joined / top) * 59)))
        assert last == expected or (method == "centroid" and last >= expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 40), st.integers(0, 10**6), st.integers(1, 10), st.booleans())
def test_the_lines_of_part_of_a_tree_make_one_tree(n, seed, most, heights):
    rows = rows_of(ward(n, seed))
    inner = sorted(rows[n:], key=lambda row: -row["height"])[:most]
    shown = {row["node"] for row in inner}
    part = [row for row in rows if row.get("parent") is None or row["parent"] in shown]
    if not heights:
        part = [row | {"height": None} for row in part]
    tips = [row for row in part if row["node"] not in shown]
    lines = plain(part, Pipe)
    sound(lines[1 : len(tips) + 1], len(tips))
    for row, line in zip(sorted(tips, key=lambda row: row["place"]), lines[1:], strict=False):
        assert ("━" in line) == (row["size"] > 1)
        assert line.endswith(
            f" clade {row['node']} ({row['size']})" if row["size"] > 1 else row["name"]
        )


@pytest.mark.parametrize(
    "top", [1e-9, 0.9999, 1.0001, 0.10001, 12.3456, 1.0, 1.5, 3.0, 7.0, 9.99, 1234.5, 8.3e7]
)
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_scale_says_where_heights_are(monkeypatch, top, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [node(2, None, 2, height=top), node(0, 2, name="a"), node(1, 2, name="b")]
    axis, numbers = plain(rows)[-2:]
    width = axis.index("┤") + 1
    ticks = [i for i, sign in enumerate(axis) if sign in "├┼┤"]
    found = [(m.start(), m.end(), float(m[0])) for m in re.finditer(r"\S+", numbers)]
    assert len(found) == len(ticks) >= 3
    assert found[0][2] == float(f"{top:.3g}")
    assert found[-1][2] == 0
    for (start, end, value), tick in zip(found, ticks, strict=True):
        assert start <= tick < end
        assert abs((1 - value / top) * (width - 1) - tick) <= 0.5 + 0.005 * width


@pytest.mark.parametrize("out", [Pipe, Terminal])
def test_no_tree_is_too_deep_to_be_drawn(out):
    n = DEEP if out is Pipe else 2_000
    lines = plain(rows_of(caterpillar(n), order=np.arange(n)[::-1]), out)
    assert len(lines) == 1 + n + 2
    if n < DEEP:
        sound(lines[1 : n + 1], n)
