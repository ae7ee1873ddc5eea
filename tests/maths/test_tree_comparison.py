"""Measures of two trees against scikit-bio, scipy, the papers' formulas, and every relabelling."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from scipy.stats import pearsonr, spearmanr

from classrel_db.maths.trees import compare
from classrel_db.maths.trees.compare import (
    TREE_MEASURES,
    b_k,
    clusters_at,
    compare_trees,
    entanglement,
    fowlkes_mallows,
    robinson_foulds,
    untangled,
)
from classrel_db.maths.trees.linkage import distances, link
from classrel_db.maths.trees.tree import Tree, tree_of
from classrel_db.records import LINKAGES

from .test_tree_cuts import groups
from .test_trees import (
    as_skbio,
    is_walk,
    leaf_sets,
    lowest_common,
    make_rows,
    random_tree,
    turned_at_random,
)

seeds = st.integers(0, 2**32 - 1)
N = 5  # leaves of which every relabelling is tried


def estimates(a, b, ks=(), permuted=0):
    found = compare_trees(a, b, list(TREE_MEASURES), ks, permuted=permuted, seed=0)
    return {(each.measure, each.k): each for each in found}


def renamed(tree, order):
    """Leaf i called order[i], by hand."""
    parent = list(tree.parent)
    for leaf in range(tree.n):
        parent[order[leaf]] = tree.parent[leaf]
    return Tree(
        np.array(parent), tree.height, tree.n, np.array([order[leaf] for leaf in tree.order])
    )


def naive_cophenetic(tree):
    sets = leaf_sets(tree)
    pairs = itertools.combinations(range(tree.n), 2)
    return np.array([tree.height[lowest_common(sets, a, b)] for a, b in pairs])


def naive_stages(tree):
    """How many clusters there still are when two leaves are first in one, as dendextend counts."""
    cophenetic = naive_cophenetic(tree)
    return np.array([1 + (tree.height[tree.n :] > height).sum() for height in cophenetic])


def naive_foulds(a, b):
    own, other = ({s for s in leaf_sets(t) if 1 < len(s) < t.n} for t in (a, b))
    every = len(own) + len(other)
    return len(own ^ other) / every if every else math.nan


def naive_triplets(a, b):
    first, second = leaf_sets(a), leaf_sets(b)
    alike = both = 0
    for three in itertools.combinations(range(a.n), 3):
        named = []
        for sets in (first, second):
            # a clade of two of them without the third says which
            pairs = {s & frozenset(three) for s in sets if len(s & frozenset(three)) == 2}
            assert len(pairs) <= 1
            named.append(next(iter(pairs), None))
        if None not in named:
            both += 1
            alike += named[0] == named[1]
    return alike / both if both else math.nan


def naive_b_k(first, second):
    pairs = list(itertools.combinations(range(len(first)), 2))
    P, Q = (sum(labels[i] == labels[j] for i, j in pairs) for labels in (first, second))
    both = sum(first[i] == first[j] and second[i] == second[j] for i, j in pairs)
    return both / math.sqrt(P * Q) if P and Q else math.nan


def naive_entanglement(first, second):
    """dendextend: the places of the labels in both, the differences to the power 1.5, over the worst."""
    first, second = list(first), list(second)
    n = len(first)
    found = sum(abs(first.index(x) - second.index(x)) ** 1.5 for x in range(n))
    return found / sum(abs(i - (n + 1 - i)) ** 1.5 for i in range(1, n + 1))


NAIVE = {
    "cophenetic": lambda a, b: pearsonr(naive_cophenetic(a), naive_cophenetic(b)).statistic,
    "bakers-gamma": lambda a, b: spearmanr(naive_stages(a), naive_stages(b)).statistic,
    "robinson-foulds": naive_foulds,
    "triplets": naive_triplets,
    "entanglement-before": lambda a, b: naive_entanglement(a.order, b.order),
    "entanglement": lambda a, b: untangled(a, b)[2],
}
FALLING = {"robinson-foulds", "entanglement", "entanglement-before"}


@pytest.mark.parametrize("name", NAIVE)
@given(n=st.integers(4, 11), first=seeds, second=seeds, most=st.integers(2, 4))
@settings(max_examples=15)
def test_measures_are_those_of_the_papers(name, n, first, second, most):
    a, b = random_tree(n, first, most), random_tree(n, second)
    assume(all(np.ptp(naive_cophenetic(tree)) > 0 for tree in (a, b)))
    (found,) = compare_trees(a, b, [name], [], permuted=0, seed=0)
    expected = NAIVE[name](a, b)
    if math.isnan(expected):
        assert found.estimate is None
    else:
        assert found.estimate == pytest.approx(expected, abs=2e-6)
    assert (found.k, found.p_value, found.null_value, found.permutations) == (None, None, None, 0)


@pytest.mark.parametrize("most", [2, 5])
def test_robinson_foulds_and_cophenetic_correlation_are_scikit_bios(most):
    for seed in range(5):
        a, b = random_tree(13, seed, most), random_tree(13, seed + 50, 3)
        if seed % 2:  # some clades in common
            b = Tree(a.parent, b.height[-1] * np.sort(a.height), 13)
            order = np.arange(13)
            order[[0, 5]] = 5, 0
            b = renamed(b.ordered(b.order), order)
        first, second = as_skbio(a), as_skbio(b)
        expected = first.compare_rfd(second, proportion=True, rooted=True)
        assert robinson_foulds(a, b) == pytest.approx(expected)
        expected = 1 - first.compare_cophenet(second, metric="correlation")
        found = estimates(a, b)["cophenetic", None].estimate
        assert found == pytest.approx(expected, abs=2e-6)


def test_triplets_take_no_heights():
    """Also where a merge is lower than its parts, as of centroids."""
    for seed in range(5):
        a, b = random_tree(10, seed, 2), random_tree(10, seed + 20, 3)
        height = np.where(np.arange(len(a.parent)) < 10, 0, a.height[::-1])
        (found,) = compare_trees(
            Tree(a.parent, height, 10, a.order), b, ["triplets"], [], permuted=0, seed=0
        )
        assert found.estimate == pytest.approx(naive_triplets(a, b))


def real_trees(heads):
    rows = [heads[f"efficientnet_lite{k}"].standardized[::8] for k in (0, 1)]
    Zs = [link(distances(each, "chord"), "average") for each in rows]
    return Zs, [tree_of(Z, hierarchy.leaves_list(Z).astype(np.int64)) for Z in Zs]


def test_real_heads_agree_as_scipy_and_sets_say(heads):
    Zs, (a, b) = real_trees(heads)
    found = estimates(a, b, ks=(2, 10, 50), permuted=20)
    heights = [hierarchy.cophenet(Z) for Z in Zs]
    assert found["cophenetic", None].estimate == pytest.approx(pearsonr(*heights)[0], abs=1e-6)
    assert found["bakers-gamma", None].estimate == pytest.approx(spearmanr(*heights)[0], abs=1e-6)
    assert found["robinson-foulds", None].estimate == pytest.approx(naive_foulds(a, b))
    for k in (2, 10, 50):
        labels = [hierarchy.fcluster(Z, k, "maxclust") for Z in Zs]
        assert found["fowlkes-mallows", k].estimate == pytest.approx(naive_b_k(*labels))
    for name in ("cophenetic", "bakers-gamma", "robinson-foulds", "triplets"):
        assert found[name, None].p_value == pytest.approx(1 / 21)
        assert found[name, None].permutations == 20
    before, after = (found[name, None].estimate for name in ("entanglement-before", "entanglement"))
    assert 0 < after < before < 1


@pytest.mark.parametrize("name", [*NAIVE, "fowlkes-mallows"])
@pytest.mark.parametrize("seed", range(3))
def test_chance_is_every_relabelling(monkeypatch, name, seed):
    """Of all 120 orders of 5 leaves, so that it makes no difference which tree is relabelled."""
    orders = np.array(list(itertools.permutations(range(N))), dtype=np.int32)
    monkeypatch.setattr(compare, "permutations", lambda n, count, seed: orders)
    monkeypatch.setattr(compare, "_UNTANGLED", 200)
    a, b = random_tree(N, seed, 2), random_tree(N, seed + 7, 2)
    (found,) = compare_trees(a, b, [name], [3], permuted=120, seed=0)
    if name == "fowlkes-mallows":

        def measure(one, other):
            return naive_b_k(clusters_at(one, 3), clusters_at(other, 3))
    else:
        measure = NAIVE[name]
    null = np.array([measure(a, renamed(b, order.tolist())) for order in orders])
    estimate = measure(a, b)
    sign = -1 if name in FALLING else 1
    reached = (sign * null >= sign * estimate - 1e-5).sum()
    assert found.estimate == pytest.approx(estimate, abs=2e-6)
    assert found.p_value == pytest.approx((reached + 1) / 121)
    assert found.null_value == pytest.approx(null.mean(), abs=1e-5)
    assert found.null_low == pytest.approx(np.quantile(null, 0.025), abs=1e-5)
    assert found.null_high == pytest.approx(np.quantile(null, 0.975), abs=1e-5)
    assert found.permutations == 120


def test_what_takes_a_while_has_fewer_permutations():
    a, b = random_tree(6, 1), random_tree(6, 2)
    told = []
    found = compare_trees(a, b, list(TREE_MEASURES), [2, 3], permuted=250, seed=0, step=told.append)
    assert told == list(TREE_MEASURES)
    most = {"entanglement": 99, "triplets": 199}
    for each in found:
        assert each.permutations == most.get(each.measure, 250)
    assert found == compare_trees(a, b, list(TREE_MEASURES), [2, 3], permuted=250, seed=0)
    assert found != compare_trees(a, b, list(TREE_MEASURES), [2, 3], permuted=250, seed=1)


@pytest.mark.parametrize("method", LINKAGES)
def test_a_tree_agrees_with_itself(method):
    Z = link(distances(make_rows(14, 3, dim=2), "euclidean"), method)
    tree = tree_of(Z)
    other = tree.ordered(turned_at_random(tree, np.random.default_rng(0)))
    assert (other.order != tree.order).any()
    for b in (tree, other):
        for each in estimates(tree, b, ks=(2, 3, 8, 13), permuted=99).values():
            measure = TREE_MEASURES[each.measure]
            if b is tree or each.measure != "entanglement-before":
                assert each.estimate == pytest.approx(measure.at_self, abs=1e-6), each
                assert each.p_value < 0.06 or each.k in (2, 13), each


@given(n=st.integers(4, 12), first=seeds, second=seeds, most=st.integers(2, 4))
@settings(max_examples=20)
def test_measures_are_symmetric_and_take_no_order_of_leaves(n, first, second, most):
    random = np.random.default_rng(first)
    a, b = random_tree(n, first, most), random_tree(n, second, 2)
    ks = (2, 3)
    found = estimates(a, b, ks)
    other = estimates(b, a, ks)
    order = random.permutation(n).tolist()
    both = estimates(renamed(a, order), renamed(b, order), ks)
    turned = estimates(
        a.ordered(turned_at_random(a, random)), b.ordered(turned_at_random(b, random)), ks
    )
    for key, each in found.items():
        low, high = TREE_MEASURES[key[0]].bounds
        assert each.estimate is None or low - 1e-9 <= each.estimate <= high + 1e-9
        expected = pytest.approx(each.estimate, abs=2e-6)
        if key[0] != "entanglement":  # which is searched for, by one tree and then the other
            assert other[key].estimate == expected
            assert both[key].estimate == expected
            if key[0] != "entanglement-before":
                assert turned[key].estimate == expected


# Fowlkes and Mallows


@given(n=st.integers(2, 14), seed=seeds, k=st.integers(1, 14))
@settings(max_examples=40)
def test_b_k_counts_pairs(n, seed, k):
    random = np.random.default_rng(seed)
    first, second = (random.integers(0, min(k, n), size=n) for _ in range(2))
    assert b_k(first, second) == pytest.approx(naive_b_k(first, second), nan_ok=True)
    assert b_k(first, second) == pytest.approx(b_k(second, first), nan_ok=True)


def test_the_expected_b_k_is_that_of_the_paper():
    """Over all relabellings: sqrt(P Q) / (n (n-1)), P and Q the ordered pairs in one cluster."""
    orders = np.array(list(itertools.permutations(range(6))), dtype=np.int32)
    a, b = random_tree(6, 3, 2), random_tree(6, 9, 2)
    for k, found in zip((2, 3, 4, 5), fowlkes_mallows(a, b, (2, 3, 4, 5), orders), strict=True):
        P, Q = (
            sum(len(each) * (len(each) - 1) for each in groups(clusters_at(tree, k)))
            for tree in (a, b)
        )
        assert found.null_value == pytest.approx(math.sqrt(P * Q) / 30)
        assert found.k == k
    (single,) = fowlkes_mallows(a, b, [6], orders)
    assert single.estimate is None


@pytest.mark.parametrize("method", ["ward", "average", "single"])
def test_a_cut_from_the_top_is_scipys(heads, method):
    Z = link(distances(heads["efficientnet_lite2"].standardized[::10], "chord"), method)
    tree = tree_of(Z)
    for k in (1, 2, 9, 40, 99, 100, 200):
        found = clusters_at(tree, k)
        assert groups(found) == groups(hierarchy.fcluster(Z, k, "maxclust"))
        assert sorted(set(found.tolist())) == list(range(min(k, 100)))


@given(n=st.integers(2, 12), seed=seeds, most=st.integers(3, 6))
@settings(max_examples=30)
def test_several_branches_are_cut_into_the_next_larger_number(n, seed, most):
    tree = random_tree(n, seed, most)
    sets = leaf_sets(tree)
    possible = []  # undo the highest nodes one by one: heights rise with the numbers
    for lowest in range(len(tree.parent), n - 1, -1):
        below = [s for v, s in enumerate(sets) if v < lowest]
        possible.append({s for s in below if not any(s < other for other in below)})
    for k in range(1, n + 1):
        expected = next(each for each in possible if len(each) >= k)
        assert groups(clusters_at(tree, k)) == expected


# entanglement


@given(n=st.integers(2, 15), seed=seeds)
@settings(max_examples=30)
def test_entanglement_is_dendextends(n, seed):
    random = np.random.default_rng(seed)
    first, second = random.permutation(n), random.permutation(n)
    assert entanglement(first, second) == pytest.approx(naive_entanglement(first, second))
    assert entanglement(first, second) == pytest.approx(entanglement(second, first))
    assert entanglement(first, first) == 0
    assert entanglement(first, first[::-1]) == pytest.approx(1)


@given(n=st.integers(2, 14), first=seeds, second=seeds, most=st.integers(2, 4))
@settings(max_examples=40)
def test_untangling_turns_branches_and_never_harms(n, first, second, most):
    a, b = random_tree(n, first, most), random_tree(n, second, 2)
    one, other, found = untangled(a, b)
    assert is_walk(a, one)
    assert is_walk(b, other)
    assert found == pytest.approx(naive_entanglement(one, other))
    assert found <= naive_entanglement(a.order, b.order) + 1e-12


def test_untangling_is_nearly_as_good_as_the_best_of_all():
    """Of all ways to turn the branches of both; by trial, on average."""
    gaps = []
    for seed in range(12):
        a, b = random_tree(6, seed, 2), random_tree(6, seed + 100, 2)
        every = [
            [
                tree.walked(turned)
                for turned in itertools.product(
                    *([own, own[::-1]] if own else [own] for own in tree.children)
                )
            ]
            for tree in (a, b)
        ]
        best = min(entanglement(x, y) for x in every[0] for y in every[1])
        found = untangled(a, b)[2]
        assert found >= best - 1e-12
        gaps.append(found - best)
    assert np.mean(gaps) < 0.03


@pytest.mark.parametrize("seed", range(4))
def test_a_turned_tree_is_untangled_completely(seed):
    tree = random_tree(40, seed, 3)
    other = tree.ordered(turned_at_random(tree, np.random.default_rng(seed)))
    mirrored = tree.ordered(tree.order[::-1].copy())
    assert entanglement(tree.order, mirrored.order) == pytest.approx(1)
    for b in (other, mirrored):
        first, second, found = untangled(tree, b)
        assert found == 0
        np.testing.assert_array_equal(first, second)


# degenerate trees


def test_two_leaves_and_stars_leave_nothing_to_compare():
    pair = random_tree(2, 0)
    star = Tree(np.array([6] * 6 + [-1]), np.array([0.0] * 6 + [1]), 6)
    for tree in (pair, star):
        found = estimates(tree, tree, ks=(2,), permuted=9)
        for name in ("cophenetic", "bakers-gamma", "robinson-foulds", "triplets"):
            each = found[name, None]
            assert (each.estimate, each.p_value, each.permutations) == (None, None, 0), each
        assert found["entanglement", None].estimate == 0
    assert found["fowlkes-mallows", 2].estimate is None
    other = random_tree(6, 1, 2)
    assert robinson_foulds(star, other) == 1.0
    assert np.isnan(robinson_foulds(star, star))
    assert clusters_at(star, 1).tolist() == [0] * 6
    assert clusters_at(star, 2).tolist() == list(range(6))


def test_heights_in_any_unit_compare_alike():
    a, b = random_tree(9, 1), random_tree(9, 2)
    for factor in (1e-9, 1e9):
        scaled = Tree(a.parent, factor * a.height, 9, a.order)
        np.testing.assert_allclose(squareform(scaled.cophenetic), factor * squareform(a.cophenetic))
        for name in ("cophenetic", "bakers-gamma"):
            expected = estimates(a, b)[name, None].estimate
            assert estimates(scaled, b)[name, None].estimate == pytest.approx(expected, abs=1e-6)
