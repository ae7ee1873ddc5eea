"""What is stored about models beyond their heads: comparisons, tags, and concepts that are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from classrel_db.records import StoredComparison
from classrel_db.storage import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from numpy.typing import NDArray

Rows = Mapping[str, "Sequence[Any] | NDArray[Any]"]
"""Rows by their columns."""

_FIELDS = tuple(field.name for field in fields(StoredComparison))
_COLUMNS = ", ".join(_FIELDS)
_WORDS = frozenset({"measure", "normalization"})
_KINDS = dict.fromkeys(("model_a", "model_b", "k", "n", "permutations", "resamples"), "int32") | {
    "seed": "int64"
}


def concepts(connection: DuckDBPyConnection, model_id: int) -> list[str]:
    """The concepts of one model, by class index."""
    rows = connection.execute(
        "SELECT concept FROM classes WHERE model_id = ? ORDER BY class_idx", [model_id]
    ).fetchall()
    return [concept for (concept,) in rows]


def replace_concept_map(connection: DuckDBPyConnection, pairs: Sequence[tuple[str, str]]) -> None:
    """Keep these (concept_a, concept_b) and no others; what may rest on the old goes."""
    connection.execute("DELETE FROM concept_map")
    connection.execute("DELETE FROM clade_support WHERE kind = 'models'")
    if pairs:
        connection.executemany("INSERT INTO concept_map VALUES (?, ?)", [list(p) for p in pairs])
    connection.execute(
        """
        DELETE FROM comparisons WHERE (model_a, model_b) IN (
            SELECT (a.model_id, b.model_id) FROM models AS a
            JOIN models AS b ON a.concepts_sha256 <> b.concepts_sha256
        )
        """
    )


def mapped_concepts(connection: DuckDBPyConnection) -> DuckDBPyRelation:
    """The concept map: concept_a, concept_b."""
    return connection.sql("SELECT concept_a, concept_b FROM concept_map ORDER BY ALL")


def known_concepts(
    connection: DuckDBPyConnection, wanted: Sequence[str]
) -> dict[str, list[tuple[int, str]]]:
    """The models, (model_id, name), that have each of these concepts."""
    found: dict[str, list[tuple[int, str]]] = {}
    for concept, model_id, name in connection.execute(
        """
        SELECT c.concept, m.model_id, m.name FROM classes AS c JOIN models AS m USING (model_id)
        WHERE list_contains($wanted, c.concept) ORDER BY m.model_id
        """,
        {"wanted": list(wanted)},
    ).fetchall():
        found.setdefault(concept, []).append((model_id, name))
    return found


def set_tags(connection: DuckDBPyConnection, model_id: int, values: dict[str, str]) -> None:
    """Give a model these tags; an empty value takes one away."""
    for key, value in values.items():
        connection.execute("DELETE FROM tags WHERE model_id = ? AND key = ?", [model_id, key])
        if value:
            connection.execute("INSERT INTO tags VALUES (?, ?, ?)", [model_id, key, value])


def tags(connection: DuckDBPyConnection, model_ids: Sequence[int]) -> DuckDBPyRelation:
    """The tags of these models: model, key, value."""
    return connection.sql(
        """
        SELECT m.name AS model, t.key, t.value FROM tags AS t JOIN models AS m USING (model_id)
        WHERE list_contains($ids, t.model_id) ORDER BY m.model_id, t.key
        """,
        params={"ids": list(model_ids)},
    )


def tag_keys(connection: DuckDBPyConnection) -> list[str]:
    """Every key in use."""
    return [
        key for (key,) in connection.execute("SELECT DISTINCT key FROM tags ORDER BY 1").fetchall()
    ]


def tag_values(connection: DuckDBPyConnection, key: str) -> dict[int, str]:
    """The value of one key, of each model that has it."""
    return dict(
        connection.execute("SELECT model_id, value FROM tags WHERE key = ?", [key]).fetchall()
    )


def stored_comparisons(connection: DuckDBPyConnection) -> list[StoredComparison]:
    """Every comparison."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM comparisons").fetchall()  # noqa: S608
    return [StoredComparison(*row) for row in rows]


def states(
    connection: DuckDBPyConnection,
    asked: Rows,
    measure: str,
    normalization: str | None,
    *,
    uses_k: bool,
) -> dict[str, NDArray[Any]]:
    """How closely one measure of these couples is known, as far as it is stored: columns model_a, model_b,
    defined, permutations, resamples and seed. ``asked`` as of :func:`answer`."""
    columns = "c.model_a, c.model_b, c.estimate IS NOT NULL AS defined, c.permutations, c.resamples, c.seed"
    near = [measure] if uses_k else []
    found = _stored(connection, columns, asked, [measure], near, normalization)
    values: dict[str, NDArray[Any]] = found.fetchnumpy()
    return values


