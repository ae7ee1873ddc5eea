"""Normalisations against torch's own formula, naive loops, and the laws they must obey."""

from __future__ import annotations

import functools
import importlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import REAL, standardized

from classrel_db import maths

module = importlib.import_module("classrel_db.maths.normalize")  # the name is also a function

FLOAT32 = 2.0**-24  # the relative rounding of a float32
METHODS = ("standardize", "center", "none")


@st.composite
def raw_heads(draw: st.DrawFn) -> np.ndarray:
    """C×D float32 without a faulty row, of very different magnitudes."""
    n_classes, dim = draw(st.integers(2, 12)), draw(st.integers(2, 30))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    magnitude = 10.0 ** draw(st.integers(-6, 6))
    offset = draw(st.sampled_from([0.0, 1.0, -30.0]))
    return (magnitude * (random.normal(size=(n_classes, dim)) + offset)).astype(np.float32)


@pytest.mark.parametrize("name", REAL)
def test_standardize_is_the_published_torch_code(heads, name):
    w = torch.from_numpy(heads[name].weight.copy())
    w -= w.mean(dim=1, keepdim=True)
    w /= w.std(dim=1, keepdim=True)
    ours = maths.normalize(heads[name].weight, "standardize")
    # torch works in float32 throughout, so it is the less exact of the two
    np.testing.assert_allclose(ours.rows, w.numpy(), rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(ours.norm, w.norm(2, dim=1).numpy(), rtol=1e-5)


@given(raw_heads())
def test_standardize_is_a_naive_double_loop_rounded_once(W):
    ours = maths.normalize(W, "standardize")
    for row, values in enumerate(W.astype(float).tolist()):
        mean = math.fsum(values) / len(values)
        std = math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (len(values) - 1))
        expected = [(x - mean) / std for x in values]
        np.testing.assert_allclose(ours.rows[row], expected, rtol=2 * FLOAT32, atol=1e-12)
        assert ours.mean[row] == pytest.approx(mean, rel=1e-12, abs=1e-12 * abs(max(values)))
        assert ours.std[row] == pytest.approx(std, rel=1e-12)


@given(raw_heads())
def test_center_subtracts_the_class_mean_and_gives_unit_rows(W):
    ours = maths.normalize(W, "center")
    n_classes, dim = W.shape
    column_means = [math.fsum(W[:, j].tolist()) / n_classes for j in range(dim)]
    np.testing.assert_allclose(ours.center, column_means, rtol=1e-12, atol=1e-13 * np.abs(W).max())
    for row in range(n_classes):
        centred = [float(W[row, j]) - column_means[j] for j in range(dim)]
        length = math.sqrt(math.fsum(x * x for x in centred))
        np.testing.assert_allclose(ours.rows[row], np.array(centred) / length, atol=1e-6)
    np.testing.assert_allclose(ours.norm, 1.0, atol=1e-6)


@given(raw_heads())
def test_none_keeps_the_rows_to_the_bit(W):
    ours = maths.normalize(W, "none")
    np.testing.assert_array_equal(ours.rows, W)
    expected = [math.sqrt(math.fsum(float(x) ** 2 for x in row)) for row in W]
    np.testing.assert_allclose(ours.norm, expected, rtol=1e-12)


@given(raw_heads())
def test_every_standardized_norm_is_the_root_of_dim_less_one(W):
    np.testing.assert_allclose(
        maths.normalize(W, "standardize").norm, math.sqrt(W.shape[1] - 1), rtol=1e-6
    )


@given(raw_heads(), st.integers(-20, 20))
def test_standardize_is_blind_to_a_power_of_two_to_the_bit(W, power):
    scaled = W * np.float32(2.0**power)
    np.testing.assert_array_equal(
        maths.normalize(scaled, "standardize").rows, maths.normalize(W, "standardize").rows
    )


@given(st.integers(0, 2**32 - 1), st.integers(-1000, 1000), st.floats(0.001, 1000, allow_nan=False))
def test_standardize_is_blind_to_shift_and_scale_of_a_row(seed, shift, scale):
    # small integers, so that the shift is exact in float32 and only the scale rounds
    W = np.random.default_rng(seed).integers(-500, 500, size=(4, 12)).astype(np.float32)
    W[:, 0] = 501  # no constant row
    changed = ((W + np.float32(shift)) * np.float32(scale)).astype(np.float32)
    # the scaled values are rounded, relative to values that the shift has made larger
    tolerance = 4 * FLOAT32 * (np.abs(W + shift).max() / W.std(axis=1).min() + 4)
    np.testing.assert_allclose(
        maths.normalize(changed, "standardize").rows,
        maths.normalize(W, "standardize").rows,
        atol=tolerance,
    )


