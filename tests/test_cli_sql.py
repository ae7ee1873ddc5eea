"""`classrel sql`, `classrel query` and `similar --where`: what a user types, sees and is told."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time

import duckdb
import numpy as np
import pexpect
import psutil
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest
from databases import kept_open
from oracle import REAL, assert_refused, json_of, run_python

import classrel_db
from classrel_db.records import FORMATS

ODD = ["plain", "it's", 'say "hi"', "a,b;c", "🦀 crab", "سرطان", "x' OR 1=1 --", "a|b"]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A database of one model with labels that files and SQL could stumble over; read it only."""
    folder = tmp_path_factory.mktemp("odd")
    weight = np.random.default_rng(3).normal(size=(len(ODD), 5)).astype(np.float32)
    np.savez(folder / "odd.npz", weight=weight, labels=ODD)
    with classrel_db.open(folder / "odd.duckdb") as catalog:
        catalog.ingest(folder / "odd.npz")
    with kept_open(folder / "odd.duckdb"):
        yield folder / "odd.duckdb"


@pytest.fixture
def own(odd, tmp_path):
    """A copy that may be changed."""
    return shutil.copy(odd, tmp_path / "own.duckdb")


def refused(answer, *parts):
    """Exit code 1, nothing on standard output, no traceback; the message."""
    assert answer.returncode == 1, (answer.returncode, answer.stdout, answer.stderr)
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: ")
    assert "Traceback" not in answer.stderr
    for part in parts:
        assert part in answer.stderr
    return answer.stderr.splitlines()


# what goes wrong in SQL


@pytest.mark.parametrize(
    ("text", "line", "marked", "hint"),
    [
        ("SELECT * FORM classes", 1, "classes", None),
        ("SELECT labl FROM classes", 1, "labl", "did you mean label?"),
        ("SELECT label\n  FROM clases", 2, "clases", "did you mean classes"),
        ("FROM neighbours('a', 'b')", 1, "neighbours('a', 'b')", "did you mean neighbors"),
        ("SELECT class_idx, lenght(label)\nFROM classes", 1, "lenght(label)", "length"),
    ],
)
def test_an_error_in_sql_shows_the_place_and_a_name_that_is_near(
    odd, classrel, text, line, marked, hint
):
    lines = refused(classrel("sql", text, "--db", odd))
    assert lines[1] == f"  line {line}: {text.splitlines()[line - 1]}"
    assert lines[2] == " " * lines[1].index(marked) + "^" * len(marked)
    if hint is not None:
        assert lines[3].startswith("hint: ")
        assert hint in lines[3]


def test_a_macro_that_is_called_wrongly_is_shown(odd, classrel):
    lines = refused(classrel("sql", "FROM neighbors('odd')", "--db", odd))
    assert lines[-1].startswith("hint: the macro is neighbors(model, class, k := 25, keep := NULL)")


@pytest.mark.parametrize("text", ["", " ", ";", "/* nothing */"])
def test_an_empty_statement_is_refused(odd, classrel, text):
    assert_refused(classrel("sql", text, "--db", odd), "no statement", "FROM models")


