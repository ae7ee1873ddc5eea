"""Centred kernel alignment against products with the centring matrix and sums written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.inference import judge
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.resample import bootstrap_weights

from .naive import NAIVE, hsic, related

BOTH = ("cka", "cka-debiased")


def pair_of(A: np.ndarray, B: np.ndarray) -> Pair:
    return Pair(Geometry(A), Geometry(B), 3)


def unbiased(K: np.ndarray, L: np.ndarray) -> float:
    """Song et al. 2012, equation 5, as matrix products: for whole heads."""
    n = len(K)
    K, L = (each - np.diag(np.diagonal(each)) for each in (K, L))
    one = np.ones(n)
    sums = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    return (np.trace(K @ L) + sums - 2 * (one @ K @ L @ one) / (n - 2)) / (n * (n - 3))


@pytest.mark.parametrize(("name", "criterion"), [("cka", hsic), ("cka-debiased", unbiased)])
def test_real_heads_agree_as_the_formula_says(heads, real_pairs, name, criterion):
    grams = {each: head.standardized @ head.standardized.T for each, head in heads.items()}
    own = {each: criterion(gram, gram) for each, gram in grams.items()}
    for pair, first, second in real_pairs:
        expected = criterion(grams[first.name], grams[second.name])
        expected /= math.sqrt(own[first.name] * own[second.name])
        assert 0.5 < expected < 0.9
        assert MEASURES[name].estimate(pair) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n", [4, 5, 9, 20])
@pytest.mark.parametrize("name", BOTH)
def test_estimates_are_the_naive_sums(name, n):
    A, B = related(n)
    expected = NAIVE[name](A, B, 3)
    assert MEASURES[name].estimate(pair_of(A, B)) == pytest.approx(expected, abs=1e-9)
    shifted = pair_of(A + 3.0, B - 1.0)  # the naive formula centres, and so must ours
    assert MEASURES[name].estimate(shifted) == pytest.approx(expected, abs=1e-9)


def test_cka_is_that_of_the_features_too():
    """‖XᵀY‖² / (‖XᵀX‖·‖YᵀY‖) with columns centred: the other way to write it (Kornblith et al. 2019)."""
    X, Y = related(30)
    norm = np.linalg.norm
    expected = norm(X.T @ Y) ** 2 / (norm(X.T @ X) * norm(Y.T @ Y))
    assert MEASURES["cka"].estimate(pair_of(X, Y)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("factor", [1e-9, 1e9])
@pytest.mark.parametrize("name", BOTH)
def test_the_scale_of_a_head_is_nothing(name, factor):
    A, B = related(15)
    plain, scaled = (MEASURES[name].estimate(pair_of(A, f * B)) for f in (1.0, factor))
    assert scaled == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("shift", [1.0, 30.0])
@pytest.mark.parametrize("name", BOTH)
def test_a_vector_added_to_all_classes_changes_nothing_of_a_resample(name, shift):
    """Features are centred, so what all rows have in common is no part of the measure."""
    A, B = related(30)
    weights = bootstrap_weights(30, 20, 0)
    plain = MEASURES[name].resampled(pair_of(A, B), weights)
    shifted = MEASURES[name].resampled(pair_of(A + shift, B + shift), weights)
    np.testing.assert_allclose(shifted, plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", BOTH)
def test_a_vector_added_to_all_classes_changes_no_p_value(name):
    A, B = related(250, noise=9.0)
    p = [
        judge(
            MEASURES[name], pair_of(*rows), permuted=99, resampled=0, seed=0, null_value=None
        ).p_value
        for rows in ((A, B), (A + 300.0, B + 300.0))
    ]
    assert 0.03 < p[0] < 0.97
    assert p[1] == pytest.approx(p[0], abs=0.011)


def test_unrelated_heads_have_a_debiased_value_about_zero_whatever_their_width():
    random = np.random.default_rng(0)
    for dim in (3, 20, 200):
        found = [
            [MEASURES[name].estimate(pair) for name in BOTH]
            for pair in (
                pair_of(random.normal(size=(20, dim)), random.normal(size=(20, dim)))
                for _ in range(60)
            )
        ]
        biased, debiased = np.mean(found, axis=0)
        error = np.std(found, axis=0)[1] / math.sqrt(60)
        assert abs(debiased) < 4 * error
        assert biased > debiased + 0.1
