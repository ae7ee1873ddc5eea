"""What leaves or enters the database as arrays: apart from ``read``, which must not wait for numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.storage import read
from classrel_db.storage.arrow import column, texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from numpy.typing import NDArray

    from classrel_db.records import Finding, StoredModel


def rows(connection: DuckDBPyConnection, model: StoredModel) -> NDArray[np.float32]:
    """The normalised rows of one model, C×D."""
    table = connection.sql(
        "SELECT vector FROM weights WHERE model_id = $id ORDER BY class_idx",
        params={"id": model.model_id},
    ).to_arrow_table()
    vectors = table.column(0).combine_chunks()
    values = np.frombuffer(vectors.flatten().buffers()[1], dtype=np.float32)
    matrix: NDArray[np.float32] = values.reshape(len(vectors), -1)
    return matrix


def center(connection: DuckDBPyConnection, model_id: int) -> NDArray[np.float64] | None:
    """What ``center`` subtracted from every row of the model (D,), or None."""
    ((values,),) = connection.execute(
        "SELECT center FROM models WHERE model_id = ?", [model_id]
    ).fetchall()
    return None if values is None else np.asarray(values, dtype=np.float64)


def norms(connection: DuckDBPyConnection, model_id: int) -> NDArray[np.float64]:
    """The norm of each stored row (C,)."""
    found = connection.execute(
        "SELECT norm FROM classes WHERE model_id = ? ORDER BY class_idx", [model_id]
    ).fetchall()
    return np.asarray(found, dtype=np.float64).reshape(-1)


def stored_neighbors(
    connection: DuckDBPyConnection, model_id: int, class_idx: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The stored neighbours of one class, nearest first: (indices, cosines)."""
    found = connection.execute(
        """
        SELECT neighbor_idx, cosine FROM neighbors
        WHERE model_id = ? AND class_idx = ? ORDER BY rank
        """,
        [model_id, class_idx],
    ).fetchnumpy()
    return found["neighbor_idx"].astype(np.int64), np.asarray(found["cosine"], dtype=np.float32)


def stored_cosines(
    connection: DuckDBPyConnection, model_id: int, class_idx: int, n_classes: int
) -> NDArray[np.float32]:
    """The cosines of one class with every other from ``pairs`` (C,), NaN where there is none."""
    found = connection.execute(
        """
        SELECT b AS other, cosine FROM pairs WHERE model_id = $id AND a = $class
        UNION ALL SELECT a, cosine FROM pairs WHERE model_id = $id AND b = $class
        """,
        {"id": model_id, "class": class_idx},
    ).fetchnumpy()
    cosines = np.full(n_classes, np.nan, dtype=np.float32)
    cosines[np.asarray(found["other"], dtype=np.int64)] = found["cosine"]
    return cosines


def answers(
    connection: DuckDBPyConnection,
    asked: str,
    found: Sequence[
        tuple[StoredModel, NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]
    ],
) -> DuckDBPyRelation:
    """What a vector search found in each model, with the columns of the ``neighbors`` macro.

    ``found`` holds (model, class indices, cosines, Euclidean distances), nearest first.
    """
    import pyarrow as pa

    names = {
        (model_id, index): (label, concept)
        for model_id, index, label, concept in read.labels(
            connection, [model.model_id for model, *_ in found]
        )
    }
    tables = []
    for model, indices, cosines, distances in found:
        named = [names[model.model_id, int(index)] for index in indices]
        n = len(indices)
        columns = {
            "model": texts([model.name] * n),
            "class": texts([asked] * n),
            "rank": column(np.arange(1, n + 1, dtype=np.int32)),
            "neighbor": texts([label for label, _ in named]),
            "neighbor_concept": texts([concept for _, concept in named]),
            "cosine": column(cosines),
            "euclidean": column(distances.astype(np.float32)),
        }
        tables.append(pa.Table.from_arrays(list(columns.values()), names=list(columns)))
    return connection.from_arrow(pa.concat_tables(tables))


def findings(connection: DuckDBPyConnection, found: Sequence[Finding]) -> DuckDBPyRelation:
    """What a check found, as rows: model, check, ok, detail."""
    import pyarrow as pa

    columns = {
        "model": texts([finding.model for finding in found]),
        "check": texts([finding.check for finding in found]),
        "ok": pa.array([finding.ok for finding in found], pa.bool_()),
        "detail": texts([finding.detail for finding in found]),
    }
    return connection.from_arrow(pa.Table.from_arrays(list(columns.values()), names=list(columns)))
