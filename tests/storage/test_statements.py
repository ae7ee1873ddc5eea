"""SQL from a user: one statement, only reading, and errors that show the place."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest

import classrel_db
from classrel_db.errors import StatementError
from classrel_db.storage import read, statements
from classrel_db.storage.database import Database

LABELS = ["dog", "hot dog", "cat", "crab", "king crab", "x' OR 1=1 --"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A database of one small model; read it only."""
    folder = tmp_path_factory.mktemp("small")
    weight = np.random.default_rng(0).normal(size=(len(LABELS), 5)).astype(np.float32)
    np.savez(folder / "small.npz", weight=weight, labels=LABELS)
    with classrel_db.open(folder / "small.duckdb") as catalog:
        catalog.ingest(folder / "small.npz")
    return folder / "small.duckdb"


@pytest.fixture
def connection(small):
    """As the catalog opens it for a question."""
    database = Database(small)
    yield database.reader()
    database.close()


@pytest.fixture
def refused(connection):
    """The message with which a statement is refused."""

    def message(text, parameters=None):
        with pytest.raises(StatementError) as caught:
            statements.run(connection, text, parameters).fetchall()
        return str(caught.value)

    return message


def place_of(message):
    """The line number that a message names, and what its carets stand under."""
    lines = message.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  line "))
    start = lines[at + 1].index("^")
    carets = lines[at + 1].strip()
    assert set(carets) == {"^"}
    number = lines[at].removeprefix("  line ").split(":")[0]
    return int(number), lines[at][start : start + len(carets)]


# the place


@pytest.mark.parametrize(
    ("text", "line", "marked"),
    [
        ("SELECT * FORM classes", 1, "classes"),
        ("SELECT labl FROM classes", 1, "labl"),
        ("SELECT label\nFROM classes\nWHERE nomr > 1", 3, "nomr"),
        ("SELECT 'a' AS a,\n       lable FROM classes", 2, "lable"),
        ("FROM clases", 1, "clases"),
        ("SELECT 1 +", 1, ""),
        ("SELECT lenght('a')", 1, "lenght('a')"),
        ("FROM neighbours('small', 'dog')", 1, "neighbours('small', 'dog')"),
    ],
)
def test_an_error_shows_the_line_and_the_caret_stands_under_the_place(refused, text, line, marked):
    message = refused(text)
    if not marked:  # the end of the text has no place to mark
        assert "syntax error" in message
        return
    assert place_of(message) == (line, marked)


@pytest.mark.parametrize("before", ["\n\n", "-- which classes\n\n", "/* one\ntwo */\n"])
def test_lines_are_counted_from_the_first_of_the_text(refused, before):
    assert place_of(refused(f"{before}SELECT labl FROM classes")) == (
        1 + before.count("\n"),
        "labl",
    )


def test_a_long_line_is_cut_around_the_place(refused):
    columns = ", ".join(f"{number} AS column_{number}" for number in range(300))
    message = refused(f"SELECT {columns}, labl FROM classes")
    assert place_of(message)[1] == "labl"
    assert max(map(len, message.splitlines())) < 200


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("SELECT labl FROM classes", "did you mean label?"),
        ("SELECT CONCEPTS FROM classes", "did you mean concept"),
        ("SELECT c.labl FROM classes AS c", "did you mean label"),
        ("FROM clases", "did you mean classes"),
        ("SELECT * FROM neerest", "did you mean nearest"),
        ("FROM neighbours('small', 'dog')", "did you mean neighbors"),
        ("FROM model_sumary()", "did you mean model_summary"),
        ("SELECT lenght('a')", "length"),
        ("SELECT euclidian(1, 1, 1)", "did you mean euclidean"),
        ("FROM zzzzzz", "SHOW TABLES lists the tables and views"),
        ("FROM neighbors('small')", "neighbors(model, class, k := 25, keep := NULL)"),
        ("FROM neighbors('small', 'dog', many := 3)", "given by name"),
        ("SELECT $a", "--param name=value"),
    ],
)
def test_an_unknown_name_gets_a_hint(refused, text, hint):
    assert hint in refused(text).split("hint: ")[1]


# one statement


@pytest.mark.parametrize("text", ["", "  \n ", ";", " ; ; ", "-- a comment", "/* a */ ;"])
def test_no_statement_is_refused(refused, text):
    assert refused(text).startswith("no statement")


