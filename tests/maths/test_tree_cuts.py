"""Cuts of a tree against scipy's, and what is said of clusters against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from classrel_db.maths.geometry import Geometry
from classrel_db.maths.trees import cuts
from classrel_db.maths.trees.cuts import (
    cut_by_height,
    cut_by_number,
    cut_by_silhouette,
    described,
    silhouettes,
)
from classrel_db.maths.trees.linkage import distances, link
from classrel_db.maths.trees.tree import tree_of
from classrel_db.records import LINKAGES

from .test_trees import leaf_sets, make_rows, random_tree

MONOTONE = ("ward", "average", "complete", "single", "weighted")
seeds = st.integers(0, 2**32 - 1)


def groups(labels):
    """A clustering without the numbers of its clusters."""
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def linked(rows, method, distance="chord"):
    """(linkage matrix, leaf order, square distances)."""
    condensed = distances(rows, distance)
    Z = link(condensed, method)
    return Z, hierarchy.leaves_list(Z).astype(np.int64), squareform(condensed)


def assert_cut_of(cut, Z, order):
    """The clusters are those of the nodes, numbered as they come in leaf order."""
    sets = leaf_sets(tree_of(Z))
    assert cut.count == len(cut.nodes)
    for number, node in enumerate(cut.nodes.tolist()):
        assert frozenset(np.flatnonzero(cut.clusters == number).tolist()) == sets[node]
    in_order = cut.clusters[order]
    assert list(dict.fromkeys(in_order.tolist())) == list(range(cut.count))
    assert (np.diff(in_order) >= 0).all()


def naive_silhouettes(D, labels):
    found = []
    for i in range(len(D)):
        own = [j for j in range(len(D)) if labels[j] == labels[i] and j != i]
        others = {
            c: [j for j in range(len(D)) if labels[j] == c] for c in set(labels) - {labels[i]}
        }
        if not own:
            found.append(0.0)
            continue
        a = sum(D[i, j] for j in own) / len(own)
        b = min(sum(D[i, j] for j in each) / len(each) for each in others.values())
        found.append((b - a) / max(a, b) if max(a, b) > 0 else 0.0)
    return found


@pytest.mark.parametrize("method", LINKAGES)
def test_each_number_gives_so_many_clades(method):
    """Also where centroids are joined lower than their parts."""
    inverted = 0
    for seed in range(8):
        n = 5 + seed
        Z, order, _ = linked(make_rows(n, seed, dim=2), method, "euclidean")
        inverted += (np.diff(Z[:, 2]) < 0).any()
        finer = None
        for k in range(n, 0, -1):
            cut = cut_by_number(Z, order, k)
            assert cut.count == k
            assert_cut_of(cut, Z, order)
            assert finer is None or len(groups(cut.clusters) - finer) == 1
            finer = groups(cut.clusters)
    assert bool(inverted) == (method in {"centroid", "median"})


@pytest.mark.parametrize("method", MONOTONE)
def test_cuts_of_a_real_head_are_scipys(heads, method):
    rows = heads["efficientnet_lite0"].standardized[::4]
    Z, order, _ = linked(rows, method)
    for k in (1, 2, 7, 60, 249, 250):
        cut = cut_by_number(Z, order, k)
        assert groups(cut.clusters) == groups(hierarchy.fcluster(Z, k, "maxclust"))
        assert cut.tie is None
    for height in (0.0, *np.quantile(Z[:, 2], [0.1, 0.5, 0.93]), Z[-1, 2] * 0.999, Z[-1, 2] * 2):
        cut = cut_by_height(Z, order, height)
        assert groups(cut.clusters) == groups(hierarchy.fcluster(Z, height, "distance"))
        assert_cut_of(cut, Z, order)


@pytest.mark.parametrize("method", LINKAGES)
@given(n=st.integers(2, 12), seed=seeds, share=st.floats(0, 1.1))
@settings(max_examples=15)
def test_a_cut_at_a_height_holds_no_higher_merge(method, n, seed, share):
    Z, order, _ = linked(make_rows(n, seed, dim=2), method, "euclidean")
    height = share * Z[:, 2].max()
    cut = cut_by_height(Z, order, height)
    assert_cut_of(cut, Z, order)
    sets = leaf_sets(tree_of(Z))
    low = [
        each
        for each in sets
        if all(
            Z[v - n, 2] <= height * (1 + 1e-9)
            for v, inside in enumerate(sets)
            if v >= n and inside <= each
        )
    ]
    assert groups(cut.clusters) == {each for each in low if not any(each < other for other in low)}


def test_a_merge_below_its_own_parts_waits_for_them():
    """As centroids can be: the leaf that it adds is not in a cluster before the others are."""
    Z = np.array([[0, 1, 2.0, 2], [2, 3, 1.5, 3]])
    for height, nodes in ((1.0, [0, 1, 2]), (1.7, [0, 1, 2]), (2.0, [4])):
        cut = cut_by_height(Z, np.arange(3), height)
        assert cut.nodes.tolist() == nodes
        assert_cut_of(cut, Z, np.arange(3))


def test_a_height_includes_the_merge_at_it_whatever_its_last_digit():
    Z, order, _ = linked(make_rows(9, 1), "average")
    for merged in range(1, 9):
        for height in (Z[merged - 1, 2], Z[merged - 1, 2] * (1 - 1e-12)):
            assert cut_by_height(Z, order, height).count == 9 - merged
        assert cut_by_height(Z, order, Z[merged - 1, 2] * (1 - 1e-6)).count == 10 - merged


def test_a_cut_between_equal_heights_says_so():
    Z = np.array(
        [[0, 1, 1.0, 2], [2, 3, 2.0, 2], [4, 5, 2.0 + 1e-12, 2], [6, 7, 3, 4], [8, 9, 4, 6]]
    )
    order = np.arange(6)
    assert [cut_by_number(Z, order, k).tie for k in (1, 2, 3, 5, 6)] == [None] * 5
    assert cut_by_number(Z, order, 4).tie == pytest.approx(2.0)


def test_clusters_of_a_leaf_order_that_is_not_the_natural_one():
    Z = np.array([[0, 2, 1.0, 2], [1, 3, 2.0, 2], [4, 5, 3.0, 4]])
    cut = cut_by_number(Z, np.array([3, 1, 0, 2]), 2)
    assert cut.clusters.tolist() == [1, 0, 1, 0]
    assert cut.nodes.tolist() == [5, 4]


# silhouettes


@given(n=st.integers(2, 12), seed=seeds, k=st.integers(2, 6), whole=st.booleans())
@settings(max_examples=40)
def test_silhouettes_are_those_of_a_loop(n, seed, k, whole):
    random = np.random.default_rng(seed)
    D = random.integers(0, 3, size=(n, n)) if whole else random.uniform(size=(n, n))
    D = (np.triu(D, 1) + np.triu(D, 1).T).astype(np.float64)
    labels = np.unique(random.integers(0, k, size=n), return_inverse=True)[1]
    found = silhouettes(D, labels)
    if labels.max() == 0:
        assert np.isnan(found).all()
    else:
        np.testing.assert_allclose(found, naive_silhouettes(D, labels), atol=1e-12)


@pytest.mark.parametrize("method", LINKAGES)
@given(n=st.integers(3, 13), seed=seeds, most=st.sampled_from([3, 2_000]))
@settings(max_examples=8)
def test_the_curve_is_the_mean_silhouette_of_each_cut(method, n, seed, most):
    Z, order, D = linked(make_rows(n, seed, dim=2), method, "euclidean")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuts, "_MOST_SEARCHED", most)
        cut, curve = cut_by_silhouette(Z, order, D)
    ks = range(2, min(n - 1, most) + 1)
    expected = [np.mean(naive_silhouettes(D, cut_by_number(Z, order, k).clusters)) for k in ks]
    np.testing.assert_allclose(curve, expected, atol=1e-12)
    assert cut.count == ks[int(np.argmax(np.asarray(expected) > max(expected) - 1e-9))]
    assert_cut_of(cut, Z, order)


def test_the_curve_of_a_real_head(heads):
    rows = heads["efficientnet_lite1"].standardized[::5]
    Z, order, D = linked(rows, "ward")
    before = D.copy()
    cut, curve = cut_by_silhouette(Z, order, D)
    np.testing.assert_array_equal(D, before)
    assert len(curve) == len(rows) - 2
    for k in (2, 3, 10, 50, 150, 199):
        clusters = hierarchy.fcluster(Z, k, "maxclust") - 1
        assert curve[k - 2] == pytest.approx(silhouettes(D, clusters).mean(), abs=1e-10)
    assert cut.count == np.argmax(curve) + 2


def test_of_equally_good_cuts_the_fewest_clusters():
    """All distances equal: every silhouette is 0."""
    Z, order, D = linked(np.eye(7), "average")
    cut, curve = cut_by_silhouette(Z, order, D)
    np.testing.assert_allclose(curve, 0, atol=1e-12)
    assert cut.count == 2
    same, _, none = linked(np.ones((7, 3)), "average")
    assert cut_by_silhouette(same, order, none)[0].count == 2


# what clusters are like


@given(n=st.integers(1, 12), seed=seeds, k=st.integers(1, 6))
@settings(max_examples=40)
def test_clusters_are_described_as_loops_do(n, seed, k):
    random = np.random.default_rng(seed)
    cosine = Geometry(make_rows(n, seed)).cosine
    labels = np.unique(random.integers(0, k, size=n), return_inverse=True)[1]
    found = described(cosine, labels)
    k = int(labels.max()) + 1
    members = [np.flatnonzero(labels == c).tolist() for c in range(k)]
    for c, own in enumerate(members):
        sums = {i: sum(float(cosine[i, j]) for j in own if j != i) for i in own}
        assert found.medoid[c] in own
        assert sums[int(found.medoid[c])] == pytest.approx(max(sums.values()), abs=1e-9)
        pairs = [float(cosine[i, j]) for i in own for j in own if i < j]
        expected = np.mean(pairs) if pairs else np.nan
        assert found.similarity[c] == pytest.approx(expected, abs=1e-9, nan_ok=True)
        between = {
            d: np.mean([float(cosine[i, j]) for i in own for j in members[d]])
            for d in range(k)
            if d != c
        }
        if not between:
            assert found.nearest.tolist() == [-1]
            assert np.isnan(found.nearest_similarity).all()
        else:
            assert between[int(found.nearest[c])] == pytest.approx(max(between.values()), abs=1e-9)
            assert found.nearest_similarity[c] == pytest.approx(max(between.values()), abs=1e-9)


def test_a_cut_through_several_leaf_orders_is_one_clustering():
    rows = make_rows(12, 9)
    Z, order, _ = linked(rows, "average")
    tree = tree_of(Z)
    other = tree.walked([own[::-1] for own in tree.children])
    for k in range(1, 13):
        a, b = (cut_by_number(Z, each, k) for each in (order, other))
        assert groups(a.clusters) == groups(b.clusters)
        assert set(a.nodes.tolist()) == set(b.nodes.tolist())


def test_two_leaves_can_be_cut():
    Z, order, _ = linked(make_rows(2, 0), "ward")
    assert cut_by_number(Z, order, 1).clusters.tolist() == [0, 0]
    assert cut_by_number(Z, order, 2).count == 2
    assert cut_by_height(Z, order, 0.0).count == 2
    assert random_tree(2, 0).parent.tolist() == tree_of(Z).parent.tolist()
