"""`Catalog.cluster`: which classes go together, what each cluster is called, and how well that fits."""

from __future__ import annotations

import csv
import shutil
import warnings
from importlib import resources

import numpy as np
import pytest
from agreeing import add, dicts, made, normalized
from oracle import REAL, cosine_matrix
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

import classrel_db
from classrel_db.errors import ArgumentError, ClassrelWarning, UnknownModelError

LITE0 = REAL[0]
COLUMNS = {
    "model": "VARCHAR", "cluster": "INTEGER", "name": "VARCHAR", "class": "VARCHAR", "concept": "VARCHAR",
    "size": "INTEGER", "medoid": "VARCHAR", "similarity": "DOUBLE", "silhouette": "DOUBLE",
    "cluster_silhouette": "DOUBLE", "nearest": "INTEGER", "nearest_name": "VARCHAR",
    "nearest_similarity": "DOUBLE", "taxon": "VARCHAR", "purity": "DOUBLE", "recall": "DOUBLE",
    "f1": "DOUBLE", "fits": "BOOLEAN", "node": "INTEGER", "method": "VARCHAR", "distance": "VARCHAR",
    "tie": "DOUBLE",
}  # fmt: skip
C = [f"c{i:02d}" for i in range(14)]
ALPHA = made("alpha", C, seed=1, noise=0.4)
# four pairs, each at one distance: every cut between 4 and 8 clusters splits equals
PAIRS = made("pairs", C[:8], weight=np.kron(np.eye(4), [[1.0, 1, 1], [1, 1, -1]]))
TWO = made("two", C[:2], dim=5, seed=6)
THREE = made("three", C[:3], dim=5, seed=7)
FUNGI = {
    "agaric", "bolete", "coral fungus", "earthstar", "gyromitra", "hen-of-the-woods", "stinkhorn",
}  # fmt: skip


@pytest.fixture(scope="module")
def small_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clusters")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, ALPHA, TWO, THREE)
        add(catalog, folder, PAIRS, normalize="none")
    return folder / "small.duckdb"


@pytest.fixture(scope="module")
def small(small_path):
    with classrel_db.open(small_path) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def real(database, tmp_path_factory):
    copy = tmp_path_factory.mktemp("real-clusters") / "classrel.duckdb"
    shutil.copyfile(database, copy)
    with classrel_db.open(copy) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def sixty(real):
    relation = real.cluster(LITE0, 60)
    return relation.columns, list(map(str, relation.types)), dicts(relation)


def wordnet_members():
    """The classes under each synset, by WordNet id, walked naively."""
    data = resources.files("classrel_db") / "data"
    parents = {}
    for row in csv.DictReader((data / "wordnet_hypernyms.csv").read_text().splitlines()):
        parents.setdefault(row["child"], []).append(row["parent"])
    members = {}
    for row in csv.DictReader((data / "imagenet1k_classes.csv").read_text().splitlines()):
        waiting = {row["wnid"]}
        while waiting:
            taxon = waiting.pop()
            members.setdefault(taxon, set()).add(row["wnid"])
            waiting.update(parents.get(taxon, ()))
    return members


@pytest.fixture(scope="module")
def wordnet():
    return wordnet_members()


def by_cluster(rows):
    found = {}
    for row in rows:
        found.setdefault(row["cluster"], []).append(row)
    return found


def cosine_of(head):
    return cosine_matrix(normalized(head.weight))


def groups(rows):
    return {frozenset(row["concept"] for row in some) for some in by_cluster(rows).values()}


def naive_groups(head, **cut):
    D = np.sqrt(np.maximum(2 - 2 * cosine_of(head), 0))
    np.fill_diagonal(D, 0)
    Z = hierarchy.linkage(squareform(D, checks=False), "ward")
    labels = hierarchy.fcluster(Z, **cut)
    return {frozenset(np.asarray(head.concepts)[labels == g].tolist()) for g in set(labels)}


# what is in the columns


def test_a_row_a_class_in_leaf_order(real, sixty):
    columns, types, rows = sixty
    assert dict(zip(columns, types, strict=True)) == COLUMNS
    order = [
        c for (c,) in real.tree(LITE0).filter("concept IS NOT NULL").project("concept").fetchall()
    ]
    assert [row["concept"] for row in rows] == order
    numbers = [row["cluster"] for row in rows]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, 61))
    assert {row["tie"] for row in rows} == {None}


