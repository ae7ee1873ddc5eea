"""Writing one model's rows. The caller holds the transaction."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.scratch import release
from classrel_db.storage import read
from classrel_db.storage.arrow import column, texts
from classrel_db.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import LabelSpace, StoredModel

_LEAST_MEMORY = 500_000_000  # bytes; with less, DuckDB can't write vectors
_BYTES_PER_INSERT = 64 << 20  # of rows that may lie on the disk
_PAIRS_PER_INSERT = 4_000_000  # 48 MB of Arrow; an insert's fixed cost is lost in it


def load_arrow() -> None:
    """Import what every insert needs, beside work that does not: it takes as long as the classes do."""
    import pyarrow as pa  # noqa: F401


def bound_memory(connection: DuckDBPyConnection, n_bytes: int) -> None:
    """Let DuckDB take no more memory than that for what it writes; the rest goes to its file."""
    connection.execute(f"SET memory_limit = '{max(n_bytes, _LEAST_MEMORY):d}B'")


def next_model_id(connection: DuckDBPyConnection) -> int:
    rows = connection.execute("SELECT nextval('model_ids')").fetchall()
    return int(rows[0][0])


def insert_model(
    connection: DuckDBPyConnection, model: StoredModel, center: NDArray[np.float64] | None
) -> None:
    """The row of ``models``; ``center`` is (D,) or None."""
    _forget_support_over_models(connection)
    row = {
        **asdict(model),
        "classrel_version": __version__,
        "center": None if center is None else center.tolist(),
    }
    connection.execute(
        f"""
        INSERT INTO models (ingested_at, {", ".join(row)})
        VALUES (date_trunc('second', now() AT TIME ZONE 'UTC'), {", ".join("?" * len(row))})
        """,  # noqa: S608
        list(row.values()),
    )


def insert_classes(
    connection: DuckDBPyConnection,
    model_id: int,
    space: LabelSpace,
    bias: NDArray[np.float32] | None,
    statistics: dict[str, NDArray[np.float64]],
) -> None:
    """The rows of ``classes``; ``statistics`` holds mean, std, norm and scale, each (C,)."""
    import pyarrow as pa

    n = len(space.labels)
    columns = {
        "class_idx": column(np.arange(n, dtype=np.int32)),
        "label": texts(space.labels),
        "concept": texts(space.concepts),
        "bias": pa.nulls(n, pa.float32()) if bias is None else column(bias.astype(np.float32)),
        **{name: column(values) for name, values in statistics.items()},
    }
    _insert(connection, "classes", model_id, columns)


def insert_weights(
    connection: DuckDBPyConnection, model_id: int, rows: NDArray[np.float32]
) -> None:
    """The rows of ``weights``, from C×D normalised rows."""
    import pyarrow as pa

    n, dim = rows.shape
    for block in _blocks(n, 4 * dim):
        vectors = pa.FixedSizeListArray.from_arrays(column(rows[block].reshape(-1)), dim)
        indices = np.arange(block.start, block.stop, dtype=np.int32)
        _insert(connection, "weights", model_id, {"class_idx": column(indices), "vector": vectors})
        release(rows)


def insert_pairs(
    connection: DuckDBPyConnection,
    model_id: int,
    blocks: Iterable[tuple[int, NDArray[np.float32]]],
    done: Callable[[int], None],
) -> None:
    """The rows of ``pairs`` from the blocks of :func:`classrel_db.maths.cosine_blocks`.

    ``done`` is told the number of pairs written so far.
    """
    written = 0
    for start, cosines in blocks:
        for columns in _pair_columns(start, cosines):
            _insert(connection, "pairs", model_id, columns)
            written += len(columns["cosine"])
            done(written)


def insert_neighbors(
    connection: DuckDBPyConnection,
    model_id: int,
    indices: NDArray[np.int32],
    cosines: NDArray[np.float32],
) -> None:
    """The rows of ``neighbors`` from C×k indices and cosines, nearest first."""
    n, k = indices.shape
    for block in _blocks(n, 16 * k):
        some = np.arange(block.start, block.stop, dtype=np.int32)
        columns = {
            "class_idx": column(np.repeat(some, k)),
            "rank": column(np.tile(np.arange(1, k + 1, dtype=np.int32), len(some))),
            "neighbor_idx": column(indices[block].reshape(-1)),
            "cosine": column(cosines[block].reshape(-1)),
        }
        _insert(connection, "neighbors", model_id, columns)
        release(indices, cosines)


def delete_model(connection: DuckDBPyConnection, model_id: int) -> None:
    """Every row of one model, in every table."""
    _forget_support_over_models(connection)
    for table in read.OWNED_TABLES:
        connection.execute(f"DELETE FROM {table} WHERE model_id = ?", [model_id])  # noqa: S608
    connection.execute(
        "DELETE FROM comparisons WHERE model_a = $id OR model_b = $id", {"id": model_id}
    )


def _forget_support_over_models(connection: DuckDBPyConnection) -> None:
    """It counts all models: one more or less makes it another number."""
    connection.execute("DELETE FROM clade_support WHERE kind = 'models'")


def hand_over_tags(connection: DuckDBPyConnection, model_id: int, successor: int) -> None:
    """Give one model's tags to the model that takes its name."""
    connection.execute(
        "UPDATE tags SET model_id = $new WHERE model_id = $old", {"old": model_id, "new": successor}
    )


def _blocks(n: int, row_bytes: int) -> Iterator[slice]:
    step = max(1, _BYTES_PER_INSERT // row_bytes)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def _pair_columns(start: int, cosines: NDArray[np.float32]) -> Iterator[dict[str, pa.Array]]:
    """The pairs a < b of one block of rows, as columns of at most _PAIRS_PER_INSERT or one row."""
    height, width = cosines.shape
    every = np.arange(start, start + width, dtype=np.int32)
    step = max(1, _PAIRS_PER_INSERT // max(1, width))
    for top in range(0, height, step):
        rows = range(top, min(top + step, height))
        lengths = [width - row - 1 for row in rows]
        if not sum(lengths):
            continue
        yield {
            "a": column(np.repeat(every[rows.start : rows.stop], lengths)),
            "b": column(np.concatenate([every[row + 1 :] for row in rows])),
            "cosine": column(np.concatenate([cosines[row, row + 1 :] for row in rows])),
        }


def _insert(
    connection: DuckDBPyConnection, table: str, model_id: int, columns: dict[str, pa.Array]
) -> None:
    import pyarrow as pa

    incoming = pa.Table.from_arrays(  # noqa: F841
        list(columns.values()), names=list(columns)
    )
    names = ", ".join(columns)
    # DuckDB finds the local variable by its name. A registered view would be kept, with its table,
    # until the transaction ends.
    connection.execute(
        f"INSERT INTO {table} (model_id, {names}) SELECT {model_id:d}, {names} FROM incoming"  # noqa: S608
    )