def test_several_statements_are_refused(odd, classrel):
    assert_refused(
        classrel("sql", "SELECT 1; SELECT 2", "--db", odd), "2 statements", "classrel shell"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("DELETE FROM classes", "DELETE changes the database"),
        ("CREATE TABLE t AS SELECT 1", "CREATE changes the database"),
        ("ATTACH 'new.duckdb'", "ATTACH opens another database"),
        ("COPY classes TO 'new.csv'", "COPY writes or reads files"),
        ("EXPORT DATABASE 'new'", "EXPORT writes files"),
        ("INSTALL httpfs", "can load code"),
        ("LOAD httpfs", "can load code"),
        ("PRAGMA database_list", "PRAGMA can change how the database works"),
        ("PREPARE p AS SELECT 1", "PREPARE is needed nowhere here"),
        ("EXECUTE p", "EXECUTE runs what another statement has prepared"),
        ("SET enable_external_access = true", "can change what the database may reach"),
        ("SET home_directory = '.'", "can change what the database may reach"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'new.csv'", "EXPLAIN ANALYZE runs the statement"),
    ],
)
def test_what_is_not_reading_is_refused_with_what_is_allowed(
    own, classrel, tmp_path, monkeypatch, text, why
):
    monkeypatch.chdir(tmp_path)
    before = own.read_bytes()
    (message,) = refused(classrel("sql", text, "--db", own), why)
    assert "allowed are SELECT, FROM, WITH, VALUES" in message
    assert "--output" in message
    assert "`classrel sql --write`" in message
    assert own.read_bytes() == before
    assert list(tmp_path.iterdir()) == [own]


@pytest.mark.parametrize(
    "text",
    ["FROM models", "SET threads = 1", "CREATE TEMP TABLE t AS SELECT 1", "EXPLAIN SELECT 1"],
)
def test_reading_leaves_the_file_alone(own, classrel, text):
    before = own.read_bytes()
    assert classrel("sql", text, "--db", own).returncode == 0
    assert own.read_bytes() == before


@pytest.mark.parametrize(
    ("sql", "code"),
    [("SELECT error('stop here') FROM classes", 1), ("SELECT label::INTEGER FROM classes", 1)],
)
@pytest.mark.parametrize("format", ["table", "csv", "json", "parquet"])
def test_an_error_while_rows_are_computed_is_an_error(odd, classrel, tmp_path, sql, code, format):
    answer = classrel("sql", sql, "--db", odd, "-f", format, "-o", tmp_path / "out")
    assert answer.returncode == code
    assert answer.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


# writing


def test_write_changes_the_database(own, classrel):
    assert (
        classrel("sql", "CREATE TABLE notes AS FROM classes", "--write", "--db", own).returncode
        == 0
    )
    answer = classrel("sql", "DELETE FROM notes WHERE class_idx > 1 RETURNING class_idx",
                      "--write", "--db", own, "-f", "json")  # fmt: skip
    assert len(json_of(answer)) == len(ODD) - 2
    found = json_of(classrel("sql", "SELECT label FROM notes", "--db", own, "-f", "json"))
    assert found == [{"label": "plain"}, {"label": "it's"}]


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM clases",
        "UPDATE classes SET label = error('stop')",
        "DELETE FROM classes; DELETE FROM models",
        "DELETE",
    ],
)
def test_write_that_fails_changes_nothing(own, classrel, text):
    everything = ["sql", "FROM classes", "--db", own, "-f", "csv"]
    before = classrel(*everything).stdout
    refused(classrel("sql", text, "--write", "--db", own))
    assert classrel(*everything).stdout == before


@pytest.mark.parametrize("options", [[], ["--write"]])
def test_a_missing_database_is_not_made(classrel, tmp_path, options):
    answer = classrel("sql", "SELECT 1", *options, "--db", tmp_path / "x.duckdb")
    assert_refused(answer, "no database at", "classrel ingest")
    assert list(tmp_path.iterdir()) == []


# where the statement comes from


@pytest.mark.parametrize("argument", [[], ["-"]])
def test_a_statement_comes_from_standard_input(odd, classrel, monkeypatch, argument):
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 1 AS a,\n'é' AS b;\n"))
    assert classrel("sql", *argument, "--db", odd, "-f", "csv").stdout == "a,b\n1,é\n"


def test_a_statement_comes_from_a_file(odd, classrel, tmp_path):
    file = tmp_path / "q.sql"
    file.write_text("-- all\nSELECT label\nFROM classes\nWHERE label = '🦀 crab';\n", "utf-8")
    answer = classrel("sql", "--file", file, "--db", odd, "-f", "json")
    assert json_of(answer) == [{"label": "🦀 crab"}]


