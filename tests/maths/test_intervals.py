"""Intervals from bootstrap resamples: their quantiles, their width and whether they cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.inference import judge
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.resample import bootstrap_weights, dyadic_share, percentile_interval

from .naive import related


def pair_of(A: np.ndarray, B: np.ndarray, k: int = 3) -> Pair:
    return Pair(Geometry(A), Geometry(B), k)


def test_an_interval_is_the_quantiles_of_the_resamples_about_the_estimate():
    resampled = np.random.default_rng(0).normal(0.3, 0.05, size=500)
    low, high = np.quantile(resampled, [0.025, 0.975]) - resampled.mean()
    found = percentile_interval(resampled, 0.4, (-1.0, 1.0))
    assert found == pytest.approx((0.4 + low, 0.4 + high), abs=1e-12)
    found = percentile_interval(resampled, 0.4, (-1.0, 1.0), share=0.5)
    assert found == pytest.approx((0.4 + low / 2, 0.4 + high / 2), abs=1e-12)
    assert percentile_interval(resampled, 0.4, (0.35, 0.42)) == (0.35, 0.42)


def test_an_interval_needs_nine_resamples_in_ten():
    resampled = np.random.default_rng(0).normal(size=100)
    whole = percentile_interval(resampled[10:], 0.0, (-9.0, 9.0))
    resampled[:10] = np.nan
    assert percentile_interval(resampled, 0.0, (-9.0, 9.0)) == whole
    resampled[10] = np.inf
    assert percentile_interval(resampled, 0.0, (-9.0, 9.0)) is None
    assert percentile_interval(np.full(3, np.nan), 0.0, (-9.0, 9.0)) is None


@given(st.integers(1, 20), st.integers(0, 2**32 - 1), st.floats(0, 4), st.booleans())
def test_the_share_of_the_width_is_between_zero_and_one(count, seed, ratio, holes):
    random = np.random.default_rng(seed)
    full = random.normal(size=count)
    half = ratio * full / 4 + 0.1 * random.normal(size=count)
    if holes:
        full[: count // 2] = np.nan
        half[-1] = np.nan
    found = dyadic_share(full, half, 0.1)
    assert 0 <= found <= 1
    assert isinstance(found, float)


def means_over_pairs(matrix: np.ndarray, weights: np.ndarray) -> np.ndarray:
    off = matrix - np.diag(np.diagonal(matrix))
    sums = np.einsum("ri,ij,rj->r", weights, off, weights)
    return sums / (weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1))


def share_of(matrix: np.ndarray) -> float:
    weights = bootstrap_weights(len(matrix), 2000, 0)
    ones = np.ones((1, len(matrix)))
    return dyadic_share(
        means_over_pairs(matrix, weights),
        means_over_pairs(matrix, (1 + weights) / 2),
        means_over_pairs(matrix, ones).item(),
    )


def test_what_belongs_to_classes_is_counted_once():
    own = np.random.default_rng(0).normal(size=60)
    assert share_of(own[:, None] + own[None, :]) > 0.97


def test_what_belongs_to_pairs_is_counted_three_times():
    found = []
    for seed in range(6):
        noise = np.triu(np.random.default_rng(seed).normal(size=(60, 60)), 1)
        found.append(share_of(noise + noise.T))
    assert np.mean(found) == pytest.approx(1 / math.sqrt(3), abs=0.06)


def test_resamples_that_do_not_vary_are_not_shrunk():
    assert dyadic_share(np.full(9, 0.5), np.full(9, 0.5), 0.5) == 1.0
    assert dyadic_share(np.full(9, np.nan), np.full(9, np.nan), 0.5) == 1.0


@pytest.mark.parametrize("name", ["rsa-spearman", "rsa-kendall"])
def test_four_classes_have_too_many_resamples_without_a_value(name):
    """A third of them has two classes at most, and so one pair."""
    judged = judge(
        MEASURES[name], pair_of(*related(4)), permuted=9, resampled=49, seed=0, null_value=0.0
    )
    assert (judged.low, judged.high, judged.resamples) == (None, None, 49)
    assert (math.isfinite(judged.estimate), judged.permutations) == (True, 9)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda each: each.name)
def test_the_interval_that_is_judged_is_that_of_whole_and_half_weights(measure):
    rows = related(14, noise=0.7)
    judged = judge(measure, pair_of(*rows), permuted=0, resampled=70, seed=4, null_value=None)
    weights = bootstrap_weights(14, 70, 4)
    pair = pair_of(*rows)
    estimate = measure.estimate(pair)
    full, half = (measure.resampled(pair, each) for each in (weights, (1 + weights) / 2))
    share = dyadic_share(full, half, estimate) if measure.over_pairs else 1.0
    expected = percentile_interval(full, estimate, measure.bounds, share)
    assert (judged.low, judged.high) == pytest.approx(expected, abs=1e-9)
    assert (share < 1.0) == measure.over_pairs


@pytest.mark.parametrize("name", ["rsa-pearson", "cka-debiased", "procrustes", "rbo"])
def test_four_times_the_classes_halve_the_interval(name):
    def width(n: int) -> float:
        found = []
        for seed in range(6):
            pair = pair_of(*related(n, noise=0.7, seed=seed), k=n // 10)
            judged = judge(
                MEASURES[name], pair, permuted=0, resampled=100, seed=seed, null_value=None
            )
            assert judged.low < judged.estimate < judged.high
            found.append(judged.high - judged.low)
        return float(np.mean(found))

    assert 1.5 < width(40) / width(160) < 2.8


@pytest.fixture(scope="module")
def unrelated(heads) -> list[Pair]:
    """60 classes of a real head, each time with a random head of another width."""
    rows = next(iter(heads.values())).standardized
    found = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        chosen = random.choice(1000, 60, replace=False)
        found.append(pair_of(rows[chosen], random.normal(size=(60, 200)), k=10))
    return found


@pytest.mark.parametrize("name", ["rsa-pearson", "cka-debiased", "knn-jaccard", "rbo"])
def test_intervals_cover_the_null_of_unrelated_heads(unrelated, name):
    """The short form: 95 % are promised, and 40 heads can tell that from 85 %, hardly from 100 %."""
    measure = MEASURES[name]
    null = measure.exact_null(60, 10)
    covered, widths, uncorrected = [], [], []
    for seed, pair in enumerate(unrelated):
        weights = bootstrap_weights(60, 100, seed)
        estimate = measure.estimate(pair)
        full = measure.resampled(pair, weights)
        half = measure.resampled(pair, (1 + weights) / 2) if measure.over_pairs else None
        low, high = measure.interval(estimate, full, half)
        covered.append(low <= null <= high)
        widths.append(high - low)
        plain = percentile_interval(full, estimate, measure.bounds)
        uncorrected.append(plain[1] - plain[0])
    assert 0.85 <= np.mean(covered) <= 1.0
    ratio = np.mean(uncorrected) / np.mean(widths)
    assert 1.3 < ratio < 2.0  # the square root of three where noise belongs to pairs


def test_intervals_of_rank_statistics_are_as_wide_as_those_of_the_correlation(unrelated):
    """Too slow for all forty heads; tau is about two thirds of rho near 0."""
    names = ("rsa-pearson", "rsa-spearman", "rsa-kendall")
    widths = []
    for seed, pair in enumerate(unrelated[:4]):
        judged = [
            judge(MEASURES[name], pair, permuted=0, resampled=100, seed=seed, null_value=0.0)
            for name in names
        ]
        widths.append([each.high - each.low for each in judged])
    pearson, spearman, kendall = np.mean(widths, axis=0)
    assert 0.75 < spearman / pearson < 1.3
    assert 0.55 < kendall / spearman < 0.8


def test_an_uncorrected_interval_is_far_too_wide(unrelated):
    """Estimates vary by much less than resamples of one pair of heads."""
    measure = MEASURES["rsa-pearson"]
    estimates = np.array([measure.estimate(pair) for pair in unrelated])
    spread = [
        measure.resampled(pair, bootstrap_weights(60, 100, seed)).std()
        for seed, pair in enumerate(unrelated)
    ]
    assert np.mean(spread) > 1.3 * estimates.std()
