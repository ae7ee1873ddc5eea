"""Groups of models, their order and the ceiling against loops over everything."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classrel_db.maths.groups import by_similarity, group_difference, noise_ceiling


def symmetric(m: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng([m, seed]).normal(size=(m, m))
    return (noise + noise.T) / 2


def naive_means(matrix: np.ndarray, groups: list[int]) -> tuple[float, float]:
    within, between = [], []
    for a, b in itertools.combinations(range(len(groups)), 2):
        if not math.isnan(matrix[a, b]):
            (within if groups[a] == groups[b] else between).append(matrix[a, b])
    return (
        float(np.mean(within)) if within else math.nan,
        float(np.mean(between)) if between else math.nan,
    )


def exhaustive_p(matrix: np.ndarray, groups: list[int]) -> float:
    """Over all orders of the models: each grouping comes up equally often."""
    observed = np.subtract(*naive_means(matrix, groups))
    tried = [
        np.subtract(*naive_means(matrix, [groups[place] for place in order]))
        for order in itertools.permutations(range(len(groups)))
    ]
    tried = [each for each in tried if not math.isnan(each)]
    return sum(each >= observed - 1e-9 for each in tried) / len(tried)


GROUPINGS = ([0, 0, 1, 1], [0, 0, 0, 1], [0, 1, 0, 1, 0], [2, 2, 7, 7, 7, 9], [0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("groups", GROUPINGS, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_few_groupings_are_all_tried(groups, seed):
    matrix = symmetric(len(groups), seed)
    found = group_difference(matrix, groups, 17, 0)
    within, between = naive_means(matrix, groups)
    assert (found.within, found.between) == pytest.approx((within, between), abs=1e-12)
    assert found.difference == pytest.approx(within - between, abs=1e-12)
    assert found.p_value == pytest.approx(exhaustive_p(matrix, groups), abs=1e-12)
    sizes = [groups.count(each) for each in set(groups)]
    assert found.tried == math.factorial(len(groups)) / math.prod(map(math.factorial, sizes))


@pytest.mark.parametrize("missing", [[(0, 1)], [(0, 2), (1, 4)], [(0, 1), (2, 3), (2, 4), (3, 4)]])
def test_models_without_a_comparison_are_left_out(missing):
    matrix = symmetric(5)
    for a, b in missing:
        matrix[a, b] = matrix[b, a] = np.nan
    groups = [0, 0, 0, 1, 1]
    found = group_difference(matrix, groups, 17, 0)
    within, between = naive_means(matrix, groups)
    assert (found.within, found.between) == pytest.approx((within, between), abs=1e-12)
    assert found.p_value == pytest.approx(exhaustive_p(matrix, groups), abs=1e-12)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 2), min_size=3, max_size=5), st.integers(0, 100))
def test_what_groups_are_called_and_their_order_change_nothing(groups, seed):
    matrix = symmetric(len(groups), seed)
    found = group_difference(matrix, groups, 17, 0)
    renamed = group_difference(matrix, [-5 * each + 3 for each in groups], 17, 0)
    np.testing.assert_array_equal(renamed, found)
    order = np.random.default_rng(seed).permutation(len(groups))
    moved = group_difference(
        matrix[np.ix_(order, order)], [groups[place] for place in order], 17, 0
    )
    np.testing.assert_allclose(moved, found, rtol=0, atol=1e-12)


@pytest.mark.parametrize("groups", [[0, 1, 2, 3], [1, 1, 1, 1]])
def test_one_group_or_groups_of_one_have_no_difference(groups):
    found = group_difference(symmetric(4), groups, 17, 0)
    assert math.isnan(found.difference)
    assert math.isnan(found.p_value)
    assert found.tried == 0


def test_equal_agreement_is_no_difference_whatever_the_grouping():
    found = group_difference(np.full((6, 6), 0.1), [0, 0, 0, 1, 1, 1], 17, 0)
    assert found.difference == pytest.approx(0.0, abs=1e-15)
    assert found.p_value == 1.0


def test_of_many_groupings_some_are_drawn():
    groups = [0, 1] * 8  # 12,870 groupings
    same = np.equal.outer(groups, groups)
    planted = 3.0 * same + symmetric(16)
    found = group_difference(planted, groups, 199, 0)
    assert (found.p_value, found.tried) == (1 / 200, 200)
    assert found.difference == pytest.approx(np.subtract(*naive_means(planted, groups)), abs=1e-12)
    assert group_difference(planted, groups, 199, 0) == found
    opposite = group_difference(-planted, groups, 199, 0)
    assert (opposite.p_value, opposite.tried) == (1.0, 200)


def test_drawn_groupings_give_the_p_of_all_groupings():
    groups = [0] * 6 + [1] * 8  # 3,003 groupings: all; one more model, and some are drawn
    matrix = symmetric(15, seed=3)
    some = group_difference(matrix, [*groups, 1], 2000, 0)
    assert some.tried == 2001
    assert 0.02 < some.p_value < 0.98
    labels = np.array([*groups, 1])
    above = np.triu_indices(15, 1)
    values = matrix[above]
    tried = []
    for chosen in itertools.combinations(range(15), 6):  # every one of 5,005
        labels = np.ones(15)
        labels[list(chosen)] = 0
        same = labels[above[0]] == labels[above[1]]
        tried.append(values[same].mean() - values[~same].mean())
    expected = np.mean(np.array(tried) >= some.difference - 1e-9)
    assert abs(some.p_value - expected) < 4 * math.sqrt(expected * (1 - expected) / 2000)


def direct_ceiling(values: list[np.ndarray], *, centered: bool) -> tuple[list, list]:
    def scaled(x):
        x = x - x.mean() if centered else x
        return x / math.sqrt(sum(x**2))

    def agreement(x, y):
        if centered:
            return np.corrcoef(x, y)[0, 1]
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)

    scores = [scaled(each) for each in values]
    lower, upper = [], []
    for place, each in enumerate(values):
        others = [score for other, score in enumerate(scores) if other != place]
        lower.append(agreement(each, np.mean(others, axis=0)))
        upper.append(agreement(each, np.mean(scores, axis=0)))
    return lower, upper


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("m", [3, 4, 9])
def test_the_noise_ceiling_is_that_of_a_loop_over_the_models(m, centered):
    random = np.random.default_rng(m)
    common = random.normal(size=30)
    values = [
        (scale * (common + noise * random.normal(size=30)) + 2.0).astype(kind)
        for scale, noise, kind in zip(
            random.uniform(0.1, 9, m),
            random.uniform(0.2, 2, m),
            [np.float32, float, float] * 3,
            strict=False,
        )
    ]
    lower, upper = noise_ceiling(values, centered=centered)
    expected = direct_ceiling([each.astype(float) for each in values], centered=centered)
    np.testing.assert_allclose(lower, expected[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(upper, expected[1], rtol=0, atol=1e-9)
    assert (lower < upper).all()


def test_models_that_are_the_same_reach_the_ceiling():
    values = [np.arange(10.0) * scale for scale in (1, 2, 3)]
    for centered in (True, False):
        np.testing.assert_allclose(noise_ceiling(values, centered=centered), 1.0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_models_of_two_blocks_stand_together(seed):
    random = np.random.default_rng(seed)
    blocks = np.array([0, 1] * 5)
    distance = 1.0 * np.not_equal.outer(blocks, blocks) + 0.1 * np.abs(symmetric(10, seed))
    order = random.permutation(10)
    blocks, distance = blocks[order], distance[np.ix_(order, order)]
    found = by_similarity(distance)
    assert sorted(found) == list(range(10))
    changes = np.count_nonzero(np.diff(blocks[found]))
    assert changes == 1


def test_models_on_a_line_stand_along_it():
    places = np.random.default_rng(0).permutation(8)
    found = by_similarity(np.abs(np.subtract.outer(places, places)).astype(float))
    along = places[found].tolist()
    assert along in (list(range(8)), list(range(8))[::-1])


def test_models_without_a_comparison_stand_apart():
    distance = np.array(
        [
            [0, 1.0, 0.1, np.nan],
            [1.0, 0, np.nan, 0.2],
            [0.1, np.nan, 0, np.nan],
            [np.nan, 0.2, np.nan, 0],
        ]
    )
    before = distance.copy()
    found = by_similarity(distance)
    np.testing.assert_array_equal(distance, before)
    pairs = [set(found[:2]), set(found[2:])]
    assert pairs in ([{0, 2}, {1, 3}], [{1, 3}, {0, 2}])


def test_too_few_models_or_none_known_keep_their_order():
    assert by_similarity(np.zeros((0, 0))) == []
    assert by_similarity(np.zeros((1, 1))) == [0]
    assert by_similarity(np.ones((2, 2))) == [0, 1]
    assert by_similarity(np.full((4, 4), np.nan)) == [0, 1, 2, 3]


def test_distances_below_zero_are_distances_all_the_same():
    """1 - agreement of a debiased measure may lie anywhere: only differences count."""
    blocks = np.array([0, 1] * 3)
    distance = 1.0 * np.not_equal.outer(blocks, blocks) - 0.9 + 0.01 * np.abs(symmetric(6))
    found = by_similarity(distance)
    assert np.count_nonzero(np.diff(blocks[found])) == 1