def test_each_of_sixty_clusters_is_described_as_naive_sets_say(sixty, wordnet, heads):
    rows = sixty[2]
    cosine = heads[LITE0].cosine
    data = resources.files("classrel_db") / "data" / "imagenet1k_classes.csv"
    index = {r["wnid"]: int(r["class_idx"]) for r in csv.DictReader(data.read_text().splitlines())}
    clusters = by_cluster(rows)
    at = {number: [index[row["concept"]] for row in some] for number, some in clusters.items()}
    labels = {index[row["concept"]]: row["class"] for row in rows}
    D = np.sqrt(np.maximum(2 - 2 * cosine, 0))
    np.fill_diagonal(D, 0)
    names = {number: some[0]["name"] for number, some in clusters.items()}
    for number, some in clusters.items():
        own = {row["concept"] for row in some}
        first, own_at = some[0], at[number]
        assert {row["size"] for row in some} == {len(own)}
        for shared in ("name", "medoid", "similarity", "nearest", "taxon", "purity", "node"):
            assert len({row[shared] for row in some}) == 1
        inside = wordnet[first["taxon"]]
        # a cluster of several classes is held against taxa of several
        f1 = {
            taxon: 2 * len(own & has) / (len(own) + len(has))
            for taxon, has in wordnet.items()
            if len(has) > 1
        }
        best = max(f1.values())
        assert first["f1"] == pytest.approx(best) == pytest.approx(f1[first["taxon"]])
        # of equal ones the taxon with the fewest classes
        assert len(inside) == min(
            len(wordnet[t]) for t, value in f1.items() if value > best - 1e-12
        )
        assert first["purity"] == pytest.approx(len(own & inside) / len(own))
        assert first["recall"] == pytest.approx(len(own & inside) / len(inside))
        assert [row["fits"] for row in some] == [row["concept"] in inside for row in some]
        block = cosine[np.ix_(own_at, own_at)]
        pairs = block[np.triu_indices(len(own), 1)]
        assert first["similarity"] == pytest.approx(pairs.mean(), abs=1e-5)
        central = [block[i].sum() for i in range(len(own))]
        assert central[[labels[i] for i in own_at].index(first["medoid"])] == pytest.approx(
            max(central), abs=1e-4
        )
        between = {
            other: cosine[np.ix_(own_at, theirs)].mean()
            for other, theirs in at.items()
            if other != number
        }
        assert first["nearest_similarity"] == pytest.approx(max(between.values()), abs=1e-5)
        assert between[first["nearest"]] == pytest.approx(max(between.values()), abs=1e-5)
        assert first["nearest_name"] == names[first["nearest"]]
        silhouettes = []
        for row in some:
            i = index[row["concept"]]
            a = D[i, own_at].sum() / (len(own) - 1)
            b = min(D[i, theirs].mean() for other, theirs in at.items() if other != number)
            silhouettes.append((b - a) / max(a, b))
        assert [row["silhouette"] for row in some] == pytest.approx(silhouettes, abs=1e-5)
        assert first["cluster_silhouette"] == pytest.approx(np.mean(silhouettes), abs=1e-5)


def test_the_fungi_and_the_big_cats_are_found(sixty):
    clusters = by_cluster(sixty[2]).values()
    (fungus,) = [some for some in clusters if some[0]["name"] == "fungus"]
    assert {row["class"] for row in fungus if row["fits"]} == FUNGI
    assert fungus[0]["recall"] == 1
    (cats,) = [some for some in clusters if some[0]["name"] == "big cat"]
    assert {"lion", "tiger", "leopard", "jaguar"} <= {row["class"] for row in cats if row["fits"]}


def test_names_are_told_apart_by_their_medoids(sixty):
    named = {
        some[0]["cluster"]: (some[0]["name"], some[0]["medoid"])
        for some in by_cluster(sixty[2]).values()
    }
    assert len({name for name, _ in named.values()}) == 60
    doubled = [(name, medoid) for name, medoid in named.values() if ": " in name]
    assert len(doubled) > 1
    for name, medoid in doubled:
        assert name.endswith(f": {medoid}")
    assert len({name.partition(": ")[0] for name, _ in doubled}) < len(doubled)


