"""The neighbour graph of one model as it is stored, and the rows of some of its classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import StoredModel

Neighbors = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.float64]"]


def near(connection: DuckDBPyConnection, model: StoredModel, k: int) -> Neighbors:
    """Who is among the ``k`` nearest of whom: (class, neighbour, cosine), (C·k,) each, by class and rank.

    Raises ValueError where there are not C·k of them, or a neighbour is no class.
    """
    found = connection.execute(
        """
        SELECT class_idx, neighbor_idx, cosine FROM neighbors
        WHERE model_id = ? AND rank <= ? ORDER BY class_idx, rank
        """,
        [model.model_id, k],
    ).fetchnumpy()
    ends = [np.asarray(found[name], dtype=np.int64) for name in ("class_idx", "neighbor_idx")]
    n = model.n_classes
    if not np.array_equal(ends[0], np.repeat(np.arange(n), k)):
        raise ValueError(f"not every class has {k} neighbours")
    if ends[1].min() < 0 or ends[1].max() >= n:
        raise ValueError("a neighbour is no class of the model")
    return ends[0], ends[1], np.asarray(found["cosine"], dtype=np.float64)


def nearest_of(
    connection: DuckDBPyConnection, model: StoredModel, class_idx: int, k: int
) -> list[int]:
    """The ``k`` nearest classes of one, the nearest first, or all that are stored.

    Raises ValueError where there is none.
    """
    found = connection.execute(
        """
        SELECT neighbor_idx FROM neighbors
        WHERE model_id = ? AND class_idx = ? AND rank <= ? ORDER BY rank
        """,
        [model.model_id, class_idx, k],
    ).fetchall()
    if not found:
        raise ValueError(f"class {class_idx} has no neighbours")
    return [index for (index,) in found]


def rows_between(
    connection: DuckDBPyConnection, model: StoredModel, first: int, last: int
) -> NDArray[np.float32]:
    """The normalised rows of the classes from ``first`` to before ``last``. Raises as :func:`rows_of`."""
    return _rows(
        connection,
        model,
        last - first,
        "class_idx >= $first AND class_idx < $last",
        {"first": first, "last": last},
    )


def rows_of(
    connection: DuckDBPyConnection, model: StoredModel, indices: Sequence[int]
) -> NDArray[np.float32]:
    """The normalised rows of these classes, each once, by rising index (m×D).

    Raises ValueError where one is not there or has another length.
    """
    return _rows(
        connection,
        model,
        len(indices),
        "class_idx IN (SELECT unnest($indices))",  # a join: list_contains would read every vector
        {"indices": list(indices)},
    )


def _rows(
    connection: DuckDBPyConnection,
    model: StoredModel,
    m: int,
    which: str,
    parameters: dict[str, object],
) -> NDArray[np.float32]:
    table = connection.sql(
        f"SELECT vector FROM weights WHERE model_id = $id AND {which} ORDER BY class_idx",  # noqa: S608
        params={"id": model.model_id, **parameters},
    ).to_arrow_table()
    vectors = table.column(0).combine_chunks()
    lengths = np.diff(np.frombuffer(vectors.buffers()[1], dtype=np.int32)[: len(vectors) + 1])
    if len(lengths) != m or (lengths != model.dim).any():
        raise ValueError(f"{len(lengths):,} of {m:,} rows are there, or not all have {model.dim}")
    values = np.frombuffer(vectors.flatten().buffers()[1], dtype=np.float32)
    matrix: NDArray[np.float32] = values.reshape(m, model.dim)
    return matrix
