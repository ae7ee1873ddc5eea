"""Ranks, levels and neighbours of one head's classes against loops and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st
from oracle import cosine_matrix, nearest

from classrel_db.maths import geometry as module
from classrel_db.maths.geometry import Geometry, Pair, mean_ranks, square, upper

values = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40)


def rows_of(n: int, dim: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([n, dim, seed]).normal(size=(n, dim))


@given(values, st.sampled_from([np.float32, np.float64]))
def test_mean_ranks_are_those_of_scipy_with_ties(numbers, kind):
    found = mean_ranks(np.array(numbers * 2, dtype=kind))
    np.testing.assert_array_equal(found, scipy.stats.rankdata(np.array(numbers * 2, dtype=kind)))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("different", [1, 7, 10**9])
def test_mean_ranks_of_many_values_are_exact(kind, different):
    numbers = np.random.default_rng(different).integers(0, different, 200_001).astype(kind)
    np.testing.assert_array_equal(mean_ranks(numbers), scipy.stats.rankdata(numbers))


def test_mean_ranks_that_single_precision_can_not_hold_are_in_double(monkeypatch):
    monkeypatch.setattr(module, "_EXACT_RANKS", 100)
    assert mean_ranks(np.arange(99)).dtype == np.float32
    assert mean_ranks(np.arange(100)).dtype == np.float64


@given(st.integers(2, 12))
def test_what_stands_above_the_diagonal_goes_there_and_back(n):
    matrix = cosine_matrix(rows_of(n))
    flat = upper(matrix)
    np.testing.assert_array_equal(flat, matrix[np.triu_indices(n, 1)])
    back = square(flat, n, diagonal=7.0)
    np.testing.assert_array_equal(np.diagonal(back), np.full(n, 7.0))
    np.testing.assert_array_equal(
        back - np.diag(np.diagonal(back)), np.triu(back, 1) + np.triu(back, 1).T
    )
    np.testing.assert_array_equal(upper(back), flat)


def test_cosines_and_ranks_of_pairs():
    rows = rows_of(20) * np.arange(1, 21)[:, None]
    head = Geometry(rows)
    np.testing.assert_allclose(head.cosine, cosine_matrix(rows), rtol=0, atol=2.0**-24)
    assert np.diagonal(head.cosine).tolist() == [1.0] * 20
    np.testing.assert_array_equal(head.pairs, head.cosine[np.triu_indices(20, 1)])
    np.testing.assert_array_equal(head.ranks, scipy.stats.rankdata(head.pairs))


def test_neighbors_are_ordered_by_cosine_then_index_and_know_their_places():
    rows = rows_of(15)
    rows[[3, 8, 11]] = rows[5]
    head = Geometry(rows)
    for c in range(15):
        expected = nearest(head.cosine[c], 14, (c,))
        assert head.order[c].tolist() == expected
        assert [head.places[c, other] for other in expected] == list(range(1, 15))
        assert head.places[c, c] == 0
    assert head.order[8, :3].tolist() == [3, 5, 11]


def test_few_different_cosines_have_a_level_each():
    head = Geometry(rows_of(20))  # 190 pairs
    above = np.triu_indices(20, 1)
    np.testing.assert_array_equal(head.levels[above], scipy.stats.rankdata(head.pairs) - 1)
    assert set(np.diagonal(head.levels).tolist()) == {-1}
    np.testing.assert_array_equal(head.levels, head.levels.T)


def test_few_different_cosines_of_many_pairs_have_a_level_each():
    head = Geometry(rows_of(10)[np.arange(60) % 10])
    different = np.unique(head.pairs)
    assert len(different) < module.LEVELS < len(head.pairs)
    found = head.levels[np.triu_indices(60, 1)]
    np.testing.assert_array_equal(found, np.searchsorted(different, head.pairs))


def test_many_different_cosines_are_spread_evenly_in_their_order():
    head = Geometry(rows_of(80))  # 3,160 pairs
    found = head.levels[np.triu_indices(80, 1)]
    counts = np.bincount(found, minlength=module.LEVELS)
    assert len(counts) == module.LEVELS
    assert counts.max() - counts.min() <= 1
    assert (np.diff(found[np.argsort(head.pairs)]) >= 0).all()


def test_equal_cosines_share_a_level_where_there_are_many():
    rows = rows_of(80)
    rows[40:] = rows[:40]
    head = Geometry(rows)
    assert len(np.unique(head.pairs)) > module.LEVELS
    found = head.levels[np.triu_indices(80, 1)]
    for value in np.unique(head.pairs):
        assert len(set(found[head.pairs == value].tolist())) == 1


def test_heads_that_are_not_aligned_are_refused():
    with pytest.raises(ValueError, match="5 classes and the other 6"):
        Pair(Geometry(rows_of(5)), Geometry(rows_of(6)), 2)
