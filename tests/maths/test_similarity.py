"""Cosine, Euclidean distance and exact neighbours against naive float64 computation."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import cosine_matrix, nearest

from classrel_db import maths
from classrel_db.maths import similarity as module
from classrel_db.storage.index import VectorIndex

shapes = st.tuples(st.integers(2, 25), st.integers(2, 20), st.integers(0, 2**32 - 1))


def random_rows(n_classes: int, dim: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_classes, dim))


@given(shapes)
def test_cosine_is_the_naive_quotient(shape):
    rows = random_rows(*shape)
    ours = maths.cosines_to(maths.unit(rows), maths.unit(rows))
    assert ours.dtype == np.float32
    for a, x in enumerate(rows.tolist()):
        for b, y in enumerate(rows.tolist()):
            product = math.fsum(p * q for p, q in zip(x, y, strict=True))
            expected = product / (math.hypot(*x) * math.hypot(*y))
            assert abs(float(ours[a, b]) - expected) <= 2.0**-24


@given(shapes, st.floats(1e-3, 1e3))
def test_cosine_stays_within_one_for_parallel_and_opposite_rows(shape, factor):
    rows = random_rows(*shape)
    U = maths.unit(rows)
    assert np.diag(maths.cosines_to(U, maths.unit(factor * rows))).tolist() == [1.0] * len(rows)
    assert np.diag(maths.cosines_to(U, maths.unit(-rows))).tolist() == [-1.0] * len(rows)
    assert np.abs(maths.cosines_to(U, U)).max() <= 1.0


@given(shapes)
def test_euclidean_is_the_length_of_the_difference(shape):
    rows = random_rows(*shape)
    norms = np.linalg.norm(rows, axis=1)
    ours = maths.euclidean(cosine_matrix(rows), norms[:, None], norms[None, :])
    expected = [[math.dist(x, y) for y in rows.tolist()] for x in rows.tolist()]
    # near zero the root magnifies the rounding of 1 - cos to its square root
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-6)


@given(shapes)
def test_euclidean_of_standardized_rows_is_a_function_of_the_cosine(shape):
    W = random_rows(*shape).astype(np.float32)
    head = maths.normalize(W, "standardize")
    cosine = cosine_matrix(head.rows)
    ours = maths.euclidean(cosine, head.norm[:, None], head.norm[None, :])
    law = np.sqrt(np.maximum(2 * (W.shape[1] - 1) * (1 - cosine), 0))
    np.testing.assert_allclose(ours, law, rtol=1e-5, atol=1e-5)


def test_euclidean_of_equal_rows_is_zero_and_never_not_a_number():
    norms = np.random.default_rng(0).uniform(0.1, 100, size=1000)
    assert maths.euclidean(np.ones(1000), norms, norms).max() <= 1e-6 * 100
    assert not np.isnan(maths.euclidean(np.float32(1), norms, norms * (1 + 1e-15))).any()


@pytest.mark.parametrize("block_bytes", [1, 8 * 40, 8 * 40 * 7, 1 << 20])
def test_cosine_blocks_hold_each_pair_once_whatever_their_size(block_bytes):
    U = maths.unit(random_rows(40, 9, 1))
    seen = np.full((40, 40), np.nan, dtype=np.float32)
    for start, S in maths.cosine_blocks(U, block_bytes):
        for r in range(S.shape[0]):
            for c in range(r, S.shape[1]):
                assert np.isnan(seen[start + r, start + c])
                seen[start + r, start + c] = S[r, c]
    upper = np.triu_indices(40)
    assert np.isnan(seen[np.tril_indices(40, -1)]).all()
    np.testing.assert_array_equal(seen[upper], cosine_matrix(U)[upper].astype(np.float32))


def test_unit_rows_keep_very_small_and_very_large_rows():
    rows = np.array([[3e-45, 4e-45], [3e38, 4e38]])
    np.testing.assert_allclose(maths.unit(rows), [[0.6, 0.8], [0.6, 0.8]], rtol=1e-7)


def expected_neighbors(U, queries, k, excluded):
    cosines = (queries @ U.T).clip(-1, 1).astype(np.float32)
    return [nearest(c, k, tuple(e)) for c, e in zip(cosines, excluded, strict=True)]


@given(shapes, st.data())
def test_neighbors_are_exact_with_an_honest_index(shape, data):
    U = maths.unit(random_rows(*shape))
    n_classes = len(U)
    k = data.draw(st.integers(1, n_classes - 1))
    m = data.draw(st.integers(k + 1, max(k + 1, n_classes)))
    own = np.arange(n_classes)[:, None]
    indices, cosines = maths.exact_neighbors(U, U, VectorIndex.build(U).search(U, m), k, own)
    assert indices.tolist() == expected_neighbors(U, U, k, own)
    np.testing.assert_allclose(
        cosines, np.take_along_axis(cosine_matrix(U), indices, axis=1), rtol=0, atol=2.0**-24
    )


@given(shapes, st.data())
def test_neighbors_are_exact_when_rounding_has_misplaced_rows(shape, data):
    """Rows so near each other that a float32 index can't tell them apart."""
    n_classes, dim, seed = shape
    random = np.random.default_rng(seed)
    center = random.normal(size=dim)
    spread = 10.0 ** data.draw(st.integers(-9, -6))
    U = maths.unit(center + spread * random.normal(size=(n_classes, dim)))
    query = maths.unit(random.normal(size=(3, dim)))
    k = data.draw(st.integers(1, n_classes))
    candidates = VectorIndex.build(U).search(query, min(n_classes, k + 1))
    indices, _ = maths.exact_neighbors(U, query, candidates, k)
    assert indices.tolist() == expected_neighbors(U, query, k, [()] * 3)