@given(raw_heads(), st.sampled_from(METHODS), st.integers(0, 2**32 - 1))
def test_permuting_the_classes_permutes_the_rows(W, method, seed):
    order = np.random.default_rng(seed).permutation(len(W))
    straight, permuted = maths.normalize(W, method), maths.normalize(W[order], method)
    np.testing.assert_allclose(permuted.rows, straight.rows[order], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(permuted.norm, straight.norm[order], rtol=1e-6)
    np.testing.assert_array_equal(permuted.mean, straight.mean[order])


@given(raw_heads(), st.sampled_from(METHODS))
def test_recover_gives_the_raw_head_back(W, method):
    head = maths.normalize(W, method)
    shift = {"standardize": head.mean[:, None], "center": head.center, "none": 0.0}[method]
    # the stored row is rounded once, the recovered value once more
    bound = FLOAT32 * (np.abs(W.astype(float) - shift) + np.abs(W)) * 1.001 + 1e-300
    error = np.abs(maths.recover(head).astype(float) - W.astype(float))
    assert (error <= bound).all()


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("method", METHODS)
def test_recover_gives_the_real_heads_back(heads, name, method):
    W = heads[name].weight
    np.testing.assert_allclose(
        maths.recover(maths.normalize(W, method)), W, rtol=0, atol=2 * FLOAT32 * np.abs(W).max() * 2
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("block_bytes", [1, 8 * 7, 8 * 7 * 3, 8 * 7 * 1000])
def test_the_block_size_changes_nothing(monkeypatch, method, block_bytes):
    W = np.random.default_rng(3).normal(size=(23, 7)).astype(np.float32)
    whole = maths.normalize(W, method)
    monkeypatch.setattr(
        module, "row_blocks", functools.partial(module.row_blocks, block_bytes=block_bytes)
    )
    blocked = maths.normalize(W, method)
    for column in ("rows", "mean", "std", "norm", "scale"):
        np.testing.assert_array_equal(getattr(blocked, column), getattr(whole, column))


@given(st.integers(0, 50), st.integers(1, 20), st.integers(1, 4000))
def test_row_blocks_cover_every_row_once_and_in_order(n_rows, row_length, block_bytes):
    blocks = list(module.row_blocks(n_rows, row_length, block_bytes))
    assert [row for b in blocks for row in range(b.start, b.stop)] == list(range(n_rows))
    assert all(
        (b.stop - b.start) * row_length * 8 <= max(block_bytes, 8 * row_length) for b in blocks
    )


def test_an_unknown_method_is_refused_with_the_accepted_ones():
    with pytest.raises(ValueError, match=r"zscore.*standardize, center, none"):
        maths.normalize(np.eye(2, dtype=np.float32), "zscore")


def test_the_input_is_left_alone():
    W = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    before = W.copy()
    for method in METHODS:
        maths.normalize(W, method)
    np.testing.assert_array_equal(W, before)


FAULTY = {
    "holds NaN": [[1, np.nan, 2], [np.nan] * 3, [np.nan, np.inf, 1]],
    "holds Inf": [[1, np.inf, 2], [1, -np.inf, 2], [np.inf] * 3, [np.inf, -np.inf, 0]],
    "is all zero": [[0, 0, 0], [0.0, -0.0, 0.0]],
    "is constant (zero variance)": [[2, 2, 2], [-1e-30] * 3, [3e38] * 3],
}


@pytest.mark.parametrize(
    ("reason", "row"), [(reason, row) for reason, rows in FAULTY.items() for row in rows]
)
def test_a_faulty_row_is_found_with_its_reason(reason, row):
    W = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    W[4] = row
    assert maths.faulty_rows(W) == [(4, reason)]


def test_every_faulty_row_is_found_in_order_across_blocks(monkeypatch):
    monkeypatch.setattr(
        module, "row_blocks", functools.partial(module.row_blocks, block_bytes=8 * 3 * 2)
    )
    W = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    W[0], W[3], W[8] = 0, [1, np.inf, 1], 7
    assert maths.faulty_rows(W) == [
        (0, "is all zero"),
        (3, "holds Inf"),
        (8, "is constant (zero variance)"),
    ]


def test_extreme_but_sound_rows_are_kept_and_standardized():
    W = np.array([[9e17, -9e17, 1], [1e-45, 0, 0], [1, 1, 1 + 1e-6]])
    W = W.astype(np.float32)
    assert maths.faulty_rows(W) == []
    np.testing.assert_allclose(maths.normalize(W, "standardize").rows, standardized(W), rtol=1e-6)


@given(raw_heads(), st.sampled_from(METHODS))
def test_a_row_as_a_vector_is_normalised_as_the_row_was(W, method):
    head = maths.normalize(W, method)
    for row in range(len(W)):
        vector = maths.normalize_vector(W[row], method, head.center)
        np.testing.assert_allclose(vector, head.rows[row], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("vector", "method", "reason"),
    [
        ([1, np.nan], "none", "NaN, Inf"),
        ([1, np.inf], "standardize", "NaN, Inf"),
        ([3, 3], "standardize", "constant"),
        ([0, 0], "none", "zero"),
        ([1, 2], "center", "zero"),
    ],
)
def test_a_vector_without_direction_is_refused(vector, method, reason):
    center = np.array([1.0, 2.0]) if method == "center" else None
    with pytest.raises(ValueError, match=reason):
        maths.normalize_vector(np.array(vector, dtype=float), method, center)
