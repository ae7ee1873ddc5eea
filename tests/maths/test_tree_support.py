"""Support of clades against a loop that copies dimensions, sets of leaves, and scikit-bio."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

from classrel_db.maths.support import resample_weights
from classrel_db.maths.trees.linkage import distances, link
from classrel_db.maths.trees.support import (
    dimension_support,
    majority_rule,
    resampled_rows,
    tree_support,
)
from classrel_db.maths.trees.tree import Tree, tree_of
from classrel_db.records import TREE_DISTANCES

from .test_trees import as_skbio, leaf_sets, random_tree

seeds = st.integers(0, 2**32 - 1)


def clade_sets(tree):
    sets = leaf_sets(tree)
    return [sets[node] for node in tree.clades]


def standardized(rows):
    return (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, ddof=1, keepdims=True)


def pair_distances(rows, distance):
    if distance == "euclidean":
        return pdist(rows)
    with np.errstate(invalid="ignore"):
        U = rows / np.linalg.norm(rows, axis=1)[:, None]
    cosine = np.nan_to_num(U @ U.T)  # at right angles to all where there is no direction
    np.fill_diagonal(cosine, 1.0)
    if distance == "profile":
        return pdist((1 - cosine) / 2)
    pairs = cosine[np.triu_indices(len(rows), 1)]
    if distance == "chord":
        return np.sqrt(2 - 2 * np.minimum(pairs, 1))
    return (1 - pairs) / 2 - ((1 - pairs) / 2).min()


def naive_support(rows, tree, method, distance, *, standard, resamples, seed):
    """Copy the drawn columns, standardise, cluster, look for the sets."""
    rows = rows.astype(np.float64)
    wanted = clade_sets(tree)
    found = np.zeros(len(wanted))
    dim = rows.shape[1]
    for weights in np.concatenate(list(resample_weights(dim, resamples, seed, dim))):
        again = rows[:, np.repeat(np.arange(dim), weights.astype(int))]
        assert again.shape == rows.shape
        if standard:
            again = standardized(again)
        Z = hierarchy.linkage(pair_distances(again, distance), method)
        there = set(leaf_sets(tree_of(Z)))
        found += [each in there for each in wanted]
    return found / resamples


def support(rows, tree, method="average", distance="chord", **options):
    options = {"standardized": True, "resamples": 20, "seed": 0, **options}
    return dimension_support(rows, tree, method, distance, **options)


@pytest.mark.parametrize("distance", TREE_DISTANCES)
@pytest.mark.parametrize("standard", [True, False])
def test_support_is_that_of_copied_dimensions(heads, distance, standard):
    real = heads["efficientnet_lite0"].standardized[80:110, :40]
    made = np.random.default_rng(1).normal(size=(9, 25)) + 2 * np.repeat(np.eye(3, 25) * 5, 3, 0)
    for rows, method in ((real, "ward"), (made, "average"), (made, "complete")):
        rows = (standardized(rows) if standard else rows).astype(np.float32)
        own = tree_of(link(distances(rows, distance), method))
        found = support(rows, own, method, distance, standardized=standard, seed=3)
        expected = naive_support(
            rows, own, method, distance, standard=standard, resamples=20, seed=3
        )
        np.testing.assert_array_equal(found, expected)
        assert 0 < found.mean() < 1
        other = random_tree(len(rows), 5)
        found = support(rows, other, method, distance, standardized=standard, seed=3)
        expected = naive_support(
            rows, other, method, distance, standard=standard, resamples=20, seed=3
        )
        np.testing.assert_array_equal(found, expected)


def test_the_seed_decides(heads):
    rows = standardized(heads["efficientnet_lite1"].standardized[:25, :30]).astype(np.float32)
    tree = tree_of(link(distances(rows, "chord"), "average"))
    told = []
    first = support(rows, tree, seed=1, progress=told.append)
    np.testing.assert_array_equal(first, support(rows, tree, seed=1))
    assert (first != support(rows, tree, seed=2)).any()
    assert told == sorted(told)
    assert told[-1] == 20
    order = np.random.default_rng(0).permutation(25)
    turned = tree.ordered(tree.walked([own[::-1] for own in tree.children]))
    np.testing.assert_array_equal(first, support(rows, turned, seed=1))
    moved = tree_of(link(distances(rows[order], "chord"), "average"))
    by_set = dict(zip(clade_sets(tree), first, strict=True))
    for each, share in zip(clade_sets(moved), support(rows[order], moved, seed=1), strict=True):
        assert share == by_set[frozenset(order[list(each)].tolist())]


@pytest.mark.parametrize("distance", ["chord", "condensed", "profile"])
def test_dimensions_that_all_say_the_same_support_every_clade(distance):
    """Two directions, far oftener than they are drawn unequally."""
    angles = np.array([0.0, 0.1, 0.3, 0.75, 1.5])
    rows = np.tile(np.stack([np.cos(angles), np.sin(angles)], axis=1), (1, 2_000))
    rows = rows.astype(np.float32)
    tree = tree_of(link(distances(rows, distance), "average"))
    assert len(tree.clades) == 3
    found = support(rows, tree, distance=distance, standardized=False)
    assert found.tolist() == [1.0] * 3


@pytest.mark.parametrize("dim", [4, 30])
def test_equal_dimensions_support_every_clade(dim):
    rows = np.outer([1.0, 1.1, 1.5, 4, 4.2, 9], np.ones(dim)).astype(np.float32)
    tree = tree_of(link(distances(rows, "euclidean"), "ward"))
    found = support(rows, tree, "ward", "euclidean", standardized=False)
    assert found.tolist() == [1.0] * 4


@pytest.mark.parametrize("standard", [True, False])
@given(seed=seeds, dim=st.integers(2, 8))
@settings(max_examples=20)
def test_resampled_rows_have_the_products_of_copied_dimensions(standard, seed, dim):
    rows = np.random.default_rng(seed).normal(size=(6, dim)).astype(np.float32)
    rows[1, 1:] = 0.3  # equal or zero wherever dimension 0 is not drawn
    rows[2] = 0.0
    rows[2, 0] = 2.0
    rows[3, :-1] = 0.0
    weights = np.concatenate(list(resample_weights(dim, 6, seed % 1000)))
    for w in weights:
        copied = rows.astype(np.float64)[:, np.repeat(np.arange(dim), w.astype(int))]
        if standard:
            varied = np.ptp(copied, axis=1) > 0
            copied[~varied] = 0.0
            copied[varied] = standardized(copied[varied])
        has = copied.any(axis=1)
        found = resampled_rows(rows, w, standardized=standard)
        gram = found @ found.T
        np.testing.assert_allclose(gram[has][:, has], copied[has] @ copied[has].T, atol=1e-6)
        # without direction: of some length, and at right angles to all others
        others = gram.copy()
        np.fill_diagonal(others, 0.0)
        assert not others[~has].any()
        assert (np.diag(gram) > 0).all()


@pytest.mark.parametrize("distance", ["chord", "condensed", "profile"])
def test_rows_that_lose_their_direction_stand_apart(distance):
    random = np.random.default_rng(8)
    rows = random.normal(size=(7, 6)).astype(np.float32)
    rows[2] = [3, 0, 0, 0, 0, 0]
    rows[5] = [0, 3, 0, 0, 0, 0]
    tree = tree_of(link(distances(rows, distance), "complete"))
    options = {"standard": False, "resamples": 60, "seed": 4}
    drawn = np.concatenate(list(resample_weights(6, 60, 4, 6)))
    assert (drawn[:, 0] == 0).any()
    # where both are lost, or where distances tie, trees may differ: take neither
    expected = naive_support(rows, tree, "complete", distance, **options)
    found = support(rows, tree, "complete", distance, standardized=False, resamples=60, seed=4)
    np.testing.assert_allclose(found, expected, atol=2 / 60)


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_a_row_of_zeros_is_a_point_like_any_other(scale):
    """Euclidean distances need no direction: rows that are 0 in all drawn dimensions are equal."""
    rows = np.random.default_rng(0).normal(size=(7, 5)) / 3 + np.repeat(
        [[0], [3], [6]], [3, 2, 2], 0
    )
    rows[:3] = 0
    rows[:3, 0] = 0.5, 0.6, 0.75
    rows = (scale * rows).astype(np.float32)
    tree = tree_of(link(distances(rows, "euclidean"), "average"))
    drawn = np.concatenate(list(resample_weights(5, 40, 1, 5)))
    assert 5 < (drawn[:, 0] == 0).sum() < 35
    found = support(rows, tree, "average", "euclidean", standardized=False, resamples=40, seed=1)
    expected = naive_support(
        rows, tree, "average", "euclidean", standard=False, resamples=40, seed=1
    )
    np.testing.assert_array_equal(found, expected)
    assert found[[each == {0, 1, 2} for each in clade_sets(tree)]].tolist() == [1.0]


# other trees


def test_recovered_shares_are_those_of_sets():
    tested = 0
    for seed in range(25):
        random = np.random.default_rng(seed)
        n = int(random.integers(3, 12))
        tree = random_tree(n, seed, most=int(random.integers(2, 5)))
        others = []
        for number in range(int(random.integers(1, 5))):
            kept = random.permutation(n)[: random.integers(1, n + 1)]
            # often the same tree, with some leaves moved
            other, _ = (tree if number % 2 else random_tree(n, seed + number, 3)).restricted(kept)
            others.append((other, kept))
        found, asked = tree_support(tree, others)
        for place, clade in enumerate(clade_sets(tree)):
            have = near = known = 0
            for other, kept in others:
                part = clade & set(kept.tolist())
                if len(part) < 2 or len(part) == len(kept):
                    continue
                known += 1
                theirs = [{int(kept[leaf]) for leaf in each} for each in clade_sets(other)]
                have += part in theirs
                f1 = [2 * len(part & each) / (len(part) + len(each)) for each in theirs]
                near += max(f1, default=0) >= 0.8
                tested += 1
            assert asked[place] == known
            shares = [have / known, near / known] if known else [np.nan] * 2
            np.testing.assert_allclose([found.support[place], found.nearly[place]], shares)
    assert tested > 100


def test_a_tree_supports_itself():
    tree = random_tree(12, 3)
    found, asked = tree_support(tree, [(tree, np.arange(12))] * 3)
    assert found.support.tolist() == found.nearly.tolist() == [1.0] * len(tree.clades)
    assert asked.tolist() == [3] * len(tree.clades)


def test_a_clade_of_four_fifths_is_nearly_there():
    """F1 of 4 of 5: 8/9; of 4 of 6: 0.8; of 3 of 5 and 2 others: less."""
    parent = np.array([9, 9, 9, 9, 10, 10, 10, 10, 10, 10, -1])
    tree = Tree(parent, np.array([0.0] * 9 + [1, 2]), 9)
    for extra, expected in ((0, 1.0), (1, 1.0), (2, 1.0), (3, 0.0)):
        other = parent.copy()
        other[4 : 4 + extra] = 9
        there = Tree(other, tree.height, 9)
        found, _ = tree_support(tree, [(there, np.arange(9))])
        assert found.nearly.tolist() == [expected]
        assert found.support.tolist() == [float(extra == 0)]


def test_a_clade_that_is_nearly_there_is_not_there():
    """Ten leaves of eleven: F1 is 20/21."""
    heights = np.array([0.0] * 14 + [1, 2])
    tree, other = (Tree(np.array([14] * k + [15] * (15 - k) + [-1]), heights, 14) for k in (10, 11))
    found, _ = tree_support(tree, [(other, np.arange(14))])
    assert (found.support.tolist(), found.nearly.tolist()) == ([0.0], [1.0])


def test_a_tree_that_shares_nothing_is_not_asked():
    tree = random_tree(6, 1)
    found, asked = tree_support(tree, [])
    assert not asked.any()
    assert np.isnan(found.support).all()
    star = Tree(np.array([4, 4, 4, 4, -1]), np.array([0.0, 0, 0, 0, 1]), 4)
    found, asked = tree_support(star, [(tree.restricted(np.arange(4))[0], np.arange(4))])
    assert len(asked) == len(found.support) == 0


# consensus


def majority_sets(trees):
    every = [set(clade_sets(tree)) for tree in trees]
    shares = {each: sum(each in own for own in every) / len(trees) for each in set().union(*every)}
    return {each: share for each, share in shares.items() if share > 0.5}


def perturbed(n, seed, count, most):
    """Trees that share some clades: of distances with some noise."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(n, 3))
    found = []
    for number in range(count):
        if most > 2 and number % 2:
            found.append(random_tree(n, int(random.integers(5)), most))
        else:
            moved = points + random.normal(size=(n, 3)) * 0.15
            found.append(tree_of(hierarchy.linkage(moved, "average")))
    return found


