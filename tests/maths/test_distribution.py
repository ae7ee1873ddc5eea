"""Counted cosines against numpy's histogram of all pairs, and the null against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import cosine_matrix

from classrel_db.maths import similarity
from classrel_db.maths.distribution import binned_cosines, shuffled


def rows_of(n, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@pytest.mark.parametrize(("n", "dim"), [(2, 3), (3, 2), (40, 5), (300, 30)])
def test_the_counts_are_numpys(n, dim):
    rows = rows_of(n, dim)
    found = binned_cosines(rows)
    cosines = cosine_matrix(rows)[np.triu_indices(n, 1)].astype(np.float32).astype(np.float64)
    assert found.pairs == len(cosines) == n * (n - 1) // 2
    assert found.counts.sum() == found.pairs
    assert found.counts.tolist() == np.histogram(cosines, 200, (-1, 1))[0].tolist()
    assert found.mean == pytest.approx(cosines.mean(), abs=1e-7)
    np.testing.assert_allclose(found.edges, np.linspace(-1, 1, 201), atol=1e-12)
    for q in (0.025, 0.5, 0.975):
        # the upper edge of a bin of 0.0002 that has reached the share, and the one before has not
        edge = found.quantile(q)
        assert np.mean(cosines < edge) >= q
        assert np.mean(cosines < edge - 2e-4) < q
        assert found.above(edge) == pytest.approx(np.mean(cosines >= edge), abs=1e-12)


def test_blocks_of_rows_count_each_pair_once(monkeypatch):
    rows = rows_of(50, 6)
    whole = binned_cosines(rows)
    blocks = similarity.cosine_blocks
    monkeypatch.setattr(
        "classrel_db.maths.distribution.cosine_blocks", lambda U: blocks(U, block_bytes=8 * 50 * 7)
    )
    parts = binned_cosines(rows)
    assert parts.fine.tolist() == whole.fine.tolist()
    assert parts.mean == pytest.approx(whole.mean)


def test_equal_and_opposite_rows_are_in_the_outermost_bins():
    rows = np.array([[1.0, 2, 3], [2, 4, 6], [-1, -2, -3]], dtype=np.float32)
    found = binned_cosines(rows)
    assert found.counts[-1] == 1
    assert found.counts[0] == 2
    assert found.quantile(1) == 1
    assert found.above(-1) == 1


def test_a_cosine_on_an_edge_counts_above_it():
    found = binned_cosines(np.eye(4, dtype=np.float32))
    assert found.counts[100] == found.pairs == 6
    assert found.edges[100] == 0


def test_shuffling_keeps_each_rows_values_and_nothing_else():
    rows = rows_of(30, 200)
    rows += 3 * rows[0]  # all alike
    other = shuffled(rows, 7)
    assert np.sort(other, axis=1).tolist() == np.sort(rows, axis=1).tolist()
    orders = np.argsort(np.argsort(other, axis=1), axis=1) - np.argsort(
        np.argsort(rows, axis=1), axis=1
    )
    assert np.count_nonzero(orders) > 0.9 * orders.size
    assert shuffled(rows, 7).tolist() == other.tolist()
    assert shuffled(rows, 8).tolist() != other.tolist()
    rows -= rows.mean(axis=1, keepdims=True)
    null = binned_cosines(shuffled(rows, 7))
    assert abs(null.mean) < 0.02 < binned_cosines(rows).mean
    assert null.quantile(0.975) == pytest.approx(1.96 / np.sqrt(199), rel=0.15)
