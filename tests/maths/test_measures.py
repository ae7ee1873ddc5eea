"""What holds of every measure of agreement, and the nulls that they are held against."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.inference import judge, null_values, work_of
from classrel_db.maths.measures import MEASURES, random_head

from .naive import NAIVE, related

EXACT = ("rsa-spearman", "rsa-pearson", "rsa-kendall", "cka-debiased", "knn-jaccard", "rbo")
SIMULATED = ("second-order-cosine", "cka", "procrustes")
ROUNDING = 1e-6  # cosines are float32; the arc cosine near 1 takes the root of a rounding

every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda each: each.name)


@st.composite
def head_pairs(draw, count: int = 2) -> tuple[np.ndarray, ...]:
    """Heads with a part in common, of unlike widths: rows (n×D), each with a mean of its own."""
    n = draw(st.integers(4, 14))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = draw(st.sampled_from([0.0, 0.3, 3.0]))
    base = random.normal(size=(n, 3))
    dims = [draw(st.integers(3, 18)) for _ in range(count)]
    return tuple(
        base @ random.normal(size=(3, dim))
        + noise * random.normal(size=(n, dim))
        + random.normal(size=dim)
        for dim in dims
    )


def estimate(measure, A: np.ndarray, B: np.ndarray, k: int = 2) -> float:
    return measure.estimate(Pair(Geometry(A), Geometry(B), k))


def turned(rows: np.ndarray, seed: int) -> np.ndarray:
    """Rotated, and scaled as a whole."""
    random = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(random.normal(size=(rows.shape[1], rows.shape[1])))
    return random.uniform(0.01, 100) * rows @ rotation


def test_measures_are_named_once_and_say_what_they_are():
    assert tuple(MEASURES) == tuple(NAIVE)
    for name, measure in MEASURES.items():
        assert measure.name == name
        texts = (measure.title, measure.reading, measure.formula, measure.source)
        assert all(texts)
        assert measure.bounds[0] <= measure.at_self <= measure.bounds[1]
        assert measure.uses_k == (name == "knn-jaccard")
        with pytest.raises(dataclasses.FrozenInstanceError):
            measure.name = "another"


@every_measure
@settings(max_examples=15)
@given(rows=head_pairs())
def test_estimates_are_the_naive_ones(measure, rows):
    expected = NAIVE[measure.name](*rows, 3)
    assert estimate(measure, *rows, k=3) == pytest.approx(expected, abs=ROUNDING)


@every_measure
@settings(max_examples=15)
@given(rows=head_pairs(), seed=st.integers(0, 1000))
def test_a_head_is_itself_whatever_its_rotation_and_scale(measure, rows, seed):
    (head, _) = rows
    assert estimate(measure, head, head) == pytest.approx(measure.at_self, abs=ROUNDING)
    assert estimate(measure, head, turned(head, seed)) == pytest.approx(
        measure.at_self, abs=ROUNDING
    )


@every_measure
@settings(max_examples=15)
@given(rows=head_pairs(), seed=st.integers(0, 1000))
def test_rotation_and_scale_of_one_head_change_nothing(measure, rows, seed):
    A, B = rows
    expected = estimate(measure, A, B)
    assert estimate(measure, turned(A, seed), B) == pytest.approx(expected, abs=ROUNDING)
    assert estimate(measure, A, turned(B, seed)) == pytest.approx(expected, abs=ROUNDING)


@every_measure
@settings(max_examples=15)
@given(rows=head_pairs())
def test_the_order_of_the_heads_changes_nothing_and_bounds_hold(measure, rows):
    A, B = rows
    found = estimate(measure, A, B)
    assert estimate(measure, B, A) == pytest.approx(found, abs=1e-9)
    low, high = measure.bounds
    assert low <= found <= high


@every_measure
@settings(max_examples=15)
@given(rows=head_pairs(), seed=st.integers(0, 1000))
def test_the_order_of_the_classes_changes_nothing(measure, rows, seed):
    A, B = rows
    order = np.random.default_rng(seed).permutation(len(A))
    found = estimate(measure, A[order], B[order])
    assert found == pytest.approx(estimate(measure, A, B), abs=ROUNDING)


@given(head_pairs(count=3))
def test_the_procrustes_distance_keeps_the_triangle_inequality(rows):
    measure = MEASURES["procrustes"]
    ab, ac, bc = (estimate(measure, *two) for two in itertools.combinations(rows, 2))
    assert ac <= ab + bc + 1e-7
    assert ab <= ac + bc + 1e-7
    assert bc <= ab + ac + 1e-7


@every_measure
def test_opposite_heads_stay_within_the_bounds(measure):
    """The heads that agree least: the nearest class of one is the farthest of the other."""
    angles = np.linspace(0.1, 1.4, 10)
    A = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    order = np.array([0, 5, 1, 6, 2, 7, 3, 8, 4, 9])
    low, high = measure.bounds
    for B in (A[order], A[::-1] * np.array([1, -1]), np.eye(10) - 0.3 * A @ A.T):
        assert low <= estimate(measure, A, B) <= high


def all_orders(n: int) -> np.ndarray:
    return np.array(list(itertools.permutations(range(n))), dtype=np.int32)


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("name", EXACT)
def test_the_exact_null_is_the_mean_over_all_matchings(name, n):
    measure = MEASURES[name]
    A, B = related(n)
    for k in {1, 2, n - 1} if measure.uses_k else {2}:
        pair = Pair(Geometry(A), Geometry(B), k)
        orders = all_orders(n)
        if name == "cka-debiased":  # permuted() leaves out what is the same in all orders
            found = [estimate(measure, A, B[order]) for order in orders]
        else:
            found = measure.permuted(pair, orders)
        assert np.mean(found) == pytest.approx(measure.exact_null(n, k), abs=1e-9)


@pytest.mark.parametrize("name", EXACT)
def test_the_exact_null_is_the_mean_over_random_heads(name):
    measure = MEASURES[name]
    random = np.random.default_rng(0)
    found = [
        estimate(measure, random.normal(size=(12, 7)), random.normal(size=(12, 20)), k=4)
        for _ in range(150)
    ]
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found) - measure.exact_null(12, 4)) < 3.5 * error


@pytest.mark.parametrize("k", [1, 25, 250])
def test_the_null_of_neighbors_of_many_classes_is_that_of_random_matchings(k):
    n = 260
    pair = Pair(*map(Geometry, related(n)), k)
    orders = np.array([np.random.default_rng(s).permutation(n) for s in range(40)], dtype=np.int32)
    for name in ("knn-jaccard", "rbo"):
        found = MEASURES[name].permuted(pair, orders)
        error = found.std() / math.sqrt(len(found))
        assert abs(found.mean() - MEASURES[name].exact_null(n, k)) < 4 * error


def simulate(measure, shapes, n: int, normalization: str, count: int) -> np.ndarray:
    """Random heads made by hand, not by the package."""
    random = np.random.default_rng(7)
    found = []
    for _ in range(count):
        rows = []
        for shape in shapes:
            W = random.normal(size=shape)
            if normalization == "standardize":
                W = (W - W.mean(axis=1, keepdims=True)) / W.std(axis=1, ddof=1, keepdims=True)
            elif normalization == "center":
                W = W - W.mean(axis=0)
                W /= np.linalg.norm(W, axis=1, keepdims=True)
            rows.append(W[:n])
        found.append(estimate(measure, *rows))
    return np.array(found)


@pytest.mark.parametrize("normalization", ["standardize", "center", "none"])
@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_nulls_are_the_mean_over_random_heads(name, normalization):
    measure = MEASURES[name]
    shapes = ((24, 5), (20, 12))
    nulls = null_values([measure], shapes, 16, 3, normalization, seed=0)
    expected = simulate(measure, shapes, 16, normalization, 200)
    # of both means, the package's being over 100 pairs of heads
    error = expected.std() * math.sqrt(1 / 100 + 1 / 200)
    assert abs(nulls[name] - expected.mean()) < 3.5 * error


def test_nulls_are_the_same_again_and_for_the_heads_in_the_other_order():
    measures = list(MEASURES.values())
    shapes = ((30, 9), (40, 6))
    nulls = null_values(measures, shapes, 20, 5, "standardize", seed=1)
    assert null_values(measures, shapes, 20, 5, "standardize", seed=1) == nulls
    assert null_values(measures, shapes[::-1], 20, 5, "standardize", seed=1) == nulls
    assert null_values(measures[::-1], shapes, 20, 5, "standardize", seed=1) == nulls
    assert set(nulls) == set(MEASURES)
    another = null_values(measures, shapes, 20, 5, "standardize", seed=2)
    assert {name for name in nulls if nulls[name] != another[name]} == set(SIMULATED)
    assert {name: nulls[name] for name in EXACT} == {
        name: MEASURES[name].exact_null(20, 5) for name in EXACT
    }


def test_random_heads_are_normalised_as_real_ones():
    rows = random_head((12, 9), "standardize", np.random.default_rng(0)).astype(np.float64)
    np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(rows.std(axis=1, ddof=1), 1, atol=1e-6)
    rows = random_head((12, 9), "center", np.random.default_rng(0)).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def simplex(n: int) -> np.ndarray:
    """All classes equally far from each other: all cosines are equal, but rows are not."""
    return np.eye(n) - 1 / n


CONSTANT = {
    "equal rows": np.tile([0.3, -1.7, 0.1, 2.2], (9, 1)),
    "unlike lengths": np.arange(1, 10)[:, None] * np.array([0.3, -1.7, 0.1, 2.2]),
    "simplex": simplex(9),
}
DEFINED = {  # where such a head has a value all the same
    "unlike lengths": {"cka", "cka-debiased", "procrustes"},
    "simplex": {"second-order-cosine", "cka", "procrustes"},
}


@pytest.mark.parametrize("kind", CONSTANT)
@every_measure
def test_a_head_without_differences_has_no_value_and_is_not_judged(measure, kind):
    other = related(9)[0]
    for rows in ((CONSTANT[kind], other), (other, CONSTANT[kind]), (CONSTANT[kind],) * 2):
        pair = Pair(*map(Geometry, rows), 3)
        judged = judge(measure, pair, permuted=19, resampled=19, seed=0, null_value=0.5)
        if measure.name in DEFINED.get(kind, ()):
            assert measure.bounds[0] <= judged.estimate <= measure.bounds[1]
            assert 0 < judged.p_value <= 1
            if rows[0] is not rows[1] and measure.name == "second-order-cosine":
                assert judged.p_value == 1.0  # in every order the same
        else:
            assert math.isnan(measure.estimate(pair))
            assert dataclasses.astuple(judged) == (None, None, None, None, 0.5, 0, 0)


@every_measure
def test_judging_reports_every_step_and_finds_the_same_again(measure):
    pair = Pair(*map(Geometry, related(12)), 3)
    steps: list[int] = []
    first = judge(
        measure, pair, permuted=60, resampled=170, seed=3, null_value=0.25, step=steps.append
    )
    assert sum(steps) == work_of(measure, 60, 170)
    assert sum(steps) == 60 + 170 * (2 if measure.over_pairs else 1)
    assert max(steps) <= 100
    assert (first.permutations, first.resamples, first.null_value) == (60, 170, 0.25)
    assert first.estimate == measure.estimate(pair)
    assert measure.bounds[0] <= first.low <= first.estimate <= first.high <= measure.bounds[1]
    again = Pair(*map(Geometry, related(12)), 3)
    assert judge(measure, again, permuted=60, resampled=170, seed=3, null_value=0.25) == first
    other = judge(measure, again, permuted=60, resampled=170, seed=4, null_value=0.25)
    assert (other.low, other.high) != (first.low, first.high)
    given_before = judge(
        measure, pair, permuted=0, resampled=0, seed=3, null_value=None, estimate=0.125
    )
    assert dataclasses.astuple(given_before) == (0.125, None, None, None, None, 0, 0)


@every_measure
def test_heads_that_agree_have_the_smallest_p_and_unrelated_ones_any(measure):
    A, B = related(30, noise=0.2)
    agreeing = Pair(Geometry(A), Geometry(B), 5)
    assert (
        judge(measure, agreeing, permuted=49, resampled=0, seed=0, null_value=None).p_value == 0.02
    )
    found = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        pair = Pair(*(Geometry(random.normal(size=(10, dim))) for dim in (6, 9)), 3)
        found.append(
            judge(measure, pair, permuted=19, resampled=0, seed=0, null_value=None).p_value
        )
    assert 0.25 < np.mean(found) < 0.75
    assert min(found) < 0.35
    assert max(found) > 0.65


@settings(max_examples=10)
@given(head_pairs())
def test_values_are_numbers_for_heads_that_differ(rows):
    assume(len(rows[0]) > 4)
    for measure in MEASURES.values():
        assert isinstance(estimate(measure, *rows), float)
        assert math.isfinite(estimate(measure, *rows))
