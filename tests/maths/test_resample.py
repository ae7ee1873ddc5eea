"""Permutations and bootstrap resamples of two heads against literal ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from classrel_db.maths import resample as module
from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.inference import in_steps, judge
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.resample import (
    PermutedProducts,
    at_least,
    bootstrap_weights,
    in_threads,
    p_value,
    permutations,
)

from .naive import NAIVE, grams, related

OVER_PAIRS = [name for name, measure in MEASURES.items() if measure.over_pairs]
RANKS = ("rsa-spearman", "rsa-kendall")
LEVEL_ROUNDING = 5e-4  # of ranks where a few pairs share one of the 256 levels; falls with n

every_measure = pytest.mark.parametrize("name", MEASURES)


def pair_of(A: np.ndarray, B: np.ndarray, k: int = 3) -> Pair:
    return Pair(Geometry(A), Geometry(B), k)


# --- what is drawn ---------------------------------------------------------------------------


@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_permutations_are_orders_of_all_classes_and_the_same_for_a_seed(n, count, seed):
    orders = permutations(n, count, seed)
    assert orders.dtype == np.int32
    assert orders.shape == (count, n)
    assert (np.sort(orders, axis=1) == np.arange(n)).all()
    np.testing.assert_array_equal(permutations(n, count, seed), orders)


def test_permutations_of_another_seed_are_others_and_all_are_equally_likely():
    assert (permutations(20, 5, 0) != permutations(20, 5, 1)).any()
    orders = permutations(4, 1200, 0)
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_bootstrap_weights_are_counts_of_n_draws_and_the_same_for_a_seed(n, count, seed):
    weights = bootstrap_weights(n, count, seed)
    assert weights.shape == (count, n)
    assert (weights.sum(axis=1) == n).all()
    assert (weights >= 0).all()
    assert (weights == np.round(weights)).all()
    np.testing.assert_array_equal(bootstrap_weights(n, count, seed), weights)


def test_bootstrap_weights_vary_as_draws_with_replacement():
    weights = bootstrap_weights(10, 4000, 0)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(weights.var(axis=0), 0.9, atol=0.1)
    assert (weights != bootstrap_weights(10, 4000, 1)).any()


@pytest.mark.parametrize("cores", [1, 2, 5, 64, None])
def test_threads_give_every_item_once_in_order(monkeypatch, cores):
    monkeypatch.setattr(module.os, "cpu_count", lambda: cores)
    for count in (0, 1, 2, 9):
        found = in_threads(lambda part: part.tolist(), np.arange(count))
        assert list(itertools.chain.from_iterable(found)) == list(range(count))
        assert all(found)


def test_steps_are_told_and_add_up_to_all_of_it():
    told: list[int] = []
    found = in_steps(lambda part: 2.0 * part, np.arange(123), told.append)
    np.testing.assert_array_equal(found, 2.0 * np.arange(123))
    assert (sum(told), max(told)) == (123, 100)


# --- permutations ----------------------------------------------------------------------------


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 9, 21])
def test_permuted_products_are_the_naive_sums(monkeypatch, n, cores):
    monkeypatch.setattr(module.os, "cpu_count", lambda: cores)
    X, Y = (each + each.T for each in np.random.default_rng(n).normal(size=(2, n, n)))
    orders = permutations(n, 5, 0)
    expected = [
        sum(X[a, b] * Y[order[a], order[b]] for a, b in itertools.combinations(range(n), 2))
        for order in orders.tolist()
    ]
    np.testing.assert_allclose(PermutedProducts(X, Y).of(orders), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [200, 201, 203])
def test_permuted_products_of_many_classes_are_good_to_single_precision(n):
    X, Y = (each + each.T for each in np.random.default_rng(n).normal(size=(2, n, n)))
    orders = permutations(n, 3, 0)
    above = np.triu_indices(n, 1)
    expected = [X[above] @ Y[np.ix_(order, order)][above] for order in orders]
    scale = np.linalg.norm(X[above]) * np.linalg.norm(Y[above])
    precision = 1e-6 if n > 200 else 1e-14
    np.testing.assert_allclose(
        PermutedProducts(X, Y).of(orders), expected, rtol=0, atol=precision * scale
    )


def test_permuted_products_leave_the_matrices_as_they_were():
    X, Y = (each + each.T for each in np.random.default_rng(0).normal(size=(2, 6, 6)))
    before = X.copy(), Y.copy()
    PermutedProducts(X, Y).of(permutations(6, 3, 0))
    np.testing.assert_array_equal((X, Y), before)


@pytest.mark.parametrize("n", [7, 60, 230])
@pytest.mark.parametrize("alike", [0.0, 0.3, 0.9])
def test_a_sum_below_what_is_enough_is_known_to_be(n, alike):
    """And one that is not comes out as it is, however soon the rest may be left out."""
    random = np.random.default_rng(n)
    X, noise = (each + each.T for each in random.normal(size=(2, n, n)))
    Y = alike * X + (1 - alike) * noise
    above = np.triu_indices(n, 1)
    orders = np.concatenate([permutations(n, 40, 0), np.arange(n, dtype=np.int32)[None]])
    products = PermutedProducts(X, Y)
    plain = products.of(orders)
    scale = np.linalg.norm(X[above]) * np.linalg.norm(Y[above])
    for enough in (*np.quantile(plain, [0.1, 0.5, 0.9, 1.0]), 0.5 * scale):
        found = products.of(orders, float(enough))
        reached = plain >= enough
        assert (found[~reached] < enough + 1e-6 * scale).all()
        assert (found[~reached] >= plain[~reached] - 1e-6 * scale).all()
        np.testing.assert_allclose(found[reached], plain[reached], rtol=0, atol=1e-9 * scale)
    assert (products.of(orders, 2 * scale) > plain + 1e-3 * scale).any()


def literally_permuted(name: str, A: np.ndarray, B: np.ndarray, orders: np.ndarray) -> np.ndarray:
    return np.array([NAIVE[name](A, B[order], 3) for order in orders])


@pytest.mark.parametrize("dims", [(8, 11), (30, 5)])
@every_measure
def test_permuting_is_permuting_the_classes_of_the_second_head(name, dims):
    measure = MEASURES[name]
    A, B = related(12, dims)
    orders = np.concatenate([np.arange(12, dtype=np.int32)[None], permutations(12, 15, 0)])
    expected = literally_permuted(name, A, B, orders)
    found = measure.permuted(pair_of(A, B), orders)
    if name == "procrustes":
        expected = np.cos(expected)  # what rises with agreement
    # what is the same in all orders may be left out: a line, and a rising one
    assert np.corrcoef(found, expected)[0, 1] == pytest.approx(1.0, abs=1e-9)
    if name not in ("second-order-cosine", "cka", "cka-debiased"):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@every_measure
def test_p_is_the_share_of_literal_permutations_that_are_as_large(name):
    measure = MEASURES[name]
    A, B = related(10, noise=2.5)
    tried = 60
    orders = permutations(10, tried, 5)
    sign = -1 if name == "procrustes" else 1
    observed = sign * NAIVE[name](A, B, 3)
    permuted = sign * literally_permuted(name, A, B, orders)
    expected = (sum(each >= observed - 1e-7 for each in permuted.tolist()) + 1) / (tried + 1)
    judged = judge(measure, pair_of(A, B), permuted=tried, resampled=0, seed=5, null_value=None)
    assert judged.p_value == pytest.approx(expected, abs=1e-12)
    assert 1 / (tried + 1) < expected < 0.9  # else nothing is compared
    assert (judged.low, judged.high, judged.resamples) == (None, None, 0)


@pytest.mark.parametrize(
    "name", ["rsa-pearson", "rsa-spearman", "rsa-kendall", "cka", "cka-debiased"]
)
def test_permuting_many_classes_orders_the_permutations_alike(name):
    """Single precision, and for Kendall's tau levels of cosines instead of cosines."""
    measure = MEASURES[name]
    A, B = related(210)
    orders = permutations(210, 12, 0)
    found = measure.permuted(pair_of(A, B), orders)
    expected = [measure.estimate(pair_of(A, B[order])) for order in orders]
    assert np.corrcoef(found, expected)[0, 1] > 0.9999


