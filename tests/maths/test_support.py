"""Bootstrap support against a loop that copies the drawn dimensions, and the laws it obeys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import REAL, nearest

from classrel_db import maths
from classrel_db.maths.support import resample_weights

shapes = st.tuples(st.integers(3, 20), st.integers(5, 25), st.integers(0, 2**32 - 1))
RESAMPLES = 30


def random_rows(n_classes, dim, seed):
    """Float32 rows, every third a copy of the one before it: ties for certain."""
    rows = np.random.default_rng(seed).normal(size=(n_classes, dim)).astype(np.float32)
    rows[2::3] = rows[1::3][: len(rows[2::3])]
    return rows


def drawn_dimensions(dim, resamples, seed):
    """The dimensions of each resample, as often as they were drawn."""
    weights = np.concatenate(list(resample_weights(dim, resamples, seed)))
    return [np.repeat(np.arange(dim), w.astype(int)) for w in weights]


def naive_cosines(W, x):
    """Of each row with ``x``, None where one of them has no direction; rounded as everywhere."""
    cosines = []
    for row in W:
        lengths = np.linalg.norm(row) * np.linalg.norm(x)
        cosine = np.dot(row, x) / lengths if lengths else None
        cosines.append(None if cosine is None else float(np.float32(np.round(cosine, 12))))
    return cosines


def naive_support(rows, x, members, k, draws, *, standardized, allowed):
    """Index the drawn dimensions, standardise them, sort Python pairs, count."""
    kept = dict.fromkeys(members, 0)
    counted = 0
    for drawn in draws:
        W, y = np.asarray(rows, dtype=np.float64)[:, drawn], np.asarray(x, np.float64)[drawn]
        if standardized:
            W = np.array([r - r.mean() if np.ptp(r) else 0 * r for r in W])
            y = y - y.mean() if np.ptp(y) else 0 * y
        if not y.any():
            continue
        counted += 1
        cosines = naive_cosines(W, y)
        ranked = sorted((2.0 if cosines[i] is None else -cosines[i], i) for i in allowed)
        for _, i in ranked[:k]:
            if i in kept:
                kept[i] += 1
    return [kept[i] / counted for i in members] if counted else [np.nan] * len(members)


def support(rows, x, members, k, **options):
    options.setdefault("resamples", RESAMPLES)
    options.setdefault("standardized", True)
    allowed = options.pop("allowed", None)
    return maths.dimension_support(
        rows,
        x,
        np.asarray(members, dtype=np.int64),
        k,
        allowed=None if allowed is None else np.asarray(allowed, dtype=np.int64),
        **options,
    ).tolist()


@given(shapes, st.booleans(), st.data())
def test_support_is_that_of_a_loop_over_copied_dimensions(shape, standardized, data):
    rows = random_rows(*shape)
    n_classes, dim, seed = shape
    focal = data.draw(st.integers(0, n_classes - 1))
    allowed = sorted(data.draw(st.sets(st.integers(0, n_classes - 1), min_size=1)))
    k = data.draw(st.integers(1, len(allowed)))
    draws = drawn_dimensions(dim, RESAMPLES, seed)
    expected = naive_support(
        rows, rows[focal], allowed, k, draws, standardized=standardized, allowed=allowed
    )
    ours = support(
        rows, rows[focal], allowed, k, seed=seed, allowed=allowed, standardized=standardized
    )
    assert ours == expected


@given(st.integers(2, 12), st.integers(0, 2**32 - 1), st.booleans())
def test_rows_without_direction_and_cosines_of_zero_rank_as_in_the_loop(dim, seed, standardized):
    """In few dimensions a resample is often one dimension again and again; ties are the rule."""
    rows = np.random.default_rng(seed).integers(-1, 2, size=(7, dim)).astype(np.float32)
    draws = drawn_dimensions(dim, RESAMPLES, seed)
    everyone = list(range(7))
    expected = naive_support(
        rows, rows[0], everyone, 3, draws, standardized=standardized, allowed=everyone
    )
    ours = support(rows, rows[0], everyone, 3, seed=seed, standardized=standardized)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("focal", [0, 118, 751])
def test_support_on_a_real_head_is_that_of_the_loop(heads, name, focal):
    rows = maths.normalize(heads[name].weight, "standardize").rows
    others = [i for i in range(1000) if i != focal]
    members = nearest(heads[name].cosine[focal], 10, (focal,))
    draws = drawn_dimensions(1280, 5, 3)
    expected = naive_support(
        # the raw rows: standardised anew they are the same
        heads[name].weight, heads[name].weight[focal], members, 10, draws,
        standardized=True, allowed=others,
    )  # fmt: skip
    ours = support(rows, rows[focal], members, 10, allowed=others, resamples=5, seed=3)
    assert ours == expected
    assert min(ours) < 1


def test_weights_count_draws_with_replacement():
    weights = np.concatenate(list(resample_weights(50, 4000, 1)))
    assert weights.shape == (4000, 50)
    assert set(weights.sum(axis=1)) == {50.0}
    # binomial: n = 50, p = 1/50
    assert weights.mean() == 1
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.02)
    assert np.abs(weights.mean(axis=0) - 1).max() < 0.08
    assert (weights == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, rel=0.02)


@given(shapes, st.booleans())
def test_a_copy_of_the_focal_row_is_always_its_nearest(shape, standardized):
    rows = random_rows(*shape)
    # classes 1 and 2 are alike; 1 goes before whatever else has a cosine of 1 in a resample
    others = [1, *range(3, len(rows))]
    ours = support(rows, rows[2], [1], 1, allowed=others, seed=shape[2], standardized=standardized)
    assert ours == [1.0]


@given(shapes, st.booleans())
def test_where_all_others_are_asked_for_each_has_full_support(shape, standardized):
    rows = random_rows(*shape)
    others = list(range(1, len(rows)))
    ours = support(rows, rows[0], others, len(others), allowed=others, standardized=standardized)
    assert ours == [1.0] * len(others)


@given(shapes, st.booleans(), st.data())
def test_as_many_are_near_in_each_resample_as_are_asked_for(shape, standardized, data):
    rows = random_rows(*shape)
    k = data.draw(st.integers(1, len(rows)))
    ours = support(rows, rows[0], range(len(rows)), k, standardized=standardized)
    assert sum(ours) == pytest.approx(k)
    assert all(0 <= share <= 1 for share in ours)


@given(shapes, st.booleans(), st.data())
def test_positive_factors_and_for_standardised_rows_shifts_change_nothing(
    shape, standardized, data
):
    rows = random_rows(*shape)
    everyone = range(len(rows))
    factors = 2.0 ** np.array(data.draw(st.lists(st.integers(-9, 9), min_size=20, max_size=20)))
    changed = rows * factors[: len(rows), None].astype(np.float32)
    before = support(rows, rows[0], everyone, 3, standardized=standardized)
    assert support(changed, changed[0], everyone, 3, standardized=standardized) == before
    assert support(rows, 0.3 * rows[0], everyone, 3, standardized=standardized) == before
    if standardized:
        shifted = rows.astype(np.float64) + 5.0 * np.arange(len(rows))[:, None]
        assert support(shifted, shifted[0], everyone, 3, standardized=True) == before


def test_standardising_anew_is_not_the_cosine_of_the_rows_as_they_are():
    rows = maths.normalize(np.random.default_rng(0).normal(size=(40, 12)), "standardize").rows
    anew, as_is = (
        support(rows, rows[0], range(1, 40), 5, resamples=300, standardized=standardized)
        for standardized in (True, False)
    )
    assert np.abs(np.subtract(anew, as_is)).max() > 0.02


@given(shapes, st.booleans(), st.integers(0, 2**32 - 1))
def test_permuting_dimensions_and_weights_alike_changes_nothing(shape, standardized, shuffle):
    rows = random_rows(*shape)
    order = np.random.default_rng(shuffle).permutation(shape[1])
    everyone = range(len(rows))
    straight = support(rows, rows[0], everyone, 3, standardized=standardized)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "classrel_db.maths.support.resample_weights",
            lambda *given: (W[:, order] for W in resample_weights(*given)),
        )
        shuffled = support(rows[:, order], rows[0][order], everyone, 3, standardized=standardized)
    assert shuffled == straight


@pytest.mark.parametrize("dim", [7, 8, 33])
@pytest.mark.parametrize("block_bytes", [1, 8 * 33, 8 * 33 * 5, 1 << 24])
def test_the_size_of_blocks_changes_nothing(dim, block_bytes):
    rows = random_rows(40, dim, 5)
    others = list(range(1, 40))
    whole = support(rows, rows[0], others, 6, allowed=others, resamples=50, block_bytes=1 << 26)
    blocked = support(
        rows, rows[0], others, 6, allowed=others, resamples=50, block_bytes=block_bytes
    )
    assert blocked == whole
    weights = [
        np.concatenate(list(resample_weights(dim, 50, 4, 1, size)))
        for size in (1 << 26, block_bytes)
    ]
    np.testing.assert_array_equal(*weights)


def test_a_seed_repeats_its_draw_and_another_makes_another():
    rows = random_rows(30, 10, 2)
    first, again, other = (
        support(rows, rows[0], range(1, 30), 5, seed=seed, resamples=200) for seed in (7, 7, 8)
    )
    assert first == again != other
    assert np.abs(np.subtract(first, other)).max() < 0.25


def test_a_direction_that_no_resample_leaves_has_no_support():
    rows = np.array([[0, 0, 1], [1, 2, 3], [3, 1, 2]], dtype=np.float32)
    assert np.isnan(support(rows, np.zeros(3), [1, 2], 1, standardized=False)).all()
    assert np.isnan(support(rows, np.ones(3), [1, 2], 1, standardized=True)).all()


def test_progress_rises_to_the_number_of_resamples():
    rows = random_rows(40, 9, 1)
    told = []
    support(
        rows, rows[0], [1], 3, resamples=25, progress=told.append, block_bytes=8 * 9 * 4
    )  # fmt: skip
    assert told == sorted(told)
    assert told[-1] == 25
    assert len(set(told)) > 5


@given(shapes, st.data())
def test_near_by_cosine_is_a_sorted_list(shape, data):
    rows = random_rows(*shape)
    n_classes = len(rows)
    allowed = sorted(data.draw(st.sets(st.integers(0, n_classes - 1), min_size=1)))
    k = data.draw(st.integers(1, len(allowed)))
    everyone = range(n_classes)
    cosines = naive_cosines(rows.astype(np.float64), rows[0].astype(np.float64))
    expected = nearest(cosines, k, tuple(set(everyone) - set(allowed)))
    near = maths.near_by_cosine(
        rows, rows[0], np.array(allowed), k, np.array(allowed, dtype=np.int64)
    )
    assert [i for i, is_near in zip(allowed, near, strict=True) if is_near] == sorted(expected)


def test_nothing_is_near_a_direction_of_zeros_and_rows_of_zeros_come_last():
    rows = np.array([[0, 0], [-1, -1], [1, 0]], dtype=np.float32)
    everyone = np.arange(3)
    assert not maths.near_by_cosine(rows, np.zeros(2), everyone, 3).any()
    assert maths.near_by_cosine(rows, rows[2], everyone, 2).tolist() == [False, True, True]


@pytest.mark.parametrize("standardized", [True, False])
@given(shape=shapes, k=st.integers(1, 6), block_bytes=st.sampled_from([1, 2_000, 16 << 20]))
def test_all_classes_at_once_are_each_of_them(standardized, shape, k, block_bytes):
    n_classes, dim, seed = shape
    rows = random_rows(n_classes, dim, seed)
    k = min(k, n_classes - 1)
    W = np.asarray(rows, dtype=np.float64)
    if standardized:
        W = W - W.mean(axis=1, keepdims=True)
    U = maths.unit(W)
    near = [nearest(maths.cosines_to(U[[each]], U)[0], k, (each,)) for each in range(n_classes)]
    neighbors = np.asarray(near, dtype=np.int64).reshape(n_classes, k)
    found = maths.neighbor_support(
        rows,
        neighbors,
        standardized=standardized,
        resamples=RESAMPLES,
        seed=7,
        block_bytes=block_bytes,
    )
    for each in range(n_classes):
        others = np.delete(np.arange(n_classes), each)
        alone = maths.dimension_support(
            rows,
            rows[each],
            neighbors[each],
            k,
            standardized=standardized,
            allowed=others,
            resamples=RESAMPLES,
            seed=7,
        )
        np.testing.assert_array_equal(found[each], alone)


def test_all_classes_at_once_where_resamples_leave_no_direction():
    rows = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    neighbors = np.asarray([[j for j in range(9) if j != i][:3] for i in range(9)])
    found = maths.neighbor_support(rows, neighbors, standardized=True, resamples=20, seed=1)
    for each in range(9):
        others = np.delete(np.arange(9), each)
        alone = maths.dimension_support(
            rows,
            rows[each],
            neighbors[each],
            3,
            standardized=True,
            allowed=others,
            resamples=20,
            seed=1,
        )
        np.testing.assert_array_equal(found[each], alone)


def test_all_classes_at_once_tells_its_progress_and_takes_no_neighbours():
    rows = random_rows(8, 6, 3)
    told = []
    none = maths.neighbor_support(
        rows, np.empty((8, 0), dtype=np.int64), standardized=True, progress=told.append
    )
    assert none.shape == (8, 0)
    assert told == []
    some = np.asarray([[(i + 1) % 8] for i in range(8)])
    maths.neighbor_support(rows, some, standardized=True, resamples=4, progress=told.append)
    assert told == [1, 2, 3, 4]
