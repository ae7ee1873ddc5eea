"""`Catalog.tree` and what belongs to it: the rows, what is kept of them, and how trees are compared."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager
from itertools import combinations
from math import comb

import duckdb
import numpy as np
import pytest
from agreeing import add, dicts, made, normalized
from oracle import REAL, cosine_matrix
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr

import classrel_db
from classrel_db.catalog import forest
from classrel_db.errors import (
    AmbiguousClassError,
    ArgumentError,
    ClassrelWarning,
    DatabaseError,
    OldSchemaError,
    UnknownClassError,
    UnknownModelError,
)
from classrel_db.maths.trees.compare import TREE_MEASURES

LITE0, LITE1, LITE2 = REAL
COLUMNS = {
    "model": "VARCHAR", "node": "INTEGER", "parent": "INTEGER", "left_node": "INTEGER",
    "right_node": "INTEGER", "height": "DOUBLE", "size": "INTEGER", "place": "INTEGER",
    "name": "VARCHAR", "f1": "DOUBLE", "concept": "VARCHAR", "support": "DOUBLE", "models": "DOUBLE",
    "nearly": "DOUBLE", "method": "VARCHAR", "distance": "VARCHAR", "resamples": "INTEGER",
    "seed": "BIGINT",
}  # fmt: skip
COMPARED = {
    "model_a": "VARCHAR", "model_b": "VARCHAR", "measure": "VARCHAR", "k": "INTEGER", "n": "INTEGER",
    "estimate": "DOUBLE", "p_value": "DOUBLE", "null_value": "DOUBLE", "null_low": "DOUBLE",
    "null_high": "DOUBLE", "permutations": "INTEGER", "seed": "BIGINT", "method": "VARCHAR",
    "distance": "VARCHAR",
}  # fmt: skip
TABLES = ("trees", "merges", "leaves", "clade_support")
SINCE_SCHEMA_4 = (
    "revision", "etag", "dtype", "weight_error", "cosine_error", "license", "reference", "versions",
    "search", "recall", "recall_low", "recall_all", "recall_sample",
)  # fmt: skip
C = [f"c{i:02d}" for i in range(20)]
ALPHA = made("alpha", C[:12], seed=1, noise=0.4)
BETA = made("beta", list(reversed(C[4:])), dim=6, seed=2, noise=0.4)
GAMMA = made("gamma", C[:12], dim=5, seed=3, noise=0.4)
DELTA = made("delta", [*C[2:12], "z0"], dim=9, seed=4, noise=0.4)
FAR = made("far", [f"x{i}" for i in range(6)], seed=5)
TWO = made("two", C[:2], dim=5, seed=6)
THREE = made("three", C[:3], dim=5, seed=7)
# one class at the root, which is beside a clade of eleven
_apart = np.random.default_rng(8).normal(size=(12, 7)) * 0.2 + np.array([3.0, -2, 1, 0, 0, 2, -4])
_apart[5] = -_apart.mean(axis=0) * 2
APART = made("apart", C[:12], weight=_apart)
HEADS = (ALPHA, BETA, GAMMA, DELTA, FAR, TWO, THREE, APART)


@pytest.fixture(scope="module")
def small_once(tmp_path_factory):
    """Small heads in one database, with no tree yet."""
    folder = tmp_path_factory.mktemp("trees")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, *HEADS)
    return folder / "small.duckdb"


@pytest.fixture
def path(small_once, tmp_path):
    return shutil.copy(small_once, tmp_path / "small.duckdb")


@pytest.fixture
def small(path):
    with classrel_db.open(path) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def real_path(database, tmp_path_factory):
    """The three real heads, with the tree of the first, and what it lies under in the others."""
    copy = tmp_path_factory.mktemp("real-trees") / "classrel.duckdb"
    shutil.copyfile(database, copy)
    with classrel_db.open(copy) as catalog:
        catalog.tree(LITE0, k=2, across=True)
    return copy


@pytest.fixture(scope="module")
def real(real_path):
    with classrel_db.open(real_path) as catalog:
        yield catalog


# naive ones


def chord(head):
    cosine = cosine_matrix(normalized(head.weight))
    return np.sqrt(np.maximum(2 - 2 * cosine, 0))


def naive_linkage(D, method="ward"):
    D = D.copy()
    np.fill_diagonal(D, 0)
    return hierarchy.linkage(squareform(D, checks=False), method)


def leaf_sets(Z):
    """The leaves under each node."""
    n = len(Z) + 1
    found = [{i} for i in range(n)]
    for left, right, *_ in Z:
        found.append(found[int(left)] | found[int(right)])
    return found


def clades(head, concepts=None):
    """The sets of concepts that are clades of a head's tree, of these concepts alone."""
    kept = set(head.concepts if concepts is None else concepts)
    sets = [
        frozenset(head.concepts[i] for i in s) & kept for s in leaf_sets(naive_linkage(chord(head)))
    ]
    return {s for s in sets if 1 < len(s) < len(kept)}


def cophenetic(head, concepts):
    C = squareform(hierarchy.cophenet(naive_linkage(chord(head))))
    at = head.at(concepts)
    return C[np.ix_(at, at)][np.triu_indices(len(at), 1)]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rows_in(path, table):
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(f"FROM {table} ORDER BY ALL").fetchall()


def counts(path):
    return {table: len(rows_in(path, table)) for table in TABLES}


@contextmanager
def told():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


# real heads


def test_the_linkage_of_a_real_head_is_scipys(real, heads):
    Z = real.linkage(LITE0)
    cosine = heads[LITE0].cosine
    expected = naive_linkage(np.sqrt(np.maximum(2 - 2 * cosine, 0)))
    np.testing.assert_allclose(hierarchy.cophenet(Z), hierarchy.cophenet(expected), atol=1e-6)
    assert hierarchy.is_valid_linkage(Z)


