"""csv, json, markdown and parquet, read back by someone else's code."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import pty
import struct
import sys
from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
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
    with pytest.raises(ArgumentError, match=r"\.csv, \.json, .*\.md, \.parquet"):
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


# what SQL can answer with


FEW, MANY = 3, 10_003  # rows fetched at once, and batch by batch

# an expression of SQL, what JSON says of it, and what CSV says
KINDS = {
    "null": ("NULL", None, ""),
    "nan": ("'nan'::DOUBLE", None, ""),
    "infinity": ("'-inf'::DOUBLE", None, ""),
    "a single that is none": ("'nan'::FLOAT", None, ""),
    "a single": ("0.1::FLOAT", 0.1, "0.1"),
    "a double": ("0.1::DOUBLE + 0.2::DOUBLE", 0.1 + 0.2, "0.30000000000000004"),
    "decimal": ("12.50::DECIMAL(10, 2)", 12.5, "12.50"),
    "whole decimal": ("-7::DECIMAL(10, 0)", -7, "-7"),
    "hugeint": ("170141183460469231731687303715884105727::HUGEINT", 2**127 - 1, str(2**127 - 1)),
    "sum of integers": ("sum(7) OVER ()", None, None),
    "unsigned": ("18446744073709551615::UBIGINT", 2**64 - 1, str(2**64 - 1)),
    "true": ("true", True, "true"),
    "list": ("[1, NULL, 3]", [1, None, 3], "[1, null, 3]"),
    "list of singles": ("[0.1::FLOAT, 'nan'::FLOAT]", [0.1, None], "[0.1, null]"),
    "list of lists": ("[['a'], []]", [["a"], []], '[["a"], []]'),
    "empty list": ("[]::INTEGER[]", [], "[]"),
    "struct": ("{'x': 1, 'y': ['é']}", {"x": 1, "y": ["é"]}, '{"x": 1, "y": ["é"]}'),
    "blob": ("'\\xAA\\x00\\x7F'::BLOB", "\\xAA\\x00\\x7F", "\\xAA\\x00\\x7F"),
    "list of blobs": ("['\\xAA'::BLOB]", ["\\xAA"], '["\\\\xAA"]'),
    "timestamp": ("TIMESTAMP '2026-01-02 03:04:05'", "2026-01-02 03:04:05", "2026-01-02 03:04:05"),
    "date": ("DATE '2026-01-02'", "2026-01-02", "2026-01-02"),
    "time": ("TIME '01:02:03'", "01:02:03", "01:02:03"),
    "uuid": (f"'{'0f' * 4}-4455-6677-8899-aabbccddeeff'::UUID", None, None),
    "enum": ("'a'::ENUM ('a', 'b')", "a", "a"),
    "zoned": (
        "TIMESTAMPTZ '2026-01-02 03:04:05+00'",
        "2026-01-02 03:04:05+00",
        "2026-01-02 03:04:05+00",
    ),
    "list of zoned": (
        "[TIMESTAMPTZ '2026-01-02 03:04:05+00']",
        ["2026-01-02 03:04:05+00"],
        '["2026-01-02 03:04:05+00"]',
    ),
    "quotes": ("'say \"hi\", it''s'", 'say "hi", it\'s', 'say "hi", it\'s'),
    "line break": ("'a' || chr(10) || chr(13) || 'b'", "a\n\rb", "a\n\rb"),
    "emoji": ("'🦀 سرطان'", "🦀 سرطان", "🦀 سرطان"),
}
SAME = {
    "sum of integers": lambda n: 7 * n,
    "uuid": lambda _: "0f0f0f0f-4455-6677-8899-aabbccddeeff",
}


def of_kind(kind, count):
    """``count`` rows of one value, and what JSON and CSV are to say of it."""
    expression, as_json, as_csv = KINDS[kind]
    if kind in SAME:
        as_json = SAME[kind](count)
        as_csv = str(as_json)
    connection = duckdb.connect()
    connection.execute("SET timezone = 'UTC'")
    return connection.sql(f"SELECT {expression} AS x FROM range({count})"), as_json, as_csv


@pytest.mark.parametrize("count", [FEW, MANY])
@pytest.mark.parametrize("kind", KINDS)
def test_json_and_jsonl_say_a_value_as_it_is(kind, count):
    rows, as_json, _ = of_kind(kind, count)
    lines = written(formats.write_jsonl, rows).split("\n")[:-1]
    assert len(lines) == count
    (line,) = set(lines)
    assert written(formats.write_json, rows) == "[\n" + ",\n".join(lines) + "\n]\n"
    assert json.loads(line) == {"x": as_json}
    assert type(json.loads(line)["x"]) is type(as_json)


@pytest.mark.parametrize("count", [FEW, MANY])
@pytest.mark.parametrize("kind", KINDS)
def test_csv_says_a_value_as_it_is(kind, count):
    rows, _, as_csv = of_kind(kind, count)
    text = written(formats.write_csv, rows)
    header, *body = csv.reader(io.StringIO(text, newline=""))
    assert header == ["x"]
    assert body == [[as_csv]] * count


@pytest.mark.parametrize(
    "expression",
    ["INTERVAL 3 DAY", "MAP {'a': 1}", "[INTERVAL 1 HOUR]"],
)
def test_a_value_is_written_the_same_however_many_rows_there_are(expression):
    def first(count):
        rows = duckdb.sql(f"SELECT {expression} AS x FROM range({count})")
        return json.loads(written(formats.write_jsonl, rows).splitlines()[0])

    assert first(FEW) == first(MANY)


@pytest.mark.parametrize("expression", ["'infinity'::DATE", "DATE '20000-01-01'"])
def test_a_date_beyond_pythons_is_written_however_many_rows_there_are(expression):
    rows = duckdb.sql(f"SELECT {expression} AS x FROM range({MANY})")
    assert len(written(formats.write_csv, rows).splitlines()) == MANY + 1


def test_a_decimal_keeps_all_of_its_digits():
    rows = duckdb.sql("SELECT 12345678901234567.89::DECIMAL(19, 2) AS x")
    assert written(formats.write_csv, rows) == "x\n12345678901234567.89\n"


def test_a_single_in_a_struct_is_as_short_as_elsewhere():
    rows = duckdb.sql("SELECT {'y': 0.1::FLOAT} AS x")
    assert json.loads(written(formats.write_json, rows)) == [{"x": {"y": 0.1}}]


@pytest.mark.parametrize("count", [FEW, MANY])
def test_columns_of_one_name_all_stay(count, tmp_path):
    rows = duckdb.sql(f"SELECT 1 AS a, 2 AS a, 3 AS b, 4 AS a FROM range({count})")
    assert json.loads(written(formats.write_json, rows))[0] == {"a": 1, "a_2": 2, "b": 3, "a_3": 4}
    assert written(formats.write_csv, rows).splitlines()[:2] == ["a,a,b,a", "1,2,3,4"]
    for ending in ("parquet", "arrow"):
        path = tmp_path / f"rows.{ending}"
        formats.emit(rows, ending, path, formats.write_csv)
        assert [column.to_pylist()[0] for column in table_of(path).columns] == [1, 2, 3, 4]


def test_a_name_that_a_column_has_already_is_not_taken_for_another():
    rows = duckdb.sql("SELECT 1 AS a, 2 AS a_2, 3 AS a")
    assert sorted(json.loads(written(formats.write_json, rows))[0].values()) == [1, 2, 3]


def table_of(path):
    """What pyarrow reads in a file."""
    if path.suffix == ".parquet":
        return pa.parquet.read_table(path)
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


@pytest.mark.parametrize("count", [0, FEW, MANY])
@pytest.mark.parametrize("ending", ["parquet", "arrow", "feather"])
def test_binary_files_read_back_with_pyarrow(tmp_path, ending, count):
    rows = duckdb.sql(
        f"""
        SELECT i::INTEGER AS i, '🦀 "' || i AS label, i / 8::FLOAT AS x, [i, NULL] AS list,
               {{'a': i}} AS struct, '\\xAA'::BLOB AS blob, 1.50::DECIMAL(10, 2) AS decimal,
               CASE WHEN i > 0 THEN TIMESTAMPTZ '2026-01-02 03:04:05+00' END AS at
        FROM range({count}) AS t(i)
        """
    )
    path = tmp_path / f"rows.{ending}"
    formats.emit(rows, formats.format_of(None, path), path, formats.write_csv)
    table = table_of(path)
    assert table.column_names == rows.columns
    assert len(table) == count
    if ending == "feather":
        assert pa.feather.read_table(path).equals(table)
    if count:
        at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        last = table.slice(count - 1).to_pylist()[0]
        i = count - 1
        assert (last["i"], last["label"], last["x"]) == (i, f'🦀 "{i}', i / 8)
        assert (last["list"], last["struct"], last["blob"]) == ([i, None], {"a": i}, b"\xaa")
        assert (last["decimal"], last["at"]) == (Decimal("1.50"), at)
        assert table["at"][0].as_py() is None


def test_a_hugeint_is_whole_in_arrow(tmp_path):
    rows = duckdb.sql("SELECT 170141183460469231731687303715884105727::HUGEINT AS x")
    formats.emit(rows, "arrow", tmp_path / "a.arrow", formats.write_csv)
    assert table_of(tmp_path / "a.arrow")["x"].to_pylist() == [Decimal(2**127 - 1)]


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.ARROW", "arrow"),
        ("a.feather", "arrow"),
    ],
)
def test_the_ending_names_the_newer_formats_too(tmp_path, name, format):
    assert formats.format_of(None, tmp_path / name) == format


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
def test_standard_output_has_a_name(capsys, output):
    from pathlib import Path

    assert formats.format_of(None, Path(output)) == "table"
    formats.emit(duckdb.sql("SELECT 1 AS x"), "csv", Path(output), formats.write_csv)
    assert capsys.readouterr().out == "x\n1\n"


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_binary_is_not_sent_to_a_terminal(monkeypatch, format):
    controller, terminal = pty.openpty()
    with os.fdopen(controller, "rb"), os.fdopen(terminal, "w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        with pytest.raises(ArgumentError, match=r"binary .* --output, or pipe it"):
            formats.emit(duckdb.sql("SELECT 1 AS x"), format, None, formats.write_csv)
