"""SQL from a user: one statement, what it may do, and DuckDB's errors with the place they are at."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb

from classrel_db.errors import StatementError
from classrel_db.spelling import closest, quoted
from classrel_db.storage.database import said
from classrel_db.storage.interrupt import is_interruption

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    Parameters = Mapping[str, Any] | Sequence[Any]

# While reading, DuckDB itself refuses what would change the file; these it would let through, and
# they reach beyond it: files, other databases, extensions, settings.
_BEYOND = {
    "ATTACH": "opens another database",
    "CALL": "can change how the database works",
    "COPY": "writes or reads files",
    "COPY_DATABASE": "writes to another database",
    "DETACH": "closes a database",
    "EXECUTE": "runs what another statement has prepared",
    "EXPORT": "writes files",
    "EXTENSION": "can load code",
    "LOAD": "can load code",
    "PRAGMA": "can change how the database works",
    "PREPARE": "is needed nowhere here: give parameters with the statement",
    "TRANSACTION": "is needed nowhere here: each statement is one",
    "VACUUM": "rewrites the file",
}
_READING = (
    "SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE, PIVOT and EXPLAIN, and TEMP tables, views "
    "and macros"
)
_HARMLESS_SETTINGS = re.compile(
    r"\s*(RE)?SET\s+(LOCAL\s+|SESSION\s+|GLOBAL\s+)?"
    r"(VARIABLE\s|(threads|memory_limit|max_memory|preserve_insertion_order|default_order|"
    r"default_null_order|timezone)\b)",
    re.IGNORECASE,
)
_GAP = r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
_EXPLAIN = re.compile(
    rf"{_GAP}EXPLAIN\b{_GAP}(?P<analyze>ANALYZE\b)?{_GAP}(?P<options>\([\w\s,]*\))?",
    re.IGNORECASE | re.DOTALL,
)
# Table functions that write files, which a SELECT can call.
_WRITING_FUNCTIONS = re.compile(
    rf"\b(enable_logging|enable_profiling)\"?{_GAP}\(", re.IGNORECASE | re.DOTALL
)
_SECRET = re.compile(
    rf"{_GAP}CREATE\s+(OR\s+REPLACE\s+)?(PERSISTENT\s+|TEMPORARY\s+|TEMP\s+)?SECRET\b",
    re.IGNORECASE,
)
_ANSWERING = {"SELECT", "EXPLAIN", "MULTI", "EXECUTE"}
_TABLES = """
    SELECT table_name FROM duckdb_tables() WHERE NOT internal
    UNION SELECT view_name FROM duckdb_views() WHERE NOT internal
    UNION SELECT function_name FROM duckdb_functions() WHERE NOT internal AND function_type = 'table_macro'
