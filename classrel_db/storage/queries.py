"""Named queries: .sql files, each a table macro under a header comment that says how to use it.

-- One sentence, which lists show.
--
-- model  VARCHAR        a model's name            (two blanks or more between the columns)
-- k      INTEGER := 25  how many
--
-- Example: FROM name('efficientnet_lite0', k := 5)
--
-- Reading it: what the numbers mean.
CREATE OR REPLACE MACRO name(model, k := 25) AS TABLE ...
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from classrel_db.errors import QueryFileError
from classrel_db.records import NamedQuery, QueryParameter
from classrel_db.storage.schema import query_files, upgrade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

CONDITION = "CONDITION"

_PARAMETER = re.compile(r"(\w+)\s{2,}((?:'(?:[^']|'')*'|[^'])+?)\s{2,}(\S.*)")
_CREATE = re.compile(r"CREATE\s+(OR\s+REPLACE\s+)?(?=MACRO|FUNCTION)", re.IGNORECASE)


def shipped() -> list[NamedQuery]:
    """The queries of classrel itself, by name; the tests have verified them."""
    return [_read(path) for path in query_files()]


def of_folder(folder: Path) -> list[NamedQuery]:
    """A user's own queries: every .sql file of a folder, verified against DuckDB's parser.

    Raises QueryFileError, with file and line, for one that is not in order or not the only one of its
    name.
    """
    if not folder.is_dir():
        raise QueryFileError(f"{folder} is no folder of queries; give one that holds .sql files")
    own = [_read(path) for path in sorted(folder.glob("*.sql"))]
    verify(own, known=shipped())
    return own


def as_temporary(query: NamedQuery) -> str:
    """The statement that makes the query for one connection, in a database that is only read."""
    lines = query.text.splitlines(keepends=True)
    body = "".join(lines[_body(query) - 1 :])
    return _CREATE.sub("CREATE OR REPLACE TEMP ", body, count=1)


def verify(queries: Sequence[NamedQuery], known: Sequence[NamedQuery] = ()) -> None:
    """Hold each query's header against its statement, as DuckDB parses and binds it.

    ``known`` are there already, and their names taken. Raises QueryFileError.
    """
    if not queries:
        return
    taken = {query.name.lower(): query.path for query in known}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scratch.duckdb"
        with duckdb.connect(str(path)) as scratch:
            upgrade(scratch, path, data=False)
            for query in queries:
                other = taken.setdefault(query.name.lower(), query.path)
                if other != query.path:
                    raise _fault(
                        query.path,
                        1,
                        f"there is a query {query.name} already, in {other}; rename it",
                    )
                _verify_one(scratch, query)


def _read(path: Path) -> NamedQuery:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryFileError(f"can't read {path}: {error}") from error
    header: list[str] = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        header.append(line[2:].rstrip())
    if not any(map(str.strip, header)):
        raise _fault(
            path, 1, "no header; begin with a comment: one sentence, the parameters, an example"
        )
    sections: dict[str, list[str]] = {"summary": [], "reading": []}
    parameters: list[QueryParameter] = []
    examples: list[str] = []
    current = "summary"
    for number, line in enumerate(header, start=1):
        content = line.strip()
        if content.startswith("Example:"):
            examples.append(content.removeprefix("Example:").strip())
            current = "done"
        elif content.startswith("Reading it:"):
            current = "reading"
            sections["reading"].append(content.removeprefix("Reading it:").strip())
        elif not content:
            current = current if current == "reading" else "parameters"
        elif current in sections:
            sections[current].append(content)
        elif parameters and line.startswith(" " * 6):
            last = parameters.pop()
            parameters.append(
                QueryParameter(last.name, last.type, last.default, f"{last.help} {content}")
            )
        elif current == "parameters":
            parameters.append(_parameter(path, number, content))
        else:
            raise _fault(path, number, f"what is this line of the header? {content[:60]}")
    if not examples:
        raise _fault(path, len(header), "the header has no line `-- Example: FROM ...`")
    return NamedQuery(
        name=path.stem,
        summary=" ".join(sections["summary"]),
        parameters=tuple(parameters),
        examples=tuple(examples),
        reading=" ".join(sections["reading"]),
        path=path,
        text=text,
    )


def _parameter(path: Path, number: int, content: str) -> QueryParameter:
    found = _PARAMETER.fullmatch(content)
    # a blank in a default is in a string, a list or a sum, not before a word of the help
    if not found or re.search(r":=\s*[\w.'-]+\s+[A-Za-z]+$", found[2]) or ":=" in found[3]:
        raise _fault(
            path,
            number,
            "a parameter's line is `-- name  TYPE := default  what it is`, with two blanks between "
            f"the columns, not {content[:60]!r}",
        )
    name, kind, text = found.groups()
    type_, _, default = kind.partition(":=")
    return QueryParameter(name, type_.strip().upper(), default.strip() or None, text.strip())


def _verify_one(scratch: DuckDBPyConnection, query: NamedQuery) -> None:
    try:
        statements = scratch.extract_statements(query.text)
    except duckdb.Error as error:
        raise _fault(query.path, _line(error), _first_line(error)) from error
    if len(statements) != 1:
        raise _fault(
            query.path,
            _second(query.text, [statement.query for statement in statements]),
            f"{len(statements)} statements; a file holds one, CREATE OR REPLACE MACRO {query.name}",
        )
    if not _CREATE.match(
        "".join(query.text.splitlines(keepends=True)[_body(query) - 1 :]).lstrip()
    ):
        raise _fault(
            query.path,
            _body(query),
            f"the statement is not CREATE OR REPLACE MACRO {query.name}(...)",
        )
    try:
        scratch.execute(query.text)
    except duckdb.Error as error:
        raise _fault(query.path, _line(error, query), _first_line(error)) from error
    found = _signature(scratch, query.name)
    if found is None:
        raise _fault(
            query.path, _body(query), f"{query.path.name} must make the table macro {query.name}"
        )
    declared = _declared(scratch, query)
    for wanted, written, parameter in zip(found, declared, query.parameters, strict=False):
        if wanted != written:
            raise _fault(
                query.path,
                _parameter_line(query, parameter),
                f"the header says `{parameter.shown}` where the macro has `{wanted}`",
            )
    if len(found) != len(declared):
        raise _fault(
            query.path,
            _body(query),
            f"the header declares {len(declared)} parameters ({', '.join(declared) or 'none'}), the "
            f"macro has {len(found)} ({', '.join(found) or 'none'})",
        )
    for parameter in query.parameters:
        _verify_type(scratch, query, parameter)
    for example in query.examples:
        try:
            scratch.execute(f"EXPLAIN {example}")
        except duckdb.Error as error:
            raise _fault(
                query.path,
                _header_line(query, example),
                f"the example does not run: {_first_line(error)}",
            ) from error


def _verify_type(scratch: DuckDBPyConnection, query: NamedQuery, parameter: QueryParameter) -> None:
    if parameter.type == CONDITION:
        return
    try:
        scratch.execute(f"SELECT CAST(NULL AS {parameter.type})")
    except duckdb.Error as error:
        raise _fault(
            query.path,
            _parameter_line(query, parameter),
            f"{parameter.type} is no type of DuckDB's (nor CONDITION)",
        ) from error


def _signature(scratch: DuckDBPyConnection, name: str) -> list[str] | None:
    """A table macro's parameters as DuckDB spells them, with defaults; None where there is none."""
    kinds = scratch.execute(
        "SELECT parameters FROM duckdb_functions() "
        "WHERE lower(function_name) = lower(?) AND function_type = 'table_macro'",
        [name],
    ).fetchall()
    if not kinds:
        return None
    # The catalog has the names only. A call that can't fit makes DuckDB name what would, with defaults.
    try:
        scratch.execute(f'FROM "{name}"(no_such_parameter := 1)')
    except duckdb.Error as error:
        spelled = re.search(rf'^\s*"?{re.escape(name)}"?\((.*)\)$', str(error), re.MULTILINE | re.I)
        if spelled:
            return _split(spelled[1])
    return list(kinds[0][0])


