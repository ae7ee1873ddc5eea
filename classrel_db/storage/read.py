"""Questions to the database. What answers with rows is a relation on the read-only connection."""

from __future__ import annotations

from dataclasses import fields
from math import isfinite
from typing import TYPE_CHECKING

from classrel_db.records import StoredClass, StoredModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_CLASS = "model_id, class_idx, label, concept, norm"  # the fields of StoredClass
_TABLES = ("classes", "weights", "neighbors", "pairs")
# all that goes with a model, itself last; comparisons have two
OWNED_TABLES = (
    "pairs", "neighbors", "weights", "tags", "trees", "merges", "leaves", "clade_support", "classes",
    "models",
)  # fmt: skip
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
        """
        SELECT name AS model, source, uri, revision, etag, head_key, n_classes, dim, dtype, weight_error,
               cosine_error, license, reference, label_space, normalization, n_pairs, search, recall,
               recall_low, recall_all, recall_sample, bytes_read, bytes_total, ingested_at, classrel_version,
               versions, weights_sha256, rows_sha256, concepts_sha256
        FROM models WHERE model_id = $id
        """,
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
    connection: DuckDBPyConnection,
    query: str | int,
    model_ids: Sequence[int],
    among: Sequence[int] | None = None,
) -> list[tuple[int, StoredClass]]:
    """Classes of these models that ``query`` names outright: by label, concept or index.

    Each with a tier; the lower, the better it fits: label 1, label but for case and form (NFC) 2, concept 3,
    concept but for case 4, index 5. An int is an index only. Only the indices ``among`` are looked at.
    """
    text = str(query)
    is_index = isinstance(query, int) or (text.isascii() and text.isdigit() and len(text) < 10)
    index = int(text) if is_index and abs(int(text)) < 2**31 else None
    if not model_ids:
        return []
    if isinstance(query, int):
        among = [] if index is None else [index]
    ids = ", ".join(f"{each:d}" for each in model_ids)
    # as constants, not parameters: by them DuckDB knows what it need not read
    places = (
        "" if among is None else f"AND class_idx IN ({', '.join(f'{i:d}' for i in among) or -1})"
    )
    rows = connection.execute(
        f"""
        SELECT
            CASE
                WHEN $index_only THEN 5
                WHEN label = $text THEN 1
                WHEN lower(nfc_normalize(label)) = lower(nfc_normalize($text)) THEN 2
                WHEN concept = $text THEN 3
                WHEN lower(concept) = lower($text) THEN 4
                ELSE 5
            END AS tier,
            {_CLASS}
        FROM classes
        WHERE model_id IN ({ids}) {places} AND (
            class_idx = $index
            OR NOT $index_only AND (
                lower(nfc_normalize(label)) = lower(nfc_normalize($text))
                OR lower(concept) = lower($text)
            )
        )
        ORDER BY model_id, class_idx
        """,  # noqa: S608
        {"text": text, "index": index, "index_only": isinstance(query, int)},
    ).fetchall()
    return [(tier, StoredClass(*row)) for tier, *row in rows]


def classes_with(
    connection: DuckDBPyConnection, model_ids: Sequence[int], part: str
) -> list[StoredClass]:
    """The classes of these models with ``part`` (in NFC, lower case) in their label, by model and index."""
    rows = connection.execute(
        f"""
        SELECT {_CLASS} FROM classes
        WHERE list_contains($ids, model_id) AND contains(lower(nfc_normalize(label)), $part)
        ORDER BY model_id, class_idx
        """,  # noqa: S608
        {"ids": list(model_ids), "part": part},
    ).fetchall()
    return [StoredClass(*row) for row in rows]


def stored_classes(
    connection: DuckDBPyConnection,
    model_ids: Sequence[int],
    concepts: Sequence[str] | None = None,
    labels: Sequence[str] = (),
) -> list[StoredClass]:
    """The classes of these models, by model and index.

    Where ``concepts`` are given: only those of these concepts, or of these ``labels`` (in NFC and
    lower case).
    """
    rows = connection.execute(
        f"""
        SELECT {_CLASS} FROM classes
        WHERE list_contains($ids, model_id) AND (
            $concepts IS NULL
            OR list_contains($concepts::VARCHAR[], concept)
            OR list_contains($labels::VARCHAR[], lower(nfc_normalize(label)))
        )
        ORDER BY model_id, class_idx
        """,  # noqa: S608
        {
            "ids": list(model_ids),
            "concepts": None if concepts is None else list(concepts),
            "labels": list(labels),
        },
    ).fetchall()
    return [StoredClass(*row) for row in rows]


