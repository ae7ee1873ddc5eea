"""What is stored about models beyond their heads: comparisons, tags, and concepts that are the same."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from classrel_db.records import StoredComparison
from classrel_db.storage import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_COLUMNS = ", ".join(field.name for field in fields(StoredComparison))


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


def store_comparisons(
    connection: DuckDBPyConnection,
    found: Sequence[StoredComparison],
    read_as: Mapping[str, str] | None = None,
) -> None:
    """Keep these in place of older ones of the same pair, measure, normalisation and k.

    One whose models have been removed in the meantime is left out; and where the concept map is no
    longer ``read_as``, of which they were made, so are those of models of unlike label spaces.
    """
    import pyarrow as pa

    from classrel_db.storage.arrow import numbers, texts

    kinds = {"model_a": "int32", "model_b": "int32", "k": "int32", "n": "int32", "seed": "int64"}
    kinds |= {"permutations": "int32", "resamples": "int32"}
    columns = {}
    for name in (field.name for field in fields(StoredComparison)):
        values = [getattr(each, name) for each in found]
        worded = name in {"measure", "normalization"}
        columns[name] = texts(values) if worded else numbers(values, kinds.get(name, "float64"))
    incoming = pa.Table.from_arrays(list(columns.values()), names=list(columns))  # noqa: F841
    connection.execute("CREATE TEMP TABLE found AS FROM comparisons LIMIT 0")
    # DuckDB finds the local variable by its name
    connection.execute(f"INSERT INTO found SELECT {_COLUMNS} FROM incoming")  # noqa: S608
    connection.execute(
        """
        DELETE FROM comparisons AS c USING found AS f
        WHERE c.model_a = f.model_a AND c.model_b = f.model_b AND c.measure = f.measure
          AND c.normalization = f.normalization AND c.k IS NOT DISTINCT FROM f.k
        """
    )
    connection.execute(
        """
        INSERT INTO comparisons SELECT f.* FROM found AS f
        JOIN models AS a ON a.model_id = f.model_a
        JOIN models AS b ON b.model_id = f.model_b
        WHERE $same_map OR a.concepts_sha256 = b.concepts_sha256
        """,
        {"same_map": read_as is None or read_as == read.concept_map(connection)},
    )
    connection.execute("DROP TABLE found")