def test_the_rows_of_a_tree_are_its_linkage(real):
    Z, order = real.linkage(LITE0), real.leaf_order(LITE0)
    relation = real.tree(LITE0)
    assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == COLUMNS
    rows = {row["node"]: row for row in dicts(relation)}
    assert sorted(rows) == list(range(1999))
    labels = [row["class"] for row in dicts(real.classes(LITE0))]
    sets = leaf_sets(Z)
    places = {int(leaf): place for place, leaf in enumerate(order)}
    for node, row in rows.items():
        assert (row["model"], row["method"], row["distance"]) == (LITE0, "ward", "chord")
        assert row["size"] == len(sets[node])
        own = sorted(places[leaf] for leaf in sets[node])
        assert own == list(range(row["place"], row["place"] + row["size"]))
        if node < 1000:
            assert (row["left_node"], row["right_node"], row["height"], row["f1"]) == (
                None,
                None,
                0,
                None,
            )
            assert row["concept"][:2] in {"n0", "n1"}
            assert row["name"] == labels[node]
        else:
            left, right, height, size = Z[node - 1000]
            assert [row["left_node"], row["right_node"]] == [left, right]
            assert (row["height"], row["size"], row["concept"]) == (height, size, None)
            assert 0 < row["f1"] <= 1
            assert rows[left]["parent"] == rows[right]["parent"] == node
        if node == 1998:
            assert (row["parent"], row["name"], row["f1"]) == (None, "entity", 1.0)
        if 1000 <= node < 1998:
            assert row["models"] in {0, 0.5, 1}
            assert row["models"] <= row["nearly"] <= 1
        else:
            assert row["models"] is None
        assert row["support"] is None
    listed = [(row["place"], -row["size"]) for row in dicts(real.tree(LITE0))]
    assert listed == sorted(listed)


def test_the_leaf_order_is_the_best_there_is(small):
    """No turning of the branches has a shorter way from leaf to leaf: of eleven joins all are tried."""
    D = chord(ALPHA)

    def orders(node, Z):
        if node < 12:
            return [[node]]
        left, right = (orders(int(side), Z) for side in Z[node - 12, :2])
        return [x + y for a in left for b in right for x, y in ((a, b), (b, a))]

    Z = small.linkage("alpha")
    ways = [D[order[:-1], order[1:]].sum() for order in map(np.asarray, orders(22, Z))]
    assert len(ways) == 2**11
    found = small.leaf_order("alpha")
    way = D[found[:-1], found[1:]].sum()
    assert way == pytest.approx(min(ways), abs=1e-6)
    assert max(ways) > way + 0.1


def test_the_merges_in_the_file_are_walked_by_sql(real, real_path):
    """The members of every clade, its place among the leaves, and where two classes part."""
    Z = real.linkage(LITE0)
    real.close()
    walk = """
        WITH RECURSIVE m AS (
            FROM merges SEMI JOIN (FROM models WHERE name = $model) USING (model_id)
            WHERE method = 'ward' AND distance = 'chord'
        ),
        under AS (
            SELECT node, left_node AS below FROM m UNION ALL SELECT node, right_node FROM m
            UNION ALL
            SELECT u.node, x.below
            FROM under AS u
            JOIN (SELECT node, left_node AS below FROM m UNION ALL SELECT node, right_node FROM m) AS x
                ON x.node = u.below
        )
        SELECT m.node, m.height, m.size, m.first, list(u.below ORDER BY u.below) AS members,
               min(l.place), max(l.place)
        FROM m JOIN under AS u USING (node)
        JOIN leaves AS l ON l.model_id = m.model_id AND l.class_idx = u.below AND l.method = 'ward'
        GROUP BY ALL ORDER BY m.node
    """
    with duckdb.connect(str(real_path), read_only=True) as connection:
        found = connection.execute(walk, {"model": LITE0}).fetchall()
    sets = leaf_sets(Z)
    assert [row[0] for row in found] == list(range(1000, 1999))
    for node, height, size, first, members, lowest, highest in found:
        assert set(members) == sets[node]
        assert (height, size) == tuple(Z[node - 1000, 2:])
        assert (first, first + size - 1) == (lowest, highest)


def test_what_is_across_is_where_the_others_have_the_clade(real):
    rows = dicts(real.tree(LITE0))
    order = [row["concept"] for row in rows if row["concept"]]
    others = []
    for model in (LITE1, LITE2):
        concept = [
            c for (c,) in real.classes(model).order("class_idx").project("concept").fetchall()
        ]
        others.append([{concept[i] for i in s} for s in leaf_sets(real.linkage(model))])
    for row in rows[5::200]:
        if not 1 < row["size"] < 1000:
            continue
        own = set(order[row["place"] : row["place"] + row["size"]])
        best = [max(2 * len(own & s) / (len(own) + len(s)) for s in sets) for sets in others]
        assert row["models"] == np.mean([f1 == 1 for f1 in best])
        assert row["nearly"] == np.mean([f1 >= 0.8 for f1 in best])


# around a class, and the top


def around_naively(rows, focal, k):
    """The largest clade with a class that has k classes at most; where it is alone, the next above it."""
    parent = {row["node"]: row["parent"] for row in rows}
    size = {row["node"]: row["size"] for row in rows}
    above = [parent[focal]]
    while above[-1] is not None:
        above.append(parent[above[-1]])
    fitting = [node for node in above[:-1] if size[node] <= k]
    return fitting[-1] if fitting else above[0]


