"""Taxonomies in the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from classrel_db.records import Taxonomy

_DEEP = 100  # levels beyond which a taxonomy is not walked by a query
_TABLES = ("taxon_names", "taxon_parents", "taxa", "taxonomies")


@dataclass(frozen=True)
class Placed:
    """The taxa over the classes of one model, by columns.

    ``taxa`` are keys, each with ``labels``, ``ranks``, ``depths`` and its ``parents`` (position, length or
    None); ``of_class`` is the position of each class's taxon by class index, where it has one.
    """

    taxa: list[str]
    labels: list[str]
    ranks: list[str | None]
    depths: list[int]
    parents: list[list[tuple[int, float | None]]]
    of_class: dict[int, int]


def names(connection: DuckDBPyConnection) -> list[str]:
    """The taxonomies there are."""
    rows = connection.execute(
        "SELECT taxonomy FROM taxonomies ORDER BY kind <> 'wordnet', added_at, taxonomy"
    ).fetchall()
    return [name for (name,) in rows]


def has_taxon(connection: DuckDBPyConnection, taxonomy: str, name: str) -> bool:
    """Whether the macro ``ancestors`` finds a taxon by this name."""
    found = connection.execute(
        """
        SELECT 1 FROM taxa AS t
        WHERE t.taxonomy = $taxonomy AND (t.taxon = $name OR lower(t.label) = lower($name))
        UNION ALL
        SELECT 1 FROM class_taxa AS c
        WHERE c.taxonomy = $taxonomy AND (lower(c.class) = lower($name) OR c.concept = $name)
        LIMIT 1
        """,
        {"taxonomy": taxonomy, "name": name},
    ).fetchall()
    return bool(found)


def labels(connection: DuckDBPyConnection, taxonomy: str) -> list[str]:
    """The labels of the taxa, each once."""
    rows = connection.execute(
        "SELECT DISTINCT label FROM taxa WHERE taxonomy = ? ORDER BY 1", [taxonomy]
    ).fetchall()
    return [label for (label,) in rows]


def listing(connection: DuckDBPyConnection) -> DuckDBPyRelation:
    """Each taxonomy: taxonomy, kind, taxa, ranks, depth, source, added_at."""
    return connection.sql(
        """
        SELECT
            t.taxonomy,
            t.kind,
            count(x.taxon) AS taxa,
            count(DISTINCT x.rank) AS ranks,
            max(x.depth) AS depth,
            t.source,
            t.added_at
        FROM taxonomies AS t
        LEFT JOIN taxa AS x ON x.taxonomy = t.taxonomy
        GROUP BY t.taxonomy, t.kind, t.source, t.added_at
        ORDER BY t.kind <> 'wordnet', t.added_at, t.taxonomy
        """
    )


def store(connection: DuckDBPyConnection, name: str, taxonomy: Taxonomy) -> None:
    """Keep a taxonomy under ``name``, in place of the one that may have it."""
    import pyarrow as pa

    from classrel_db.storage.arrow import numbers, texts

    remove(connection, name)
    connection.execute(
        "INSERT INTO taxonomies VALUES (?, ?, ?, date_trunc('second', now() AT TIME ZONE 'UTC'))",
        [name, taxonomy.kind, taxonomy.source],
    )
    depths = _depths(taxonomy)
    given = pa.Table.from_arrays(  # noqa: F841
        [
            texts(taxonomy.taxa),
            texts(taxonomy.labels),
            texts(taxonomy.ranks),
            numbers([depths[taxon] for taxon in taxonomy.taxa], "int32"),
        ],
        names=["taxon", "label", "rank", "depth"],
    )
    edges = pa.Table.from_arrays(  # noqa: F841
        [texts(taxonomy.children), texts(taxonomy.parents), numbers(taxonomy.lengths, "float64")],
        names=["taxon", "parent", "length"],
    )
    called = pa.Table.from_arrays(  # noqa: F841
        [texts([name for name, _ in taxonomy.names]), texts([key for _, key in taxonomy.names])],
        names=["name", "taxon"],
    )
    # DuckDB finds the local variables by their names
    connection.execute(
        "INSERT INTO taxon_parents SELECT $name, taxon, parent, length FROM edges", {"name": name}
    )
    connection.execute(
        "INSERT INTO taxa SELECT $name, taxon, label, rank, depth FROM given ORDER BY taxon",
        {"name": name},
    )
    connection.execute(
        "INSERT INTO taxon_names SELECT $name, name, taxon FROM called", {"name": name}
    )


def _depths(taxonomy: Taxonomy) -> dict[str, int]:
    """The edges from the root to each taxon, by the longest way; there is no cycle."""
    below: dict[str, list[str]] = {}
    waiting_for = dict.fromkeys(taxonomy.taxa, 0)
    for child, parent in zip(taxonomy.children, taxonomy.parents, strict=True):
        below.setdefault(parent, []).append(child)
        waiting_for[child] += 1
    depths = dict.fromkeys(taxonomy.taxa, 0)
    free = [taxon for taxon, parents in waiting_for.items() if not parents]
    while free:
        taxon = free.pop()
        for child in below.get(taxon, ()):
            depths[child] = max(depths[child], depths[taxon] + 1)
            waiting_for[child] -= 1
            if not waiting_for[child]:
                free.append(child)
    return depths


def remove(connection: DuckDBPyConnection, name: str) -> None:
    """Delete a taxonomy."""
    for table in _TABLES:
        connection.execute(f"DELETE FROM {table} WHERE taxonomy = ?", [name])  # noqa: S608


def placed(connection: DuckDBPyConnection, name: str, model_id: int) -> Placed:
    """The classes of a model in a taxonomy, with every taxon above them."""
    found = connection.execute(
        """
        SELECT c.class_idx, c.taxon FROM class_taxa AS c
        WHERE c.model_id = $id AND c.taxonomy = $name
        ORDER BY c.class_idx
        """,
        {"name": name, "id": model_id},
    ).fetchall()
    deepest = connection.execute(
        "SELECT max(depth) FROM taxa WHERE taxonomy = ?", [name]
    ).fetchall()[0][0]
    if deepest is not None and deepest > _DEEP:
        edges = _walked(connection, name, {taxon for _, taxon in found})
    else:
        edges = connection.execute(
            """
            WITH RECURSIVE above AS (
                SELECT DISTINCT c.taxon FROM class_taxa AS c
                WHERE c.model_id = $id AND c.taxonomy = $name
                UNION
                SELECT p.parent
                FROM above AS a
                JOIN taxon_parents AS p ON p.taxonomy = $name AND p.taxon = a.taxon
            )
            SELECT a.taxon, x.label, x.rank, x.depth, p.parent, p.length
            FROM above AS a
            JOIN taxa AS x ON x.taxonomy = $name AND x.taxon = a.taxon
            LEFT JOIN taxon_parents AS p ON p.taxonomy = $name AND p.taxon = a.taxon
            ORDER BY a.taxon, p.parent
            """,
            {"name": name, "id": model_id},
        ).fetchall()
    taxa = list(dict.fromkeys(row[0] for row in edges))
    place = {taxon: number for number, taxon in enumerate(taxa)}
    facts = {row[0]: row[1:4] for row in edges}
    parents: list[list[tuple[int, float | None]]] = [[] for _ in taxa]
    for taxon, _, _, _, parent, length in edges:
        if parent is not None:
            parents[place[taxon]].append((place[parent], length))
    return Placed(
        taxa,
        [facts[taxon][0] for taxon in taxa],
        [facts[taxon][1] for taxon in taxa],
        [facts[taxon][2] for taxon in taxa],
        parents,
        {index: place[taxon] for index, taxon in found},
    )


def _walked(
    connection: DuckDBPyConnection, name: str, start: set[str]
) -> list[tuple[str, str, str | None, int, str | None, float | None]]:
    """The taxa above some, each with its facts and a parent: of all taxa that there are.

    A recursive query takes a step a level, and a tree of single linkage has thousands.
    """
    rows = connection.execute(
        """
        SELECT x.taxon, x.label, x.rank, x.depth, p.parent, p.length
        FROM taxa AS x
        LEFT JOIN taxon_parents AS p ON p.taxonomy = $name AND p.taxon = x.taxon
        WHERE x.taxonomy = $name
        ORDER BY x.depth DESC, x.taxon, p.parent
        """,
        {"name": name},
    ).fetchall()
    inside = set(start)
    found = []
    for row in rows:  # each before its parents
        if row[0] in inside:
            found.append(row)
            inside.add(row[4])
    return sorted(found, key=lambda row: (row[0], row[4] or ""))


def matches(connection: DuckDBPyConnection, name: str, model_id: int) -> DuckDBPyRelation:
    """Each class of a model with its taxon, NULL where it has none."""
    return connection.sql(
        """
        SELECT
            m.name AS model, c.class_idx, c.label AS class, c.concept, $name AS taxonomy, n.taxon, t.label,
            t.rank
        FROM models AS m
        JOIN classes AS c ON c.model_id = m.model_id
        LEFT JOIN class_taxa AS n
            ON n.taxonomy = $name AND n.model_id = c.model_id AND n.class_idx = c.class_idx
        LEFT JOIN taxa AS t ON t.taxonomy = $name AND t.taxon = n.taxon
        WHERE m.model_id = $id
        ORDER BY c.class_idx
        """,
        params={"name": name, "id": model_id},
    )