@pytest.mark.parametrize("text", ["SELECT 1; SELECT 2", "FROM models; DROP TABLE models;"])
def test_several_statements_are_refused_before_the_first_runs(refused, connection, text):
    assert refused(text).startswith("2 statements; give one")
    assert connection.execute("SELECT count(*) FROM models").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "text", ["SELECT 1;", "SELECT 1 ; -- done", "/* first */ SELECT 1", "-- a\n\nSELECT 1;\n;\n"]
)
def test_one_statement_may_have_comments_and_semicolons_around_it(connection, text):
    assert statements.run(connection, text).fetchall() == [(1,)]


# what may be run while reading


@pytest.mark.parametrize(
    "text",
    [
        "SELECT label FROM classes",
        "FROM classes",
        "WITH x AS (SELECT 1) FROM x",
        "VALUES (1), (2)",
        "DESCRIBE classes",
        "SHOW TABLES",
        "SUMMARIZE classes",
        "PIVOT classes ON model_id USING count(*)",
        "EXPLAIN SELECT * FROM classes",
        "EXPLAIN ANALYZE SELECT * FROM classes",
        "EXPLAIN (ANALYZE) SELECT 'COPY'",
        "EXPLAIN SELECT 'analyze'",
        "explain analyze from classes",
        "CREATE TEMP TABLE t AS SELECT 1",
        "CREATE TEMPORARY VIEW v AS SELECT 1",
        "CREATE TEMP MACRO m(x) AS x + 1",
        "SET VARIABLE a = 1",
        "RESET VARIABLE a",
        "SET threads = 1",
        "SET SESSION default_order = 'DESC'",
        "RESET threads",
        "set TimeZone = 'UTC'",
    ],
)
def test_reading_and_temporary_things_are_allowed(connection, text):
    statements.run(connection, text).fetchall()


CHANGES = [
    "INSERT INTO classes SELECT * FROM classes",
    "UPDATE classes SET label = 'x'",
    "DELETE FROM classes",
    "TRUNCATE classes",
    "MERGE INTO classes USING models ON false WHEN MATCHED THEN DELETE",
    "CREATE TABLE t AS SELECT 1",
    "CREATE VIEW v AS SELECT 1",
    "CREATE OR REPLACE MACRO neighbors(a) AS TABLE SELECT 1",
    "CREATE SEQUENCE s",
    "CREATE SCHEMA s",
    "CREATE TYPE mood AS ENUM ('a')",
    "CREATE INDEX i ON classes (label)",
    "ALTER TABLE classes ADD COLUMN x INTEGER",
    "COMMENT ON TABLE classes IS 'x'",
    "DROP TABLE classes",
    "WITH gone AS (DELETE FROM classes RETURNING *) FROM gone",
]


@pytest.mark.parametrize("text", CHANGES)
def test_what_would_change_the_file_is_refused_with_the_way_out(refused, connection, text):
    before = connection.execute("FROM classes").fetchall()
    message = refused(text)
    assert "changes the database" in message
    assert "--write" in message
    assert "SELECT, FROM, WITH" in message
    assert connection.execute("FROM classes").fetchall() == before


REACHING = {
    "ATTACH 'other.duckdb'": "opens another database",
    "ATTACH ':memory:' AS m": "opens another database",
    "DETACH small": "closes a database",
    "COPY classes TO 'out.csv'": "writes or reads files",
    "COPY (SELECT 1) TO 'out.csv'": "writes or reads files",
    "COPY classes FROM 'in.csv'": "writes or reads files",
    "EXPORT DATABASE 'out'": "writes files",
    "IMPORT DATABASE 'in'": "can change how the database works",
    "COPY FROM DATABASE small TO memory": "can change how the database works",
    "INSTALL httpfs": "can load code",
    "FORCE INSTALL httpfs": "can load code",
    "LOAD httpfs": "can load code",
    "LOAD './evil.duckdb_extension'": "can load code",
    "PRAGMA database_list": "can change how the database works",
    "PRAGMA enable_profiling": "can change how the database works",
    "CALL pragma_version()": "can change how the database works",
    "CHECKPOINT": "can change how the database works",
    "PREPARE p AS SELECT 1": "give parameters with the statement",
    "EXECUTE p": "runs what another statement has prepared",
    "BEGIN": "each statement is one",
    "COMMIT": "each statement is one",
    "VACUUM": "rewrites the file",
    "SET enable_external_access = true": "what the database may reach",
    "SET autoinstall_known_extensions = true": "what the database may reach",
    "SET GLOBAL autoload_known_extensions = true": "what the database may reach",
    "SET home_directory = '/tmp'": "what the database may reach",
    "SET temp_directory = 'out'": "what the database may reach",
    "SET log_query_path = 'out.log'": "what the database may reach",
    "SET profiling_output = 'out.json'": "what the database may reach",
    "SET schema = 'other'": "what the database may reach",
    "USE memory": "what the database may reach",
    "RESET enable_external_access": "what the database may reach",
    "/* SET threads */ SET home_directory = '/tmp'": "what the database may reach",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'out.csv'": "runs the statement that it explains",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO 'out.csv'": "runs the statement that it explains",
    "explain (analyze, format json) copy (select 1) to 'out.csv'": "runs the statement",
    "/* a */ EXPLAIN ANALYZE COPY (SELECT 1) TO 'out.csv'": "runs the statement",
    "EXPLAIN\nANALYZE\nDELETE FROM classes": "runs the statement that it explains",
}


