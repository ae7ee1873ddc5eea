"""Trees, the linkage that makes them and the order of their leaves, against sets, scipy and scikit-bio."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import cosine_matrix
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from classrel_db.maths.normalize import row_blocks
from classrel_db.maths.trees import linkage
from classrel_db.maths.trees.linkage import (
    distances,
    is_euclidean,
    link,
    optimal_order,
    projected_order,
    relabelled,
)
from classrel_db.maths.trees.skbio_tree import tree_node
from classrel_db.maths.trees.tree import (
    Tree,
    best_matches,
    clade_hashes,
    leaf_hashes,
    overlaps,
    tree_of,
)
from classrel_db.records import LINKAGES, TREE_DISTANCES

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(2, 14)


def random_tree(n, seed, most=4, walked=True):
    """Two to ``most`` branches at a node, heights that rise, leaves in some order of a walk."""
    random = np.random.default_rng([n, seed, most])
    parent, height, free = [-1] * n, [0.0] * n, list(range(n))
    while len(free) > 1:
        joined = random.choice(
            free, size=min(len(free), random.integers(2, most + 1)), replace=False
        )
        for node in joined.tolist():
            parent[node] = len(parent)
            free.remove(node)
        free.append(len(parent))
        parent.append(-1)
        height.append(max(height) + random.uniform(0.1, 1))
    tree = Tree(np.asarray(parent), np.asarray(height), n)
    if not walked:
        return tree
    return tree.ordered(tree.walked([random.permutation(own).tolist() for own in tree.children]))


def leaf_sets(tree):
    """The leaves under each node, by climbing from each leaf."""
    found = [set() for _ in tree.parent]
    for leaf in range(tree.n):
        node = leaf
        while node >= 0:
            found[node].add(leaf)
            node = int(tree.parent[node])
    return [frozenset(each) for each in found]


def lowest_common(sets, a, b):
    return min((len(each), node) for node, each in enumerate(sets) if {a, b} <= each)[1]


def is_walk(tree, order):
    """Whether the leaves of each node are neighbours in an order of all leaves."""
    place = {int(leaf): number for number, leaf in enumerate(order)}
    if sorted(place) != list(range(tree.n)) or len(order) != tree.n:
        return False
    spread = [[place[leaf] for leaf in each] for each in leaf_sets(tree)]
    return all(max(each) - min(each) == len(each) - 1 for each in spread)


def as_skbio(tree):
    lengths = [
        None if up < 0 else tree.height[up] - h
        for up, h in zip(tree.parent, tree.height, strict=True)
    ]
    names = [str(node) if node < tree.n else None for node in range(len(tree.parent))]
    return tree_node(tree.parent, lengths, names)


def skbio_cophenetic(node, n):
    """Half the way between every two leaves, which are named by their numbers."""
    return node.cophenet([str(leaf) for leaf in range(n)]).data / 2


def naive_distances(rows, distance):
    """Two loops, the definition inside."""
    rows = np.asarray(rows, dtype=np.float64)
    half = np.array([[(1 - a @ b / np.sqrt((a @ a) * (b @ b))) / 2 for b in rows] for a in rows])
    np.fill_diagonal(half, 0.0)
    found = []
    for i, j in itertools.combinations(range(len(rows)), 2):
        if distance == "chord":
            a, b = (rows[k] / np.linalg.norm(rows[k]) for k in (i, j))
            found.append(np.linalg.norm(a - b))
        elif distance == "euclidean":
            found.append(np.linalg.norm(rows[i] - rows[j]))
        elif distance == "profile":
            found.append(np.linalg.norm(half[i] - half[j]))
        else:
            found.append(half[i, j])
    return np.array(found) - (min(found) if distance == "condensed" else 0)


def make_rows(n, seed, dim=5):
    return np.random.default_rng([n, seed, 1]).normal(size=(n, dim))


# distances


@pytest.mark.parametrize("distance", TREE_DISTANCES)
@given(n=st.integers(2, 12), seed=seeds, scale=st.sampled_from([1e-3, 1.0, 300.0]))
@settings(max_examples=15)
def test_distances_are_those_of_two_loops(distance, n, seed, scale):
    rows = scale * make_rows(n, seed)
    found = distances(rows, distance)
    expected = naive_distances(rows, distance)
    # squares are good to about 2^-36 of the largest there can be
    whole = scale**2 * 100 if distance == "euclidean" else 4
    np.testing.assert_allclose(found**2, expected**2, rtol=1e-9, atol=2e-11 * whole)


def test_distances_of_a_real_head_are_scipys(heads):
    head = heads["efficientnet_lite0"]
    rows = head.standardized
    half = (1 - head.cosine) / 2
    np.fill_diagonal(half, 0.0)
    expected = {
        "chord": pdist(rows / np.linalg.norm(rows, axis=1)[:, None]),
        "euclidean": pdist(rows),
        "condensed": squareform(half, checks=False) - squareform(half, checks=False).min(),
        "profile": pdist(half),
    }
    for distance in TREE_DISTANCES:
        found = distances(rows.astype(np.float32), distance)
        np.testing.assert_allclose(found, expected[distance], rtol=1e-6, atol=1e-7)


def test_only_shifted_distances_are_not_of_points_in_space():
    rows = make_rows(40, 3, dim=30)
    for distance in TREE_DISTANCES:
        squares = squareform(distances(rows, distance)) ** 2
        centering = np.eye(40) - 1 / 40
        least = np.linalg.eigvalsh(-centering @ squares @ centering / 2).min()
        assert is_euclidean(distance) == (least > -1e-9)


@pytest.mark.parametrize("distance", TREE_DISTANCES)
def test_distances_do_not_depend_on_blocks(monkeypatch, heads, distance):
    rows = heads["efficientnet_lite1"].standardized[::7]
    whole = distances(rows, distance)
    monkeypatch.setattr(linkage, "row_blocks", lambda n, m, _: row_blocks(n, m, 8 * m * 11))
    assert len(list(linkage.row_blocks(len(rows), len(rows), 0))) > 10
    # to a unit of the grid that products are rounded to
    np.testing.assert_allclose(distances(rows, distance), whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("distance", TREE_DISTANCES)
@pytest.mark.parametrize("kind", ["signs", "thirds", "real"])
def test_equal_distances_stay_equal_in_another_order_of_the_rows(heads, distance, kind):
    """Exactly: what is tied in one order and not in another gives other trees."""
    random = np.random.default_rng(5)
    rows = {
        "signs": np.sign(random.normal(size=(24, 16))),
        "thirds": random.integers(1, 4, size=(24, 9)) / 3,
        "real": heads["efficientnet_lite2"].standardized[:40],
    }[kind]
    square = squareform(distances(rows, distance))
    different = len(np.unique(square))
    for _ in range(3):
        order = random.permutation(len(rows))
        again = squareform(distances(rows[order], distance))
        np.testing.assert_allclose(again, square[np.ix_(order, order)], rtol=1e-9, atol=1e-9)
        assert len(np.unique(again)) == different


def test_tied_distances_are_exactly_tied():
    """Rows of ones and minus ones have 16 different inner products at most."""
    rows = np.sign(np.random.default_rng(5).normal(size=(40, 15)))
    products = len(np.unique((rows @ rows.T)[np.triu_indices(40, 1)]))
    for distance in ("chord", "condensed", "euclidean"):
        assert len(np.unique(distances(rows, distance))) == products


@pytest.mark.parametrize("distance", TREE_DISTANCES)
def test_equal_rows_are_at_distance_zero(distance):
    rows = np.tile(np.random.default_rng(1).normal(size=7), (9, 1)).astype(np.float32)
    assert not distances(rows, distance).any()
    mixed = np.concatenate([rows, make_rows(6, 4, dim=7)])
    assert not squareform(distances(mixed, distance))[:9, :9].any() or distance == "condensed"
    if distance != "condensed":
        assert squareform(distances(mixed, distance))[9:, :9].min() > 1e-3


def test_two_classes_make_a_tree():
    rows = make_rows(2, 0)
    for distance, method in itertools.product(TREE_DISTANCES, LINKAGES):
        condensed = distances(rows, distance)
        assert condensed.shape == (1,)
        Z = link(condensed, method)
        tree = tree_of(Z)
        assert tree.parent.tolist() == [2, 2, -1]
        assert tree.height[2] == condensed[0]
        assert not len(tree.clades)
        assert sorted(optimal_order(Z, condensed).tolist()) == [0, 1]
        assert sorted(projected_order(tree, rows).tolist()) == [0, 1]


# linkage


def test_profile_linkage_is_that_of_the_published_code(heads):
    W = heads["efficientnet_lite0"].weight.astype(np.float64)
    z = (W - W.mean(axis=1, keepdims=True)) / W.std(axis=1, keepdims=True)
    f = (1 - cosine_matrix(z)) / 2
    f -= f.min()
    with pytest.warns(hierarchy.ClusterWarning):
        expected = hierarchy.linkage(f, "ward")
    found = link(distances(heads["efficientnet_lite0"].standardized, "profile"), "ward")
    np.testing.assert_array_equal(found[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    np.testing.assert_allclose(found[:, 2], expected[:, 2], rtol=1e-5, atol=0)


@pytest.mark.parametrize("method", LINKAGES)
def test_linkage_is_scipys_of_the_points(heads, method):
    rows = heads["efficientnet_lite1"].standardized[::5]
    found = link(distances(rows.astype(np.float32), "euclidean"), method)
    expected = hierarchy.linkage(rows, method, "euclidean")
    np.testing.assert_array_equal(found[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    np.testing.assert_allclose(found[:, 2], expected[:, 2], rtol=1e-6)
    np.testing.assert_allclose(
        tree_of(found).cophenetic, squareform(hierarchy.cophenet(expected)), rtol=1e-6
    )


@pytest.mark.parametrize("method", LINKAGES)
def test_the_order_of_the_rows_only_renames_the_leaves(heads, method):
    rows = heads["efficientnet_lite2"].standardized[::10]
    order = np.random.default_rng(2).permutation(len(rows))
    for distance in TREE_DISTANCES:
        Z = link(distances(rows, distance), method)
        again = link(distances(rows[order], distance), method)
        renamed = tree_of(relabelled(again, order))
        np.testing.assert_allclose(renamed.cophenetic, tree_of(Z).cophenetic, rtol=1e-9, atol=1e-9)


@given(n=st.integers(2, 14), seed=seeds)
@settings(max_examples=20)
def test_an_ultrametric_is_recovered(n, seed):
    tree = random_tree(n, seed, most=2)
    condensed = squareform(tree.cophenetic, checks=False)
    for method in ("single", "average", "complete", "weighted"):
        found = tree_of(link(condensed, method))
        np.testing.assert_allclose(found.cophenetic, tree.cophenetic, rtol=1e-12)
        assert set(leaf_sets(found)) == set(leaf_sets(tree))


@given(n=sizes, seed=seeds)
@settings(max_examples=20)
def test_relabelled_leaves_keep_their_tree(n, seed):
    Z = link(distances(make_rows(n, seed), "chord"), "average")
    before = Z.copy()
    leaves = np.random.default_rng(seed).permutation(n)
    found = relabelled(Z, leaves)
    assert hierarchy.is_valid_linkage(found)
    assert (found[:, 0] < found[:, 1]).all()
    np.testing.assert_array_equal(Z, before)
    named = [frozenset(leaves[list(each)].tolist()) for each in leaf_sets(tree_of(Z))[n:]]
    assert leaf_sets(tree_of(found))[n:] == named
    np.testing.assert_array_equal(found[:, 2:], Z[:, 2:])


# trees


@given(n=st.integers(1, 14), seed=seeds, most=st.integers(2, 6), walked=st.booleans())
def test_a_tree_is_what_its_sets_are(n, seed, most, walked):
    tree = random_tree(n, seed, most, walked=walked)
    sets = leaf_sets(tree)
    assert is_walk(tree, tree.order)
    assert tree.sizes.tolist() == [len(each) for each in sets]
    for node, each in enumerate(sets):
        first, last = tree.spans[node]
        assert set(tree.order[first:last].tolist()) == each
        assert tree.leaves(node).tolist() == tree.order[first:last].tolist()
        assert sorted(tree.children[node]) == [c for c, up in enumerate(tree.parent) if up == node]
    assert tree.clades.tolist() == [v for v, each in enumerate(sets) if 1 < len(each) < n]
    for a, b in itertools.product(range(n), repeat=2):
        node = lowest_common(sets, a, b)
        assert tree.common[a, b] == node
        assert tree.cophenetic[a, b] == tree.height[node]


def test_the_natural_order_walks_children_by_number():
    #       6
    #    5     4
    #  2  0  3   1
    tree = Tree(np.array([5, 4, 5, 4, 6, 6, -1]), np.array([0, 0, 0, 0, 1.0, 2, 3]), 4)
    assert tree.order.tolist() == [1, 3, 0, 2]
    other = tree.ordered(np.array([2, 0, 3, 1]))
    assert other.order.tolist() == [2, 0, 3, 1]
    assert other.spans.tolist() == [[1, 2], [3, 4], [0, 1], [2, 3], [2, 4], [0, 2], [0, 4]]
    assert other.leaves(4).tolist() == [3, 1]
    np.testing.assert_array_equal(other.cophenetic, tree.cophenetic)


@pytest.mark.parametrize("method", LINKAGES)
@given(n=sizes, seed=seeds)
@settings(max_examples=10)
def test_cophenetic_distances_are_scipys(method, n, seed):
    Z = hierarchy.linkage(make_rows(n, seed, dim=2), method)
    order = hierarchy.leaves_list(Z).astype(np.int64)
    for tree in (tree_of(Z), tree_of(Z, order)):
        np.testing.assert_array_equal(tree.cophenetic, squareform(hierarchy.cophenet(Z)))
    assert tree.order is order
    assert tree.parent[-1] == -1


@given(n=st.integers(1, 14), seed=seeds, most=st.integers(2, 6), data=st.data())
def test_a_restricted_tree_is_that_of_the_sets_that_are_left(n, seed, most, data):
    tree = random_tree(n, seed, most)
    kept = data.draw(st.permutations(range(n)).map(lambda p: np.asarray(p)))
    kept = kept[: data.draw(st.integers(1, n))]
    found, old = tree.restricted(kept)
    assert found.n == len(kept)
    names = {leaf: number for number, leaf in enumerate(kept.tolist())}
    left = [frozenset(names[leaf] for leaf in each if leaf in names) for each in leaf_sets(tree)]
    own = leaf_sets(found)
    assert set(own) == set(left) - {frozenset()}
    assert len(set(own)) == len(own)
    assert old[: found.n].tolist() == kept.tolist()
    for node, before in enumerate(old.tolist()):
        assert left[before] == own[node]
        # of several with these leaves the lowest
        assert before == min((v for v, each in enumerate(left) if each == own[node]))
        assert found.height[node] == tree.height[before]
    assert found.order.tolist() == [names[leaf] for leaf in tree.order.tolist() if leaf in names]
    assert (found.parent[:-1] > np.arange(len(found.parent) - 1)).all()
    np.testing.assert_array_equal(found.cophenetic, tree.cophenetic[np.ix_(kept, kept)])


@pytest.mark.parametrize("most", [2, 5])
def test_a_restricted_tree_is_as_scikit_bio_shears_it(most):
    for seed in range(6):
        tree = random_tree(17, seed, most)
        kept = np.random.default_rng(seed).permutation(17)[: 3 + 2 * seed]
        sheared = as_skbio(tree).shear([str(leaf) for leaf in kept])
        expected = sheared.cophenet([str(leaf) for leaf in kept]).data / 2
        found, _ = tree.restricted(kept)
        np.testing.assert_allclose(found.cophenetic, expected, rtol=1e-12)
        assert len(found.parent) == sum(1 for _ in sheared.traverse())


def test_cophenetic_distances_of_several_branches_are_scikit_bios():
    for seed in range(4):
        tree = random_tree(15, seed, 5)
        np.testing.assert_allclose(
            skbio_cophenetic(as_skbio(tree), 15), tree.cophenetic, rtol=1e-12
        )


@pytest.mark.parametrize("falling", [False, True])
def test_a_caterpillar_of_22_000_leaves_needs_no_recursion(falling):
    n = 22_000
    leaves = np.arange(n)[::-1] if falling else np.arange(n)
    parent = np.full(2 * n - 1, -1)
    parent[leaves] = n + np.maximum(np.arange(n) - 1, 0)
    parent[n:-1] = np.arange(n + 1, 2 * n - 1)
    tree = Tree(parent, np.concatenate([np.zeros(n), np.arange(1.0, n)]), n)
    assert tree.sizes.tolist() == [1] * n + list(range(2, n + 1))
    assert tree.leaves(n + 1).tolist() == [leaves[2], *sorted(leaves[:2])]
    assert set(tree.order[: n - 2].tolist()) == set(leaves[2:].tolist())
    hashes = leaf_hashes(n)
    expected = np.bitwise_xor.accumulate(hashes[leaves])[1:-1]
    np.testing.assert_array_equal(clade_hashes(tree, hashes), expected)
    half, old = tree.restricted(leaves[::2].copy())
    assert half.sizes[half.n :].tolist() == list(range(2, n // 2 + 1))
    assert old[half.n :].tolist() == list(range(n + 1, 2 * n - 1, 2))
    rows = np.stack([np.cos(leaves / n), np.sin(leaves / n)], axis=1)
    assert sorted(projected_order(tree, rows).tolist()) == list(range(n))


@given(n=sizes, first=seeds, second=seeds, most=st.integers(2, 6))
@settings(max_examples=30)
def test_hashes_and_overlaps_are_those_of_the_sets(n, first, second, most):
    a, b = random_tree(n, first, most), random_tree(n, second)
    sets = [[leaf_sets(tree)[node] for node in tree.clades] for tree in (a, b)]
    hashes = leaf_hashes(n)
    own, other = clade_hashes(a, hashes), clade_hashes(b, hashes)
    shared = overlaps(a, b)
    assert shared.shape == (len(sets[0]), len(sets[1]))
    for i, one in enumerate(sets[0]):
        for j, two in enumerate(sets[1]):
            assert (own[i] == other[j]) == (one == two)
            assert shared[i, j] == len(one & two)
    node, f1 = best_matches(a, b)
    for i, one in enumerate(sets[0]):
        ranked = sorted(
            (-2 * len(one & two) / (len(one) + len(two)), len(two), int(v))
            for two, v in zip(sets[1], b.clades, strict=True)
        )
        assert (-f1[i], node[i]) == ((ranked[0][0], ranked[0][2]) if ranked else (0, -1))


def test_leaf_hashes_are_the_same_each_time_and_all_different():
    hashes = leaf_hashes(5_000)
    np.testing.assert_array_equal(hashes, leaf_hashes(5_000))
    assert len(np.unique(hashes)) == 5_000
    bits = (hashes[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.04


# leaf orders


def neighbor_sum(square, order):
    return square[order[:-1], order[1:]].sum()


def turned_at_random(tree, random):
    return tree.walked([random.permutation(own).tolist() for own in tree.children])


@pytest.mark.parametrize("method", LINKAGES)
def test_no_turned_branch_makes_the_order_shorter(heads, method):
    random = np.random.default_rng(3)
    for rows in (make_rows(7, 1), heads["efficientnet_lite0"].standardized[::12]):
        condensed = distances(rows, "chord")
        square = squareform(condensed)
        Z = link(condensed, method)
        tree = tree_of(Z)
        order = optimal_order(Z, condensed)
        assert is_walk(tree, order)
        best = neighbor_sum(square, order)
        for _ in range(60):
            assert best <= neighbor_sum(square, turned_at_random(tree, random)) + 1e-12
        # one branch of the order itself turned round
        turned = tree.ordered(order)
        for first, last in turned.spans[tree.n :]:
            other = order.copy()
            other[first:last] = order[first:last][::-1]
            assert best <= neighbor_sum(square, other) + 1e-12


@given(n=st.integers(3, 7), seed=seeds)
@settings(max_examples=10)
def test_the_order_is_the_shortest_of_all(n, seed):
    condensed = distances(make_rows(n, seed), "euclidean")
    square = squareform(condensed)
    Z = link(condensed, "average")
    tree = tree_of(Z)
    every = itertools.product(*([own, own[::-1]] if own else [own] for own in tree.children))
    shortest = min(neighbor_sum(square, tree.walked(turned)) for turned in every)
    assert neighbor_sum(square, optimal_order(Z, condensed)) == pytest.approx(shortest, rel=1e-12)


@given(n=st.integers(2, 14), seed=seeds, most=st.integers(2, 5))
@settings(max_examples=30)
def test_the_projected_order_puts_the_lower_branch_first(n, seed, most):
    tree = random_tree(n, seed, most)
    rows = make_rows(n, seed) + 0.5
    order = projected_order(tree, rows)
    assert is_walk(tree, order)
    U = rows / np.linalg.norm(rows, axis=1)[:, None]
    axis = np.linalg.svd(U - U.mean(axis=0))[2][0]
    score = U @ (axis * np.sign(axis[np.argmax(np.abs(axis))]))
    placed = tree.ordered(order)
    for children in placed.children:
        by_place = sorted(children, key=lambda child: placed.spans[child][0])
        means = [score[placed.leaves(child)].mean() for child in by_place]
        assert all(a <= b + 1e-9 for a, b in itertools.pairwise(means))


@pytest.mark.parametrize("method", LINKAGES)
@pytest.mark.parametrize("kind", ["equal", "orthogonal"])
def test_ties_everywhere_still_make_a_tree(kind, method):
    rows = np.ones((9, 4)) if kind == "equal" else np.eye(9)
    for distance in TREE_DISTANCES:
        condensed = distances(rows, distance)
        assert len(np.unique(condensed)) == 1
        Z = link(condensed, method)
        tree = tree_of(Z)
        assert np.isfinite(tree.height).all()
        assert tree.sizes[-1] == 9
        assert is_walk(tree, optimal_order(Z, condensed))
        assert is_walk(tree, projected_order(tree, rows))
