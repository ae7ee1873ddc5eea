"""Clusters and trees of the neighbour graph: what they say, and where they stand in for a tree of all."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import warnings

import duckdb
import networkx as nx
import numpy as np
import pytest
from agreeing import add, dicts, made, normalized
from oracle import REAL, cosine_matrix
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

import classrel_db
from classrel_db.catalog import forest, graph, heads
from classrel_db.errors import (
    ArgumentError,
    ClassrelWarning,
    DatabaseError,
    MissingExtraError,
    UnknownClassError,
)

from .test_clusters import COLUMNS, by_cluster, wordnet_members
from .test_trees import COLUMNS as TREE_COLUMNS

LITE0, LITE1, _ = REAL
C = [f"c{i:02d}" for i in range(60)]


def grouped(name, groups=6, size=10, dim=12, seed=0, noise=0.15, order=None):
    """A head of groups of classes, and the group of each concept."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(groups, dim))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    weight = np.repeat(centres, size, axis=0) + noise * random.normal(size=(groups * size, dim))
    order = np.arange(groups * size) if order is None else order
    head = made(name, [C[i] for i in order], weight=weight[order])
    return head, {C[i]: i // size for i in range(groups * size)}


ALPHA, PLANTED = grouped("alpha")
TURNED, _ = grouped("turned", order=np.random.default_rng(4).permutation(60))
BETA, _ = grouped("beta", seed=1)
TWO, THREE = made("two", C[:2], dim=5, seed=6), made("three", C[:3], dim=5, seed=7)
# each pair of classes has the same cosine, -1/7
SIMPLEX = made("simplex", C[:8], weight=np.eye(8) - 1 / 8)
# two rings of six, in each of which neighbours have a cosine of 1/2 and the sum of all is 0
_turn = np.exp(1j * np.pi * np.arange(6) / 3)
_ring = np.stack([_turn.real, _turn.imag], axis=1)
RINGS = made("rings", C[:12], weight=np.kron(np.eye(2), np.ones((6, 1))).repeat(2, axis=1)
             * np.tile(_ring, (2, 2)))  # fmt: skip


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, ALPHA, TURNED, BETA, TWO, THREE)
        add(catalog, folder, SIMPLEX, RINGS, normalize="none")
    return folder / "small.duckdb"


@pytest.fixture
def path(once, tmp_path):
    return shutil.copy(once, tmp_path / "small.duckdb")


@pytest.fixture
def small(path):
    with classrel_db.open(path) as catalog:
        yield catalog


@pytest.fixture
def beyond(monkeypatch):
    """No tree of more than 20 classes is made unasked."""
    monkeypatch.setattr(forest, "MOST_LINKED", 20)


@pytest.fixture
def little(monkeypatch):
    """A machine with so little memory that no tree of more than 30 classes fits, but their graph does."""
    # three matrices of 20² doubles, or 1.2 of 31²
    monkeypatch.setattr(graph, "_BYTES", 10)
    sizes = {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 9_600}
    monkeypatch.setattr(heads.os, "sysconf", sizes.__getitem__)


