"""Rows as csv, json, jsonl, markdown, parquet, arrow or a table, to standard output or a file.

Numbers are written in full: a float32 as the shortest decimal that reads back as the same float32.
Tables for people round them.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import struct
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from classrel_db.errors import ArgumentError
from classrel_db.outputs import replacing, require_other
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from duckdb import DuckDBPyRelation

    from classrel_db.records import Format, TreeFormat

BINARY = {"parquet", "arrow"}
# DuckDB's types whose Python values print and serialise as what they are.
_AS_THEY_ARE = {
    "varchar", "boolean", "decimal", "timestamp", "null",
    "tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint",
}  # fmt: skip
_FEW = 10_000  # rows that are fetched at once
_BATCH = 8_192  # rows a time, beyond
_ENDINGS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".md": "markdown",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "table",
}


def format_of(
    chosen: Format | TreeFormat | None, output: Path | None, also: Mapping[str, str] | None = None
) -> str:
    """The format asked for, else the one that the output file's ending names, else a table.

    ``also`` are endings of formats for these rows alone. Raises ArgumentError for an ending that names none.
    """
    ending = output.suffix.lower() if output is not None else ""
    endings = {**(also or {}), **_ENDINGS}
    if chosen is not None and chosen not in BINARY and _ENDINGS.get(ending) in BINARY:
        raise ArgumentError(f"--format {chosen} and a {ending} file; leave --format out")
    if chosen is not None:
        return chosen
    if output is None or str(output) in {"-", "/dev/stdout"}:
        return "table"
    if ending not in endings:
        raise ArgumentError(
            f"can't tell the format of {output} by its ending {quoted(ending)}; use "
            f"{', '.join(endings)} or give --format"
        )
    return endings[ending]


def emit(
    rows: DuckDBPyRelation,
    format: str,
    output: Path | None,
    draw: Callable[[DuckDBPyRelation, TextIO], None],
    spared: Path | None = None,
) -> None:
    """Write ``rows`` in ``format`` to ``output`` or standard output; ``draw`` writes what is no rows:
    tables, and the formats of trees.

    A file is written whole or not at all, and ``spared``, the database that the rows are from, not
    at all. Raises ArgumentError where the output can't be written, or is a terminal and the format is
    not for eyes.
    """
    if output is not None and str(output) in {"-", "/dev/stdout"}:
        output = None
    if output is not None and spared is not None:
        require_other(output, spared)
    if format in BINARY:
        _emit_binary(rows, format, output)
        return
    write = _WRITERS.get(format, draw)
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # data is UTF-8 whatever the terminal is; a table is for eyes, and escapes the rest
            if format == "table":
                sys.stdout.reconfigure(errors="backslashreplace")
            else:
                sys.stdout.reconfigure(encoding="utf-8")
        write(rows, sys.stdout)
        return
    with replacing(output) as target, target.open("w", encoding="utf-8", newline="") as file:
        write(rows, file)


def _emit_binary(rows: DuckDBPyRelation, format: str, output: Path | None) -> None:
    if output is not None:
        with replacing(output) as temporary:
            _write_binary(rows, format, temporary)
        return
    if sys.stdout.isatty():
        raise ArgumentError(
            f"{format} is binary and would upset the terminal; give a file with --output, or pipe it"
        )
    # both formats need a file that can be sought in
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "rows"
        _write_binary(rows, format, whole)
        with whole.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


def _write_binary(rows: DuckDBPyRelation, format: str, file: Path) -> None:
    if format == "parquet":
        rows.write_parquet(str(file))
        return
    import pyarrow as pa

    reader = rows.to_arrow_reader(_BATCH)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def write_csv(rows: DuckDBPyRelation, file: TextIO) -> None:
    """Comma-separated, a header line, missing values empty (RFC 4180 with \\n)."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows.columns)
    for row in values(rows):
        writer.writerow([_csv_cell(value) for value in row])


def write_json(rows: DuckDBPyRelation, file: TextIO) -> None:
    """A list of objects, one a line, with the column names as keys."""
    file.write("[")
    separator = "\n"
    for item in _objects(rows):
        file.write(separator + item)
        separator = ",\n"
    file.write("\n]\n")


def write_jsonl(rows: DuckDBPyRelation, file: TextIO) -> None:
    """An object a line, with the column names as keys (JSON Lines)."""
    for item in _objects(rows):
        file.write(f"{item}\n")