# how many


@pytest.mark.parametrize("k", [1, 2, 5, 9, 13, 14])
def test_k_is_exact(small, k):
    rows = dicts(small.cluster("alpha", k))
    assert max(row["cluster"] for row in rows) == len(groups(rows)) == k
    assert groups(rows) == naive_groups(ALPHA, t=k, criterion="maxclust")
    assert sorted(row["concept"] for row in rows) == C


def test_k_at_its_ends(small):
    for row in dicts(small.cluster("alpha", 1)):
        assert [
            row[c]
            for c in (
                "silhouette",
                "cluster_silhouette",
                "nearest",
                "nearest_name",
                "nearest_similarity",
            )
        ] == [None] * 5
        assert (row["cluster"], row["size"], row["node"]) == (1, 14, 26)
    for row in dicts(small.cluster("alpha", 14)):
        assert (row["size"], row["similarity"], row["silhouette"]) == (1, None, 0)
        assert row["name"] == row["medoid"] == row["class"]
        assert row["concept"] == C[row["node"]]


def test_a_height_cuts_where_scipy_does(small):
    heights = small.linkage("alpha")[:, 2]
    for height in (0, *heights[:-1] + np.diff(heights) / 2, heights[-1] * 2, 3, float("inf")):
        rows = dicts(small.cluster("alpha", height=height))
        assert groups(rows) == naive_groups(ALPHA, t=height, criterion="distance")
        assert {row["tie"] for row in rows} == {None}
    assert (
        len(groups(dicts(small.cluster("alpha", height=heights[4])))) == 9
    )  # up to, and with, the height


def test_by_default_the_largest_silhouette(small):
    means = {}
    for k in range(2, 14):
        rows = dicts(small.cluster("alpha", k))
        means[k] = np.mean([row["silhouette"] for row in rows])
    best = max(means, key=means.get)
    rows = dicts(small.cluster("alpha"))
    assert max(row["cluster"] for row in rows) == best
    assert rows == dicts(small.cluster("alpha", best))
    assert len({round(v, 6) for v in means.values()}) > 3


def test_methods_and_distances(small):
    D = np.sqrt(np.maximum(2 - 2 * cosine_of(ALPHA), 0))
    np.fill_diagonal(D, 0)
    Z = hierarchy.linkage(squareform(D, checks=False), "average")
    labels = hierarchy.fcluster(Z, 5, "maxclust")
    rows = dicts(small.cluster("alpha", 5, method="average"))
    assert groups(rows) == {frozenset(np.asarray(C)[labels == g].tolist()) for g in set(labels)}
    assert {(row["method"], row["distance"]) for row in rows} == {("average", "chord")}
    # the silhouette is by the tree's own distance
    condensed = (1 - cosine_of(ALPHA)) / 2
    condensed -= condensed[np.triu_indices(14, 1)].min()
    rows = dicts(small.cluster("alpha", 4, method="average", distance="condensed"))
    at = {n: [C.index(r["concept"]) for r in some] for n, some in by_cluster(rows).items()}
    for row in rows:
        i, own = C.index(row["concept"]), at[row["cluster"]]
        if len(own) > 1:
            a = condensed[i, [j for j in own if j != i]].mean()
            b = min(condensed[i, other].mean() for n, other in at.items() if n != row["cluster"])
            assert row["silhouette"] == pytest.approx((b - a) / max(a, b), abs=1e-5)


# ties


def test_a_cut_through_equal_merges_is_said_and_the_same_each_time(small_path, small, tmp_path):
    for k in (5, 6, 7):
        with pytest.warns(ClassrelWarning, match=f"pairs: merges of the same height.* into {k}"):
            rows = dicts(small.cluster("pairs", k))
        assert len(groups(rows)) == k
        (tie,) = {row["tie"] for row in rows}
        assert tie == pytest.approx(np.sqrt(2 - 2 / 3))
        copy = shutil.copy(small_path, tmp_path / f"{k}.duckdb")
        with classrel_db.open(copy) as again, pytest.warns(ClassrelWarning):
            assert dicts(again.cluster("pairs", k)) == rows
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in ({"k": 4}, {"k": 8}, {"k": 1}, {"height": 1.2}, {}):
            rows = dicts(small.cluster("pairs", **given))
            assert {row["tie"] for row in rows} == {None}
    assert len(groups(dicts(small.cluster("pairs")))) == 4