@pytest.mark.parametrize("k", [1, 3, 8, 12])
@pytest.mark.parametrize("model", ["alpha", "apart"])
def test_around_a_class_is_the_largest_clade_of_so_many(small, model, k):
    every = {row["node"]: row for row in dicts(small.tree(model))}
    for focal in range(12):
        rows = dicts(small.tree(model, around=C[focal], k=k))
        top = around_naively(list(every.values()), focal, k)
        assert rows[0]["node"] == top
        assert [row["node"] for row in rows if row["parent"] is None] == [top]
        assert focal in {row["node"] for row in rows}
        shown = {row["node"] for row in rows}
        assert all(row["parent"] in shown for row in rows[1:])
        tips = [row for row in rows if not {row["left_node"], row["right_node"]} <= shown]
        assert sum(row["size"] for row in tips) == every[top]["size"]
        for row in rows:
            assert row == every[row["node"]] | {"parent": row["parent"]}
            # what is drawn as a tip is too large to be opened
            assert row["node"] < 12 or row not in tips or row["size"] > k
        if every[top]["size"] <= k:
            assert {row["node"] for row in rows if row["node"] < 12} == {
                node for node, row in every.items() if node < 12
                and every[top]["place"] <= row["place"] < every[top]["place"] + every[top]["size"]
            }  # fmt: skip


def test_around_takes_25_classes_unless_told(real):
    whole = dicts(real.tree(LITE0))
    for focal in ("Dungeness crab", 0, "n02085620"):
        rows = dicts(real.tree(LITE0, around=focal))
        (index,) = {"Dungeness crab": [118], 0: [0], "n02085620": [151]}[focal]
        assert rows[0]["node"] == around_naively(whole, index, 25)
        assert rows == dicts(real.tree(LITE0, around=focal, k=25))


@pytest.mark.parametrize("k", [1, 2, 3, 7, 11, 12])
def test_the_top_k_are_the_clusters_of_k_and_what_joins_them(small, k):
    every = dicts(small.tree("alpha"))
    rows = dicts(small.tree("alpha", k=k))
    shown = {row["node"] for row in rows}
    assert len(rows) == 2 * k - 1
    tips = {row["node"] for row in rows if not {row["left_node"], row["right_node"]} & shown}
    assert tips == {row["node"] for row in dicts(small.cluster("alpha", k))}
    Z = naive_linkage(chord(ALPHA))
    groups = hierarchy.fcluster(Z, k, "maxclust")
    sets = leaf_sets(small.linkage("alpha"))
    assert {frozenset(sets[node]) for node in tips} == {
        frozenset(np.flatnonzero(groups == g).tolist()) for g in set(groups)
    }
    assert [row for row in every if row["node"] in shown] == rows


# what is kept


def test_a_tree_is_computed_once_and_kept(small, path, monkeypatch):
    first = {
        "tree": small.tree("alpha", support=True, resamples=7).fetchall(),
        "order": small.leaf_order("alpha").tolist(),
        "Z": small.linkage("alpha").tolist(),
    }
    small.close()
    before, kept = digest(path), counts(path)
    assert kept == {"trees": 1, "merges": 11, "leaves": 12, "clade_support": 10}

    def never(*_, **__):
        raise AssertionError("computed again")

    for name in ("link", "distances", "optimal_order", "projected_order", "dimension_support"):
        monkeypatch.setattr(forest, name, never)
    for _ in range(2):
        with classrel_db.open(path) as again:
            assert again.tree("alpha", support=True, resamples=7).fetchall() == first["tree"]
            assert again.tree("alpha").fetchall() == first["tree"]
            assert again.leaf_order("alpha").tolist() == first["order"]
            assert again.linkage("alpha").tolist() == first["Z"]
            again.cluster("alpha", 3)
            again.tree_node("alpha")
            with pytest.raises(AssertionError, match="computed again"):
                again.tree("alpha", method="average")
            with pytest.raises(AssertionError, match="computed again"):
                again.tree("alpha", support=True, resamples=7, seed=1)
            with pytest.raises(AssertionError, match="computed again"):
                again.tree("alpha", support=True, resamples=8)
    assert digest(path) == before
    assert counts(path) == kept


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.tree("alpha"), lambda c: c.cluster("alpha"), lambda c: c.linkage("alpha"),
        lambda c: c.leaf_order("alpha"), lambda c: c.tree_node("alpha"),
        lambda c: c.compare_trees("alpha", "gamma", permutations=0),
        lambda c: c.consensus_tree(["alpha", "gamma"]),
        lambda c: c.tree("alpha", across=True),
    ],
)  # fmt: skip
def test_every_question_keeps_the_tree(small, path, ask):
    ask(small)
    small.close()
    assert ("ward", "chord") in {row[1:3] for row in rows_in(path, "trees") if row[0] == 1}
    assert len([row for row in rows_in(path, "merges") if row[0] == 1]) == 11


def test_trees_by_other_methods_and_distances_stand_beside(small, path):
    made_by = [
        ("ward", "chord"),
        ("average", "chord"),
        ("average", "condensed"),
        ("single", "euclidean"),
    ]
    found = {key: small.linkage("alpha", method=key[0], distance=key[1]) for key in made_by}
    small.close()
    assert sorted(row[1:] for row in rows_in(path, "trees")) == sorted(
        (*key, "optimal") for key in made_by
    )
    with classrel_db.open(path) as again:
        for (method, distance), Z in found.items():
            np.testing.assert_array_equal(
                again.linkage("alpha", method=method, distance=distance), Z
            )
    cosine = cosine_matrix(normalized(ALPHA.weight))
    expected = {
        "chord": chord(ALPHA),
        "condensed": (1 - cosine) / 2 - ((1 - cosine) / 2)[np.triu_indices(12, 1)].min(),
        "euclidean": np.linalg.norm(
            normalized(ALPHA.weight)[:, None] - normalized(ALPHA.weight)[None], axis=2
        ),
    }
    for (method, distance), Z in found.items():
        np.testing.assert_allclose(
            hierarchy.cophenet(Z),
            hierarchy.cophenet(naive_linkage(expected[distance], method)),
            atol=1e-5,
        )


def test_support_takes_the_place_of_the_one_before(small, path):
    small.tree("alpha", support=True, resamples=5, seed=1)
    small.tree("alpha", support=True, resamples=6, seed=2)
    small.tree("alpha", across=True)
    small.close()
    rows = rows_in(path, "clade_support")
    assert {(row[4], row[7], row[8]) for row in rows if row[4] == "dimensions"} == {
        ("dimensions", 6, 2)
    }
    assert len(rows) == 20
    assert {row[6] for row in rows if row[4] == "dimensions"} == {None}