@given(shapes, st.data())
def test_a_whole_but_shuffled_candidate_list_gives_the_exact_answer(shape, data):
    U = maths.unit(random_rows(*shape))
    n_classes = len(U)
    k = data.draw(st.integers(1, n_classes))
    candidates = np.stack([data.draw(st.permutations(range(n_classes))) for _ in range(2)])
    indices, _ = maths.exact_neighbors(U, U[:2], candidates, k)
    assert indices.tolist() == expected_neighbors(U, U[:2], k, [()] * 2)


@given(shapes, st.data())
def test_candidates_padded_with_minus_one_give_the_exact_answer(shape, data):
    U = maths.unit(random_rows(*shape))
    n_classes = len(U)
    k = data.draw(st.integers(1, n_classes))
    m = data.draw(st.integers(k, n_classes + 5))
    kept = data.draw(st.integers(0, min(m, n_classes)))
    candidates = np.full((2, m), -1, dtype=np.int64)
    candidates[:, :kept] = VectorIndex.build(U).search(U[:2], n_classes)[:, :kept]
    indices, cosines = maths.exact_neighbors(U, U[:2], candidates, k)
    assert indices.tolist() == expected_neighbors(U, U[:2], k, [()] * 2)
    assert np.isfinite(cosines).all()


@given(shapes, st.data())
def test_fewer_candidates_than_asked_for_give_the_exact_answer(shape, data):
    U = maths.unit(random_rows(*shape))
    n_classes = len(U)
    k = data.draw(st.integers(1, n_classes))
    m = data.draw(st.integers(1, k))
    candidates = VectorIndex.build(U).search(U[:2], m)
    indices, _ = maths.exact_neighbors(U, U[:2], candidates, k)
    assert indices.tolist() == expected_neighbors(U, U[:2], k, [()] * 2)


