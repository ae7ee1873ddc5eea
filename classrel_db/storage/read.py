"""Questions to the database. What answers with rows is a relation on the read-only connection."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from classrel_db.records import StoredModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation

STORED_NEIGHBORS = 100  # a class's neighbours in the table; more are computed from the weights


def stored_models(connection: DuckDBPyConnection) -> list[StoredModel]:
    """Every model, in the order of ingest."""
    columns = ", ".join(field.name for field in fields(StoredModel))
    rows = connection.execute(f"SELECT {columns} FROM models ORDER BY model_id").fetchall()  # noqa: S608
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


def row_counts(connection: DuckDBPyConnection, model_id: int) -> dict[str, int]:
    """How many rows each table holds of one model."""
    counted = {}
    for table in ("classes", "weights", "neighbors", "pairs"):
        ((counted[table],),) = connection.execute(
            f"SELECT count(*) FROM {table} WHERE model_id = ?",  # noqa: S608
            [model_id],
        ).fetchall()
    return counted
