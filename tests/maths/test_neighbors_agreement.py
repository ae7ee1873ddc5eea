"""Agreement of nearest neighbours against sets and sums over depths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracle import nearest

from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.measures.neighbors import overlap_weights

from .naive import NAIVE, extended_overlap, related

JACCARD, RBO = MEASURES["knn-jaccard"], MEASURES["rbo"]


@pytest.fixture(scope="module")
def rankings(heads):
    """The 250 nearest of every tenth class of the real heads."""
    return {
        name: {c: nearest(head.cosine[c], 250, (c,)) for c in range(0, 1000, 10)}
        for name, head in heads.items()
    }


ALL = np.arange(1000, dtype=np.int32)


@pytest.mark.parametrize("k", [1, 25, 200])
def test_real_heads_share_the_neighbors_that_sets_say(real_pairs, rankings, k):
    for pair, first, second in real_pairs:
        found = JACCARD.of_classes(Pair(pair.a, pair.b, k), ALL)
        for c in rankings[first.name]:
            near, there = (set(rankings[head.name][c][:k]) for head in (first, second))
            assert found[c] == pytest.approx(len(near & there) / len(near | there), abs=1e-12)
        assert JACCARD.estimate(Pair(pair.a, pair.b, k)) == pytest.approx(found.mean(), abs=1e-12)


def test_real_heads_have_the_overlap_of_the_sum_over_depths(real_pairs, rankings):
    for pair, first, second in real_pairs:
        found = RBO.of_classes(pair, ALL)
        for c in list(rankings[first.name])[:20]:
            expected = extended_overlap(rankings[first.name][c], rankings[second.name][c])
            assert found[c] == pytest.approx(expected, abs=1e-12)
        assert RBO.estimate(pair) == pytest.approx(found.mean(), abs=1e-12)


@pytest.mark.parametrize("n", [4, 7, 30])
@pytest.mark.parametrize("measure", [JACCARD, RBO], ids=lambda measure: measure.name)
def test_estimates_of_small_heads_are_the_naive_ones(measure, n):
    A, B = related(n)
    for k in {1, 2, n // 2, n - 1}:
        found = measure.estimate(Pair(Geometry(A), Geometry(B), k))
        assert found == pytest.approx(NAIVE[measure.name](A, B, k), abs=1e-12)


def test_all_others_are_shared_when_all_count_as_near():
    pair = Pair(*map(Geometry, related(9)), 8)
    np.testing.assert_array_equal(JACCARD.of_classes(pair, np.arange(9)), np.ones(9))


@pytest.mark.parametrize("depth", [1, 2, 5, 300])
@pytest.mark.parametrize("persistence", [0.5, 0.9])
def test_what_all_places_add_is_one(depth, persistence):
    weights = overlap_weights(depth, persistence)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert (np.diff(weights) < 0).all()


def test_weights_of_places_give_the_sum_over_depths():
    for p in (0.5, 0.9):
        weights = overlap_weights(4, p)
        for second in itertools.permutations(range(4)):
            worse = [max(place, second.index(thing)) for place, thing in enumerate(range(4))]
            expected = extended_overlap(list(range(4)), list(second), p)
            assert weights[worse].sum() == pytest.approx(expected, abs=1e-12)


def test_places_beyond_the_depth_count_for_nothing():
    """A class of 230 others, of which only the first 200 places are looked at."""
    A, B = related(231, (5, 5), noise=0.2)
    found = RBO.estimate(Pair(Geometry(A), Geometry(B), 3))
    assert found == pytest.approx(NAIVE["rbo"](A, B, 3), abs=1e-9)