@pytest.mark.parametrize("text", REACHING)
def test_what_reaches_beyond_the_file_is_refused_with_the_reason(
    refused, tmp_path, monkeypatch, text
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    message = refused(text)
    assert REACHING[text] in message
    assert "allowed are SELECT, FROM" in message
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "text",
    [
        "EXPLAIN /* a */ ANALYZE COPY (SELECT 1) TO 'out.csv'",
        "EXPLAIN -- a\n ANALYZE COPY (SELECT 1) TO 'out.csv'",
        "EXPLAIN COPY (SELECT 1) TO 'out.csv'",
        "FROM query('COPY (SELECT 1) TO ''out.csv''')",
        "SELECT * FROM (COPY (SELECT 1) TO 'out.csv')",
    ],
)
def test_no_way_round_writes_a_file(connection, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    try:
        statements.run(connection, text).fetchall()
    except StatementError:
        pass
    except duckdb.Error:
        pass
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "text",
    [
        "FROM enable_logging(storage='file', storage_path='out')",
        "FROM enable_profiling(format='json', save_location='out.json')",
    ],
)
def test_a_table_function_that_writes_files_is_refused(connection, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    try:
        statements.run(connection, text).fetchall()
        statements.run(connection, "SELECT 1").fetchall()
    except StatementError:
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_a_kind_of_statement_that_is_not_known_is_refused(refused):
    assert "UPDATE EXTENSIONS" in refused("UPDATE EXTENSIONS")


def test_the_word_analyze_in_a_name_is_not_the_keyword(refused):
    """It would only be shown, not run; the file is open for reading, which is what DuckDB says."""
    assert "EXPLAIN ANALYZE" not in refused("EXPLAIN CREATE TABLE analyze_it (a INTEGER)")


def test_a_text_that_is_no_unicode_is_refused(refused):
    assert refused("SELECT '\udcff'")


@pytest.mark.parametrize(
    "text",
    [
        "FROM system.main.enable_logging(storage='file', storage_path='out')",
        "FROM \"Enable_Logging\"(storage='file', storage_path='out')",
        "FROM query('FROM enable_logging(storage=''file'', storage_path=''out'')')",
        "SELECT (SELECT count(*) FROM enable_logging(storage='file', storage_path='out'))",
        "CREATE TEMP TABLE t AS FROM enable_logging(storage='file', storage_path='out')",
        "SET VARIABLE v = (SELECT count(*) FROM enable_logging(storage='file', storage_path='out'))",
        "EXPLAIN ANALYZE CREATE TEMP TABLE t AS FROM enable_logging(storage='file')",
    ],
)
def test_no_detour_to_a_function_that_writes_files(refused, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    assert "allowed are SELECT, FROM" in refused(text)
    assert list(tmp_path.iterdir()) == []


def test_explain_analyze_of_a_function_that_writes_files_is_refused(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "allowed are" in refused(
        "EXPLAIN ANALYZE FROM enable_logging(storage='file', storage_path='out')"
    )


def test_a_condition_with_a_function_that_writes_files_is_refused(
    connection, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StatementError):
        condition_of(
            connection,
            "(SELECT count(*) FROM enable_logging(storage='file', storage_path='out')) >= 0",
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["PERSISTENT SECRET", "SECRET", "TEMPORARY SECRET"])
def test_a_secret_is_not_made(small, tmp_path, monkeypatch, kind):
    """A persistent one is a file in the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    database = Database(small)
    try:
        with pytest.raises(StatementError):
            statements.run(database.reader(), f"CREATE {kind} mine (TYPE http)")
    finally:
        database.close()


def test_the_name_of_such_a_function_in_a_string_is_a_string(connection):
    rows = statements.run(connection, "SELECT 'enable_logging' AS x")
    assert rows.fetchall() == [("enable_logging",)]


# parameters


def test_parameters_are_bound_by_name_and_by_place(connection):
    text = "SELECT label FROM classes WHERE label = $label"
    assert statements.run(connection, text, {"label": "dog"}).fetchall() == [("dog",)]
    text = "SELECT label FROM classes WHERE label = ? AND class_idx = ?"
    assert statements.run(connection, text, ["cat", 2]).fetchall() == [("cat",)]


@pytest.mark.parametrize(
    "value", ["x' OR 1=1 --", "dog' UNION SELECT name FROM models --", "$label"]
)
def test_a_parameter_is_a_value_whatever_is_in_it(connection, value):
    text = "SELECT label FROM classes WHERE label = $label"
    found = statements.run(connection, text, {"label": value}).fetchall()
    assert found == ([(value,)] if value == "x' OR 1=1 --" else [])


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("SELECT $a", {"b": 1}),
        ("SELECT $a", None),
        ("SELECT ?", {"a": 1}),
        ("SELECT ?, ?", [1]),
        ("SELECT 1", {"a": 1}),
    ],
)
def test_parameters_that_do_not_fit_are_refused(refused, text, parameters):
    assert "parameter" in refused(text, parameters).lower()


# conditions


def condition_of(connection, condition):
    rows = statements.require_condition(read.describing(connection, [1]), condition)
    return sorted(label for label, *_ in rows.fetchall())


@pytest.mark.parametrize(
    ("condition", "labels"),
    [
        ("label ILIKE '%dog%'", ["dog", "hot dog"]),
        ("class_idx >= 4", ["king crab", "x' OR 1=1 --"]),
        ("label = 'x'' OR 1=1 --'", ["x' OR 1=1 --"]),
        ("label = 'dog' -- that is all", ["dog"]),
        ("label = 'dog' OR label = 'cat'", ["cat", "dog"]),
        ("norm > 0 AND std > 0 AND mean < 100 AND concept = 'dog'", ["dog"]),
        ("class_idx IN (SELECT 3)", ["crab"]),
        ("false", []),
        ("NULL", []),
    ],
)
def test_a_condition_keeps_the_classes_that_meet_it(connection, condition, labels):
    assert condition_of(connection, condition) == labels


@pytest.mark.parametrize(
    "condition",
    [
        "true) OR (true",
        "1; DROP TABLE models",
        "true; SELECT 1",
        "true /* open",
        "true UNION SELECT 1",
        "true ORDER BY 1",
        "true LIMIT 1",
        "",
        "  ",
        "-- nothing",
        "rank < 3",
        "model_id = 1",
        "label = $label",
        "label = ?",
        "count(*) > 1",
        "label ILIKE '%dog%",
        '"',
        ")",
    ],
)
def test_what_is_no_condition_is_refused_with_the_columns(connection, condition):
    with pytest.raises(StatementError) as caught:
        condition_of(connection, condition)
    assert "is no condition on classes" in str(caught.value)
    assert "label, concept, class_idx, bias, mean, std, norm" in str(caught.value)


@pytest.mark.parametrize("condition", ["label", "CAST(label AS INTEGER) = 1", "error('stop')"])
def test_a_condition_that_fails_when_it_is_computed_is_no_condition(connection, condition):
    with pytest.raises(StatementError, match="is no condition on classes"):
        condition_of(connection, condition)


# writing


@pytest.fixture
def writer(small, tmp_path):
    database = Database(Path(shutil.copy(small, tmp_path)))
    with database.writer() as connection:
        yield connection


def test_writing_changes_the_file(writer):
    statements.run_writing(writer, "CREATE TABLE notes AS SELECT 'a' AS text")
    rows = statements.run_writing(writer, "INSERT INTO notes VALUES ($text)", {"text": "x' --"})
    rows.fetchall()
    assert writer.execute("FROM notes ORDER BY text").fetchall() == [("a",), ("x' --",)]


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO classes SELECT error('stop') FROM range(3)",
        "UPDATE classes SET labl = 'x'",
        "UPDATE classes SET label = error('stop')",
        "DELETE FROM clases",
        "DELETE FROM classes WHERE error('stop')",
        "CREATE TABLE notes AS SELECT nothing",
        "DELETE FROM classes; DELETE FROM models",
    ],
)
def test_writing_that_fails_changes_nothing(writer, text):
    before = writer.execute("FROM classes").fetchall()
    with pytest.raises(StatementError):
        statements.run_writing(writer, text)
    assert writer.execute("FROM classes").fetchall() == before
    assert writer.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'notes'") \
        .fetchall() == [(0,)]  # fmt: skip


def test_writing_runs_its_statement_once(writer):
    statements.run_writing(writer, "CREATE TABLE notes (text VARCHAR)")
    rows = statements.run_writing(writer, "INSERT INTO notes VALUES ('a') RETURNING text")
    assert rows.fetchall() == [("a",)]
    assert writer.execute("FROM notes").fetchall() == [("a",)]
