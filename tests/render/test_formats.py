"""csv, json, markdown and parquet, read back by someone else's code."""

from __future__ import annotations

import csv
import io
import json
import math
import struct

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classrel_db.errors import ArgumentError, ClassrelError
from classrel_db.render import formats

ODD = [
    "[bold]x[/bold]",
    "🦀 crab",
    "سرطان",
    "x" * 1000,
    "a|b,c",
    'say "hi"',
    "back\\slash",
    "l1\nl2",
]


@pytest.fixture
def rows():
    """A relation with every kind of value that the package answers with."""
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE t (label VARCHAR, n INTEGER, cosine FLOAT, norm DOUBLE, ok BOOLEAN, day TIMESTAMP)"
    )
    for i, label in enumerate(ODD):
        connection.execute(
            "INSERT INTO t VALUES (?, ?, ?, ?, ?, '2026-01-02 03:04:05')",
            [label, i, 0.1 * i - 0.3, math.sqrt(i), i % 2 == 0],
        )
    connection.execute("INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL, NULL)")
    return connection.sql("FROM t")


def written(write, rows):
    file = io.StringIO()
    write(rows, file)
    return file.getvalue()


def expected(rows):
    return [list(row) for row in rows.fetchall()]


def single(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def test_csv_reads_back_with_the_standard_library(rows):
    header, *body = csv.reader(io.StringIO(written(formats.write_csv, rows), newline=""))
    assert header == rows.columns
    for got, row in zip(body, expected(rows), strict=True):
        assert got[0] == (row[0] or "")
        assert got[1] == ("" if row[1] is None else str(row[1]))
        if row[2] is not None:
            assert single(float(got[2])) == row[2]
            assert float(got[3]) == row[3]
            assert got[4] == str(row[4]).lower()
            assert got[5] == str(row[5])
        else:
            assert got[2:] == ["", "", "", ""]


def test_csv_ends_lines_with_a_line_feed_only(rows):
    assert "\r" not in written(formats.write_csv, rows)


def test_csv_reads_back_with_duckdb(rows, tmp_path):
    path = tmp_path / "rows.csv"
    formats.emit(rows, "csv", path, formats.write_csv)
    back = duckdb.sql(f"SELECT label, n, cosine::FLOAT, norm FROM read_csv('{path}')").fetchall()
    assert back == [tuple(row[:4]) for row in expected(rows)]


def test_json_is_a_list_of_objects_with_the_column_names(rows):
    got = json.loads(written(formats.write_json, rows))
    assert [list(item) for item in got] == [rows.columns] * len(expected(rows))
    for item, row in zip(got, expected(rows), strict=True):
        assert [item["label"], item["n"], item["norm"], item["ok"]] == [
            row[0],
            row[1],
            row[3],
            row[4],
        ]
        assert (None if item["cosine"] is None else single(item["cosine"])) == row[2]
        assert item["day"] == (None if row[5] is None else str(row[5]))


def test_json_of_no_rows_is_an_empty_list(rows):
    assert json.loads(written(formats.write_json, rows.filter("n > 1000"))) == []


def test_json_has_null_where_there_is_no_number():
    rows = duckdb.sql("SELECT 'nan'::FLOAT AS a, 'inf'::DOUBLE AS b")
    assert json.loads(written(formats.write_json, rows)) == [{"a": None, "b": None}]


def cells_of(line):
    """The cells of a line of a pipe table, as GitHub's specification splits it."""
    cells, cell, escaped = [], "", False
    for character in line.strip()[1:-1]:
        if escaped:
            cell += character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "|":
            cells.append(cell.strip())
            cell = ""
        else:
            cell += character
    return [*cells, cell.strip()]


def test_markdown_is_one_line_a_row_with_every_cell(rows):
    sound = rows.filter("label IS NULL OR NOT contains(label, chr(10))")
    header, rule, *body = written(formats.write_markdown, sound).splitlines()
    assert cells_of(header) == rows.columns
    assert set(cells_of(rule)) == {"---"}
    assert len(body) == len(expected(sound))
    for line, row in zip(body, expected(sound), strict=True):
        assert cells_of(line)[0] == (row[0] or "")
        assert len(cells_of(line)) == len(rows.columns)


def test_a_line_break_does_not_break_a_markdown_row(rows):
    text = written(formats.write_markdown, rows)
    assert len(text.splitlines()) == 2 + len(expected(rows))


def test_parquet_is_the_relation_itself(rows, tmp_path):
    path = tmp_path / "rows.parquet"
    formats.emit(rows, formats.format_of(None, path), path, formats.write_csv)
    assert duckdb.sql(f"FROM '{path}'").fetchall() == rows.fetchall()
    assert duckdb.sql(f"FROM '{path}'").types == rows.types


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_single_is_written_as_the_shortest_decimal_that_reads_back(value):
    shown = formats.shortest(value)
    assert single(shown) == value
    digits = len(repr(shown).lstrip("-0.").replace(".", "").split("e")[0].rstrip("0"))
    assert digits <= 9
    fewer = [float(f"{value:.{n}g}") for n in range(1, min(max(digits, 1), 6))]
    if digits > 6:
        assert all(single(shorter) != value for shorter in fewer)


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.csv", "csv"), ("a.JSON", "json"), ("a.md", "markdown"), ("a.txt", "table")],
)
def test_the_ending_names_the_format(tmp_path, name, format):
    assert formats.format_of(None, tmp_path / name) == format
    assert formats.format_of("json", tmp_path / name) == "json"


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.csv.gz", ".csv"])
def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(ArgumentError, match=r"\.csv, \.json, \.md, \.parquet"):
        formats.format_of(None, tmp_path / name)


def test_parquet_in_another_format_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="leave --format out"):
        formats.format_of("csv", tmp_path / "a.parquet")


def test_a_missing_folder_is_refused(rows, tmp_path):
    with pytest.raises(ArgumentError, match="no-such"):
        formats.emit(rows, "csv", tmp_path / "no-such" / "a.csv", formats.write_csv)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_files_place_is_refused_and_kept(rows, tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(ClassrelError, match=r"a\.csv"):
        formats.emit(rows, "csv", tmp_path / "a.csv", formats.write_csv)
    assert [f.name for f in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, name):
    path = tmp_path / name
    path.write_text("old")
    broken = duckdb.sql("SELECT error('in the middle') AS x FROM range(3)")
    with pytest.raises(duckdb.Error):
        formats.emit(broken, formats.format_of(None, path), path, formats.write_csv)
    assert [f.name for f in tmp_path.iterdir()] == [name]
    assert path.read_text() == "old"


def test_a_written_file_has_the_usual_permissions(rows, tmp_path):
    formats.emit(rows, "csv", tmp_path / "a.csv", formats.write_csv)
    (tmp_path / "other").touch()
    assert (tmp_path / "a.csv").stat().st_mode == (tmp_path / "other").stat().st_mode