def test_support_is_that_of_resampled_heads(small):
    """A head of two groups that every dimension tells apart: their clades are always there."""
    rows = dicts(small.tree("alpha", support=True, resamples=40, seed=3))
    shares = [row["support"] for row in rows if row["support"] is not None]
    assert len(shares) == 10
    assert all(
        0 <= share <= 1 and (share * 40) % 1 == pytest.approx(0, abs=1e-9) for share in shares
    )
    assert {row["node"] for row in rows if row["support"] is None} == {*range(12), 22}
    assert len(set(shares)) > 2
    other = dicts(small.tree("alpha", support=True, resamples=40, seed=4))
    assert [row["support"] for row in other] != [row["support"] for row in rows]
    again = dicts(small.tree("alpha", support=True, resamples=40, seed=3))
    assert again == rows
    # eleven of twelve that are all but the same, against one
    apart = dicts(small.tree("apart", support=True, resamples=20))
    clade = max((row for row in apart if row["parent"] is not None), key=lambda row: row["size"])
    assert (clade["size"], clade["support"]) == (11, 1.0)


def test_a_model_takes_its_trees_along(small, path):
    for name in ("alpha", "gamma"):
        small.tree(name, support=True, resamples=3)
    small.remove("alpha")
    small.close()
    assert {row[0] for table in TABLES for row in rows_in(path, table)} == {3}
    with classrel_db.open(path) as again, pytest.raises(UnknownModelError):
        again.tree("alpha")


def test_another_head_of_the_name_has_another_tree(small, path, tmp_path):
    before = small.linkage("alpha")
    small.tree("alpha", support=True, resamples=3)
    add(small, tmp_path, made("alpha", C[:9], seed=50), replace=True)
    small.close()
    assert counts(path) == dict.fromkeys(TABLES, 0)
    with classrel_db.open(path) as again:
        assert len(again.linkage("alpha")) == 8 != len(before)
        assert again.tree("alpha").filter("support IS NOT NULL").shape[0] == 0


def test_another_model_makes_the_support_over_models_unknown(small, path, tmp_path):
    small.tree("alpha", support=True, resamples=3, across=True)
    small.tree("gamma", across=True)

    def kinds():
        small.close()
        return {(row[0], row[4]) for row in rows_in(path, "clade_support")}

    assert kinds() == {(1, "dimensions"), (1, "models"), (3, "models")}
    trees = rows_in(path, "trees")
    add(small, tmp_path, made("new", C[:5], seed=60))
    assert kinds() == {(1, "dimensions")}
    assert rows_in(path, "trees") == trees
    small.tree("alpha", across=True)
    small.remove("new")
    assert kinds() == {(1, "dimensions")}


def test_the_share_is_of_the_models_that_can_say(small, path):
    others = [BETA, GAMMA, DELTA, APART]
    rows = dicts(small.tree("alpha", across=True))
    order = [row["name"].removeprefix("the ") for row in rows if row["node"] < 12]
    for row in rows:
        if not 1 < row["size"] < 12:
            continue
        own = set(order[row["place"] : row["place"] + row["size"]])
        have, near, asked = 0, 0, 0
        for other in others:
            both = set(other.concepts) & set(ALPHA.concepts)
            kept = own & both
            if not 1 < len(kept) < len(both):
                continue
            asked += 1
            f1 = max(2 * len(kept & s) / (len(kept) + len(s)) for s in clades(other, both))
            have += f1 == 1
            near += f1 >= 0.8
        assert asked
        assert row["models"] == pytest.approx(have / asked)
        assert row["nearly"] == pytest.approx(near / asked)
    small.close()
    # those asked are models with four classes of alpha's
    assert {row[7] for row in rows_in(path, "clade_support")} <= {2, 3, 4}
    assert {row[0] for row in rows_in(path, "trees")} == {1, 2, 3, 4, 8}


def test_no_model_to_look_in(small):
    with pytest.raises(ArgumentError, match="no other model shares 4 classes with far"):
        small.tree("far", across=True)


def to_schema_2(path):
    with duckdb.connect(str(path)) as connection:
        for table in (*TABLES, "taxonomies", "taxa", "taxon_parents", "taxon_names"):
            connection.execute(f"DROP TABLE {table}")
        for column in SINCE_SCHEMA_4:
            connection.execute(f"ALTER TABLE models DROP COLUMN {column}")
        connection.execute("UPDATE classrel SET value = '2' WHERE key = 'schema'")


def test_a_file_of_before_is_upgraded_by_the_next_ingest(path, tmp_path):
    to_schema_2(path)
    with classrel_db.open(path) as catalog:
        with pytest.raises(OldSchemaError, match="classrel ingest"):
            catalog.tree("alpha")
        add(catalog, tmp_path, made("new", C[:6], seed=9))
        assert catalog.tree("alpha").shape[0] == 23
        ((name, kind, taxa, ranks, depth),) = (
            catalog.taxonomies().project("taxonomy, kind, taxa, ranks, depth").fetchall()
        )
        assert (name, kind, taxa, ranks) == ("wordnet", "wordnet", 1860, 0)
        assert depth > 10
        assert [row[0] for row in catalog.models().fetchall()] == [*[h.name for h in HEADS], "new"]
        assert all(row[2] for row in catalog.check().fetchall())
    assert len(rows_in(path, "taxon_parents")) == 1937