def concept_map(connection: DuckDBPyConnection) -> dict[str, str]:
    """The concepts that are read as another, each with that other."""
    rows = connection.execute("SELECT concept_b, concept_a FROM concept_map").fetchall()
    return dict(rows)


def labels_at(
    connection: DuckDBPyConnection, model_id: int, indices: Sequence[int]
) -> list[tuple[str, str]]:
    """(label, concept) of these classes of one model, in this order."""
    found = connection.execute(
        """
        SELECT class_idx, label, concept FROM classes
        WHERE model_id = $id AND list_contains($indices, class_idx)
        """,
        {"id": model_id, "indices": list(indices)},
    ).fetchall()
    by_index = {index: (label, concept) for index, label, concept in found}
    return [by_index[index] for index in indices]


def indices_of(
    connection: DuckDBPyConnection, model_id: int, concepts: Sequence[str]
) -> dict[str, int]:
    """The class index of each of these concepts in one model."""
    found = connection.execute(
        """
        SELECT concept, class_idx FROM classes
        WHERE model_id = $id AND list_contains($concepts, concept)
        """,
        {"id": model_id, "concepts": list(concepts)},
    ).fetchall()
    return dict(found)


def nearest(
    connection: DuckDBPyConnection,
    focal: Mapping[str, StoredClass],
    k: int,
    include_self: bool,
    where: str | None = None,
) -> DuckDBPyRelation:
    """The ``k`` neighbours of one class in each model, by the models' names.

    ``where`` is a condition on the neighbours, which ``require_condition`` has passed.
    """
    names = {f"m{number}": name for number, name in enumerate(focal)}
    each = {
        "ids": [found.model_id for found in focal.values()],
        "indices": [found.index for found in focal.values()],
    }
    parameters: dict[str, object] = {}
    if k > STORED_NEIGHBORS or where is not None:
        keep = "" if where is None else f", keep := ({where}\n)"  # the line break ends a comment
        parameters |= names
        body = " UNION ALL ".join(
            f"FROM neighbors($m{number}, {found.index:d}, k := {k:d}{keep})"
            for number, found in enumerate(focal.values())
        )
    elif len(focal) == 1:
        # What the view `nearest` says, with the class that is known already left out of the joins:
        # most of a warm answer's time is DuckDB's planning of them.
        (found,) = focal.values()
        parameters |= names | {"class": found.label, "norm": found.norm}
        body = f"""
            SELECT $m0 AS model, $class AS class, n.rank, o.label AS neighbor,
                   o.concept AS neighbor_concept, n.cosine,
                   euclidean(n.cosine, $norm::DOUBLE, o.norm) AS euclidean
            FROM neighbors AS n
            -- over one column: DuckDB then reads the rows in question only, of a million classes too
            JOIN classes AS o ON o.class_idx = n.neighbor_idx
            WHERE o.model_id = {found.model_id:d} AND n.model_id = {found.model_id:d}
              AND n.class_idx = {found.index:d} AND n.rank <= {k:d}
        """  # noqa: S608
    else:
        # The indices are given to the scan as numbers, too: of a thousand models it then passes over all
        # rows but these, in a tenth of the time that a join alone takes.
        parameters |= each
        indices = ", ".join(f"{index:d}" for index in sorted({f.index for f in focal.values()}))
        body = f"""
            SELECT m.name AS model, c.label AS class, n.rank, o.label AS neighbor,
                   o.concept AS neighbor_concept, n.cosine,
                   euclidean(n.cosine, c.norm, o.norm) AS euclidean
            FROM (SELECT unnest($ids) AS model_id, unnest($indices) AS class_idx) AS f
            JOIN neighbors AS n ON n.model_id = f.model_id AND n.class_idx = f.class_idx
            JOIN models AS m ON m.model_id = f.model_id
            JOIN classes AS c ON c.model_id = f.model_id AND c.class_idx = f.class_idx
            JOIN classes AS o ON o.model_id = n.model_id AND o.class_idx = n.neighbor_idx
            WHERE n.class_idx IN ({indices}) AND n.rank <= {k:d}
        """  # noqa: S608
    if include_self:
        parameters |= each
        body += """
            UNION ALL
            SELECT m.name, c.label, 0, c.label, c.concept, 1::FLOAT, 0::FLOAT
            FROM models AS m JOIN classes AS c ON c.model_id = m.model_id
            JOIN (SELECT unnest($ids) AS model_id, unnest($indices) AS class_idx) AS f
              ON f.model_id = c.model_id AND f.class_idx = c.class_idx
        """
    order = "rank"
    if len(focal) > 1:
        order = "list_position($models, model), rank"
        parameters["models"] = list(focal)
    return connection.sql(f"FROM ({body}) ORDER BY {order}", params=parameters)


