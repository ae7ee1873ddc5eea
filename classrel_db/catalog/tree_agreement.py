"""What is asked of the trees of several models, as columns: how far they agree, and what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from classrel_db.catalog.alignment import Alignment, require_shared
from classrel_db.catalog.comparing import by_content
from classrel_db.catalog.heads import require_memory
from classrel_db.catalog.tree_rows import (
    DEFAULT_K,
    Columns,
    Named,
    ancestry_of,
    around,
    names_of,
    node_columns,
)
from classrel_db.errors import ArgumentError
from classrel_db.maths.ancestry import best_taxa
from classrel_db.maths.geometry import LEAST_CLASSES
from classrel_db.maths.trees.compare import compare_trees, untangled
from classrel_db.maths.trees.support import majority_rule
from classrel_db.maths.trees.tree import clade_hashes, leaf_hashes
from classrel_db.records import Step
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from classrel_db.catalog.forest import Forest
    from classrel_db.records import StoredModel

_CUTS = (2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
_CURVE = 60  # numbers of clusters of a whole curve


def comparison(
    forest: Forest,
    aligned: Alignment,
    a: StoredModel,
    b: StoredModel,
    measures: Sequence[str],
    ks: Sequence[int] | Literal["curve"] | None,
    permutations: int,
    seed: int,
) -> list[dict[str, Any]]:
    """The measures of two models' trees, as rows. Raises ArgumentError for k that can't be cut."""
    # which tree's leaves are permuted goes by what is in the heads: no p depends on the order of ingest
    first, second = sorted((a, b), key=by_content)
    shared = aligned.shared(first, second)
    require_shared(first, second, shared)
    n = len(shared)
    require_memory(n)
    cuts = _cuts(ks, n)
    wrong = [k for k in cuts if not (isinstance(k, int) and 2 <= k < n)]
    if wrong:
        raise ArgumentError(
            f"k is {wrong[0]!r}; {a.name} and {b.name} share {n:,} classes, so their trees can be cut into "
            f"2 to {n - 1:,} clusters that say something"
        )
    one = forest.grown(first).tree.restricted(shared.a)[0]
    other = forest.grown(second).tree.restricted(shared.b)[0]
    done = 0

    def step(_measure: str) -> None:
        nonlocal done
        done += 1
        forest.tell(Step(f"{a.name}, {b.name}", "measures", done, len(measures)))

    found = compare_trees(one, other, measures, cuts, permuted=permutations, seed=seed, step=step)
    return [
        {
            "model_a": a.name,
            "model_b": b.name,
            "measure": each.measure,
            "k": each.k,
            "n": n,
            "estimate": each.estimate,
            "p_value": each.p_value,
            "null_value": each.null_value,
            "null_low": each.null_low,
            "null_high": each.null_high,
            "permutations": each.permutations,
            "seed": seed,
            "method": forest.method,
            "distance": forest.distance,
        }
        for each in found
    ]


def _cuts(ks: Sequence[int] | Literal["curve"] | None, n: int) -> Sequence[int]:
    """The numbers of clusters to cut trees of n leaves into."""
    if ks is None:
        return [k for k in _CUTS if k < n]
    if isinstance(ks, str):
        if ks != "curve":
            raise ArgumentError(f'ks is {quoted(ks)}; it is "curve", or numbers of clusters')
        curve = np.geomspace(2, n - 1, _CURVE).round().astype(int)
        return sorted(set(curve.tolist()))
    return ks


def comparison_columns(rows: Sequence[dict[str, Any]]) -> Columns:
    """The same as columns."""
    kinds = {"k": "INTEGER", "n": "INTEGER", "permutations": "INTEGER", "seed": "BIGINT"}
    texts = ("model_a", "model_b", "measure", "method", "distance")
    kinds |= dict.fromkeys(texts, "VARCHAR")
    names = (
        "model_a", "model_b", "measure", "k", "n", "estimate", "p_value", "null_value", "null_low",
        "null_high", "permutations", "seed", "method", "distance",
    )  # fmt: skip
    return {name: (kinds.get(name, "DOUBLE"), [row[name] for row in rows]) for name in names}


def consensus_rows(
    connection: DuckDBPyConnection,
    forest: Forest,
    aligned: Alignment,
    models: Sequence[StoredModel],
    taxonomy: str,
    focal: int | None,
    k: int | None,
) -> Columns:
    """The majority-rule consensus of the models' trees, as columns: all of it, or the clade around a
    class of the first model."""
    first = models[0]
    indices = {m.model_id: aligned.shared(first, m) for m in models[1:]}
    common = set.intersection(*(set(shared.a.tolist()) for shared in indices.values()))
    if len(common) < LEAST_CLASSES:
        raise ArgumentError(
            f"all {len(models)} models together share {len(common)} classes; a consensus needs "
            f"{LEAST_CLASSES}: name models of one label space"
        )
    named = Named(connection, first, taxonomy)
    label = named.classes[focal or 0].label
    own = np.asarray(sorted(common, key=lambda i: named.classes[i].concept), dtype=np.int64)
    kept = [own]
    for model in models[1:]:
        shared = indices[model.model_id]
        theirs = dict(zip(shared.a.tolist(), shared.b.tolist(), strict=True))
        kept.append(np.asarray([theirs[i] for i in own.tolist()], dtype=np.int64))
    trees = forest.all_of(models)
    held = [tree.restricted(leaves)[0] for tree, leaves in zip(trees, kept, strict=True)]
    consensus, shares = majority_rule(held)
    taxon = np.asarray([named.placed.of_class.get(int(i), -1) for i in own], dtype=np.int64)
    fit = best_taxa(ancestry_of(named.placed, taxon), consensus)
    named.classes = [named.classes[i] for i in own]
    nodes = np.arange(len(consensus.parent))
    if focal is not None:
        if focal not in common:
            raise ArgumentError(
                f"not all {len(models)} models have {quoted(label)}; name those that do"
            )
        nodes = around(consensus, own.tolist().index(focal), DEFAULT_K if k is None else k)
    spans = consensus.spans[nodes]
    nodes = nodes[np.lexsort((-nodes, -spans[:, 1], spans[:, 0]))]
    inside = set(nodes.tolist())
    nothing = [None] * len(nodes)
    return node_columns(
        [f"{len(models)} models"] * len(nodes),
        {
            "node": nodes.tolist(),
            "parent": [p if p in inside else None for p in consensus.parent[nodes].tolist()],
            "left_node": nothing,
            "right_node": nothing,
            "height": nothing,
            "size": consensus.sizes[nodes].tolist(),
            "place": consensus.spans[nodes, 0].tolist(),
            **names_of(nodes, fit, named, consensus.n),
            "support": nothing,
            "models": [
                float(shares[v]) if consensus.n <= v < len(shares) - 1 else None for v in nodes
            ],
            "nearly": nothing,
        },
        forest.method,
        forest.distance,
    )


def tangled_rows(
    connection: DuckDBPyConnection,
    forest: Forest,
    aligned: Alignment,
    a: StoredModel,
    b: StoredModel,
    taxonomy: str,
    focal: int | None,
    k: int | None,
) -> Columns:
    """The trees of two models on the classes that both have, untangled, as columns; with ``focal``, a class
    of ``a``, on those of a clade around it."""
    shared = aligned.shared(a, b)
    require_shared(a, b, shared)
    own, theirs = shared.a, shared.b
    first, second = (forest.grown(model).tree for model in (a, b))
    if focal is not None:
        if focal not in own:
            label = Named(connection, a, taxonomy).classes[focal].label
            raise ArgumentError(f"{b.name} has no class {quoted(label)}; both models must have it")
        kept = first.restricted(own)[0]
        most = DEFAULT_K if k is None else k
        nodes = around(kept, own.tolist().index(focal), most)
        inside = np.sort(nodes[nodes < kept.n])
        own, theirs = own[inside], theirs[inside]
    one, other = first.restricted(own)[0], second.restricted(theirs)[0]
    orders = untangled(one, other)
    sides = [one.ordered(orders[0]), other.ordered(orders[1])]
    hashes = leaf_hashes(len(own))
    found = [clade_hashes(tree, hashes) for tree in sides]
    parts = []
    for i, (model, leaves) in enumerate(((a, own), (b, theirs))):
        tree = sides[i]
        named = Named(connection, model, taxonomy)
        taxon = np.asarray([named.placed.of_class.get(int(c), -1) for c in leaves], dtype=np.int64)
        fit = best_taxa(ancestry_of(named.placed, taxon), tree)
        named.classes = [named.classes[c] for c in leaves]
        spans = tree.spans
        nodes = np.lexsort((-np.arange(len(spans)), -spans[:, 1], spans[:, 0]))
        agreed = dict(zip(tree.clades.tolist(), np.isin(found[i], found[1 - i]), strict=True))
        children = [
            sorted(tree.children[v], key=lambda child: int(spans[child, 0])) or [None, None]
            for v in nodes.tolist()
        ]
        parts.append(
            node_columns(
                [model.name] * len(nodes),
                {
                    "node": nodes.tolist(),
                    "parent": [p if p >= 0 else None for p in tree.parent[nodes].tolist()],
                    "left_node": [side[0] for side in children],
                    "right_node": [side[1] for side in children],
                    "height": tree.height[nodes].tolist(),
                    "size": tree.sizes[nodes].tolist(),
                    "place": spans[nodes, 0].tolist(),
                    **names_of(nodes, fit, named, tree.n),
                    "support": [None] * len(nodes),
                    "models": [float(agreed[v]) if v in agreed else None for v in nodes.tolist()],
                    "nearly": [None] * len(nodes),
                },
                forest.method,
                forest.distance,
            )
        )
    return {
        name: (kind, [*column, *parts[1][name][1]]) for name, (kind, column) in parts[0].items()
    }
