"""Triplets against three loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classrel_db.maths import triplets as module
from classrel_db.maths.triplets import agreement, closest_pair, permuted_agreement, triplets

seeds = st.integers(0, 2**32 - 1)


def similarities(n, seed, levels=None):
    random = np.random.default_rng([n, seed])
    S = random.normal(size=(n, n)) if levels is None else random.integers(0, levels, size=(n, n))
    return (np.triu(S, 1) + np.triu(S, 1).T).astype(np.float64)


def naive_closest(S, a, b, c):
    """The two that are the most alike; None where no one pair is."""
    ranked = sorted([(S[a, b], (a, b)), (S[a, c], (a, c)), (S[b, c], (b, c))], reverse=True)
    return frozenset(ranked[0][1]) if ranked[0][0] > ranked[1][0] else None


def naive_agreement(S, T):
    alike = both = 0
    for three in itertools.combinations(range(len(S)), 3):
        first, second = naive_closest(S, *three), naive_closest(T, *three)
        if first and second:
            both += 1
            alike += first == second
    return alike / both if both else float("nan")


@pytest.mark.parametrize("n", [2, 3, 4, 9, 30])
def test_all_triplets_come_once(n):
    found = triplets(n, 0)
    assert sorted(map(tuple, found.tolist())) == list(itertools.combinations(range(n), 3))
    np.testing.assert_array_equal(found, triplets(n, 0))


def test_all_up_to_a_million():
    assert len(triplets(182, 0)) == 182 * 181 * 180 // 6 < 1_000_000 < 183 * 182 * 181 // 6
    assert len(triplets(183, 0)) == 1_000_000


def test_the_first_triplets_are_a_sample():
    found = triplets(60, 1)
    assert (found != triplets(60, 2)).any()
    counts = np.bincount(found[:8_000].ravel(), minlength=60)
    assert np.abs(counts - 400).max() < 5 * np.sqrt(400)


def test_a_sample_is_of_three_different_things_as_likely_as_others(monkeypatch):
    monkeypatch.setattr(module, "MOST_TRIPLETS", 30_000)
    n = 58
    found = triplets(n, 4)
    assert found.shape == (30_000, 3)
    assert found.min() == 0
    assert found.max() == n - 1
    ordered = np.sort(found, axis=1)
    assert (ordered[:, :-1] < ordered[:, 1:]).all()
    np.testing.assert_array_equal(found, triplets(n, 4))
    assert (found != triplets(n, 5)).any()
    # each thing, each pair, and each triplet of a few: chi-squared within five deviations
    for things in (found[:, 0], found[:, 1], found[:, 2]):
        expected = 30_000 / n
        chi = ((np.bincount(things, minlength=n) - expected) ** 2 / expected).sum()
        assert abs(chi - (n - 1)) < 5 * np.sqrt(2 * (n - 1))
    codes = ordered @ np.array([n * n, n, 1])
    possible = n * (n - 1) * (n - 2) // 6
    expected = 30_000 / possible
    counts = np.unique(codes, return_counts=True)[1]
    chi = ((counts - expected) ** 2).sum() / expected + (possible - len(counts)) * expected
    assert abs(chi - (possible - 1)) < 5 * np.sqrt(2 * possible)


def test_a_sample_of_few_things_is_uniform(monkeypatch):
    monkeypatch.setattr(module, "MOST_TRIPLETS", 3)
    counts = np.zeros(4)
    for seed in range(800):
        for three in triplets(4, seed):
            (left,) = set(range(4)) - set(three.tolist())
            counts[left] += 1
    assert counts.sum() == 2_400
    assert np.abs(counts - 600).max() < 5 * np.sqrt(600)


@given(n=st.integers(3, 12), seed=seeds, levels=st.sampled_from([None, 2, 4]))
@settings(max_examples=30)
def test_the_closest_pair_is_that_of_a_loop(n, seed, levels):
    S = similarities(n, seed, levels)
    three = triplets(n, 0)
    pairs = {0: (0, 1), 1: (0, 2), 2: (1, 2)}
    for each, which in zip(three, closest_pair(S, three).tolist(), strict=True):
        found = frozenset(each[list(pairs[which])].tolist()) if which >= 0 else None
        assert found == naive_closest(S, *each.tolist())


def test_similarities_that_differ_by_rounding_are_equal():
    three = np.array([[0, 1, 2]])
    for size in (1e-6, 1.0, -1.0, 40.0):
        for relative, expected in ((1e-13, -1), (1e-6, 0)):
            S = np.full((3, 3), size)
            S[0, 1] = S[1, 0] = size + relative * abs(size)
            assert closest_pair(S, three).tolist() == [expected]
    assert closest_pair(np.zeros((3, 3)), three).tolist() == [-1]


@given(n=st.integers(3, 11), seed=seeds, levels=st.sampled_from([None, 2, 4]))
@settings(max_examples=30)
def test_agreement_is_that_of_three_loops(n, seed, levels):
    S, T = similarities(n, seed, levels), similarities(n, seed + 1)
    three = triplets(n, 0)
    found = agreement(closest_pair(S, three), closest_pair(T, three))
    assert found == pytest.approx(naive_agreement(S, T), nan_ok=True)
    assert found == pytest.approx(
        agreement(closest_pair(T, three), closest_pair(S, three)), nan_ok=True
    )


def test_permuted_agreement_is_that_of_relabelled_things(monkeypatch):
    n = 9
    S, T = similarities(n, 1, 4), similarities(n, 2)
    three = triplets(n, 0)
    orders = np.stack([np.random.default_rng(b).permutation(n) for b in range(20)]).astype(np.int32)
    resolved = closest_pair(S, three)
    found, observed = permuted_agreement(resolved, T, three, orders)
    assert observed == pytest.approx(naive_agreement(S, T))
    expected = [naive_agreement(S, T[np.ix_(order, order)]) for order in orders]
    np.testing.assert_allclose(found, expected)
    monkeypatch.setattr(module, "_MOST_PERMUTED", 30)
    found, observed = permuted_agreement(resolved, T, three, orders)
    assert observed == agreement(resolved[:30], closest_pair(T, three[:30]))
    assert found[0] == agreement(resolved[:30], closest_pair(T, orders[0][three[:30]]))


def test_what_resolves_nothing_agrees_on_nothing():
    three = triplets(6, 0)
    none = closest_pair(np.ones((6, 6)), three)
    assert (none == -1).all()
    assert np.isnan(agreement(none, closest_pair(similarities(6, 0), three)))
    assert np.isnan(agreement(none[:0], none[:0]))


def test_chance_is_a_third():
    three = triplets(60, 0)
    found = agreement(*(closest_pair(similarities(60, seed), three) for seed in (1, 2)))
    assert found == pytest.approx(1 / 3, abs=0.03)