def _declared(scratch: DuckDBPyConnection, query: NamedQuery) -> list[str]:
    """The header's parameters as DuckDB spells them: by a macro that has the header's own."""
    written = [
        f'"{p.name}"' if p.default is None else f'"{p.name}" := {p.default}'
        for p in query.parameters
    ]
    try:
        scratch.execute(
            f"CREATE OR REPLACE MACRO declared_in_the_header({', '.join(written)}) AS TABLE SELECT 1"
        )
    except duckdb.Error:
        return [parameter.shown for parameter in query.parameters]  # its difference is told
    return _signature(scratch, "declared_in_the_header") or []


def _split(signature: str) -> list[str]:
    """The parts between commas that are in no brackets or quotes."""
    parts = re.findall(r"""(?:[^,\[('"]|\[[^\]]*\]|\([^)]*\)|'[^']*'|"[^"]*")+""", signature)
    return [part.strip().replace('"', "") for part in parts if part.strip()]


def _fault(path: Path, line: int, message: str) -> QueryFileError:
    return QueryFileError(f"{path}:{line}: {message}")


def _line(error: Exception, query: NamedQuery | None = None) -> int:
    """The line that DuckDB names, else the first of the statement that has the name it complains of."""
    found = re.search(r"^LINE (\d+):", str(error), re.MULTILINE)
    if found:
        return int(found[1])
    name = re.search(r'"(\w+)"|with name (\w+)', _first_line(error))
    if query is None or name is None:
        return 1
    wanted = re.compile(rf"\b{name[1] or name[2]}\b")
    body = _body(query)
    lines = enumerate(query.text.splitlines(), start=1)
    return next((n for n, line in lines if n >= body and wanted.search(line)), body)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _body(query: NamedQuery) -> int:
    """The number of the first line that is no comment."""
    lines = query.text.splitlines()
    return next(
        (n for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("--")),
        len(lines),
    )


def _header_line(query: NamedQuery, content: str) -> int:
    lines = enumerate(query.text.splitlines(), start=1)
    return next((n for n, line in lines if line.startswith("--") and content in line), 1)


def _parameter_line(query: NamedQuery, parameter: QueryParameter) -> int:
    wanted = re.compile(rf"--\s+{re.escape(parameter.name)}\s{{2,}}")
    lines = enumerate(query.text.splitlines(), start=1)
    return next((n for n, line in lines if wanted.match(line)), 1)


def _second(text: str, statements: Sequence[str]) -> int:
    if len(statements) < 2:
        return max(1, text.rstrip().count("\n") + 1)
    first_words = statements[1].strip().splitlines()
    start = text.rfind(first_words[-1]) if first_words else 0
    return text.count("\n", 0, max(0, start)) + 1