def answer(
    connection: DuckDBPyConnection,
    asked: Rows,
    measures: Sequence[str],
    near: Sequence[str],
    normalization: str | None,
) -> DuckDBPyRelation:
    """What is stored of these measures of these couples, by measure and then by the order of ingest.

    ``asked`` has the columns model_a, model_b (ids) and k, which counts for the measures that are
    ``near``; ``normalization`` is that under which all are compared, or None for their own. The columns
    are those of ``Catalog.compare``, but for q_value.
    """
    columns = """
        a.name AS model_a, b.name AS model_b, c.measure, c.n, c.estimate, c.low, c.high, c.p_value,
        c.null_value, c.normalization, c.k, c.permutations, c.resamples, c.seed
    """
    order = "ORDER BY list_position($measures, c.measure), c.model_a, c.model_b"
    return _stored(connection, columns, asked, measures, near, normalization, order)


def _stored(
    connection: DuckDBPyConnection,
    columns: str,
    asked: Rows,
    measures: Sequence[str],
    near: Sequence[str],
    normalization: str | None,
    order: str = "",
) -> DuckDBPyRelation:
    couples = _table(asked)  # noqa: F841
    # DuckDB finds the local variable by its name
    return connection.sql(
        f"""
        SELECT {columns}
        FROM couples AS q
        JOIN comparisons AS c ON c.model_a = q.model_a AND c.model_b = q.model_b
        JOIN models AS a ON a.model_id = c.model_a
        JOIN models AS b ON b.model_id = c.model_b
        WHERE list_contains($measures, c.measure)
          AND c.normalization = coalesce($normalization, a.normalization)
          AND c.k IS NOT DISTINCT FROM CASE WHEN list_contains($near, c.measure) THEN q.k END
        {order}
        """,  # noqa: S608
        params={"measures": list(measures), "near": list(near), "normalization": normalization},
    )


def columns(found: Sequence[StoredComparison]) -> Rows:
    """Comparisons by the columns of their table."""
    return {name: [getattr(each, name) for each in found] for name in _FIELDS}


def store_comparisons(
    connection: DuckDBPyConnection,
    found: Sequence[Rows],
    read_as: Mapping[str, str] | None = None,
) -> None:
    """Keep these, a batch of :func:`columns` after the other, in place of older ones of the same pair,
    measure, normalisation and k.

    One whose models have been removed in the meantime is left out; and where the concept map is no
    longer ``read_as``, of which they were made, so are those of models of unlike label spaces.
    """
    import pyarrow as pa

    if not found:
        return
    incoming = pa.concat_tables(map(_table, found))  # noqa: F841
    # DuckDB finds the local variable by its name. Not by way of a temporary table: in a transaction DuckDB
    # 2.0.0 may insert nothing from one of 122,880 rows or more.
    connection.execute(
        """
        DELETE FROM comparisons AS c USING incoming AS f
        WHERE c.model_a = f.model_a AND c.model_b = f.model_b AND c.measure = f.measure
          AND c.normalization = f.normalization AND c.k IS NOT DISTINCT FROM f.k
        """
    )
    columns = ", ".join(f"f.{name}" for name in _FIELDS)
    connection.execute(
        f"""
        INSERT INTO comparisons ({_COLUMNS}) SELECT {columns} FROM incoming AS f
        JOIN models AS a ON a.model_id = f.model_a
        JOIN models AS b ON b.model_id = f.model_b
        WHERE $same_map OR a.concepts_sha256 = b.concepts_sha256
        """,  # noqa: S608
        {"same_map": read_as is None or read_as == read.concept_map(connection)},
    )


def _table(rows: Rows) -> pa.Table:
    import pyarrow as pa

    # imported with the first rows, for it brings numpy
    from classrel_db.storage.arrow import numbers, texts

    arrays = [
        texts(list(values)) if name in _WORDS else numbers(values, _KINDS.get(name, "float64"))
        for name, values in rows.items()
    ]
    return pa.Table.from_arrays(arrays, names=list(rows))


def bound_memory(connection: DuckDBPyConnection, memory: int) -> DuckDBPyConnection:
    """The connection, with a bound in bytes on what DuckDB holds of what it reads.

    It is one of the open file, for every connection to it, until it is closed.
    """
    connection.execute(f"SET memory_limit = '{memory:d}B'")
    return connection
