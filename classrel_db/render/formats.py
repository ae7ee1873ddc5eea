"""Rows as csv, json, markdown, parquet or a table, to standard output or a file.

Numbers are written in full: a float32 as the shortest decimal that reads back as the same float32.
Tables for people round them.
"""

from __future__ import annotations

import csv
import json
import math
import os
import struct
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from classrel_db.errors import ArgumentError, ClassrelError
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from duckdb import DuckDBPyRelation

Format = Literal["table", "json", "csv", "markdown"]
FORMATS: tuple[Format, ...] = ("table", "json", "csv", "markdown")

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
    if output is None:
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
) -> None:
    """Write ``rows`` in ``format`` to ``output`` or standard output; ``table`` draws tables.

    A file is written whole or not at all. Raises ArgumentError where it can't be written.
    """
    if format == "parquet" and output is not None:
        with _replacing(output) as temporary:
            rows.write_parquet(str(temporary))
        return
    write = {"csv": write_csv, "json": write_json, "markdown": write_markdown, "table": table}[
        format
    ]
    if output is None:
        write(rows, sys.stdout)
        return
    with _replacing(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        write(rows, file)


def write_csv(rows: DuckDBPyRelation, file: TextIO) -> None:
    """Comma-separated, a header line, missing values empty (RFC 4180 with \\n)."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows.columns)
    for row in values(rows):
        writer.writerow(["" if value is None else value for value in row])


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
        shown = ("" if cell is None else str(cell) for cell in cells)
        return (
            "| " + " | ".join(c.replace("\\", "\\\\").replace("|", "\\|") for c in shown) + " |\n"
        )

    file.write(line(rows.columns))
    file.write("|" + " --- |" * len(rows.columns) + "\n")
    for row in values(rows):
        file.write(line(row))


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
    """A file beside ``output`` that takes its place when the body has succeeded."""
    try:
        handle, name = tempfile.mkstemp(
            dir=output.parent, prefix=f".{output.name}.", suffix=".partial"
        )
    except OSError as error:
        raise ArgumentError(f"can't write {output}: {error.strerror}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(output)
    except OSError as error:
        raise ClassrelError(f"can't write {output}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    # the only way to read it is to set it
    mask = os.umask(0)
    os.umask(mask)
    return mask
