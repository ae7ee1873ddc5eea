"""Trees of models in the database: linkage, leaf order, and the support of clades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.records import CladeSupport, StoredTree
from classrel_db.storage.arrow import column, numbers, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import Linkage, StoredModel, TreeDistance

_OF = "model_id = $id AND method = $method AND distance = $distance"


def stored_tree(
    connection: DuckDBPyConnection, model: StoredModel, method: Linkage, distance: TreeDistance
) -> StoredTree | None:
    """The tree of a model as it is stored, or None.

    Raises ValueError where what is stored is no tree of the model's classes.
    """
    which = {"id": model.model_id, "method": method, "distance": distance}
    ordering = connection.execute(f"SELECT ordering FROM trees WHERE {_OF}", which).fetchall()  # noqa: S608
    if not ordering:
        return None
    merges = connection.execute(
        f"SELECT left_node, right_node, height, size FROM merges WHERE {_OF} ORDER BY node",  # noqa: S608
        which,
    ).fetchnumpy()
    leaves = connection.execute(
        f"SELECT class_idx FROM leaves WHERE {_OF} ORDER BY place",  # noqa: S608
        which,
    ).fetchnumpy()
    Z = np.stack([np.asarray(values, dtype=np.float64) for values in merges.values()], axis=1)
    order = np.asarray(leaves["class_idx"], dtype=np.int64)
    n = model.n_classes
    joined = np.sort(Z[:, :2], axis=None)
    earlier = Z[:, :2].max(axis=1, initial=0) < np.arange(n, n + len(Z))
    if not (
        len(Z) == n - 1
        and np.array_equal(joined, np.arange(2 * n - 2))
        and earlier.all()
        and np.array_equal(np.sort(order), np.arange(n))
    ):
        raise ValueError(
            f"the stored {method} tree by {distance} distance is no tree of its classes"
        )
    return StoredTree(model.model_id, method, distance, Z, order, ordering[0][0])


def stored_trees(
    connection: DuckDBPyConnection, model: StoredModel
) -> list[tuple[Linkage, TreeDistance]]:
    """By which linkage methods and distances there is a tree of a model."""
    return connection.execute(
        "SELECT method, distance FROM trees WHERE model_id = ? ORDER BY ALL", [model.model_id]
    ).fetchall()


def stored_spans(
    connection: DuckDBPyConnection, model: StoredModel, method: Linkage, distance: TreeDistance
) -> NDArray[np.int64]:
    """The first place and the size of each merge as they are stored (n-1)×2."""
    found = connection.execute(
        f"SELECT first, size FROM merges WHERE {_OF} ORDER BY node",  # noqa: S608
        {"id": model.model_id, "method": method, "distance": distance},
    ).fetchnumpy()
    return np.stack([np.asarray(found[name], dtype=np.int64) for name in ("first", "size")], axis=1)


def store_tree(connection: DuckDBPyConnection, tree: StoredTree, firsts: NDArray[np.int64]) -> None:
    """Keep a tree in place of the one there was; ``firsts`` (C-1,) are the places of the first leaves.

    The support of its clades stays where the merges are the same. A model that has been removed in the
    meantime gets none.
    """
    which = {"id": tree.model_id, "method": tree.method, "distance": tree.distance}
    if not connection.execute(
        "SELECT 1 FROM models WHERE model_id = $id", {"id": tree.model_id}
    ).fetchall():
        return
    for table in ("trees", "merges", "leaves"):
        connection.execute(f"DELETE FROM {table} WHERE {_OF}", which)  # noqa: S608
    connection.execute(
        "INSERT INTO trees VALUES ($id, $method, $distance, $ordering)",
        {**which, "ordering": tree.ordering},
    )
    n = len(tree.order)
    whole = tree.Z.astype(np.int32)
    _insert(
        connection,
        "merges",
        which,
        {
            "node": column(np.arange(n, 2 * n - 1, dtype=np.int32)),
            "left_node": column(whole[:, 0]),
            "right_node": column(whole[:, 1]),
            "height": column(tree.Z[:, 2]),
            "size": column(whole[:, 3]),
            "first": column(firsts.astype(np.int32)),
        },
    )
    _insert(
        connection,
        "leaves",
        which,
        {
            "class_idx": column(tree.order.astype(np.int32)),
            "place": column(np.arange(n, dtype=np.int32)),
        },
    )


def stored_support(
    connection: DuckDBPyConnection, model_id: int, method: Linkage, distance: TreeDistance
) -> dict[str, CladeSupport]:
    """What is known of the clades of a tree, by kind: dimensions, models."""
    found = {}
    for kind in ("dimensions", "models"):
        rows = connection.execute(
            f"SELECT node, support, nearly, n, seed FROM clade_support WHERE {_OF} AND kind = $kind "  # noqa: S608
            "ORDER BY node",
            {"id": model_id, "method": method, "distance": distance, "kind": kind},
        ).fetchall()
        if rows:
            nodes, support, nearly, n, seeds = (list(each) for each in zip(*rows, strict=True))
            found[kind] = CladeSupport(
                kind,
                np.asarray(nodes, dtype=np.int64),
                np.asarray(support, dtype=np.float64),
                np.asarray(nearly, dtype=np.float64) if kind == "models" else None,
                np.asarray(n, dtype=np.int64),
                seeds[0],
            )
    return found


def store_support(
    connection: DuckDBPyConnection,
    model_id: int,
    method: Linkage,
    distance: TreeDistance,
    support: CladeSupport,
) -> None:
    """Keep the support of a tree's clades in place of what there was of that kind; the tree is stored."""
    which = {"id": model_id, "method": method, "distance": distance}
    if not connection.execute(f"SELECT 1 FROM trees WHERE {_OF}", which).fetchall():  # noqa: S608
        return
    connection.execute(
        f"DELETE FROM clade_support WHERE {_OF} AND kind = $kind",  # noqa: S608
        {**which, "kind": support.kind},
    )
    rows = len(support.nodes)
    nearly = [None] * rows if support.nearly is None else support.nearly.tolist()
    _insert(
        connection,
        "clade_support",
        which,
        {
            "node": column(support.nodes.astype(np.int32)),
            "kind": texts([support.kind] * rows),
            "support": column(support.support),
            "nearly": numbers(nearly, "float64"),
            "n": column(support.n.astype(np.int32)),
            "seed": numbers([support.seed] * rows, "int64"),
        },
    )


def _insert(
    connection: DuckDBPyConnection,
    table: str,
    which: Mapping[str, object],
    columns: dict[str, pa.Array],
) -> None:
    import pyarrow as pa

    incoming = pa.Table.from_arrays(list(columns.values()), names=list(columns))  # noqa: F841
    names = ", ".join(columns)
    # DuckDB finds the local variable by its name
    connection.execute(
        f"INSERT INTO {table} (model_id, method, distance, {names}) "  # noqa: S608
        f"SELECT $id, $method, $distance, {names} FROM incoming",
        which,
    )