def describing(connection: DuckDBPyConnection, model_ids: Sequence[int] = ()) -> DuckDBPyRelation:
    """Classes by the columns that a condition on classes may name."""
    return connection.sql(
        """
        SELECT label, concept, class_idx, bias, mean, std, norm FROM classes
        WHERE list_contains($ids, model_id)
        """,
        params={"ids": list(model_ids)},
    )


def kept_classes(connection: DuckDBPyConnection, model_id: int, condition: str) -> list[int]:
    """The indices of a model's classes that meet a condition, which ``require_condition`` has passed."""
    rows = describing(connection, [model_id]).filter(condition).project("class_idx")
    return sorted(index for (index,) in rows.fetchall())


def tables(connection: DuckDBPyConnection) -> dict[str, list[str]]:
    """The columns of each table and view."""
    found: dict[str, list[str]] = {}
    for table, column in connection.execute(
        """
        SELECT table_name, column_name FROM duckdb_columns()
        WHERE NOT internal AND table_name <> 'classrel' ORDER BY table_name, column_index
        """
    ).fetchall():
        found.setdefault(table, []).append(column)
    return found


def words(connection: DuckDBPyConnection) -> tuple[list[str], list[str]]:
    """DuckDB's SQL words, and the names of its functions."""
    keywords = connection.execute("SELECT upper(keyword_name) FROM duckdb_keywords()").fetchall()
    functions = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE regexp_matches(function_name, '^[a-z]')"
    ).fetchall()
    return sorted({word for (word,) in keywords}), sorted(name for (name,) in functions)


def labels(connection: DuckDBPyConnection, model_id: int | None) -> list[str]:
    """The labels of one model, or of all, each once, as they are stored."""
    found = connection.execute(
        """
        SELECT label FROM classes WHERE $id IS NULL OR model_id = $id
        GROUP BY label ORDER BY min(model_id), min(class_idx)
        """,
        {"id": model_id},
    ).fetchall()
    return [label for (label,) in found]


def converted(connection: DuckDBPyConnection, value: object, kind: str) -> object:
    """``value`` as a DuckDB type, None where it can't be; what would be rounded can't."""
    if isinstance(value, bool) != (kind == "BOOLEAN") and not isinstance(value, str):
        return None
    ((typed,),) = connection.execute(
        f"SELECT TRY_CAST($value AS {kind})",
        {"value": value},
    ).fetchall()
    if isinstance(typed, int) and not isinstance(typed, bool) and float(str(value)) != typed:
        return None
    return None if isinstance(typed, float) and not isfinite(typed) else typed


def row_counts(connection: DuckDBPyConnection, model_id: int) -> dict[str, int]:
    """How many rows each table holds of one model."""
    counted = {}
    for table in _TABLES:
        ((counted[table],),) = connection.execute(
            f"SELECT count(*) FROM {table} WHERE model_id = ?",  # noqa: S608
            [model_id],
        ).fetchall()
    return counted


def rows_without_model(connection: DuckDBPyConnection) -> list[str]:
    """What belongs to no model, a line a table: nothing, in a sound database."""
    found = []
    owned = [(table, "model_id") for table in OWNED_TABLES if table != "models"]
    for table, owner in (*owned, ("comparisons", "model_a"), ("comparisons", "model_b")):
        ((count,),) = connection.execute(
            f"SELECT count(*) FROM {table} WHERE {owner} NOT IN (SELECT model_id FROM models)"  # noqa: S608
        ).fetchall()
        if count:
            found.append(f"{count:,} rows of {table} belong to no model")
    return found


def faulty_pairs(connection: DuckDBPyConnection, model: StoredModel) -> int:
    """How many pairs of a model are not of two of its classes, a < b, with a cosine in [-1, 1]."""
    ((count,),) = connection.execute(
        """
        SELECT count(*) FROM pairs
        WHERE model_id = $id AND NOT (0 <= a AND a < b AND b < $n AND abs(cosine) <= 1)
        """,
        {"id": model.model_id, "n": model.n_classes},
    ).fetchall()
    return int(count)