@pytest.mark.parametrize("gather_cost", [0, 10**9])
@given(shapes, st.data())
def test_gathering_rows_and_one_product_with_all_of_them_agree(gather_cost, shape, data):
    U = maths.unit(random_rows(*shape))
    n_classes = len(U)
    k = data.draw(st.integers(1, n_classes - 1))
    candidates = VectorIndex.build(U).search(U, min(n_classes, k + 3))
    own = np.arange(n_classes)[:, None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_GATHER_COST", gather_cost)
        indices, _ = maths.exact_neighbors(U, U, candidates, k, own)
    assert indices.tolist() == expected_neighbors(U, U, k, own)


@pytest.mark.parametrize("block_bytes", [1, 8 * 30, 8 * 30 * 4])
@pytest.mark.parametrize("n_candidates", [6, 12, 30])
def test_neighbors_do_not_depend_on_the_block_size(monkeypatch, block_bytes, n_candidates):
    U = maths.unit(random_rows(30, 8, 5))
    own = np.arange(30)[:, None]
    candidates = VectorIndex.build(U).search(U, n_candidates)
    whole = maths.exact_neighbors(U, U, candidates, 5, own)
    monkeypatch.setattr(
        module, "row_blocks", functools.partial(module.row_blocks, block_bytes=block_bytes)
    )
    blocked = maths.exact_neighbors(U, U, candidates, 5, own)
    np.testing.assert_array_equal(blocked[0], whole[0])
    np.testing.assert_array_equal(blocked[1], whole[1])


def test_identical_rows_rank_by_index():
    U = maths.unit(np.array([[1.0, 2], [3, 1], [1, 2], [1, 2], [-1, 0], [1, 2]]))
    own = np.arange(6)[:, None]
    for n_candidates in (2, 4, 6):
        candidates = VectorIndex.build(U).search(U, n_candidates)
        k = n_candidates - 1
        indices, cosines = maths.exact_neighbors(U, U, candidates, k, own)
        assert indices.tolist() == expected_neighbors(U, U, k, own)
        assert indices[3, : min(k, 3)].tolist() == [0, 2, 5][: min(k, 3)]
        assert cosines[3, 0] == 1.0


def test_hundreds_of_identical_rows_rank_by_index_with_few_candidates():
    U = maths.unit(np.ones((400, 5)) + np.eye(400, 5))
    own = np.arange(400)[:, None]
    candidates = VectorIndex.build(U).search(U, 21)
    indices, _ = maths.exact_neighbors(U, U, candidates, 20, own)
    assert indices[399].tolist() == list(range(5, 25))
    assert indices[5].tolist() == list(range(6, 26))


@given(shapes, st.data())
def test_excluded_rows_are_never_answers_and_all_others_can_be(shape, data):
    U = maths.unit(random_rows(*shape))
    n_classes = len(U)
    barred = sorted(data.draw(st.sets(st.integers(0, n_classes - 1), max_size=n_classes - 1)))
    k = n_classes - len(barred)
    candidates = VectorIndex.build(U).search(U[:1], n_classes)
    indices, _ = maths.exact_neighbors(U, U[:1], candidates, k, np.array([barred], dtype=np.int64))
    assert indices.tolist() == expected_neighbors(U, U[:1], k, [barred])


@given(shapes, st.integers(0, 2**32 - 1))
def test_permuting_the_classes_permutes_the_neighbors(shape, seed):
    U = maths.unit(random_rows(*shape))
    n_classes = len(U)
    k = min(5, n_classes - 1)
    order = np.random.default_rng(seed).permutation(n_classes)
    own = np.arange(n_classes)[:, None]

    def neighbors(rows):
        return maths.exact_neighbors(
            rows, rows, VectorIndex.build(rows).search(rows, k + 1), k, own
        )

    straight, permuted = neighbors(U), neighbors(U[order])
    np.testing.assert_array_equal(order[permuted[0]], straight[0][order])


@pytest.mark.parametrize("seed", [22, 88, 242, 304, 368])
@pytest.mark.parametrize(("k", "n_candidates"), [(1, 29), (5, 33), (5, 205), (25, 225)])
def test_the_margin_covers_what_faiss_misplaces_in_two_dimensions(seed, k, n_candidates):
    """3,000 rows within a few roundings of each other, found by searching for such heads."""
    random = np.random.default_rng(seed)
    query = maths.unit(np.ones((1, 2)))
    base = random.normal(size=2)
    if seed % 2:
        base -= base @ query[0] * query[0]
    base /= np.linalg.norm(base)
    spread = 2 * 2.0**-24 * random.choice([1, 2, 4, 8])
    U = maths.unit(base + spread * random.normal(size=(3000, 2)) / np.sqrt(2))
    candidates = VectorIndex.build(U).search(query, n_candidates)
    indices, _ = maths.exact_neighbors(U, query, candidates, k)
    assert indices.tolist() == expected_neighbors(U, query, k, [()])