@pytest.mark.parametrize("content", [None, b"SELECT '\xff'"])
def test_a_file_that_can_not_be_read_is_named(odd, classrel, tmp_path, content):
    file = tmp_path / "q.sql"
    if content is not None:
        file.write_bytes(content)
    assert_refused(classrel("sql", "--file", file, "--db", odd), str(file))


def test_a_statement_and_a_file_are_one_too_many(odd, classrel, tmp_path):
    answer = classrel("sql", "SELECT 1", "--file", tmp_path / "q.sql", "--db", odd)
    assert answer.returncode == 2
    assert "give one of them" in answer.stderr


def test_no_statement_at_a_terminal_is_wrong_usage(odd):
    child = pexpect.spawn(
        sys.executable, ["-m", "classrel_db", "sql", "--db", str(odd)], encoding="utf-8", timeout=60
    )
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 2
    assert "no statement; give one" in child.before


def test_a_statement_that_is_not_utf_8_is_refused(odd):
    answer = subprocess.run(
        [sys.executable, "-m", "classrel_db", "sql", "-", "--db", odd],
        input=b"SELECT '\xff'", capture_output=True,
    )  # fmt: skip
    assert answer.returncode == 1
    assert b"Traceback" not in answer.stderr


# parameters


@pytest.mark.parametrize("label", ODD)
def test_a_parameter_is_bound(odd, classrel, label):
    answer = classrel(
        "sql", "SELECT class_idx FROM classes WHERE label = $label",
        "--param", f"label={label}", "--db", odd, "-f", "json",
    )  # fmt: skip
    assert json_of(answer) == [{"class_idx": ODD.index(label)}]


def test_several_parameters_may_hold_equals_signs(odd, classrel):
    answer = classrel("sql", "SELECT $a AS a, $b AS b", "-p", "a=1=2", "-p", "b=", "--db", odd,
                      "-f", "csv")  # fmt: skip
    assert answer.stdout == "a,b\n1=2,\n"


@pytest.mark.parametrize("given", ["label", "=x", "a b=x", "1=x", ""])
def test_a_parameter_in_another_form_is_wrong_usage(odd, classrel, given):
    answer = classrel("sql", "SELECT 1", "--param", given, "--db", odd)
    assert answer.returncode == 2
    assert "--param is NAME=VALUE" in answer.stderr


@pytest.mark.parametrize("given", [[], ["-p", "b=1"], ["-p", "a=1", "-p", "b=1"]])
def test_parameters_that_do_not_fit_are_refused(odd, classrel, given):
    refused(classrel("sql", "SELECT $a", *given, "--db", odd), "parameter")


# formats

ENDINGS = {
    "csv": "csv", "json": "json", "jsonl": "jsonl", "ndjson": "jsonl", "md": "markdown",
    "parquet": "parquet", "arrow": "arrow", "feather": "arrow", "txt": "table",
}  # fmt: skip
EVERYTHING = """
    SELECT class_idx, label, norm, [label] AS list, {'label': label} AS struct, NULL AS nothing,
           CASE WHEN class_idx > 0 THEN 'inf'::DOUBLE END AS infinite, 1.25::DECIMAL(6, 2) AS decimal,
           class_idx::HUGEINT + 10::HUGEINT ** 20 AS huge, '\\xAA'::BLOB AS blob,
           TIMESTAMPTZ '2026-01-02 03:04:05+00' AS at
    FROM classes ORDER BY class_idx
"""


def records_of(path, ending):
    """What an independent reader finds in a file: a dict of strings or values for each row."""
    if ending == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    if ending == "json":
        return json.loads(path.read_text("utf-8"))
    if ending in {"jsonl", "ndjson"}:
        return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    if ending == "parquet":
        return pa.parquet.read_table(path).to_pylist()
    if ending == "feather":
        return pa.feather.read_table(path).to_pylist()
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all().to_pylist()