def test_p_value_counts_itself_and_what_is_as_large():
    assert p_value(np.array([0.1, 0.2, 0.3]), 0.25) == 2 / 4
    assert p_value(np.array([0.1, 0.2, 0.3]), 0.4) == 1 / 4
    assert p_value(np.array([0.1, 0.2, 0.3]), 0.0) == 4 / 4
    assert p_value(np.array([0.3, 0.3, 0.2]), 0.3) == 3 / 4
    assert p_value(np.array([-0.3, -0.2]), -0.25) == 2 / 3
    assert p_value(np.zeros(3), 0.0) == 1.0


@pytest.mark.parametrize("observed", [0.7, -0.7, 1e6, 1e-6])
def test_sums_of_the_same_numbers_in_another_order_are_as_large(observed):
    nudges = np.array([1 - 1e-6, 1 - 1e-7, 1.0, 1 + 1e-7, 1 + 1e-6])
    assert at_least(observed * nudges, observed).all()
    assert p_value(observed * nudges, observed) == 1.0
    lower = observed - abs(observed) * np.array([1e-5, 1e-3, 0.5])
    assert not at_least(lower, observed).any()
    assert p_value(lower, observed) == 0.25
    np.testing.assert_array_equal(at_least(np.full(2, observed), np.array([observed] * 2)), True)


# --- resamples -------------------------------------------------------------------------------


@every_measure
def test_every_class_once_is_the_estimate(name):
    measure = MEASURES[name]
    for n, precision in ((12, 1e-6), (40, LEVEL_ROUNDING), (150, LEVEL_ROUNDING / 5)):
        pair = pair_of(*related(n))
        (found,) = measure.resampled(pair, np.ones((1, n)))
        assert found == pytest.approx(
            measure.estimate(pair), abs=precision if name in RANKS else 1e-6
        )


