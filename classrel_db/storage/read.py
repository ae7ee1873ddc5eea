"""Questions to the database. What answers with rows is a relation on the read-only connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.records import StoredModel
from classrel_db.storage.arrow import column, texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from numpy.typing import NDArray

    from classrel_db.records import Finding

STORED_NEIGHBORS = 100  # a class's neighbours in the table; more are computed from the weights

_STORED_MODEL = """
    SELECT model_id, name, source, uri, head_key, label_space, normalization, n_classes, dim,
           n_pairs, weights_sha256, rows_sha256, bytes_read, bytes_total
    FROM models
"""


def stored_models(connection: DuckDBPyConnection) -> list[StoredModel]:
    """Every model, in the order of ingest."""
    rows = connection.execute(_STORED_MODEL + "ORDER BY model_id").fetchall()
    return [StoredModel(*row) for row in rows]


def models(connection: DuckDBPyConnection) -> DuckDBPyRelation:
    """One row a model: what a list of models shows."""
    return connection.sql(
        """
        SELECT name AS model, n_classes AS classes, dim, label_space, normalization, n_pairs AS pairs,
               source, ingested_at
        FROM models ORDER BY model_id
        """
    )


def info(connection: DuckDBPyConnection, model_id: int) -> DuckDBPyRelation:
    """One row: everything that is known of one model but its internal number and center."""
    return connection.sql(
        "SELECT name AS model, * EXCLUDE (model_id, name, center) FROM models WHERE model_id = $id",
        params={"id": model_id},
    )


def classes(connection: DuckDBPyConnection, model_id: int, pattern: str | None) -> DuckDBPyRelation:
    """The classes of one model; ``pattern`` is a part of a label or the whole of a concept."""
    return connection.sql(
        """
        SELECT m.name AS model, c.class_idx, c.label AS class, c.concept, c.bias, c.mean, c.std, c.norm
        FROM classes AS c JOIN models AS m ON m.model_id = c.model_id
        WHERE c.model_id = $id
          AND ($pattern IS NULL OR contains(lower(c.label), lower($pattern)) OR c.concept = $pattern)
        ORDER BY c.class_idx
        """,
        params={"id": model_id, "pattern": pattern},
    )


def named_classes(
    connection: DuckDBPyConnection, text: str
) -> list[tuple[int, int, str, str, bool, bool]]:
    """Classes of any model that ``text`` names outright, by label, concept or index.

    As (model_id, class_idx, label, concept, label is exact, label is equal but for case).
    """
    return connection.execute(
        """
        SELECT model_id, class_idx, label, concept, label = $text, lower(label) = lower($text)
        FROM classes
        WHERE lower(label) = lower($text) OR concept = $text OR class_idx = try_cast($text AS INTEGER)
        ORDER BY model_id, class_idx
        """,
        {"text": text},
    ).fetchall()


def labels(
    connection: DuckDBPyConnection, model_ids: Sequence[int]
) -> list[tuple[int, int, str, str]]:
    """(model_id, class_idx, label, concept) of every class of these models."""
    return connection.execute(
        """
        SELECT model_id, class_idx, label, concept FROM classes
        WHERE model_id IN (SELECT unnest($ids)) ORDER BY model_id, class_idx
        """,
        {"ids": list(model_ids)},
    ).fetchall()


def nearest(
    connection: DuckDBPyConnection,
    focal: Mapping[str, int],
    k: int | None,
    include_self: bool,
) -> DuckDBPyRelation:
    """The ``k`` neighbours of one class in each model; ``focal`` gives its index by model name.

    None for ``k`` means 25, or all where a model has fewer.
    """
    wanted = 25 if k is None else k
    parameters: dict[str, object] = {"k": wanted}
    if wanted <= STORED_NEIGHBORS:
        # literals let DuckDB skip the row groups of other models; the index is an int, the name
        # is bound
        places = []
        for number, (name, class_idx) in enumerate(focal.items()):
            parameters[f"m{number}"] = name
            places.append(f"($m{number}, {class_idx:d})")
        body = f"""
            SELECT model, class, rank, neighbor, neighbor_concept, cosine, euclidean
            FROM nearest WHERE (model, class_idx) IN ({", ".join(places)}) AND rank <= $k
        """  # noqa: S608
    else:
        parts = []
        for number, (name, class_idx) in enumerate(focal.items()):
            parameters[f"m{number}"] = name
            parts.append(f"FROM neighbors($m{number}, {class_idx:d}, k := $k)")
        body = " UNION ALL ".join(parts)
    if include_self:
        body += " UNION ALL " + _selves(focal)
    order = ", ".join(["list_position($models, model)", "rank"])
    parameters["models"] = list(focal)
    return connection.sql(f"FROM ({body}) ORDER BY {order}", params=parameters)


def _selves(focal: Mapping[str, int]) -> str:
    places = ", ".join(f"($m{n}, {idx:d})" for n, idx in enumerate(focal.values()))
    return f"""
        SELECT m.name, c.label, 0, c.label, c.concept, 1::FLOAT, 0::FLOAT
        FROM models AS m JOIN classes AS c ON c.model_id = m.model_id
        WHERE (m.name, c.class_idx) IN ({places})
    """  # noqa: S608


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


def row_counts(connection: DuckDBPyConnection, model_id: int) -> dict[str, int]:
    """How many rows each table holds of one model."""
    counted = {}
    for table in ("classes", "weights", "neighbors", "pairs"):
        ((counted[table],),) = connection.execute(
            f"SELECT count(*) FROM {table} WHERE model_id = ?",  # noqa: S608
            [model_id],
        ).fetchall()
    return counted


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
        for model_id, index, label, concept in labels(
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
