"""Agreement class by class against scipy, and places of twins against a literal leave-one-out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import cosine_matrix

from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.profiles import profile_agreement, twin_places
from classrel_db.maths.resample import permutations

from .naive import related


def pair_of(A: np.ndarray, B: np.ndarray) -> Pair:
    return Pair(Geometry(A), Geometry(B), 3)


def without(values: np.ndarray, c: int) -> np.ndarray:
    return np.delete(values, c)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    return float(scipy.stats.spearmanr(x, y).statistic)


def naive_p(A, B, c: int, orders: np.ndarray) -> float:
    x, y = (without(cosine_matrix(rows)[c].astype(np.float32), c) for rows in (A, B))
    observed = spearman(x, y)
    ranks = scipy.stats.rankdata(y)
    tried = [np.corrcoef(scipy.stats.rankdata(x), ranks[order])[0, 1] for order in orders]
    return (sum(each >= observed - 1e-6 * abs(observed) for each in tried) + 1) / (len(orders) + 1)


def test_profiles_of_real_heads_are_scipys(real_pairs):
    for pair, first, second in real_pairs:
        found, p = profile_agreement(pair, 0, 0)
        assert np.isnan(p).all()
        for c in range(0, 1000, 37):
            x, y = (without(head.cosine[c], c) for head in (first, second))
            assert found[c] == pytest.approx(spearman(x, y), abs=1e-6)


@settings(max_examples=25)
@given(st.integers(4, 14), st.sampled_from([0.0, 0.5, 3.0]), st.integers(0, 1000))
def test_profiles_of_small_heads_are_scipys(n, noise, seed):
    A, B = related(n, noise=noise, seed=seed)
    found, _ = profile_agreement(pair_of(A, B), 0, 0)
    for c in range(n):
        x, y = (without(cosine_matrix(rows)[c], c) for rows in (A, B))
        assert found[c] == pytest.approx(spearman(x, y), abs=1e-6)


def test_tied_cosines_share_their_rank_as_in_scipy():
    A, B = (np.sign(rows) for rows in related(20, (6, 9)))
    pair = pair_of(A, B)
    found, _ = profile_agreement(pair, 0, 0)
    for c in range(20):
        expected = spearman(without(pair.a.cosine[c], c), without(pair.b.cosine[c], c))
        assert found[c] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [12, 205])
def test_p_is_the_share_of_matchings_of_the_others_that_agree_as_much(n):
    A, B = related(n, noise=2.0)
    found, p = profile_agreement(pair_of(A, B), 40, 7)
    orders = permutations(n - 1, 40, 7)
    chosen = range(0, n, max(1, n // 12))
    expected = [naive_p(A, B, c, orders) for c in chosen]
    np.testing.assert_allclose(p[list(chosen)], expected, rtol=0, atol=1e-12)
    assert 0.05 < np.median(expected) < 0.95
    assert np.corrcoef(found, p)[0, 1] < -0.7


def test_p_does_not_hang_on_how_permutations_are_drawn():
    A, B = related(10, noise=2.0)
    tried = 1000
    _, p = profile_agreement(pair_of(A, B), tried, 0)
    random = np.random.default_rng(99)
    for c in range(0, 10, 3):
        expected = naive_p(A, B, c, np.array([random.permutation(9) for _ in range(300)]))
        error = math.sqrt(expected * (1 - expected) * (1 / tried + 1 / 300))
        assert abs(p[c] - expected) < 4 * error + 1 / tried


def test_the_same_seed_gives_the_same_and_steps_add_up():
    steps: list[int] = []
    pair = pair_of(*related(9))
    first = profile_agreement(pair, 120, 1, steps.append)
    assert (sum(steps), max(steps)) == (120, 50)
    np.testing.assert_array_equal(first, profile_agreement(pair, 120, 1))
    assert (first[1] != profile_agreement(pair, 120, 2)[1]).any()


def test_a_head_agrees_with_itself_in_every_class():
    for seed in range(5):
        A, _ = related(28, seed=seed)
        found, p = profile_agreement(pair_of(A, 2 * A), 19, 0)
        np.testing.assert_allclose(found, 1.0, atol=1e-12)
        assert found.max() <= 1.0
        assert (p == 0.05).all()


def test_a_class_whose_cosines_are_all_equal_has_no_agreement():
    A, B = related(8)
    A = np.concatenate([A, np.zeros((8, 1))], axis=1)
    A = np.concatenate([A, np.eye(9)[8:]])  # at a right angle to all others
    B = np.concatenate([B, B[:1] + B[1:2]])
    for pair in (pair_of(A, B), pair_of(B, A)):
        found, p = profile_agreement(pair, 19, 0)
        assert np.isnan(found).tolist() == np.isnan(p).tolist() == [False] * 8 + [True]


def literal_places(A: np.ndarray, B: np.ndarray) -> list[int]:
    """For each class: drop its own anchor, compare with all of B, count who is as near as its twin."""
    places = []
    for c in range(len(A)):
        profile = without(A[c], c)
        near = [
            float(profile @ other / np.linalg.norm(profile) / np.linalg.norm(other))
            for other in (without(row, c) for row in B)
        ]
        places.append(sum(each >= near[c] for each in near))
    return places


@given(
    st.integers(4, 12), st.integers(0, 8), st.sampled_from([0.1, 1.0, 5.0]), st.integers(0, 1000)
)
def test_twins_are_placed_as_when_each_is_left_out(n, more, noise, seed):
    random = np.random.default_rng(seed)
    first = random.normal(size=(n, 6))
    second = first @ random.normal(size=(6, 9)) + noise * random.normal(size=(n, 9))
    second = np.concatenate([second, random.normal(size=(more, 9))])
    anchored_a = cosine_matrix(first)
    anchored_b = cosine_matrix(second)[:, :n]
    found = twin_places(anchored_a.astype(np.float32), anchored_b.astype(np.float32))
    expected = literal_places(
        *(each.astype(np.float32).astype(np.float64) for each in (anchored_a, anchored_b))
    )
    assert found.tolist() == expected


def test_a_rotated_head_finds_every_twin_first_and_a_random_one_anywhere():
    random = np.random.default_rng(0)
    first = random.normal(size=(60, 20))
    rotation = np.linalg.qr(random.normal(size=(20, 20)))[0]
    cosine = cosine_matrix(first)
    assert twin_places(cosine, cosine_matrix(first @ rotation)).tolist() == [1] * 60
    places = twin_places(cosine, cosine_matrix(random.normal(size=(60, 20))))
    assert 20 < places.mean() < 41
    assert places.min() >= 1
    assert places.max() <= 60


def test_real_heads_find_most_twins_and_as_the_loop_says(real_pairs):
    for pair, _, _ in real_pairs:
        some = np.arange(0, 1000, 10)
        rest = np.arange(5, 1000, 50)
        anchored_a = pair.a.cosine[np.ix_(some, some)]
        anchored_b = pair.b.cosine[np.ix_(np.concatenate([some, rest]), some)]
        found = twin_places(anchored_a, anchored_b)
        wide = (each.astype(np.float64) for each in (anchored_a, anchored_b))
        assert found.tolist() == literal_places(*wide)
        assert np.mean(found == 1) > 0.5


def test_another_class_that_is_just_as_near_counts_against_the_twin():
    A = cosine_matrix(related(6)[0])
    B = np.concatenate([A, A])  # every class of B is there twice
    assert twin_places(A, B).tolist() == [2] * 6


def test_a_class_of_nothing_but_its_own_anchor_is_never_near():
    A = cosine_matrix(related(5)[0])
    B = A.copy()
    B[2] = [0, 0, 1, 0, 0]  # without anchor 2 nothing is left of it
    assert twin_places(A, B)[2] == 5