@given(n=st.integers(2, 12), seed=seeds, count=st.integers(1, 7), most=st.sampled_from([2, 4]))
@settings(max_examples=40)
def test_the_majority_tree_has_the_sets_of_more_than_half(n, seed, count, most):
    trees = perturbed(n, seed, count, most)
    found, shares = majority_rule(trees)
    expected = majority_sets(trees)
    sets = leaf_sets(found)
    assert set(sets[n:-1]) == set(expected)
    assert len(sets) == n + 1 + len(expected)
    assert (found.parent[:-1] > np.arange(len(sets) - 1)).all()
    assert sets[-1] == frozenset(range(n))
    for node in range(n, len(sets) - 1):
        assert shares[node] == pytest.approx(expected[sets[node]])
    assert shares[:n].tolist() == [1.0] * n
    assert shares[-1] == 1.0
    assert np.isnan(found.height[n:]).all()
    assert not found.height[:n].any()


def test_exactly_half_is_no_majority():
    a, b = random_tree(9, 0, 2), random_tree(9, 4, 2)
    found, _ = majority_rule([a, b])
    assert set(clade_sets(found)) == set(clade_sets(a)) & set(clade_sets(b))
    star, shares = majority_rule([a, star_of(9), star_of(9)])
    assert star.parent.tolist() == [9] * 9 + [-1]
    assert shares.tolist() == [1.0] * 10


def star_of(n):
    return Tree(np.array([n] * n + [-1]), np.array([0.0] * n + [1]), n)


def test_the_majority_tree_is_scikit_bios():
    from skbio.tree import majority_rule as of_scikit_bio

    for seed, count in itertools.product(range(4), (3, 5)):
        trees = perturbed(10, seed, count, 2)
        (expected,) = of_scikit_bio([as_skbio(tree) for tree in trees], cutoff=0.5)
        theirs = {
            frozenset(int(tip.name) for tip in node.tips()): node.support / count
            for node in expected.non_tips()
        }
        found, shares = majority_rule(trees)
        ours = {
            each: shares[node] for node, each in zip(found.clades, clade_sets(found), strict=True)
        }
        theirs.pop(frozenset(range(10)), None)
        assert ours == pytest.approx(theirs)


def test_one_tree_is_its_own_majority():
    tree = random_tree(11, 2, 4)
    found, shares = majority_rule([tree])
    assert set(clade_sets(found)) == set(clade_sets(tree))
    assert (shares == 1).all()
