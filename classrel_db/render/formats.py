"""Rows as csv, json, markdown, parquet or a table, to standard output or a file.

Numbers are written in full: a float32 as the shortest decimal that reads back as the same float32.
Tables for people round them.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import struct
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from classrel_db.errors import ArgumentError
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from duckdb import DuckDBPyRelation

    from classrel_db.records import Format

_ENDINGS = {
    ".csv": "csv",
    ".json": "json",
    ".md": "markdown",
    ".parquet": "parquet",
    ".txt": "table",
}


def format_of(chosen: Format | None, output: Path | None) -> str:
    """The format asked for, else the one that the output file's ending names, else a table.

    Raises ArgumentError for an ending that names none.
    """
    ending = output.suffix.lower() if output is not None else ""
    if ending == ".parquet" and chosen is not None:
        raise ArgumentError(f"--format {chosen} and a .parquet file; leave --format out")
    if chosen is not None:
        return chosen
    if output is None or str(output) in {"-", "/dev/stdout"}:
        return "table"
    if ending not in _ENDINGS:
        raise ArgumentError(
            f"can't tell the format of {output} by its ending {quoted(ending)}; use "
            f"{', '.join(_ENDINGS)} or give --format"
        )
    return _ENDINGS[ending]


def emit(
    rows: DuckDBPyRelation,
    format: str,
    output: Path | None,
    table: Callable[[DuckDBPyRelation, TextIO], None],
    spared: Path | None = None,
) -> None:
    """Write ``rows`` in ``format`` to ``output`` or standard output; ``table`` draws tables.

    A file is written whole or not at all, and ``spared``, the database that the rows are from, not
    at all. Raises ArgumentError where the output can't be written.
    """
    if output is not None and str(output) in {"-", "/dev/stdout"}:
        output = None
    if output is not None and spared is not None and _same_file(output, spared):
        raise ArgumentError(f"{output} is the database itself; write to another file")
    if format == "parquet" and output is not None:
        with _replacing(output) as temporary:
            rows.write_parquet(str(temporary))
        return
    write = {"csv": write_csv, "json": write_json, "markdown": write_markdown, "table": table}[
        format
    ]
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # data is UTF-8 whatever the terminal is; a table is for eyes, and escapes the rest
            if format == "table":
                sys.stdout.reconfigure(errors="backslashreplace")
            else:
                sys.stdout.reconfigure(encoding="utf-8")
        write(rows, sys.stdout)
        return
    with _replacing(output) as target, target.open("w", encoding="utf-8", newline="") as file:
        write(rows, file)


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
    for row in values(rows):
        item = dict(zip(rows.columns, row, strict=True))
        file.write(separator + json.dumps(item, ensure_ascii=False, default=str, allow_nan=False))
        separator = ",\n"
    file.write("\n]\n")


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
    return "" if value is None else value


def _markdown_cell(value: Any) -> str:
    """The value as text that stays text: what Markdown or HTML would act on is escaped."""
    text = " ".join(str(_csv_cell(value)).split())
    return re.sub(r"([\\|`*<>\[\]])", r"\\\1", text)


def values(rows: DuckDBPyRelation) -> Iterator[list[Any]]:
    """The rows as Python values that print and serialise as what they are."""
    single = [str(kind) == "FLOAT" for kind in rows.types]
    for row in rows.iter_rows():
        yield [_plain(value, is_single) for value, is_single in zip(row, single, strict=True)]


def _plain(value: Any, is_single: bool) -> Any:
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return shortest(value) if is_single else value


def shortest(value: float) -> float:
    """The float with the fewest digits that is the same float32 as ``value``."""
    packed = struct.pack("f", value)
    for digits in range(6, 9):
        candidate = float(f"{value:.{digits}g}")
        if struct.pack("f", candidate) == packed:
            return candidate
    return float(f"{value:.9g}")


@contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    """A file beside ``output`` that takes its place when the body has succeeded.

    A device or a pipe is written to as it is.
    """
    if output.is_dir():
        raise ArgumentError(f"can't write {output}: it is a folder")
    if output.is_relative_to("/dev") or (output.exists() and not output.is_file()):
        with _explained(output):
            yield output
        return
    target = Path(os.path.realpath(output))  # a link stays, what it leads to is replaced
    with _explained(output):
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=".partial"
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _explained(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArgumentError(f"can't write {output}: {error.strerror or error}") from error
    except Exception as error:
        # DuckDB's writer of Parquet has an error of its own for a full disk
        if type(error).__name__ != "IOException":
            raise
        raise ArgumentError(f"can't write {output}: {error}") from error


def _same_file(output: Path, database: Path) -> bool:
    files = (database, Path(f"{database}.wal"))
    return output.exists() and any(file.exists() and output.samefile(file) for file in files)


def _umask() -> int:
    # the only way to read it is to set it
    mask = os.umask(0)
    os.umask(mask)
    return mask