def test_the_tie_is_where_two_clusters_join_as_high(small):
    with pytest.warns(ClassrelWarning):
        (tie,) = {row["tie"] for row in dicts(small.cluster("pairs", 2))}
    assert tie == pytest.approx(small.linkage("pairs")[-1, 2])


# names without a taxonomy


def test_in_no_taxonomy_clusters_are_named_by_their_medoids(small):
    rows = dicts(small.cluster("alpha", 4))
    cosine = cosine_of(ALPHA)
    for some in by_cluster(rows).values():
        own = [C.index(row["concept"]) for row in some]
        central = max(own, key=lambda i: (round(cosine[i, own].sum(), 6), -i))
        assert (
            {row["name"] for row in some}
            == {row["medoid"] for row in some}
            == {f"the c{central:02d}"}
        )
        for row in some:
            assert [row[c] for c in ("taxon", "purity", "recall", "f1", "fits")] == [None] * 5


def test_a_model_of_which_one_class_is_in_the_taxonomy(tmp_path):
    head = made("part", ["n01440764", *C[:6]], seed=9)
    with classrel_db.open(tmp_path / "x.duckdb") as catalog:
        add(catalog, tmp_path, head)
        rows = dicts(catalog.cluster("part", 7))
        tench = next(row for row in rows if row["concept"] == "n01440764")
        assert [tench[c] for c in ("taxon", "purity", "recall", "f1", "fits")] == [
            "n01440764",
            1,
            1,
            1,
            True,
        ]
        assert {row["taxon"] for row in rows if row is not tench and row != tench} == {None}
        assert {row["taxon"] for row in dicts(catalog.cluster("part", 1))} == {None}


def test_few_classes(small):
    rows = dicts(small.cluster("two"))
    assert [(row["cluster"], row["size"]) for row in rows] == [(1, 1), (2, 1)]
    assert len(groups(dicts(small.cluster("two", 1)))) == 1
    assert {row["size"] for row in dicts(small.cluster("two", height=5))} == {2}
    assert len(groups(dicts(small.cluster("three")))) == 2
    assert groups(dicts(small.cluster("three", 2))) == naive_groups(
        THREE, t=2, criterion="maxclust"
    )


WRONG = [
    (lambda c: c.cluster("alhpa"), UnknownModelError, 'did you mean "alpha"'),
    (lambda c: c.cluster("alpha", 0), ArgumentError, "k is 0"),
    (lambda c: c.cluster("alpha", -2), ArgumentError, "k is -2"),
    (lambda c: c.cluster("alpha", 15), ArgumentError, "1 to 14 .14 classes of alpha"),
    (lambda c: c.cluster("alpha", 2.5), ArgumentError, r"k is 2\.5"),
    (lambda c: c.cluster("alpha", "abc"), ArgumentError, "k is 'abc'"),
    (lambda c: c.cluster("two", 3), ArgumentError, "1 to 2"),
    (lambda c: c.cluster("alpha", 3, height=1.0), ArgumentError, "give one of them"),
    (lambda c: c.cluster("alpha", height=-0.1), ArgumentError, r"height is -0\.1"),
    (lambda c: c.cluster("alpha", height=float("nan")), ArgumentError, "height is nan"),
    (lambda c: c.cluster("alpha", height="1"), ArgumentError, "height is '1'"),
    (lambda c: c.cluster("alpha", height=True), ArgumentError, "height is True"),
    (lambda c: c.cluster("alpha", method="wrad"), ArgumentError, "accepted: ward"),
    (lambda c: c.cluster("alpha", distance="cosine"), ArgumentError, "accepted: chord"),
    (lambda c: c.cluster("alpha", taxonomy="wordnte"), ArgumentError, 'did you mean "wordnet"'),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_wrong_question_is_refused_and_nothing_written(small_path, tmp_path, number):
    ask, kind, said = WRONG[number]
    path = shutil.copy(small_path, tmp_path / "small.duckdb")
    before = path.read_bytes()
    with classrel_db.open(path) as catalog, pytest.raises(kind, match=said):
        ask(catalog)
    assert path.read_bytes() == before