@every_measure
def test_a_resample_is_the_measure_of_repeated_classes(name):
    A, B = related(15)  # 105 pairs: each has a level of its own
    weights = bootstrap_weights(15, 6, 1)
    assert weights.max() > 2
    found = MEASURES[name].resampled(pair_of(A, B), weights)
    expected = [
        NAIVE[name](A, B, 3, drawn=np.repeat(np.arange(15), each.astype(int))) for each in weights
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", RANKS)
def test_levels_cost_resampled_ranks_little(name):
    A, B = related(26)  # 325 pairs
    weights = bootstrap_weights(26, 3, 1)
    found = MEASURES[name].resampled(pair_of(A, B), weights)
    expected = [
        NAIVE[name](A, B, 3, drawn=np.repeat(np.arange(26), each.astype(int))) for each in weights
    ]
    assert np.abs(found - expected).max() > 0  # there are more pairs than levels
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", [name for name in OVER_PAIRS if "cka" not in name])
def test_half_a_weight_is_half_of_every_copy(name):
    """These know only ratios of weights: (1+w)/2 is as each class once more than drawn."""
    A, B = related(13)
    weights = bootstrap_weights(13, 4, 2)
    found = MEASURES[name].resampled(pair_of(A, B), (1 + weights) / 2)
    expected = [
        NAIVE[name](A, B, 3, drawn=np.repeat(np.arange(13), each.astype(int) + 1))
        for each in weights
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def weighted_hsic(K, L, w, *, debiased: bool) -> float:
    n = len(K)
    classes = range(n)

    def row(M, i):
        return sum(w[j] * M[i, j] for j in classes if j != i) + (0 if debiased else M[i, i])

    trace = sum(w[i] * w[j] * K[i, j] * L[i, j] for i in classes for j in classes if i != j)
    trace += 0 if debiased else sum(w[i] * K[i, i] * L[i, i] for i in classes)
    sums = [sum(w[i] * row(M, i) for i in classes) for M in (K, L)]
    rows = sum(w[i] * row(K, i) * row(L, i) for i in classes)
    if debiased:
        return trace + sums[0] * sums[1] / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)
    return trace + sums[0] * sums[1] / n**2 - 2 * rows / n


@pytest.mark.parametrize("name", ["cka", "cka-debiased"])
def test_kernel_alignment_takes_half_weights_too(name):
    A, B = related(9)
    K, L = grams(A, B, None)
    weights = (1 + bootstrap_weights(9, 4, 2)) / 2
    found = MEASURES[name].resampled(pair_of(A, B), weights)
    debiased = name == "cka-debiased"
    for value, w in zip(found, weights, strict=True):
        kl, kk, ll = (weighted_hsic(*two, w, debiased=debiased) for two in ((K, L), (K, K), (L, L)))
        assert value == pytest.approx(kl / math.sqrt(kk * ll), abs=1e-9)


@every_measure
def test_a_head_against_itself_is_itself_in_every_resample(name):
    measure = MEASURES[name]
    A, _ = related(12)
    found = measure.resampled(pair_of(A, 3 * A), bootstrap_weights(12, 10, 0))
    if name == "rsa-kendall":  # copies of one pair are tied
        assert (found > 0.9).all()
    else:
        np.testing.assert_allclose(found, measure.at_self, rtol=0, atol=1e-6)


@every_measure
def test_a_resample_of_one_class_alone_has_no_value_over_pairs(name):
    weights = np.zeros((2, 5))
    weights[0, 2] = 5
    weights[1] = 1
    found = MEASURES[name].resampled(pair_of(*related(5)), weights)
    assert math.isfinite(found[1])
    if name in OVER_PAIRS and name != "cka":
        assert math.isnan(found[0])


@pytest.mark.parametrize("name", ["rsa-pearson", "rsa-spearman", "rsa-kendall"])
def test_a_resample_of_one_pair_of_classes_has_nothing_to_correlate(name):
    """All pairs of copies are the same two numbers: what rounding leaves of them is no value."""
    weights = np.zeros((10, 5))
    for row, (a, b) in enumerate(itertools.combinations(range(5), 2)):
        weights[row, [a, b]] = 2 + row % 2, 3 - row % 2
    for seed in range(5):
        found = MEASURES[name].resampled(pair_of(*related(5, seed=seed)), weights)
        assert np.isnan(found).all()


def test_both_rank_statistics_come_from_the_weights_that_are_asked_for():
    pair = pair_of(*related(12))
    first, second = bootstrap_weights(12, 3, 0), bootstrap_weights(12, 3, 1)
    asked = [MEASURES[name].resampled(pair, w) for w in (first, second) for name in RANKS]
    fresh = [
        MEASURES[name].resampled(pair_of(*related(12)), w)
        for w in (first, second)
        for name in RANKS
    ]
    np.testing.assert_array_equal(asked, fresh)
    assert len({tuple(each) for each in asked}) == 4
