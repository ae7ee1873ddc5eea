"""The Procrustes distance against both of scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy

from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.resample import permutations

from .naive import padded, procrustes, related

MEASURE = MEASURES["procrustes"]


def angle(A: np.ndarray, B: np.ndarray) -> float:
    return MEASURE.estimate(Pair(Geometry(A), Geometry(B), 3))


def test_whole_real_heads_are_as_far_apart_as_scipy_says(real_pairs):
    pair, first, second = real_pairs[0]
    _, _, disparity = scipy.spatial.procrustes(first.standardized, second.standardized)
    assert 1 - math.cos(MEASURE.estimate(pair)) ** 2 == pytest.approx(disparity, abs=1e-9)


def test_real_heads_are_as_far_apart_as_their_gram_matrices_say(real_pairs):
    """The nuclear norm of XᵀY is the trace of the root of K½ L K½, with K = XXᵀ and L = YYᵀ."""
    for _, first, second in real_pairs:
        A, B = first.standardized[::4], second.standardized[::4]
        K, L = (each @ each.T for each in padded(A, B))
        values, vectors = np.linalg.eigh(K)
        root = vectors * np.sqrt(values.clip(0)) @ vectors.T
        nuclear = np.sqrt(np.linalg.eigvalsh(root @ L @ root).clip(0)).sum()
        assert angle(A, B) == pytest.approx(math.acos(nuclear), abs=1e-6)


@pytest.mark.parametrize(("n", "dims"), [(20, (6, 6)), (12, (30, 30)), (12, (12, 12))])
def test_equally_wide_heads_are_as_far_apart_as_scipy_says(n, dims):
    A, B = related(n, dims)
    _, _, disparity = scipy.spatial.procrustes(A + 2.0, 5.0 * B)
    assert 1 - math.cos(angle(A + 2.0, 5.0 * B)) ** 2 == pytest.approx(disparity, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "dims"), [(20, (4, 9)), (20, (9, 4)), (8, (30, 5)), (8, (5, 30)), (8, (20, 30))]
)
def test_unequally_wide_heads_are_as_far_apart_as_with_zeros_added(n, dims):
    A, B = related(n, dims)
    X, Y = padded(A, B)
    rotation, nuclear = scipy.linalg.orthogonal_procrustes(X, Y)
    assert angle(A, B) == pytest.approx(math.acos(nuclear), abs=1e-9)
    assert math.cos(angle(A, B)) == pytest.approx(np.sum((X @ rotation) * Y), abs=1e-12)


def test_no_rotation_brings_the_heads_nearer():
    A, B = related(15, (4, 4))
    X, Y = padded(A, B)
    best = math.cos(angle(A, B))
    random = np.random.default_rng(0)
    tried = [
        np.sum((X @ scipy.stats.ortho_group.rvs(4, random_state=random)) * Y) for _ in range(50)
    ]
    assert max(tried) < best


@pytest.mark.parametrize("dims", [(5, 7), (30, 7), (7, 30), (30, 40)])
def test_permuted_values_are_the_cosine_of_the_angle(dims):
    A, B = related(12, dims)
    orders = permutations(12, 6, 0)
    found = MEASURE.permuted(Pair(Geometry(A), Geometry(B), 3), orders)
    expected = [math.cos(procrustes(A, B[order], 3)) for order in orders]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)