@pytest.mark.parametrize("ending", [e for e in ENDINGS if e not in {"md", "txt"}])
def test_every_ending_reads_back_with_someone_elses_code(odd, classrel, tmp_path, ending):
    path = tmp_path / f"out.{ending}"
    answer = classrel("sql", EVERYTHING, "--db", odd, "-o", path)
    assert (answer.returncode, answer.stdout) == (0, "")
    assert answer.stderr == f"wrote {path}\n"
    got = records_of(path, ending)
    assert [row["label"] for row in got] == ODD
    as_text = ending == "csv"
    for number, row in enumerate(got):
        assert row["class_idx"] == (str(number) if as_text else number)
        assert np.float32(row["norm"]) > 0
        assert row["list"] == (
            json.dumps([ODD[number]], ensure_ascii=False) if as_text else [ODD[number]]
        )
        assert row["nothing"] == ("" if as_text else None)
        assert str(row["huge"]).startswith(("100000000000000000", "1e+20"))
        assert float(row["decimal"]) == 1.25
        assert row["blob"] == (b"\xaa" if ending in {"parquet", "arrow", "feather"} else "\\xAA")
        assert str(row["at"]).startswith("2026-01-02 03:04:05+00")


@pytest.mark.parametrize("format", ["markdown", "table"])
def test_formats_for_eyes_show_every_label(odd, classrel, tmp_path, format):
    sql = EVERYTHING.replace("TIMESTAMPTZ '2026-01-02 03:04:05+00' AS at", "1 AS at")
    shown = classrel("sql", sql, "--db", odd, "-f", format).stdout
    for label in ODD:
        assert (label.replace("|", "\\|") if format == "markdown" else label) in shown
    path = tmp_path / f"out.{'md' if format == 'markdown' else 'txt'}"
    classrel("sql", sql, "--db", odd, "-o", path)
    assert path.read_text("utf-8") == shown