def asked(question, *matches):
    """The rows, and the one note that came with them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = question()
    (note,) = [str(each.message) for each in caught]
    assert caught[0].category is ClassrelWarning
    assert caught[0].filename == __file__
    for match in matches:
        assert match in note
    return rows, note


def groups(rows):
    return {frozenset(row["concept"] for row in some) for some in by_cluster(rows).values()}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# clusters


@pytest.fixture(scope="module")
def real(database):
    with classrel_db.open(database) as catalog:
        rows, note = asked(lambda: catalog.cluster(LITE0, by="graph", resolution=3, neighbors=8))
        edges = catalog.query("mutual_neighbors", model=LITE0, k=8)
        edges = edges.project("class_a, class_b, cosine").filter("cosine > 0").fetchall()
    network = nx.Graph()
    network.add_nodes_from(row["class"] for row in dicts(rows))
    network.add_weighted_edges_from(edges)
    return rows, note, network


def test_a_row_a_class_with_the_columns_of_clusters(real):
    rows, _, _ = real
    assert dict(zip(rows.columns, map(str, rows.types), strict=True)) == COLUMNS
    listed = dicts(rows)
    assert len({row["concept"] for row in listed}) == 1000
    sizes = [some[0]["size"] for some in by_cluster(listed).values()]
    assert list(by_cluster(listed)) == list(range(1, len(sizes) + 1))
    assert sizes == sorted(sizes, reverse=True) == [len(s) for s in by_cluster(listed).values()]
    assert len(sizes) > 20
    for column in ("silhouette", "cluster_silhouette", "node", "tie"):
        assert {row[column] for row in listed} == {None}
    assert {(row["method"], row["distance"]) for row in listed} == {("leiden", "cosine")}


def test_the_note_is_what_networkx_says_of_the_partition(real):
    rows, note, network = real
    parts = [{row["class"] for row in some} for some in by_cluster(dicts(rows)).values()]
    modularity = nx.community.modularity(network, parts, weight="weight")
    assert note.startswith(
        f"{LITE0}: communities of the graph of mutual 8 nearest neighbours (Leiden, resolution 3, seed 0), "
        f"modularity {modularity:.4f}"
    )
    alone = sum(degree == 0 for _, degree in network.degree)
    assert alone > 0
    assert note.endswith(f"; {alone} class{'es have' if alone > 1 else ' has'} no mutual neighbour: "
                         "a cluster of one")  # fmt: skip
    # each community hangs together, and so none is of two components
    assert all(nx.is_connected(network.subgraph(part)) for part in parts)
    louvain = nx.community.louvain_communities(network, weight="weight", resolution=3, seed=0)
    of = {c: n for n, part in enumerate(parts) for c in part}
    # the same groups as another library's, by and large: most pairs of its groups are in one of ours
    together = [of[a] == of[b] for part in louvain for a in part for b in part if a < b]
    assert np.mean(together) > 0.7


def test_each_cluster_is_described_as_loops_say(real, heads, database):
    listed, network = dicts(real[0]), real[2]
    cosine = heads[LITE0].cosine
    with classrel_db.open(database) as catalog:
        rows = catalog.classes(LITE0).project("class, class_idx").fetchall()
    index = dict(rows)
    clusters = by_cluster(listed)
    at = {number: [index[row["class"]] for row in some] for number, some in clusters.items()}
    where = {row["class"]: row["cluster"] for row in listed}
    names = {number: some[0]["name"] for number, some in clusters.items()}
    for number, some in clusters.items():
        first = some[0]
        block = cosine[np.ix_(at[number], at[number])]
        if len(some) > 1:
            pairs = block[np.triu_indices(len(some), 1)]
            assert first["similarity"] == pytest.approx(pairs.mean(), abs=1e-5)
        else:
            assert first["similarity"] is None
            assert first["name"] == first["medoid"] == first["class"]

        def strength(label, number=number):
            return sum(
                data["weight"] for other, data in network[label].items() if where[other] == number
            )

        strengths = [strength(row["class"]) for row in some]
        assert strengths == sorted(strengths, reverse=True)
        assert first["medoid"] == first["class"]
        sums = {}
        for row in some:
            for other, data in network[row["class"]].items():
                if where[other] != number:
                    sums[where[other]] = sums.get(where[other], 0) + data["weight"]
        means = {other: total / len(at[other]) for other, total in sums.items()}
        if not means:
            assert [first[c] for c in ("nearest", "nearest_name", "nearest_similarity")] == [
                None
            ] * 3
            continue
        assert means[first["nearest"]] == pytest.approx(max(means.values()))
        assert first["nearest_name"] == names[first["nearest"]]
        across = cosine[np.ix_(at[number], at[first["nearest"]])].mean()
        assert first["nearest_similarity"] == pytest.approx(across, abs=1e-5)
    assert len(set(names.values())) == len(names)


def test_a_cluster_is_named_by_the_taxon_that_fits_it_best(real):
    wordnet = wordnet_members()
    for some in by_cluster(dicts(real[0])).values():
        own, first = {row["concept"] for row in some}, some[0]
        f1 = {
            taxon: 2 * len(own & has) / (len(own) + len(has))
            for taxon, has in wordnet.items()
            if len(has) > 1 or len(own) == 1
        }
        inside = wordnet[first["taxon"]]
        assert first["f1"] == pytest.approx(max(f1.values())) == pytest.approx(f1[first["taxon"]])
        assert first["purity"] == pytest.approx(len(own & inside) / len(own))
        assert first["recall"] == pytest.approx(len(own & inside) / len(inside))
        assert [row["fits"] for row in some] == [row["concept"] in inside for row in some]


@pytest.mark.parametrize("model", ["alpha", "turned"])
def test_planted_groups_are_found_whatever_the_order_of_the_classes(small, model):
    rows, note = asked(lambda: small.cluster(model, by="graph"))
    expected = {frozenset(c for c, g in PLANTED.items() if g == group) for group in range(6)}
    assert groups(dicts(rows)) == expected
    assert "(Leiden, resolution 1, seed 0)" in note
    assert "no mutual neighbour" not in note
    assert rows.limit(1).project("class = medoid").fetchall() == [(True,)]


def test_the_order_of_the_classes_changes_nothing(small):
    def found(model, options):
        return dicts(asked(lambda: small.cluster(model, by="graph", **options))[0])

    for options in ({}, {"resolution": 40, "seed": 3}, {"neighbors": 3}):
        one, other = (found(model, options) for model in ("alpha", "turned"))
        for a, b in zip(one, other, strict=True):
            for column, value in a.items():
                if column == "model":
                    continue
                near = isinstance(value, float)
                assert b[column] == (pytest.approx(value, abs=1e-6) if near else value)


def test_a_seed_is_said_and_gives_the_same_each_time(small):
    found = []
    for seed in (0, 1, 2, 0):
        rows, note = asked(lambda s=seed: small.cluster("beta", by="graph", resolution=9, seed=s))
        assert f"resolution 9, seed {seed})" in note
        found.append(rows.fetchall())
    assert found[0] == found[3]


def test_a_resolution_or_neighbours_are_enough_to_go_by_graph(small):
    coarse = dicts(asked(lambda: small.cluster("alpha", resolution=0.1))[0])
    fine = dicts(asked(lambda: small.cluster("alpha", resolution=30))[0])
    assert len(groups(coarse)) <= 6 < len(groups(fine))
    _, note = asked(lambda: small.cluster("alpha", neighbors=2))
    assert "mutual 2 nearest" in note
    # of as many as there are
    _, note = asked(lambda: small.cluster("simplex", neighbors=100))
    assert "mutual 7 nearest" in note


def test_what_no_edge_joins_is_by_itself(small):
    rows, note = asked(lambda: small.cluster("simplex", by="graph"))
    assert note.endswith("seed 0); 8 classes have no mutual neighbour: a cluster of one")
    assert [(row["cluster"], row["size"], row["similarity"]) for row in dicts(rows)] == [
        (n, 1, None) for n in range(1, 9)
    ]
    assert {row["nearest"] for row in dicts(rows)} == {None}


@pytest.mark.parametrize("model", ["two", "three"])
def test_few_classes(small, model):
    rows, _ = asked(lambda: small.cluster(model, by="graph"))
    assert sorted(row["concept"] for row in dicts(rows)) == C[: rows.shape[0]]
    assert rows.shape[0] == {"two": 2, "three": 3}[model]


def test_the_recall_of_the_search_is_said(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE models SET recall = 0.9712, search = 'ivf' WHERE name = 'alpha'")
    with classrel_db.open(path) as catalog:
        for question in (
            lambda: catalog.cluster("alpha", by="graph"),
            lambda: catalog.tree("alpha", by="graph"),
            lambda: catalog.tree("alpha", by="graph", around="the c03"),
        ):
            asked(question, "searched with a recall of 0.971")


def test_without_igraph_the_extra_is_named(small, monkeypatch, beyond):
    monkeypatch.setitem(sys.modules, "igraph", None)
    for question in (
        lambda: small.cluster("alpha", by="graph"),
        lambda: small.cluster("alpha"),
        lambda: small.tree("alpha"),
    ):
        with pytest.raises(MissingExtraError, match=r'pip install "classrel-db\[graph\]"'):
            question()
    asked(lambda: small.tree("alpha", around="the c03"), "the c03")  # which needs none


# trees of clusters


def test_the_leaves_of_a_tree_are_the_clusters(small):
    rows, _ = asked(
        lambda: small.tree("alpha", by="graph", resolution=12), "alpha: leaves are communities"
    )
    assert dict(zip(rows.columns, map(str, rows.types), strict=True)) == TREE_COLUMNS
    clusters = by_cluster(dicts(asked(lambda: small.cluster("alpha", resolution=12))[0]))
    nodes = {row["node"]: row for row in dicts(rows)}
    k = len(clusters)
    assert 6 < k < 60
    assert sorted(nodes) == list(range(2 * k - 1))
    for number, some in clusters.items():
        leaf = nodes[number - 1]
        assert (leaf["size"], leaf["name"]) == (len(some), some[0]["name"])
        assert leaf["concept"] == (some[0]["concept"] if len(some) == 1 else None)
        assert leaf["left_node"] is leaf["right_node"] is None
        assert leaf["height"] == 0
    unit = normalized(ALPHA.weight)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    means = np.stack(
        [unit[[C.index(r["concept"]) for r in some]].mean(axis=0) for some in clusters.values()]
    )
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    Z = hierarchy.linkage(pdist(means), "ward")
    assert [nodes[k + i]["height"] for i in range(k - 1)] == pytest.approx(Z[:, 2], abs=1e-5)
    under = [{i} for i in range(k)]
    for i, (left, right, *_) in enumerate(Z):
        under.append(under[int(left)] | under[int(right)])
        node = nodes[k + i]
        assert {node["left_node"], node["right_node"]} == {int(left), int(right)}
        assert node["size"] == sum(nodes[leaf]["size"] for leaf in under[-1])
        # its classes stand together
        places = [nodes[leaf]["place"] for leaf in under[-1]]
        assert node["place"] == min(places)
        assert node["size"] == max(
            nodes[leaf]["place"] + nodes[leaf]["size"] for leaf in under[-1]
        ) - min(places)
    assert nodes[2 * k - 2]["parent"] is None
    assert nodes[2 * k - 2]["size"] == 60


def test_the_topmost_clades_of_clusters(small):
    rows, _ = asked(lambda: small.tree("alpha", by="graph", resolution=12, k=4))
    listed = dicts(rows)
    inner = {row["parent"] for row in listed}
    tips = [row for row in listed if row["node"] not in inner]
    assert len(tips) == 4
    assert sum(row["size"] for row in tips) == 60
    # more than there are: all of them
    every, _ = asked(lambda: small.tree("alpha", by="graph", k=60))
    assert every.shape[0] == 11


def test_another_linkage_and_distance_and_a_real_head(database):
    with classrel_db.open(database) as catalog:
        rows, _ = asked(
            lambda: catalog.tree(LITE0, by="graph", method="average", distance="condensed")
        )
    listed = dicts(rows)
    assert {(row["method"], row["distance"]) for row in listed} == {("average", "condensed")}
    (dog,) = [row for row in listed if row["name"] == "dog"]
    assert dog["size"] == pytest.approx(118, abs=10)
    assert dog["f1"] > 0.9
    root = next(row for row in listed if row["parent"] is None)
    assert (root["name"], root["size"], root["f1"]) == ("entity", 1000, 1)


def test_of_too_many_clusters_the_smaller_go_with_the_nearest(small, monkeypatch):
    plain = by_cluster(dicts(asked(lambda: small.cluster("alpha", resolution=12))[0]))
    monkeypatch.setattr(graph, "MOST_LEAVES", 4)
    rows, note = asked(lambda: small.tree("alpha", resolution=12))
    unit = normalized(ALPHA.weight)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    own = {n: [C.index(r["concept"]) for r in some] for n, some in plain.items()}
    means = {n: unit[at].mean(axis=0) for n, at in own.items()}
    means = {n: mean / np.linalg.norm(mean) for n, mean in means.items()}
    sizes = {n: len(own[n]) for n in range(1, 5)}
    for n in own:
        if n > 4:
            sizes[max(range(1, 5), key=lambda kept: means[n] @ means[kept])] += len(own[n])
    nodes = {row["node"]: row for row in dicts(rows)}
    assert len(nodes) == 7
    assert {n: nodes[n - 1]["size"] for n in range(1, 5)} == sizes
    rest = sum(len(at) for n, at in own.items() if n > 4)
    assert f"; of {len(own)} clusters the 4 largest, and the {rest} classes of the others" in note


def test_a_cluster_whose_rows_cancel_out_stands_where_its_medoid_does(small):
    rows, _ = asked(lambda: small.tree("rings", by="graph", resolution=0.1))
    listed = dicts(rows)
    assert sorted(row["size"] for row in listed) == [6, 6, 12]
    assert max(row["height"] for row in listed) == pytest.approx(np.sqrt(2), abs=0.5)


def test_one_cluster_is_no_tree(path, tmp_path):
    with classrel_db.open(path) as catalog:
        add(catalog, tmp_path, made("one", C[:6], weight=1 + 0.1 * np.eye(6)), normalize="none")
        with pytest.raises(ArgumentError, match=r"one is one community.*higher resolution"):
            catalog.tree("one", by="graph")


def test_around_a_class_are_its_nearest(small):
    rows, note = asked(lambda: small.tree("alpha", by="graph", around="the c07", k=9))
    listed = dicts(rows)
    cosine = cosine_matrix(normalized(ALPHA.weight))
    inside = sorted(np.argsort(-cosine[7])[:9].tolist())
    assert sorted(row["node"] for row in listed) == [*inside, *range(60, 68)]
    assert {row["node"]: row["concept"] for row in listed if row["node"] < 60} == {
        i: C[i] for i in inside
    }
    unit = normalized(ALPHA.weight)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    Z = hierarchy.linkage(pdist(unit[inside]), "ward")
    heights = {row["node"]: row["height"] for row in listed}
    assert [heights[60 + i] for i in range(8)] == pytest.approx(Z[:, 2], abs=1e-5)
    parents = {row["node"]: row["parent"] for row in listed}
    for row in listed:
        if row["node"] >= 60:
            assert {parents[row["left_node"]], parents[row["right_node"]]} == {row["node"]}
    assert note == "alpha: this is the tree of the c07 and its 8 nearest classes alone"
    assert asked(lambda: small.tree("alpha", by="graph", around="the c07"))[0].shape[0] == 49
    assert asked(lambda: small.tree("two", by="graph", around=0))[0].shape[0] == 3


def test_a_class_of_a_taxonomy_is_named_around(database):
    with classrel_db.open(database) as catalog:
        rows, _ = asked(lambda: catalog.tree(LITE0, by="graph", around="tench", k=6))
    assert next(row for row in dicts(rows) if row["parent"] is None)["name"] == "fish"


# where a tree is out of reach


def test_beyond_the_reach_of_a_tree_the_graph_stands_in(small, path, beyond):
    before = digest(path)
    why = "alpha: a tree of 60 classes is not made unasked (--by tree asks for it); "
    rows, _ = asked(lambda: small.cluster("alpha"), why + "communities of the graph of mutual 10")
    assert rows.fetchall() == asked(lambda: small.cluster("alpha", by="graph"))[0].fetchall()
    rows, _ = asked(lambda: small.tree("alpha"), why + "leaves are communities")
    assert rows.fetchall() == asked(lambda: small.tree("alpha", by="graph"))[0].fetchall()
    rows, _ = asked(lambda: small.tree("alpha", around=3, k=4), why + "this is the tree of the c03")
    assert rows.shape[0] == 7
    small.close()
    assert digest(path) == before  # nothing is kept


def test_who_asks_for_a_tree_gets_one_and_it_is_then_known(small, beyond):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert small.cluster("alpha", 4).filter("node IS NULL").shape[0] == 0  # only a tree is cut
        assert small.tree("three").shape[0] == 5  # small enough
        assert small.tree("beta", by="tree").shape[0] == 119
        assert small.tree("beta").shape[0] == 119
        assert small.cluster("beta").filter("node IS NULL").shape[0] == 0
        assert small.cluster("turned", method="average").shape[0] == 60
        assert small.tree("turned", support=True, resamples=2).shape[0] == 119


def test_memory_puts_a_tree_out_of_reach(small, little):
    asked(lambda: small.cluster("alpha"), "a tree of 60 classes is not made unasked")
    asked(lambda: small.tree("alpha"), "leaves are")
    asked(lambda: small.tree("alpha", around=0), "the c00")


REFUSED = {
    "cluster k": lambda c: c.cluster("alpha", 4),
    "cluster height": lambda c: c.cluster("alpha", height=1.0),
    "cluster method": lambda c: c.cluster("alpha", method="average"),
    "cluster by tree": lambda c: c.cluster("alpha", by="tree"),
    "tree by tree": lambda c: c.tree("alpha", by="tree"),
    "tree support": lambda c: c.tree("alpha", support=True),
    "tree across": lambda c: c.tree("alpha", across=True),
    "linkage": lambda c: c.linkage("alpha"),
    "leaf_order": lambda c: c.leaf_order("alpha"),
    "tree_node": lambda c: c.tree_node("alpha"),
    "similarity_matrix": lambda c: c.similarity_matrix("alpha", order="leaf"),
    "consensus_tree": lambda c: c.consensus_tree(["alpha", "beta"]),
    "tanglegram": lambda c: c.tanglegram("alpha", "beta"),
}


@pytest.mark.parametrize("question", REFUSED)
def test_what_only_a_tree_has_is_refused_and_the_graph_is_named(small, path, little, question):
    before = digest(path)
    with pytest.raises(
        ArgumentError,
        match=r"60 classes .* takes about .*; a larger machine can; .*"
        r"`classrel tree alpha --by graph` and `classrel cluster alpha --by graph`",
    ):
        REFUSED[question](small)  # fmt: skip
    small.close()
    assert digest(path) == before


def test_with_a_tree_that_is_kept_its_clusters_may_still_not_fit(small, little, monkeypatch):
    sizes = {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 40_000}  # a tree of 60, and no three matrices
    monkeypatch.setattr(heads.os, "sysconf", sizes.__getitem__)
    assert small.tree("alpha").shape[0] == 119
    asked(lambda: small.cluster("alpha"), "communities")
    with pytest.raises(ArgumentError, match="in clusters, with their silhouettes"):
        small.cluster("alpha", 3)


def test_a_taxonomy_takes_all_pairs_of_the_classes_in_it(database, monkeypatch):
    sizes = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(heads.os, "sysconf", sizes.__getitem__)
    with (
        classrel_db.open(database) as catalog,
        pytest.raises(
            ArgumentError,
            match=f"taxon_purity model={LITE0} taxonomy=wordnet.*cluster {LITE0} --by graph",
        ),
    ):
        catalog.compare_taxonomy(LITE0)


WRONG = [
    (lambda c: c.cluster("alpha", by="leiden"), 'by is "leiden"; accepted: tree, graph'),
    (lambda c: c.cluster("alpha", 3, by="graph"), "k is of a tree"),
    (lambda c: c.cluster("alpha", 3, resolution=2), "k is of a tree, .*as fine as the resolution"),
    (lambda c: c.cluster("alpha", height=1.0, by="graph"), "height is of a tree"),
    (lambda c: c.cluster("alpha", method="single", by="graph"), "method is of a tree"),
    (lambda c: c.cluster("alpha", by="tree", resolution=2), "resolution is of the neighbour graph"),
    (lambda c: c.cluster("alpha", by="tree", neighbors=2), "neighbors is of the neighbour graph"),
    (lambda c: c.tree("alpha", by="tree", resolution=2), "resolution is of the neighbour graph"),
    (lambda c: c.tree("alpha", by="graph", support=True), "support is of a tree"),
    (lambda c: c.tree("alpha", resolution=2, across=True), "across is of a tree"),
    (lambda c: c.tree("alpha", around=1, resolution=2), "resolution is for clusters"),
    (lambda c: c.tree("alpha", by="graph", around=1, neighbors=2), "neighbors is for clusters"),
    (lambda c: c.tree("alpha", by="graph", around=1, k=61), "k is 61"),
    (lambda c: c.tree("alpha", by="graph", around=1, k=1), "k is 1; .* 2 to 60"),
    (lambda c: c.tree("alpha", by="graph", seed=-1), "seed is -1"),
    (lambda c: c.tree("alpha", by="grpah"), 'by is "grpah"'),
    (lambda c: c.cluster("alpha", by="graph", seed=1.5), r"seed is 1\.5"),
    (lambda c: c.cluster("alpha", resolution=0), "resolution is 0"),
    (lambda c: c.cluster("alpha", resolution=-1), "resolution is -1"),
    (lambda c: c.cluster("alpha", resolution=float("nan")), "resolution is nan"),
    (lambda c: c.cluster("alpha", resolution=float("inf")), "resolution is inf"),
    (lambda c: c.cluster("alpha", resolution="fine"), "resolution is 'fine'"),
    (lambda c: c.cluster("alpha", resolution=True), "resolution is True"),
    (lambda c: c.cluster("alpha", neighbors=0), "neighbors is 0; .* 1 to 100"),
    (lambda c: c.cluster("alpha", neighbors=101), "neighbors is 101"),
    (lambda c: c.cluster("alpha", neighbors=2.0), r"neighbors is 2\.0"),
    (lambda c: c.cluster("alpha", by="graph", taxonomy="wordnte"), 'did you mean "wordnet"'),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_wrong_question_is_refused(small, number):
    question, match = WRONG[number]
    with pytest.raises(ArgumentError, match=match):
        question(small)


def test_a_class_that_is_not_there(small):
    with pytest.raises(UnknownClassError):
        small.tree("alpha", by="graph", around="nosuch")


@pytest.mark.parametrize(
    ("change", "question"),
    [
        ("DELETE FROM neighbors WHERE class_idx = 5 AND rank = 3", "cluster"),
        ("DELETE FROM neighbors WHERE model_id = 1", "cluster"),
        ("DELETE FROM neighbors WHERE model_id = 1", "around"),
        ("UPDATE neighbors SET neighbor_idx = 60 WHERE class_idx = 3 AND rank = 1", "cluster"),
        ("UPDATE neighbors SET neighbor_idx = 999 WHERE class_idx = 3 AND rank = 1", "around"),
        ("UPDATE neighbors SET neighbor_idx = -1 WHERE class_idx = 3 AND rank = 1", "cluster"),
        ("DELETE FROM weights WHERE class_idx = 9", "cluster"),
        ("DELETE FROM weights WHERE class_idx = 3", "around"),
        ("UPDATE weights SET vector = [1.0, 2.0] WHERE class_idx = 8", "cluster"),
        ("UPDATE weights SET vector = [1.0, 2.0] WHERE class_idx = 3", "around"),
    ],
)
def test_a_damaged_graph_is_said_and_no_crash(path, change, question):
    with duckdb.connect(str(path)) as connection:
        connection.execute(change)
    with classrel_db.open(path) as catalog:
        ask = {
            "cluster": lambda: catalog.cluster("alpha", by="graph"),
            "around": lambda: catalog.tree("alpha", by="graph", around=3),
        }[question]
        with pytest.raises(DatabaseError, match=r"alpha: .*--replace"):
            ask()


@pytest.mark.long
def test_a_head_of_40_000_classes_has_clusters_and_a_tree_of_them(tmp_path):
    random = np.random.default_rng(0)
    centres = random.normal(size=(400, 32))
    of = random.integers(0, 400, size=40_000)
    weight = (centres[of] + 0.3 * random.normal(size=(40_000, 32))).astype(np.float32)
    labels = [f"face {i:05d}" for i in range(40_000)]
    np.savez(tmp_path / "faces.npz", weight=weight, labels=labels, concepts=labels)
    with classrel_db.open(tmp_path / "faces.duckdb") as catalog:
        catalog.ingest(tmp_path / "faces.npz", name="faces")
        rows, note = asked(lambda: catalog.cluster("faces"))
        assert note.startswith("faces: a tree of 40,000 classes is not made unasked")
        found = rows.project("class, cluster").fetchnumpy()
        cluster = found["cluster"][np.argsort(found["class"].astype(str))]
        # what is in one planted group is in one cluster, but for classes without a mutual neighbour
        alone = np.bincount(cluster)[cluster] == 1
        assert 0 < alone.mean() < 0.15
        for group in range(0, 400, 20):
            counts = np.bincount(cluster[(of == group) & ~alone])
            assert counts.max() > 0.95 * counts.sum()
        rows, _ = asked(lambda: catalog.tree("faces"), "leaves are communities")
        root = rows.filter("parent IS NULL").project("size").fetchall()
        assert root == [(40_000,)]
        assert asked(lambda: catalog.tree("faces", around="face 00007"))[0].shape[0] == 49
        assert not re.search("recall", note) or "recall of 0.9" in note
