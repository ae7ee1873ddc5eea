"""Drawings for the terminal: what their marks say is what the numbers are."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import duckdb
import numpy as np
import pytest
from rich.console import Console

from classrel_db.render import drawings

SHADES = " .:-=+*#%@"


def matrix(values, labels=None, model="m"):
    """The rows of a symmetric matrix, as ``Catalog.similarity_matrix`` gives them."""
    n = len(values)
    names = labels or [f"class {i}" for i in range(n)]
    rows = [
        (model, a, b, names[a], names[b], 1, 1, float(values[a][b]), 1.0)
        for a in range(n)
        for b in range(a, n)
        if not np.isnan(values[a][b])
    ]
    columns = "model, place_a, place_b, class_a, class_b, classes_a, classes_b, cosine, euclidean"
    given = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?)"] * len(rows))
    return duckdb.connect().sql(
        f"SELECT * FROM (VALUES {given}) AS t({columns})", params=[v for row in rows for v in row]
    )


def random_matrix(n, seed=0, own=np.nan):
    values = np.random.default_rng(seed).uniform(-0.4, 0.6, size=(n, n))
    values = (values + values.T) / 2
    np.fill_diagonal(values, own)
    return values


def drawn(draw, rows):
    file = io.StringIO()
    draw(rows, file)
    return file.getvalue()


def on_a_terminal(draw, rows, monkeypatch, columns=80):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=columns)
    monkeypatch.setattr(drawings, "console_for", lambda _: console)
    draw(rows, file)
    return file.getvalue()


@pytest.mark.parametrize("n", [2, 3, 8, 9])
def test_a_shade_is_the_mean_of_two_rows(n):
    values = random_matrix(n)
    lines = drawn(drawings.heatmap, matrix(values)).splitlines()
    assert lines[0] == "cosines of the classes of m, bright is alike;"
    cells = lines[3 : 3 + -(-n // 2)]
    known = values[~np.isnan(values)]
    low, high = known.min(), known.max()
    for i, line in enumerate(cells):
        assert line[n:] == f"  class {2 * i}"
        for j in range(n):
            levels = [
                (values[row, j] - low) / ((high - low) or 1e-6)
                for row in (2 * i, 2 * i + 1)
                if row < n and not np.isnan(values[row, j])
            ]
            expected = SHADES[min(9, int(np.mean(levels) * 10))] if levels else " "
            near = {SHADES[max(0, SHADES.index(expected) - 1)], expected}
            assert (
                line[j] in near
                if levels and np.mean(levels) * 10 % 1 < 1e-6
                else line[j] == expected
            )
    assert lines[-1].startswith(f"{low:.3f} ")
    assert lines[-1].endswith(f" {high:.3f} cosine")


def test_colours_are_viridis_at_the_cosines(monkeypatch):
    import matplotlib as mpl

    values = random_matrix(6, own=0.5)
    text = on_a_terminal(drawings.heatmap, matrix(values), monkeypatch)
    lines = [line for line in text.splitlines() if line.count("▀") >= 6]
    assert len(lines) == 3
    low, high = values.min(), values.max()
    viridis = mpl.colormaps["viridis"]
    for i, line in enumerate(lines):
        pattern = r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m(▀+)"
        cells = [
            [int(c) for c in m.groups()[:6]] for m in re.finditer(pattern, line) for _ in m.group(7)
        ]
        assert len(cells) == 6
        for j, cell in enumerate(cells):
            for row, shown in ((2 * i, cell[:3]), (2 * i + 1, cell[3:])):
                level = (values[row, j] - low) / (high - low)
                # nine places of the map, straight between them
                np.testing.assert_allclose(shown, np.array(viridis(level)[:3]) * 255, atol=18)


def test_a_cell_that_says_nothing_has_no_colour(monkeypatch):
    text = on_a_terminal(drawings.heatmap, matrix(random_matrix(4)), monkeypatch)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines()]
    cells = [line[:4] for line in lines if set(line[:4]) & set("▀▄")]
    assert cells == ["▄▀▀▀", "▀▀▄▀"]


def test_a_long_or_steering_label_is_cut_and_written_out():
    labels = ["x" * 500, "b", "a\x1b[2J\nb", "[bold]d[/bold]"]
    text = drawn(drawings.heatmap, matrix(random_matrix(4), labels))
    assert f"  {'x' * 17}…\n" in text
    assert "\\x1b[2J\\nb" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_nothing_goes_beyond_the_edge_of_a_terminal(monkeypatch, columns):
    labels = ["螃" * 30] * 60
    text = on_a_terminal(
        drawings.heatmap, matrix(random_matrix(60), labels), monkeypatch, columns=columns
    )
    for line in text.splitlines():
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
        assert sum(2 if c == "螃" else 1 for c in plain) <= columns


def distribution(counts, null=None, n=None, model="m"):
    total = n or sum(counts)
    null = null or [1 / len(counts)] * len(counts)
    rows = ", ".join(
        f"({low}, {low} + 0.01, {count}::BIGINT, {share}::DOUBLE)"
        for low, count, share in zip(np.arange(len(counts)) / 100, counts, null, strict=True)
    )
    return duckdb.connect().sql(
        f"SELECT '{model}' AS model, *, {total}::BIGINT AS n, 0.1::DOUBLE AS mean, 0.0::DOUBLE AS "
        f"null_mean, 0.05::DOUBLE AS null_high, 0.25::DOUBLE AS above FROM (VALUES {rows}) AS "
        "t(low, high, pairs, null_share)"
    )


def test_bars_are_as_long_as_the_logarithms_of_the_counts():
    counts = [0, 1, 10, 100, 9_999]
    lines = drawn(drawings.histogram, distribution(counts)).splitlines()
    bars = [line for line in lines if " to " in line]
    assert len(bars) == 5
    whole = 48
    for line, count in zip(bars, counts, strict=True):
        length = np.log10(count + 1) / 4 * whole
        assert line.count("#") == pytest.approx(length, abs=1)
        assert f"{count:,}" in line
    text = "\n".join(lines)
    assert "10,110 pairs of classes in m" in text
    assert "25.0% of the pairs are beyond 97.5 % of chance (0.050)" in text


def test_many_bins_are_joined_and_none_is_lost():
    counts = list(range(1, 101))
    lines = drawn(drawings.histogram, distribution(counts)).splitlines()
    bars = re.findall(r"(-?\d\.\d\d) to\s+(-?\d\.\d\d)\s+([\d,]+)\s+([\d,]+)", "\n".join(lines))
    assert len(bars) <= 32
    assert sum(int(count.replace(",", "")) for *_, count, _ in bars) == sum(counts)
    assert bars[0][0] == "0.00"
    assert bars[-1][1] == "1.00"
    assert all(a[1] == b[0] for a, b in pairwise(bars))
    expected = sum(int(null.replace(",", "")) for *_, null in bars)
    assert expected == pytest.approx(sum(counts), abs=32)


@pytest.mark.parametrize("columns", [80, 60])
def test_a_histogram_stays_within_the_edge(monkeypatch, columns):
    text = on_a_terminal(
        drawings.histogram, distribution([5, 10_000_000, 3]), monkeypatch, columns=columns
    )
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()) <= columns


def test_one_pair_is_a_pair():
    text = drawn(drawings.histogram, distribution([1]))
    assert "cosines of 1 pair of classes" in text
