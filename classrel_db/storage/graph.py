"""The neighbour graph of one model as it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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
