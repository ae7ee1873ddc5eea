"""Writing one model's rows. The caller holds the transaction."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from classrel_db.storage import read
from classrel_db.storage.columns import (
    class_columns,
    neighbor_columns,
    pair_columns,
    weight_columns,
)
from classrel_db.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import LabelSpace, StoredModel

_LEAST_MEMORY = 500_000_000  # bytes; with less, DuckDB can't write vectors


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
    _insert(connection, "classes", model_id, class_columns(space, bias, statistics))


def insert_weights(
    connection: DuckDBPyConnection, model_id: int, rows: NDArray[np.float32]
) -> None:
    """The rows of ``weights``, from C×D normalised rows."""
    for columns in weight_columns(rows):
        _insert(connection, "weights", model_id, columns)


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
    for columns in pair_columns(blocks):
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
    for columns in neighbor_columns(indices, cosines):
        _insert(connection, "neighbors", model_id, columns)


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
