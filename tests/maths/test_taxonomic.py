"""A head against a taxonomy: scipy, scikit-bio, sorting of all pairs, every relabelling."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from skbio.stats.distance import DistanceMatrix, mantel

from classrel_db.maths import taxonomic
from classrel_db.maths.ancestry import Ancestry
from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.inference import judge
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.measures.base import Measure
from classrel_db.maths.resample import bootstrap_weights, permutations
from classrel_db.maths.taxonomic import TAXONOMY_MEASURES, compare_with_taxonomy, surprises
from classrel_db.maths.trees.compare import of_similarity
from classrel_db.maths.trees.linkage import distances, link
from classrel_db.maths.trees.tree import tree_of

from .test_ancestry import random_graph
from .test_tree_comparison import renamed
from .test_trees import leaf_sets, random_tree
from .test_triplets import naive_agreement

SPEARMAN = MEASURES["rsa-spearman"]
RANKED = ("path", "wu-palmer", "lca-depth")


def nested(n, groups=(8, 3)):
    """Classes under small groups, these under large ones, all under one root."""
    parents, depth, last, start = [[]], [0], [0], 0
    for count in sorted(groups):
        start = len(parents)
        for number in range(count):
            parents.append([(last[number * len(last) // count], 1.0)])
            depth.append(depth[parents[-1][0][0]] + 1)
        last = list(range(start, len(parents)))
    taxon = []
    for number in range(n):
        parents.append([(last[number * len(last) // n], 1.0)])
        depth.append(depth[parents[-1][0][0]] + 1)
        taxon.append(len(parents) - 1)
    return Ancestry(parents, np.array(depth), np.array(taxon))


def placed_head(ancestry, noise=1.0, seed=0, dim=20):
    """Rows that are near to one another where the classes are."""
    random = np.random.default_rng(seed)
    common = random.normal(size=(len(ancestry.depth), dim))
    rows = noise * random.normal(size=(ancestry.n, dim))
    for taxon in range(len(ancestry.depth)):
        rows[ancestry.members(taxon)] += common[taxon]
    return rows


def tree_of_rows(rows):
    return tree_of(link(distances(rows, "chord"), "average"))


def similarity(ancestry, name):
    return {"path": -ancestry.path, "wu-palmer": ancestry.wu_palmer}.get(
        name, ancestry.common_depth
    )


def compared(name, rows, ancestry, tree=None, **options):
    options = {"permuted": 0, "resampled": 0, "seed": 0, **options}
    tree = tree_of_rows(rows) if tree is None else tree
    (found,) = compare_with_taxonomy([name], Geometry(rows), ancestry, tree, **options)
    return found


@pytest.mark.parametrize("name", RANKED)
@pytest.mark.parametrize("seed", range(3))
def test_correlations_are_scipys_over_pairs(name, seed):
    ancestry = nested(40) if seed else random_graph(5, n_taxa=30, n=25).ancestry()
    rows = placed_head(ancestry, noise=2, seed=seed)
    above = np.triu_indices(ancestry.n, 1)
    expected = spearmanr(Geometry(rows).pairs, similarity(ancestry, name)[above]).statistic
    found = compared(name, rows, ancestry)
    assert found.estimate == pytest.approx(expected, abs=1e-6)
    assert 0.05 < found.estimate < 0.9
    assert (found.low, found.high, found.p_value) == (None, None, None)
    assert (found.permutations, found.resamples) == (0, 0)


@pytest.mark.parametrize("noise", [3.0, 9.0])
def test_p_values_are_those_of_mantels_test(noise):
    ancestry = nested(16)
    rows = placed_head(ancestry, noise=noise, seed=4)
    far = ancestry.path
    cosine = Geometry(rows).cosine.astype(np.float64)
    apart = 1 - cosine
    np.fill_diagonal(apart, 0)
    expected = mantel(
        DistanceMatrix(apart),
        DistanceMatrix(far),
        method="spearman",
        permutations=1_999,
        alternative="greater",
        seed=1,
    )
    found = compared("path", rows, ancestry, permuted=1_999)
    assert found.estimate == pytest.approx(expected[0], abs=1e-6)
    error = np.sqrt(2 * expected[1] * (1 - expected[1]) / 2_000)
    assert 0.001 < expected[1] < 0.9
    assert found.p_value == pytest.approx(expected[1], abs=4 * error)
    assert found.permutations == 1_999
    assert found.null_value == 0


@pytest.mark.parametrize("n", [30, 231])
def test_one_permutation_of_the_classes_serves_every_correlation(n):
    """Whole matrices permuted in double precision, below and above where single begins."""
    ancestry = nested(n, groups=(n // 6, 4))
    rows = placed_head(ancestry, noise=25 if n < 100 else 40, seed=2)
    head, tree = Geometry(rows), tree_of_rows(rows)
    options = {"permuted": 150, "resampled": 40, "seed": 5}
    told = []
    found = compare_with_taxonomy(
        list(TAXONOMY_MEASURES), head, ancestry, tree, step=lambda *d: told.append(d), **options
    )
    assert [each.measure for each in found] == list(TAXONOMY_MEASURES)
    assert told[-1] == (150 + 2 * 40 * 3,) * 2
    above = np.triu_indices(n, 1)
    ranks = np.zeros((n, n))
    ranks[above] = rankdata(head.pairs)
    ranks += ranks.T
    for each in found:
        if each.measure in RANKED:
            other = rankdata(similarity(ancestry, each.measure)[above])
            null = [
                np.corrcoef(ranks[np.ix_(order, order)][above], other)[0, 1]
                for order in permutations(n, 150, 5)
            ]
            reached = sum(value >= each.estimate - 1e-7 for value in null)
            assert each.p_value == pytest.approx((reached + 1) / 151, abs=1e-9)
            assert 0 < reached < 150
        assert compared(each.measure, rows, ancestry, tree, **options) == each


@pytest.mark.parametrize("name", RANKED)
def test_resamples_are_near_to_those_of_ranks_made_anew(monkeypatch, name):
    """Each of them, which an interval about their mean does not show."""
    taken = []
    monkeypatch.setattr(Measure, "interval", lambda *given: taken.append(given))
    ancestry = nested(40)
    rows = placed_head(ancestry, noise=2, seed=1)
    assert compared(name, rows, ancestry, resampled=60, seed=3).low is None
    ((_, _, whole, half),) = taken
    pair = Pair(Geometry(rows), of_similarity(similarity(ancestry, name)), 1)
    weights = bootstrap_weights(40, 60, 3)
    for found, each in ((whole, weights), (half, (1 + weights) / 2)):
        expected = SPEARMAN.resampled(pair, each)
        np.testing.assert_allclose(found, expected, atol=0.03)
        assert np.ptp(expected) > 0.06


@pytest.mark.parametrize("name", ["path", "wu-palmer"])
def test_the_interval_is_close_to_that_of_ranks_made_anew(name):
    ancestry = nested(40)
    rows = placed_head(ancestry, noise=2, seed=1)
    told = []
    found = compared(name, rows, ancestry, resampled=300, step=lambda *done: told.append(done))
    assert told == sorted(told)
    assert (told[-1], found.resamples) == ((600, 600), 300)
    pair = Pair(Geometry(rows), of_similarity(similarity(ancestry, name)), 1)
    anew = judge(SPEARMAN, pair, permuted=0, resampled=300, seed=0, null_value=0.0)
    assert found.estimate == anew.estimate
    assert found.low < found.estimate < found.high
    assert found.low == pytest.approx(anew.low, abs=0.02)
    assert found.high == pytest.approx(anew.high, abs=0.02)
    assert found == compared(name, rows, ancestry, resampled=300)
    assert found != compared(name, rows, ancestry, resampled=300, seed=1)


@pytest.mark.parametrize("name", list(TAXONOMY_MEASURES))
def test_p_is_of_every_relabelling(monkeypatch, name):
    """All 120 orders of 5 classes in the place of some."""
    orders = np.array(list(itertools.permutations(range(5))), dtype=np.int32)
    monkeypatch.setattr(taxonomic, "permutations", lambda n, count, seed: orders)
    parents = [[], [(0, 1.0)], [(0, 1.0)], [(1, 1.0)]]
    ancestry = Ancestry(parents, np.array([0, 1, 1, 2]), np.array([3, 3, 1, 2, 2]))
    rows = placed_head(ancestry, noise=0.7, seed=3)
    tree = tree_of_rows(rows)
    cosine = Geometry(rows).cosine.astype(np.float64)
    above = np.triu_indices(5, 1)
    taxa = [frozenset(ancestry.members(t).tolist()) for t in (1, 2, 3)]

    def measure(order):
        if name == "triplets":
            return naive_agreement(ancestry.common_depth, cosine[np.ix_(order, order)])
        if name == "monophyly":
            sets = leaf_sets(renamed(tree, order.tolist()))
            return np.mean([each in sets for each in taxa])
        values = similarity(ancestry, name)[np.ix_(order, order)]
        return spearmanr(cosine[above], values[above]).statistic

    null = np.array([measure(order) for order in orders])
    expected = measure(np.arange(5))
    found = compared(name, rows, ancestry, tree, permuted=120)
    assert found.estimate == pytest.approx(expected, abs=1e-6)
    assert found.p_value == pytest.approx(((null >= expected - 1e-6).sum() + 1) / 121)
    # of a correlation it is known, and not estimated
    assert found.null_value == (0 if name in RANKED else pytest.approx(null.mean(), abs=1e-6))
    assert found.permutations == 120


def test_triplets_are_those_of_three_loops():
    for seed in range(4):
        ancestry = random_graph(seed, n_taxa=20, n=11).ancestry()
        rows = placed_head(ancestry, seed=seed)
        found = compared("triplets", rows, ancestry, permuted=500)
        expected = naive_agreement(ancestry.common_depth, Geometry(rows).cosine)
        assert found.estimate == pytest.approx(expected)
        assert found.permutations == 99


def test_monophyly_counts_taxa_that_are_clades():
    for seed in range(6):
        ancestry = nested(24) if seed % 2 else random_graph(seed, n_taxa=25, n=12).ancestry()
        rows = placed_head(ancestry, noise=1.5, seed=seed)
        tree = tree_of_rows(rows) if seed else random_tree(ancestry.n, seed)
        sets = set(leaf_sets(tree))
        taxa = {
            frozenset(ancestry.members(t).tolist())
            for t in range(len(ancestry.depth))
            if 1 < len(ancestry.members(t)) < ancestry.n
        }
        found = compared("monophyly", rows, ancestry, tree, permuted=30)
        assert found.estimate == pytest.approx(sum(each in sets for each in taxa) / len(taxa))


def test_a_tree_of_the_taxonomy_keeps_all_together():
    ancestry = nested(24)
    rows = placed_head(ancestry, noise=0.01)
    found = compared("monophyly", rows, ancestry, permuted=99)
    assert (found.estimate, found.p_value) == (1.0, 0.01)
    assert found.null_value < 0.1


@pytest.mark.parametrize("rows", [np.ones((8, 3)), np.eye(8)], ids=["equal", "orthogonal"])
def test_cosines_that_are_all_equal_say_nothing(rows):
    ancestry = nested(8, groups=(2,))
    for name in ("path", "wu-palmer", "lca-depth", "triplets"):
        found = compared(name, rows, ancestry, permuted=9, resampled=9)
        assert (found.estimate, found.p_value, found.low, found.high) == (None,) * 4
        assert (found.permutations, found.resamples) == (0, 0)


def test_one_taxon_over_all_says_nothing():
    ancestry = Ancestry([[], [(0, 1.0)]], np.array([0, 1]), np.full(8, 1))
    rows = np.random.default_rng(0).normal(size=(8, 5))
    for name in TAXONOMY_MEASURES:
        found = compared(name, rows, ancestry, permuted=9, resampled=9)
        assert (found.estimate, found.p_value) == (None, None)


# surprises


def sorted_surprises(rows, ancestry, k):
    """Exact shares of all pairs, sorted."""
    n = ancestry.n
    head = Geometry(rows)
    pairs = list(itertools.combinations(range(n), 2))
    cosine = head.pairs
    path = np.array([ancestry.path[a, b] for a, b in pairs])
    count = len(pairs)
    shares = [
        [Fraction(int(2 * rank) - 1, 2 * count) for rank in rankdata(values)]
        for values in (cosine, -path)
    ]
    found = []
    for sign in (1, -1):
        ranked = sorted(
            (-sign * (shares[0][p] - shares[1][p]), -sign * float(cosine[p]), p)
            for p in range(count)
            if sign * (shares[0][p] - Fraction(1, 2)) > 0 > sign * (shares[1][p] - Fraction(1, 2))
        )
        found.append(
            [(*pairs[p], float(shares[0][p]), float(shares[1][p])) for *_, p in ranked[:k]]
        )
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 7, 40, 500])
def test_surprises_are_those_of_a_full_sort(seed, k):
    """Also where many pairs are as surprising as others."""
    ancestry = nested(24)
    rows = placed_head(ancestry, noise=2, seed=seed)
    if seed > 1:
        rows = np.sign(rows[:, :8])
    found = surprises(Geometry(rows), ancestry, k)
    for ours, expected in zip(found, sorted_surprises(rows, ancestry, k), strict=True):
        assert len(ours) == len(expected) > 0
        assert [(each.a, each.b) for each in ours] == [each[:2] for each in expected]
        np.testing.assert_allclose(
            [(each.cosine_share, each.path_share) for each in ours],
            [each[2:] for each in expected],
            rtol=1e-6,
        )
        for each in ours:
            assert each.a < each.b
            assert 0 <= each.cosine_share <= 1
            assert 0 <= each.path_share <= 1