def test_check_has_nothing_against_trees_but_finds_strays(small, path):
    small.tree("alpha", support=True, resamples=3, across=True)
    assert [row for row in small.check().fetchall() if not row[2]] == []
    small.close()
    with duckdb.connect(str(path)) as connection:
        for table in TABLES:
            connection.execute(f"UPDATE {table} SET model_id = 77 WHERE model_id = 1")
    ((ok, detail),) = [row[2:] for row in small.check().fetchall() if row[1] == "strays"]
    assert not ok
    for table in TABLES:
        assert table in detail


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM merges WHERE node = 14",
        "DELETE FROM leaves WHERE place = 3",
        "UPDATE leaves SET class_idx = 1 WHERE class_idx = 2",
        "UPDATE merges SET left_node = 21 WHERE node = 14",
        "UPDATE merges SET left_node = 13 WHERE node = 13",
        "INSERT INTO leaves SELECT * FROM leaves WHERE place = 0",
        "DELETE FROM leaves",
        "DELETE FROM merges",
    ],
)
def test_a_damaged_tree_is_said_and_no_crash(small, path, change):
    small.tree("alpha")
    small.close()
    with duckdb.connect(str(path)) as connection:
        assert connection.execute(change).fetchall() != [(0,)]
    with classrel_db.open(path) as again:
        for ask in (again.tree, again.cluster, again.linkage):
            with pytest.raises(
                DatabaseError, match="alpha: the stored ward tree by chord distance is no tree"
            ):
                ask("alpha")


# the order of the classes


def permuted(head, order):
    return made(
        head.name, [head.concepts[i] for i in order], weight=head.weight[order],
        labels=[head.labels[i] for i in order],
    )  # fmt: skip


def told_by_concept(catalog, other):
    """What is asked of a model and another, by concept and not by class index."""
    concept = [
        row[0] for row in catalog.classes("head").order("class_idx").project("concept").fetchall()
    ]
    index = {c: i for i, c in enumerate(sorted(concept))}
    D = np.zeros((len(concept), len(concept)))
    at = [index[c] for c in concept]
    D[np.ix_(at, at)] = squareform(hierarchy.cophenet(catalog.linkage("head")))
    order = [concept[i] for i in catalog.leaf_order("head")]
    with told():
        cuts = {
            k: catalog.cluster("head", k).project("class, cluster, name, tie").fetchall()
            for k in (2, 3, 5, 8)
        }
        cuts[None] = catalog.cluster("head").project("class, cluster, name, silhouette").fetchall()
    tree = catalog.tree("head", support=True, resamples=15, across=True)
    nodes = tree.project("height, size, place, name, concept, support, models, nearly").fetchall()
    compared = catalog.compare_trees("head", other, permutations=9, seed=1).fetchall()
    return {
        "cophenetic": D.tolist(),
        "order": order,
        "cuts": cuts,
        "nodes": nodes,
        "compared": compared,
    }


_random = np.random.default_rng(31)
_FREE = made("head", C[:14], dim=8, seed=21)
_TIES = made(
    "head", C[:14], weight=_random.integers(0, 3, size=(14, 6)).astype(float) + np.eye(14, 6)
)
_GRID = made(
    "head",
    C[:12],
    weight=np.kron(np.eye(6), np.ones((2, 1))) + np.repeat(np.eye(2), 6, 0) @ np.ones((2, 6)) * 0,
)


@pytest.mark.parametrize("head", [_FREE, _TIES, _GRID], ids=["free", "ties", "grid"])
@pytest.mark.parametrize("what", ["cophenetic", "order", "cuts", "nodes", "compared"])
def test_the_order_of_the_classes_changes_nothing_else(tmp_path_factory, head, what, request):
    cache = request.config.stash.setdefault(_STASH, {})
    if id(head) not in cache:
        cache[id(head)] = []
        for turn in range(2):
            folder = tmp_path_factory.mktemp("turned")
            order = (
                np.arange(len(head.concepts))
                if not turn
                else np.random.default_rng(turn).permutation(len(head.concepts))
            )
            with classrel_db.open(folder / "x.duckdb") as catalog:
                add(catalog, folder, permuted(head, order), GAMMA)
                cache[id(head)].append(told_by_concept(catalog, "gamma"))
    first, *others = cache[id(head)]
    for other in others:
        if what == "cuts":
            for k, rows in first["cuts"].items():
                assert comparable(other["cuts"][k]) == comparable(rows), k
        else:
            assert comparable(other[what]) == comparable(first[what])


_STASH = pytest.StashKey()


def comparable(value):
    if isinstance(value, float):
        return round(value, 9) + 0.0
    if isinstance(value, list | tuple):
        return [comparable(each) for each in value]
    return value


# a file that can't be written


