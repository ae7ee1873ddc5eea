"""Rows of classes as Parquet and as csv, one model after the other: no more than one is in memory."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Any

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_NUMBERS = 1 << 20  # of vectors, that are spelled out at once


def write_parquet(file: Path, tables: Iterable[pa.Table]) -> None:
    """Tables of the same columns, at least one, as row groups of one Parquet file."""
    from pyarrow import parquet

    writer = None
    try:
        for table in tables:
            if writer is None:
                writer = parquet.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def write_csv(file: Path, tables: Iterable[pa.Table], vector: str, prefix: str, dim: int) -> None:
    """Tables of the same columns as csv in UTF-8 with a header (RFC 4180 with \\n).

    The column ``vector`` of lists becomes the last ``dim`` columns, ``prefix`` with the numbers from 0: those
    beyond a shorter list are empty, as missing values are. Numbers have as few digits as read back the same.
    """
    with file.open("w", encoding="utf-8", newline="") as output:
        writer = csv.writer(output, lineterminator="\n")
        described: list[str] = []
        for table in tables:
            if not described:
                described = [name for name in table.column_names if name != vector]
                writer.writerow([*described, *(f"{prefix}{number}" for number in range(dim))])
            for batch in table.to_batches(max_chunksize=max(1, _NUMBERS // dim)):
                cells = [spelled(batch[name]) for name in described]
                rows = spelled_rows(_matrix(batch[vector]))
                for *facts, numbers in zip(*cells, rows, strict=True):
                    writer.writerow([*facts, *numbers, *[""] * (dim - len(numbers))])


def spelled(values: pa.Array | pa.ChunkedArray) -> list[str]:
    """Numbers or text as text, each number with as few digits as read back the same; empty for NULL."""
    from pyarrow import compute

    texts: list[str] = compute.fill_null(compute.cast(values, "string"), "").to_pylist()
    return texts


def spelled_rows(rows: NDArray[np.float32]) -> Iterator[list[str]]:
    """The rows of a matrix of float32 as text."""
    import pyarrow as pa

    n, dim = rows.shape
    step = max(1, _NUMBERS // dim)
    for start in range(0, n, step):
        texts = spelled(pa.array(rows[start : start + step].reshape(-1)))
        yield from (texts[place : place + dim] for place in range(0, len(texts), dim))


def _matrix(lists: Any) -> NDArray[np.float32]:
    """Lists of the same length as the rows of a matrix."""
    flat = lists.flatten().to_numpy()
    matrix: NDArray[np.float32] = flat.reshape(len(lists), -1)
    return matrix