def test_a_time_with_a_zone_is_shown_in_a_table(odd, classrel):
    answer = classrel("sql", "SELECT TIMESTAMPTZ '2026-01-02 03:04:05+00' AS at", "--db", odd)
    assert answer.returncode == 0, answer.stderr
    assert "2026-01-02 03:04" in answer.stdout


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_to_standard_output_is_what_the_file_holds(odd, classrel, tmp_path, format):
    sql = "SELECT class_idx, label FROM classes ORDER BY class_idx"
    ending = next(e for e, f in ENDINGS.items() if f == format)
    path = tmp_path / f"out.{ending}"
    classrel("sql", sql, "--db", odd, "-o", path)
    command = [sys.executable, "-m", "classrel_db", "sql", sql, "--db", odd, "-f", format]
    with (tmp_path / f"piped.{ending}").open("wb") as pipe:
        answer = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE)
    assert (answer.returncode, answer.stderr) == (0, b"")
    if format in {"parquet", "arrow"}:
        piped = records_of(tmp_path / f"piped.{ending}", ending)
        assert piped == records_of(path, ending)
        assert [row["label"] for row in piped] == ODD
    else:
        assert (tmp_path / f"piped.{ending}").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_binary_is_not_sent_to_a_terminal(odd, format):
    child = pexpect.spawn(
        sys.executable,
        ["-m", "classrel_db", "sql", "FROM models", "--db", str(odd), "-f", format],
        encoding="latin-1", timeout=60,
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 1
    assert f"error: {format} is binary and would upset the terminal" in child.before
    assert "--output" in child.before
    assert "PAR1" not in child.before


def test_columns_of_one_name_all_stay(odd, classrel):
    sql = ["sql", "SELECT 1 AS a, 2 AS a", "--db", odd]
    assert classrel(*sql, "-f", "csv").stdout == "a,a\n1,2\n"
    assert json_of(classrel(*sql, "-f", "json")) == [{"a": 1, "a_2": 2}]
    assert classrel(*sql).stdout.split() == ["a", "a", "────", "1", "2"]


@pytest.mark.parametrize(("rows", "shown"), [(999, 999), (1000, 1000), (1001, 1000), (5000, 1000)])
def test_a_table_is_cut_at_a_thousand_rows_with_a_note(odd, classrel, tmp_path, rows, shown):
    sql = ["sql", f"SELECT 'row ' || i AS x FROM range({rows}) AS t(i)", "--db", odd]
    answer = classrel(*sql)
    assert answer.stdout.count("row ") == shown
    note = "the first 1,000 rows; --format csv or --output FILE writes all of them\n"
    assert answer.stderr == (note if rows > shown else "")
    for written in ("csv", "jsonl", "markdown"):
        whole = classrel(*sql, "-f", written)
        assert (whole.stdout.count("row "), whole.stderr) == (rows, "")
    classrel(*sql, "-o", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text().count("row ") == rows


PEAK = """
import resource, sys
from classrel_db.cli import main
sys.argv = ["classrel", *sys.argv[1:]]
try:
    main()
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def peak_of(*command):
    """The most memory in bytes that a command took."""
    answer = run_python(PEAK, *command)
    assert answer.returncode == 0, answer.stderr
    return 1024 * int(answer.stderr.split()[-1])


def test_a_result_of_a_hundred_megabytes_is_streamed(database, tmp_path):
    sql = "SELECT model, class_a, class_b, cosine, repeat(class_a, 200) AS text FROM pairwise LIMIT {}"
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    base = peak_of("sql", sql.format(11_000), "--db", database, "-o", small)
    peak = peak_of("sql", sql.format(60_000), "--db", database, "-o", large)
    assert large.stat().st_size > 100e6
    assert peak - base < 60e6, (base, peak)


def test_three_million_rows_are_streamed(database, tmp_path):
    small, large = tmp_path / "small.arrow", tmp_path / "large.arrow"
    base = peak_of("sql", "FROM pairwise LIMIT 11000", "--db", database, "-o", small)
    peak = peak_of("sql", "FROM pairwise", "--db", database, "-o", large)
    with pa.OSFile(str(large)) as file:
        reader = pa.ipc.open_file(file)
        counts = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
    assert sum(counts) == 3 * 1000 * 999
    assert large.stat().st_size > 200e6
    assert peak - base < 100e6, (base, peak)


# named queries


def test_query_alone_lists_the_queries(odd, classrel):
    listed = json_of(classrel("query", "--db", odd, "-f", "json"))
    assert {row["query"] for row in listed} >= {"neighbors", "contested_pairs", "rank_shift"}
    assert all(row["help"].endswith(".") for row in listed)


def test_query_show_is_the_file(odd, classrel):
    shown = classrel("query", "neighbors", "--show", "--db", odd)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("-- The k classes of one model")
    assert "CREATE OR REPLACE MACRO neighbors(model, class, k := 25, keep := NULL)" in shown.stdout
    with duckdb.connect(str(odd), read_only=True) as other:
        assert other.extract_statements(shown.stdout)[0].type.name == "CREATE"


@pytest.mark.parametrize(
    "arguments",
    [
        ["efficientnet_lite0", "Dungeness crab", "4"],
        ["efficientnet_lite0", "Dungeness crab", "k=4"],
        ["k=4", "class=Dungeness crab", "model=efficientnet_lite0"],
        ["class=118", "efficientnet_lite0", "4"],
        ["efficientnet_lite0", "n01978287", "4", "keep=true"],
        ["efficientnet_lite0", "dungeness", "4"],
    ],
)
def test_query_is_its_macro(database, classrel, arguments):
    macro = "FROM neighbors('efficientnet_lite0', 'Dungeness crab', k := 4)"
    expected = classrel("sql", macro, "--db", database, "-f", "csv").stdout
    assert expected.count("\n") == 5
    assert (
        classrel("query", "neighbors", *arguments, "--db", database, "-f", "csv").stdout == expected
    )


def test_query_takes_a_list_with_commas(database, classrel):
    command = [
        "query",
        "model_summary",
        f"models={REAL[0]},{REAL[2]}",
        "--db",
        database,
        "-f",
        "json",
    ]
    assert [row["model"] for row in json_of(classrel(*command))] == [REAL[0], REAL[2]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["neighbour"], 'did you mean "neighbors"'),
        (["neighbors"], "needs model and class: it is neighbors(model, class, k := 25"),
        (["neighbors", "efficientnet_lite0"], "needs class"),
        (["neighbors", "efficientnet_lite0", "tench", "kk=3"], 'did you mean "k"'),
        (
            ["neighbors", "efficientnet_lite0", "tench", "3", "true", "5"],
            "5 arguments for neighbors(",
        ),
        (
            ["neighbors", "efficientnet_lite0", "tench", "k=many"],
            'k is "many"; neighbors takes an INTEGER',
        ),
        (["neighbors", "efficientnet_lite0", "tench", "k=2.5"], "takes an INTEGER"),
        (["neighbors", "efficientnet_lite9", "tench"], 'did you mean "efficientnet_lite0"'),
        (["neighbors", "efficientnet_lite0", "tensh"], 'did you mean "tench"'),
        (["neighbors", "efficientnet_lite0", "crab"], '"king crab" (n01981276, 121)'),
        (["model_summary", "models=efficientnet_lite0,lite7"], 'no model "lite7"'),
        (["near_duplicates", "threshold=high"], "takes a DOUBLE"),
    ],
)
def test_a_query_that_can_not_be_asked_is_one_line_and_exit_code_1(
    database, classrel, arguments, said
):
    assert_refused(classrel("query", *arguments, "--db", database), said)


def test_a_parameter_that_is_given_twice_is_wrong_usage(odd, classrel):
    answer = classrel("query", "neighbors", "odd", "k=3", "k=4", "--db", odd)
    assert answer.returncode == 2
    assert "k is given twice" in answer.stderr


@pytest.mark.parametrize("label", ODD)
def test_a_query_binds_what_it_is_given(odd, classrel, label):
    answer = classrel(
        "query", "neighbors", "odd", f"class={label}", "k=2", "--db", odd, "-f", "json"
    )
    assert [row["class"] for row in json_of(answer)] == [label, label]
    assert_refused(classrel("query", "neighbors", f"odd{label}", label, "--db", odd), "no model")


NO_CONDITIONS = [
    "true) OR (true",
    "1; DROP TABLE models",
    "true /* open",
    "label = $class",
    "rank = 1",
]


@pytest.mark.parametrize("condition", NO_CONDITIONS)
def test_a_condition_can_be_nothing_else(own, classrel, condition):
    before = own.read_bytes()
    said = "is no condition on classes"
    refused(classrel("query", "neighbors", "odd", "plain", f"keep={condition}", "--db", own), said)
    refused(classrel("similar", "plain", "--where", condition, "--db", own), said)
    assert own.read_bytes() == before


def test_a_query_on_a_missing_database_is_refused(classrel, tmp_path):
    answer = classrel("query", "neighbors", "a", "b", "--db", tmp_path / "x.duckdb")
    assert_refused(answer, "no database at")


def test_the_queries_are_listed_without_a_database(classrel, tmp_path):
    answer = classrel("query", "--db", tmp_path / "x.duckdb")
    assert "neighbors" in answer.stdout


# a folder of one's own

MINE = """\
-- What comes first.
--
-- model  VARCHAR       one
-- k      INTEGER := 3  how many
--
-- Example: FROM mine('efficientnet_lite0')
CREATE OR REPLACE MACRO mine(model, k := 3) AS TABLE
SELECT c.label FROM classes AS c JOIN models AS m ON m.model_id = c.model_id
WHERE m.name = model ORDER BY c.class_idx LIMIT k;
"""


@pytest.fixture(params=["option", "environment"])
def with_mine(request, tmp_path, monkeypatch):
    """The options that make the queries of a folder known."""
    folder = tmp_path / "own queries"
    folder.mkdir()
    (folder / "mine.sql").write_text(MINE)
    if request.param == "option":
        return ["--queries", folder]
    monkeypatch.setenv("CLASSREL_QUERIES", str(folder))
    return []


def test_own_queries_answer_everywhere(odd, classrel, with_mine):
    for command in (
        ["query", "mine", "odd", "k=2", "-f", "csv"],
        ["query", "mine", "model=odd", "k=2", "--format=csv"],
        ["sql", "FROM mine('odd', k := 2)", "-f", "csv"],
        ["shell", "-c", "query mine odd k=2 -f csv"],
        ["shell", "-c", "\\format csv", "-c", "FROM mine('odd', k := 2)"],
    ):
        assert classrel(*with_mine, *command, "--db", odd).stdout == "label\nplain\nit's\n"
    assert "mine" in classrel(*with_mine, "query", "--db", odd).stdout
    assert classrel(*with_mine, "query", "mine", "--show", "--db", odd).stdout == MINE


def test_a_query_file_that_is_not_in_order_stops_every_command(odd, classrel, with_mine, tmp_path):
    file = tmp_path / "own queries" / "mine.sql"
    file.write_text(MINE.replace("LIMIT k", "LIMT k"))
    for command in ("models", "query", "shell"):
        answer = classrel(*with_mine, command, "--db", odd)
        assert_refused(answer, f"{file}:9: Parser Error: syntax error")


def test_a_folder_that_is_none_is_refused(odd, classrel, tmp_path):
    answer = classrel("--queries", tmp_path / "none", "query", "--db", odd)
    assert_refused(answer, "is no folder of queries")


# similar --where


def test_where_keeps_exactly_k(database, classrel):
    answer = classrel(
        "similar", "Dungeness crab", "-k", "5", "-m", REAL[0], "--where", "label ILIKE '%dog%'",
        "--db", database, "-f", "json",
    )  # fmt: skip
    rows = json_of(answer)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert all("dog" in row["neighbor"].lower() for row in rows)
    assert [row["cosine"] for row in rows] == sorted((row["cosine"] for row in rows), reverse=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-k", "11"], "10 classes of efficientnet_lite0 meet"),
        (["-k", "0"], "from 1 to 10"),
        (["--where", "false"], "no other class of efficientnet_lite0 meets"),
    ],
)
def test_where_with_fewer_than_k_is_refused(database, classrel, options, said):
    command = ["similar", "tench", "-m", REAL[0], "--where", "label ILIKE '%dog%'", *options]
    assert_refused(classrel(*command, "--db", database), said)


@pytest.mark.parametrize("condition", ["label", "error('stop')"])
def test_where_with_no_condition_says_so(odd, classrel, condition):
    said = "is no condition on classes"
    refused(classrel("similar", "plain", "--where", condition, "--db", odd), said)


# Ctrl-C


def test_ctrl_c_in_a_long_statement_is_130_and_no_traceback(database):
    child = pexpect.spawn(
        sys.executable,
        ["-m", "classrel_db", "sql", "--db", str(database),
         "SELECT count(*) FROM pairs AS a, pairs AS b WHERE a.cosine < b.cosine"],
        env={**os.environ, "TERM": "xterm"}, encoding="utf-8", timeout=60,
    )  # fmt: skip
    computing = psutil.Process(child.pid)
    until = time.monotonic() + 20
    while computing.cpu_times().user < 1.5 and time.monotonic() < until:
        time.sleep(0.05)
    child.sendintr()
    child.expect(pexpect.EOF, timeout=20)
    child.wait()
    assert child.exitstatus == 130
    assert "Traceback" not in child.before