HOLDER = """
import sys
import duckdb
with duckdb.connect(sys.argv[1], read_only=True):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(path):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        assert child.stdout.readline() == "held\n"
        yield
    finally:
        child.communicate()


@contextmanager
def held_here(path):
    with duckdb.connect(str(path), read_only=True):
        yield


@pytest.mark.parametrize("held", [held_by_another_process, held_here])
def test_where_the_file_is_held_the_answer_is_the_same_and_said(small_once, path, small, held):
    other = shutil.copy(small_once, path.with_name("other.duckdb"))
    given = {"support": True, "resamples": 3, "across": True}
    with classrel_db.open(other) as free:
        expected = free.tree("alpha", **given).fetchall()
    before = digest(path)
    with held(path):
        for _ in range(2):
            with told() as notes:
                assert small.tree("alpha", **given).fetchall() == expected
            assert [each.category for each in notes] == [ClassrelWarning]
            assert "the tree is not kept in the database" in str(notes[0].message)
            assert notes[0].filename == __file__
        with told() as notes:
            assert len(small.linkage("gamma")) == 11
        assert len(notes) == 1
        assert [row[0] for row in small.models().fetchall()] == [head.name for head in HEADS]
    assert digest(path) == before
    with told() as notes:
        assert small.tree("alpha", **given).fetchall() == expected
    assert notes == []
    small.close()
    assert counts(path)["clade_support"] == 20


def test_nothing_is_half_written(small, path, monkeypatch):
    from classrel_db.storage import trees

    original = trees.store_support

    def fails(*arguments):
        original(*arguments)
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr(trees, "store_support", fails)
    with pytest.warns(ClassrelWarning, match="not kept in the database: the disk under"):
        rows = small.tree("alpha", support=True, resamples=3)
    assert rows.filter("support IS NOT NULL").shape[0] == 10
    small.close()
    assert counts(path) == dict.fromkeys(TABLES, 0)


def test_two_threads_that_ask_for_the_same_tree(small_once, small, path):
    expected, failures = [], []

    def ask():
        try:
            start.wait()
            expected.append(small.linkage("alpha").tolist())
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    for _ in range(6):
        small.close()
        shutil.copyfile(small_once, path)
        start = threading.Barrier(2)
        threads = [threading.Thread(target=ask) for _ in range(2)]
        with told() as notes:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        # the one may need the file while the other writes it
        assert {each.category for each in notes} <= {ClassrelWarning}
    assert failures == []
    assert all(each == expected[0] for each in expected)
    assert len(expected) == 12
    small.linkage("alpha")
    small.close()
    assert counts(path) == {"trees": 1, "merges": 11, "leaves": 12, "clade_support": 0}


# small models


def test_a_model_of_two_classes_has_a_tree(small):
    rows = dicts(small.tree("two"))
    assert [(row["node"], row["parent"], row["size"]) for row in rows] == [
        (2, None, 2), *((leaf, 2, 1) for leaf in small.leaf_order("two").tolist()),
    ]  # fmt: skip
    assert rows[0]["height"] == pytest.approx(chord(TWO)[0, 1], abs=1e-6)
    assert small.tree("two", support=True, resamples=3).shape[0] == 3
    assert small.tree("two", around=0).shape[0] == 3
    assert small.tree("two", k=1).shape[0] == 1
    assert small.tree_node("two").count(tips=True) == 2


def test_three_classes(small):
    assert small.tree("three", support=True, resamples=3).shape[0] == 5
    for few in ("two", "three"):
        with pytest.raises(ArgumentError, match="share only"):
            small.compare_trees("alpha", few)
        with pytest.raises(ArgumentError, match="4"):
            small.consensus_tree(["alpha", few])
        with pytest.raises(ArgumentError, match="no other model shares 4 classes"):
            small.tree(few, across=True)


def test_a_tree_node_is_the_tree(small):
    node = small.tree_node("alpha")
    assert sorted(tip.name for tip in node.tips()) == sorted(ALPHA.concepts)
    D = squareform(hierarchy.cophenet(naive_linkage(chord(ALPHA))))
    found = node.cophenet()
    for a, b in combinations(range(12), 2):
        assert found[ALPHA.concepts[a], ALPHA.concepts[b]] == pytest.approx(D[a, b], abs=1e-5)
    clade_sets = {frozenset(t.name for t in each.tips()) for each in node.non_tips()}
    assert clade_sets == clades(ALPHA)


# wrong questions

WRONG = [
    (lambda c: c.tree("alhpa"), UnknownModelError, 'did you mean "alpha"'),
    (lambda c: c.tree("alpha", k=0), ArgumentError, "k is 0"),
    (lambda c: c.tree("alpha", k=-3), ArgumentError, "k is -3"),
    (lambda c: c.tree("alpha", k=13), ArgumentError, "12 classes of alpha"),
    (lambda c: c.tree("alpha", k=2.0), ArgumentError, r"k is 2\.0"),
    (lambda c: c.tree("alpha", k=True), ArgumentError, "k is True"),
    (lambda c: c.tree("alpha", k="abc"), ArgumentError, "k is 'abc'"),
    (lambda c: c.tree("alpha", around="the c0"), AmbiguousClassError, "could be"),
    (lambda c: c.tree("alpha", around="nosuch"), UnknownClassError, "nosuch"),
    (lambda c: c.tree("alpha", around="the c05", k=0), ArgumentError, "k is 0"),
    (lambda c: c.tree("alpha", around=99), UnknownClassError, "99"),
    (lambda c: c.tree("alpha", method="warp"), ArgumentError, "method is"),
    (lambda c: c.tree("alpha", distance="cosine"), ArgumentError, "chord, condensed, profile"),
    (lambda c: c.tree("alpha", taxonomy="wordnte"), ArgumentError, 'did you mean "wordnet"'),
    (lambda c: c.tree("alpha", support=True, resamples=0), ArgumentError, "resamples is 0"),
    (lambda c: c.tree("alpha", resamples=0), ArgumentError, "resamples is 0"),
    (lambda c: c.tree("alpha", support=True, seed=-1), ArgumentError, "seed is -1"),
    (lambda c: c.linkage("nosuch"), UnknownModelError, "nosuch"),
    (lambda c: c.leaf_order("alpha", method="x"), ArgumentError, "method"),
    (lambda c: c.tree_node("alpha", distance="x"), ArgumentError, "distance"),
    (lambda c: c.compare_trees("alpha"), ArgumentError, "1 model is named"),
    (lambda c: c.compare_trees(), ArgumentError, "0 model"),
    (lambda c: c.compare_trees("alpha", "alpha"), ArgumentError, "named twice"),
    (lambda c: c.compare_trees("alpha", "far"), ArgumentError, "share no class"),
    (lambda c: c.compare_trees("alpha", "gamma", measures="triplet"), ArgumentError, 'mean "triplets"'),
    (lambda c: c.compare_trees("alpha", "gamma", measures=[]), ArgumentError, "no measure"),
    (lambda c: c.compare_trees("alpha", "gamma", permutations=-1), ArgumentError, "permutations is -1"),
    (lambda c: c.compare_trees("alpha", "gamma", ks=[1]), ArgumentError, "k is 1"),
    (lambda c: c.compare_trees("alpha", "gamma", ks=[2, 12]), ArgumentError, "2 to 11"),
    (lambda c: c.compare_trees("alpha", "gamma", ks=[0]), ArgumentError, "k is 0"),
    (lambda c: c.compare_trees("alpha", "gamma", ks=[2.5]), ArgumentError, r"k is 2\.5"),
    (lambda c: c.compare_trees("alpha", "gamma", ks="curves"), ArgumentError, "curves"),
    (lambda c: c.consensus_tree("alpha"), ArgumentError, "1 model"),
    (lambda c: c.consensus_tree(["alpha", "far"]), ArgumentError, "share 0 classes"),
    (lambda c: c.consensus_tree(), ArgumentError, "share 0 classes"),
    (lambda c: c.consensus_tree(["alpha", "gamma"], taxonomy="x"), ArgumentError, "no taxonomy"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_wrong_question_is_refused_and_nothing_written(small, path, number):
    ask, kind, said = WRONG[number]
    before = digest(path)
    with pytest.raises(kind, match=said):
        ask(small)
    small.close()
    assert digest(path) == before


def test_a_taxonomy_that_is_not_there_is_said_before_anything_is_computed(small, monkeypatch):
    monkeypatch.setattr(forest, "link", lambda *_: pytest.fail("computed"))
    for ask in (small.tree, small.cluster):
        with pytest.raises(ArgumentError, match="no taxonomy"):
            ask("alpha", taxonomy="nosuch")


def test_what_a_method_makes_of_distances_is_said(small):
    for method in ("ward", "centroid", "median"):
        with told() as notes:
            small.tree("alpha", method=method, distance="condensed")
        said = f"{method} linkage takes its distances for Euclidean"
        assert [str(note.message) for note in notes if said in str(note.message)]
    with pytest.warns(ClassrelWarning, match="profile: each row"):
        small.tree("alpha", distance="profile")
    with told() as notes:
        small.tree("alpha", method="average", distance="condensed")
    assert notes == []
    for method in ("centroid", "median"):
        with pytest.warns(ClassrelWarning, match="branches may have negative lengths"):
            small.tree("alpha", method=method)


# trees against each other


def test_three_models_are_three_pairs_and_each_measure_a_row(small):
    relation = small.compare_trees("gamma", "alpha", "delta", permutations=9, seed=5)
    assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == COMPARED
    rows = dicts(relation)
    pairs = [("gamma", "alpha"), ("gamma", "delta"), ("alpha", "delta")]
    expected = [(m, None) if m != "fowlkes-mallows" else (m, k) for m in TREE_MEASURES
                for k in ([None] if m != "fowlkes-mallows" else (2, 5, 10))]  # fmt: skip
    assert [(row["model_a"], row["model_b"], row["measure"], row["k"]) for row in rows] == [
        (*pair, *each)
        for pair in pairs
        for each in expected
        if each[1] != 10 or "delta" not in pair
    ]
    for row in rows:
        assert row["n"] == (10 if "delta" in (row["model_a"], row["model_b"]) else 12)
        assert (row["seed"], row["method"], row["distance"]) == (5, "ward", "chord")
        assert 0 < row["permutations"] <= 9
        assert 0 < row["p_value"] <= 1
        assert row["null_low"] <= row["null_value"] <= row["null_high"]


@pytest.mark.parametrize(
    ("a", "b"), [(ALPHA, GAMMA), (ALPHA, BETA), (DELTA, BETA)], ids=lambda m: m.name
)
def test_measures_are_the_naive_ones_on_the_shared_classes(small, a, b):
    both = sorted(set(a.concepts) & set(b.concepts))
    n = len(both)
    rows = dicts(small.compare_trees(a.name, b.name, permutations=0, ks=[2, 3]))
    assert {row["n"] for row in rows} == {n}
    assert {(row["p_value"], row["null_value"], row["permutations"]) for row in rows} == {
        (None, None, 0)
    }
    found = {(row["measure"], row["k"]): row["estimate"] for row in rows}
    x, y = (cophenetic(each, both) for each in (a, b))
    assert found["cophenetic", None] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-5)
    assert found["bakers-gamma", None] == pytest.approx(spearmanr(x, y).statistic, abs=1e-5)
    A, B = clades(a, both), clades(b, both)
    assert found["robinson-foulds", None] == pytest.approx(len(A ^ B) / (len(A) + len(B)))
    alike = counted = 0
    for three in combinations(both, 3):
        named = []
        for sets in (A, B):
            pairs = [p for p in combinations(three, 2)
                     if any(set(p) <= s and not set(three) <= s for s in sets)]  # fmt: skip
            named.append(pairs[0] if len(pairs) == 1 else None)
        if None not in named:
            counted += 1
            alike += named[0] == named[1]
    assert counted > comb(n, 3) / 2
    assert found["triplets", None] == pytest.approx(alike / counted)
    for k in (2, 3):
        clusters = []
        for each in (a, b):
            groups = hierarchy.fcluster(restricted_linkage(each, both), k, "maxclust")
            clusters.append(groups)
        together = [[u[i] == u[j] for i, j in combinations(range(n), 2)] for u in clusters]
        first, second = map(np.asarray, together)
        expected = (first & second).sum() / np.sqrt(first.sum() * second.sum())
        assert found["fowlkes-mallows", k] == pytest.approx(expected)


def restricted_linkage(head, concepts):
    """Of the tree of all classes what is left on some: by its heights, which single linkage keeps."""
    return hierarchy.linkage(cophenetic(head, concepts), "single")


def test_the_order_of_the_models_and_of_ingest_changes_nothing_but_names(small, tmp_path):
    def numbers(rows):
        return [{k: v for k, v in row.items() if k[:6] != "model_"} for row in dicts(rows)]

    given = {"permutations": 9, "seed": 2}
    there = small.compare_trees("alpha", "beta", **given)
    back = small.compare_trees("beta", "alpha", **given)
    assert numbers(there) == numbers(back)
    assert {row[:2] for row in back.fetchall()} == {("beta", "alpha")}
    with classrel_db.open(tmp_path / "turned.duckdb") as other:
        add(other, tmp_path, BETA, ALPHA)
        assert numbers(other.compare_trees("alpha", "beta", **given)) == numbers(there)
        assert other.compare_trees("alpha", "beta", **given).fetchall() == there.fetchall()
    seeds = numbers(small.compare_trees("alpha", "beta", permutations=9, seed=3))
    assert [r["estimate"] for r in seeds] == [r["estimate"] for r in numbers(there)]
    assert [r["null_value"] for r in seeds] != [r["null_value"] for r in numbers(there)]


def test_a_tree_agrees_with_itself(small, tmp_path):
    add(small, tmp_path, made("twin", C[:12], weight=ALPHA.weight * 3))
    rows = dicts(small.compare_trees("alpha", "twin", permutations=19, ks=[2, 4]))
    for row in rows:
        assert row["estimate"] == pytest.approx(TREE_MEASURES[row["measure"]].at_self, abs=1e-6)
        # at random such small trees may well come near, but not so often
        assert row["p_value"] <= (0.3 if row["measure"] == "fowlkes-mallows" else 0.1)


def test_measures_are_chosen_and_k_is_for_one_of_them(small):
    rows = dicts(small.compare_trees("alpha", "gamma", measures="triplets", permutations=3))
    assert [row["measure"] for row in rows] == ["triplets"]
    rows = dicts(
        small.compare_trees(
            "alpha", "gamma", measures=["fowlkes-mallows"] * 2, ks=[3, 7], permutations=0
        )
    )
    assert [row["k"] for row in rows] == [3, 7]
    rows = dicts(
        small.compare_trees(
            "alpha", "gamma", measures="fowlkes-mallows", ks="curve", permutations=0
        )
    )
    assert [row["k"] for row in rows] == list(range(2, 12))
    by_average = small.compare_trees(
        "alpha", "gamma", measures="cophenetic", method="average", permutations=0
    )
    (row,) = dicts(by_average)
    x, y = (hierarchy.cophenet(naive_linkage(chord(h), "average")) for h in (ALPHA, GAMMA))
    assert row["estimate"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-5)
    assert row["method"] == "average"


def test_real_trees_agree(real):
    rows = dicts(
        real.compare_trees(
            LITE0, LITE1, measures=["cophenetic", "robinson-foulds", "triplets"], permutations=3
        )
    )
    assert {row["n"] for row in rows} == {1000}
    by = {row["measure"]: row for row in rows}
    assert by["cophenetic"]["estimate"] > 0.7
    assert 0.3 < by["robinson-foulds"]["estimate"] < 0.8
    assert by["triplets"]["estimate"] > 0.7
    assert abs(by["triplets"]["null_value"] - 1 / 3) < 0.02
    a, b = (squareform(hierarchy.cophenet(real.linkage(m))) for m in (LITE0, LITE1))
    above = np.triu_indices(1000, 1)
    assert by["cophenetic"]["estimate"] == pytest.approx(
        np.corrcoef(a[above], b[above])[0, 1], abs=1e-5
    )
    A, B = (
        {frozenset(s) for s in leaf_sets(real.linkage(m)) if 1 < len(s) < 1000}
        for m in (LITE0, LITE1)
    )
    assert by["robinson-foulds"]["estimate"] == pytest.approx(len(A ^ B) / (len(A) + len(B)))


# the consensus


@pytest.mark.parametrize(
    "heads",
    [(ALPHA, GAMMA, DELTA), (ALPHA, GAMMA), (BETA, DELTA, ALPHA, GAMMA)],
    ids=lambda hs: str(len(hs)),
)
def test_a_consensus_has_the_clades_of_more_than_half(small, heads):
    both = set.intersection(*(set(head.concepts) for head in heads))
    every = [clades(head, both) for head in heads]
    wanted = {
        clade: sum(clade in own for own in every) / len(heads)
        for clade in set().union(*every)
        if sum(clade in own for own in every) * 2 > len(heads)
    }
    assert wanted
    relation = small.consensus_tree([head.name for head in heads])
    assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == COLUMNS
    rows = dicts(relation)
    order = [row["concept"] for row in rows if row["size"] == 1]
    assert sorted(order) == sorted(both)
    found = {
        frozenset(order[row["place"] : row["place"] + row["size"]]): row["models"]
        for row in rows
        if 1 < row["size"] < len(both)
    }
    assert found == pytest.approx(wanted)
    assert {row["model"] for row in rows} == {f"{len(heads)} models"}
    nodes = {row["node"]: row for row in rows}
    for row in rows:
        assert (
            row["left_node"],
            row["right_node"],
            row["height"],
            row["support"],
            row["nearly"],
        ) == (None,) * 5
        if row["parent"] is not None:
            above = nodes[row["parent"]]
            assert (
                above["place"]
                <= row["place"]
                < row["place"] + row["size"]
                <= above["place"] + above["size"]
            )
            assert above["size"] > row["size"]
        if row["size"] in {1, len(both)}:
            assert row["models"] is None
    assert [row["size"] for row in rows if row["parent"] is None] == [len(both)]


def test_a_consensus_does_not_go_by_the_order_of_the_models(small):
    there = small.consensus_tree(["alpha", "gamma", "delta"]).fetchall()
    back = small.consensus_tree(["delta", "gamma", "alpha"]).fetchall()
    assert there == back


def test_the_consensus_of_all_real_models(real):
    rows = dicts(real.consensus_tree())
    assert {row["model"] for row in rows} == {"3 models"}
    order = [row["concept"] for row in rows if row["size"] == 1]
    found = {
        frozenset(order[row["place"] : row["place"] + row["size"]]): row["models"]
        for row in rows if 1 < row["size"] < 1000
    }  # fmt: skip
    counted = {}
    for model in REAL:
        concept = [
            c for (c,) in real.classes(model).order("class_idx").project("concept").fetchall()
        ]
        for s in leaf_sets(real.linkage(model)):
            if 1 < len(s) < 1000:
                key = frozenset(concept[i] for i in s)
                counted[key] = counted.get(key, 0) + 1
    assert found == pytest.approx({key: n / 3 for key, n in counted.items() if n >= 2})
