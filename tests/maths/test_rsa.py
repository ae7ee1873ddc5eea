"""Representational similarity analysis against rsatoolbox, scikit-bio and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy
from oracle import cosine_matrix
from rsatoolbox.rdm import RDMs, compare
from skbio.stats.distance import DistanceMatrix, mantel

from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.inference import judge
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.measures.correlation import correlation

from .naive import NAIVE, related

RSATOOLBOX = {
    "rsa-pearson": "corr",
    "rsa-spearman": "spearman",
    "rsa-kendall": "tau-a",
    "second-order-cosine": "cosine",
}


def dissimilarities(rows: np.ndarray) -> np.ndarray:
    found = 1 - cosine_matrix(rows)
    np.fill_diagonal(found, 0.0)
    return (found + found.T) / 2


@pytest.mark.parametrize("name", RSATOOLBOX)
def test_real_heads_agree_as_rsatoolbox_says(real_pairs, name):
    above = np.triu_indices(1000, 1)
    for pair, first, second in real_pairs:
        rdms = [RDMs((1 - head.cosine[above])[None]) for head in (first, second)]
        expected = compare(*rdms, method=RSATOOLBOX[name]).item()
        assert MEASURES[name].estimate(pair) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", RSATOOLBOX)
def test_tied_cosines_count_as_rsatoolbox_counts_them(name):
    rows = [np.sign(each) for each in related(30, (6, 9))]
    pair = Pair(*map(Geometry, rows), 5)
    assert max(len(np.unique(head.pairs)) for head in (pair.a, pair.b)) <= 10  # of 435 pairs
    # the same float32 cosines, for ties are what this is about
    rdms = [RDMs((1 - head.pairs.astype(np.float64))[None]) for head in (pair.a, pair.b)]
    expected = compare(*rdms, method=RSATOOLBOX[name]).item()
    assert MEASURES[name].estimate(pair) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_kendall_without_ties_is_scipys(seed):
    pair = Pair(*map(Geometry, related(25, seed=seed)), 5)
    expected = scipy.stats.kendalltau(pair.a.pairs, pair.b.pairs).statistic
    assert MEASURES["rsa-kendall"].estimate(pair) == pytest.approx(expected, abs=1e-12)


def noisy(heads, classes: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A few classes of two real heads, the second blurred so that p is not at its smallest."""
    random = np.random.default_rng(seed)
    first, second = list(heads.values())[:2]
    chosen = random.choice(1000, classes, replace=False)
    blur = noise * random.normal(size=(classes, second.weight.shape[1]))
    return first.standardized[chosen], second.standardized[chosen] + blur


@pytest.mark.parametrize(("classes", "noise", "seed"), [(12, 1, 0), (12, 2, 0), (20, 4, 3)])
@pytest.mark.parametrize("name", ["rsa-pearson", "rsa-spearman"])
def test_the_mantel_test_is_that_of_scikit_bio(heads, name, classes, noise, seed):
    rows = noisy(heads, classes, noise, seed)
    tried = 1999
    r, p, n = mantel(
        *(DistanceMatrix(dissimilarities(each)) for each in rows),
        method=name.removeprefix("rsa-"),
        permutations=tried,
        alternative="greater",
        seed=1,
    )
    pair = Pair(*map(Geometry, rows), 5)
    ours = judge(MEASURES[name], pair, permuted=tried, resampled=0, seed=2, null_value=0.0)
    assert n == classes
    assert ours.estimate == pytest.approx(r, abs=1e-6)
    assert 0.02 < p < 0.98  # else nothing is compared
    assert abs(ours.p_value - p) < 4 * math.sqrt(2 * p * (1 - p) / tried)


def test_the_mantel_test_is_that_of_scikit_bio_where_classes_agree(heads):
    rows = noisy(heads, 40, 0.0, 1)
    r, p, _ = mantel(
        *(DistanceMatrix(dissimilarities(each)) for each in rows),
        permutations=99,
        alternative="greater",
        seed=1,
    )
    pair = Pair(*map(Geometry, rows), 5)
    ours = judge(MEASURES["rsa-pearson"], pair, permuted=99, resampled=0, seed=2, null_value=0.0)
    assert (ours.estimate, ours.p_value) == (pytest.approx(r, abs=1e-6), p)
    assert p == 0.01


@pytest.mark.parametrize("n", [12, 60])
@pytest.mark.parametrize("name", ["rsa-spearman", "rsa-pearson", "second-order-cosine"])
def test_estimates_of_small_heads_are_the_naive_ones(name, n):
    rows = related(n)
    pair = Pair(*map(Geometry, rows), 5)
    assert MEASURES[name].estimate(pair) == pytest.approx(NAIVE[name](*rows, 5), abs=1e-7)


@pytest.mark.parametrize("shape", [(20, 4000), (250, 2000)])
@pytest.mark.parametrize("seed", range(2))
def test_the_second_order_cosine_has_the_p_value_of_the_correlation(shape, seed):
    """In every order means and lengths are the same, so both statistics rank the orders alike.

    Of wide heads the dissimilarities are all so near 1 that their cosine varies by little more than
    rounding.
    """
    random = np.random.default_rng(seed)
    pair = Pair(*(Geometry(random.normal(size=shape)) for _ in range(2)), 5)
    p = [
        judge(MEASURES[name], pair, permuted=99, resampled=0, seed=0, null_value=None).p_value
        for name in ("rsa-pearson", "second-order-cosine")
    ]
    assert p[0] < 0.95
    assert p[1] == pytest.approx(p[0], abs=0.011)


def test_what_differs_by_rounding_alone_has_no_correlation():
    random = np.random.default_rng(0)
    steady = np.float32(0.3) + np.float32(2**-25) * random.integers(0, 2, 50).astype(np.float32)
    assert len(np.unique(steady)) == 2
    varied = random.normal(size=50)
    for x, y in ((steady, varied), (varied, steady), (np.zeros(50), varied)):
        assert math.isnan(correlation(x, y, centered=True))
    assert math.isnan(correlation(np.zeros(50), varied, centered=False))
    assert abs(correlation(steady, varied, centered=False)) < 0.5
    shifted = varied + 1e3
    assert correlation(varied, shifted, centered=True) == pytest.approx(1.0, abs=1e-9)