def _spelled(value: Any) -> Any:
    """What JSON has no type for: a decimal is a number where a double holds all of it."""
    if isinstance(value, Decimal):
        if value.as_tuple().exponent == 0:
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    return str(value)


def _objects(rows: DuckDBPyRelation) -> Iterator[str]:
    names = _distinct(rows.columns)
    for row in values(rows):
        item = dict(zip(names, row, strict=True))
        yield json.dumps(item, ensure_ascii=False, default=_spelled, allow_nan=False)


def _distinct(columns: Sequence[str]) -> list[str]:
    """Column names that can be keys: of two alike, the second is ``name_2``."""
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names


def write_markdown(rows: DuckDBPyRelation, file: TextIO) -> None:
    """A pipe table, as GitHub and pandoc read it."""

    def line(cells: Sequence[Any]) -> str:
        return f"| {' | '.join(map(_markdown_cell, cells))} |\n"

    file.write(line(rows.columns))
    file.write("|" + " --- |" * len(rows.columns) + "\n")
    for row in values(rows):
        file.write(line(row))


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"  # as JSON and DuckDB have it
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=_spelled)
    return "" if value is None else value


def _markdown_cell(value: Any) -> str:
    """The value as text that stays text: what Markdown or HTML would act on is escaped."""
    text = " ".join(str(_csv_cell(value)).split())
    return re.sub(r"([\\|`*<>\[\]])", r"\\\1", text)


def values(rows: DuckDBPyRelation) -> Iterator[list[Any]]:
    """The rows as Python values that print and serialise as what they are.

    Few rows are fetched at once; many, batch by batch as they are needed: a result may be larger than
    memory. What Python has no value of its own for comes as DuckDB spells it.
    """
    kinds = rows.types
    if None in map(_converter, kinds):
        rows = rows.project(
            ", ".join(
                f"CAST(#{number} AS {_readable(kind)}) AS {_identifier(name)}"
                for number, (kind, name) in enumerate(
                    zip(kinds, rows.columns, strict=True), start=1
                )
            )
        )
    plain = list(map(_converter, rows.types))
    some = rows.limit(_FEW + 1).fetchall()
    for row in _batched(rows) if len(some) > _FEW else some:
        yield [
            None if value is None or convert is None else convert(value)
            for value, convert in zip(row, plain, strict=True)
        ]


def _batched(rows: DuckDBPyRelation) -> Iterator[Sequence[Any]]:
    for batch in rows.to_arrow_reader(_BATCH):
        yield from zip(*[column.to_pylist() for column in batch.columns], strict=True)


def _converter(kind: Any) -> Callable[[Any], Any] | None:
    """What makes a printable value of one of DuckDB's type ``kind``; None if DuckDB is to spell it."""
    name = kind.id
    if name in _AS_THEY_ARE:
        return _as_it_is
    if name == "hugeint":
        return int  # Arrow hands it over as a decimal
    if name in {"float", "double"}:
        return _single if name == "float" else _double
    if name not in {"list", "array", "struct"}:
        return None
    if name == "struct":
        fields = {field: _converter(inner) for field, inner in kind.children}
        if None in fields.values():
            return None
        return lambda value: {
            field: None if item is None else fields[field](item)  # type: ignore[misc]
            for field, item in value.items()
        }
    inner = _converter(kind.children[0][1])
    if inner is None:
        return None
    return lambda value: [None if item is None else inner(item) for item in value]


def _readable(kind: Any) -> str:
    """The type itself, or text in place of what Python has no value of its own for."""
    if _converter(kind) is not None:
        return str(kind)
    return f"{_readable(kind.children[0][1])}[]" if kind.id in {"list", "array"} else "VARCHAR"


def _as_it_is(value: Any) -> Any:
    return value


def _double(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _single(value: float) -> float | None:
    return shortest(value) if math.isfinite(value) else None


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def shortest(value: float) -> float:
    """The float with the fewest digits that is the same float32 as ``value``."""
    packed = struct.pack("f", value)
    for digits in range(6, 9):
        candidate = float(f"{value:.{digits}g}")
        if struct.pack("f", candidate) == packed:
            return candidate
    return float(f"{value:.9g}")


_WRITERS: dict[str, Callable[[DuckDBPyRelation, TextIO], None]] = {
    "csv": write_csv,
    "json": write_json,
    "jsonl": write_jsonl,
    "markdown": write_markdown,
}