"""
# What DuckDB says of a name that it does not know, and where such names are.
_UNKNOWN = (
    (re.compile(r'Table (?:Function )?with name "?([\w.]+)"? does not exist'), _TABLES),
    (re.compile(r'Referenced table "(\w+)" not found'), _TABLES),
    (
        re.compile(r'(?:Referenced column|column named|column) "([\w.]+)"'),
        "SELECT DISTINCT column_name FROM duckdb_columns() WHERE NOT internal",
    ),
    (
        re.compile(r"(?:Scalar |Aggregate )?Function with name \"?(\w+)\"? does not exist"),
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type <> 'table_macro'",
    ),
)


def run(
    connection: DuckDBPyConnection, text: str, parameters: Parameters | None = None
) -> DuckDBPyRelation:
    """Run one statement that only reads; its rows, computed when they are fetched.

    ``parameters`` are bound to ``$name`` or ``?``. Raises StatementError for what is not one
    statement, may not be run on a database that is read, or does not fit the database.
    """
    statement = _only_one(connection, text)
    _require_reading(connection, statement)
    return _run(connection, statement, parameters, _lines_before(text, statement))


def run_writing(
    connection: DuckDBPyConnection, text: str, parameters: Parameters | None = None
) -> DuckDBPyRelation:
    """Run one statement of any kind. Raises StatementError."""
    statement = _only_one(connection, text)
    return _run(connection, statement, parameters, _lines_before(text, statement))


def require_condition(rows: DuckDBPyRelation, condition: str) -> DuckDBPyRelation:
    """The rows that meet an SQL condition, and nothing but a condition, in memory.

    Raises StatementError, also where the condition fails on one of the rows.
    """
    try:
        _require_unicode(condition)
        _require_no_writing_function(condition)
        met = rows.filter(condition)
        met.shape  # noqa: B018 (counting computes the condition for every row)
    except duckdb.Error as error:
        lines = [line for line in str(error).strip().splitlines() if not line.startswith("LINE")]
        raise StatementError(
            f"{quoted(condition)} is no condition on classes: {lines[0]}\n"
            f"hint: an SQL condition over {', '.join(rows.columns)}, such as label ILIKE '%dog%'"
        ) from error
    return met


@contextmanager
def explained(connection: DuckDBPyConnection, lines_before: int = 0) -> Iterator[None]:
    """DuckDB's errors as StatementError, with the place in the statement and a hint.

    ``lines_before`` are in the user's text before the one that DuckDB counts as the first.
    """
    try:
        yield
    except (duckdb.Error, RuntimeError) as error:
        if is_interruption(error):
            raise KeyboardInterrupt from error
        if not isinstance(error, duckdb.Error):
            raise
        raise StatementError(_message(connection, error, lines_before)) from error


def _only_one(connection: DuckDBPyConnection, text: str) -> duckdb.Statement:
    _require_unicode(text)
    with explained(connection):
        statements = connection.extract_statements(text)
    if len(statements) != 1:
        raise StatementError(
            f"{len(statements)} statements; give one (`classrel shell` runs several, one after another)"
            if statements
            else "no statement; give one, such as FROM models"
        )
    return statements[0]


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise StatementError(f"the statement is no valid text: {error.reason}") from error


def _kind(statement: duckdb.Statement) -> str:
    """What DuckDB calls a kind of statement; the words themselves where Python has no name for it."""
    try:
        return statement.type.name
    except ValueError:
        return " ".join(statement.query.split()[:2]).upper().rstrip(";")


def _require_reading(connection: DuckDBPyConnection, statement: duckdb.Statement) -> None:
    kind, text = _kind(statement), statement.query
    if kind in _BEYOND:
        raise StatementError(_refused(kind.replace("_", " "), _BEYOND[kind]))
    _require_no_writing_function(text)
    if kind == "CREATE" and _SECRET.match(text):
        raise StatementError(_refused("CREATE SECRET", "keeps credentials beside the database"))
    if kind == "EXPLAIN":
        explained_ = _EXPLAIN.match(text)
        options = explained_["options"] or "" if explained_ else ""
        if explained_ and (explained_["analyze"] or "analyze" in options.lower()):
            # it runs the statement
            with explained(connection):
                inside = connection.extract_statements(text[explained_.end() :])
            if any(_kind(each) != "SELECT" for each in inside):
                raise StatementError(
                    _refused("EXPLAIN ANALYZE", "runs the statement that it explains")
                )
        return
    if kind in {"SET", "VARIABLE_SET"} and not _HARMLESS_SETTINGS.match(text):
        raise StatementError(
            _refused("this SET", "can change what the database may reach")
            + "; SET VARIABLE, threads, memory_limit, default_order and timezone are allowed"
        )
    if not hasattr(duckdb.StatementType, kind):
        raise StatementError(_refused(kind, "is no statement that is known to read only"))


def _require_no_writing_function(text: str) -> None:
    writing = _WRITING_FUNCTIONS.search(text)
    if writing:
        raise StatementError(_refused(writing[1], "writes files"))


def _refused(what: str, why: str) -> str:
    return (
        f"{what} {why}, and this is for reading; allowed are {_READING}. To write a result to a file "
        "use --output; to change the database, `classrel sql --write`"
    )


def _run(
    connection: DuckDBPyConnection,
    statement: duckdb.Statement,
    parameters: Parameters | None,
    lines_before: int,
) -> DuckDBPyRelation:
    text = statement.query
    with explained(connection, lines_before):
        try:
            rows = connection.sql(text, params=parameters) if parameters else connection.sql(text)
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            if "LINE " in str(error):
                raise
            # a relation's errors lack the place; the same text executed has it, and fails again
            # before anything is done
            connection.execute(text, parameters) if parameters else connection.execute(text)
            raise
        # what has no rows of its own says that it was done
        if rows is None or (_kind(statement) not in _ANSWERING and not rows.shape[0]):
            return connection.sql("SELECT true AS done")
        return rows


def _lines_before(text: str, statement: duckdb.Statement) -> int:
    """The lines of ``text`` before its statement: DuckDB counts from there."""
    return text.count("\n", 0, max(0, text.find(statement.query)))


def _message(connection: DuckDBPyConnection, error: duckdb.Error, lines_before: int) -> str:
    whole = str(error).strip()
    words, _, place = whole.partition("\n\nLINE ")
    if words.startswith("Traceback"):
        words = said(error)
    first, *more = words.splitlines()
    if "attached in read-only mode" in first:
        kind = re.search(r'type "(\w+)"', first)
        return _refused(kind[1] if kind else "that", "changes the database")
    lines = [first]
    if place:
        number, _, shown = place.partition(": ")
        marked = shown.splitlines()
        ours = f"  line {int(number) + lines_before}: "
        lines.append(ours + marked[0])
        if len(marked) > 1:
            # the caret stands under a line that DuckDB begins with "LINE n: "
            caret = marked[1][len(f"LINE {number}: ") :]
            lines.append(" " * len(ours) + caret)
    hints = _hints(connection, first, [line.strip() for line in more if line.strip()])
    return "\n".join([*lines, *(f"hint: {hint}" for hint in hints)])


def _hints(connection: DuckDBPyConnection, first: str, more: Sequence[str]) -> list[str]:
    if more and more[0].startswith("Candidate macros"):
        return [f"the macro is {' or '.join(more[1:])}; parameters with := are given by name"]
    offered = [name for line in more for name in re.findall(r'"([^"]+)"', line)]
    for pattern, where in _UNKNOWN:
        found = pattern.search(first)
        if found and len(found[1]) > 2:
            known = [*offered, *_names(connection, where)]
            near = [name for name in closest(found[1], known) if len(name) > 1]
            listing = (
                ["SHOW TABLES lists the tables and views, `classrel query` the macros"]
                if where is _TABLES
                else []
            )
            return [f"did you mean {' or '.join(dict.fromkeys(near))}?"] if near else listing
    if "parameter" in first.lower():
        return [*more, "give values with --param name=value; they are bound to $name"]
    return list(more)


def _names(connection: DuckDBPyConnection, query: str) -> list[str]:
    try:
        return [name for (name,) in connection.cursor().execute(query).fetchall()]
    except duckdb.Error:
        return []  # a hint is not worth a second error
