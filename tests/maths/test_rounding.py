"""The bound on what rounding does to cosines: never passed, and reached where it can be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import cosine_matrix

from classrel_db.maths import normalize
from classrel_db.maths.rounding import cosine_error, weight_error
from classrel_db.records import NORMALIZATIONS


def directions(W, method):
    """What cosines are taken of, by the definition of each normalisation."""
    W = np.asarray(W, dtype=np.float64)
    return {
        "standardize": W - W.mean(axis=1, keepdims=True),
        "center": W - W.mean(axis=0),
        "none": W,
    }[method]


def largest_change(before, after, method):
    cosines = [cosine_matrix(directions(W, method)) for W in (before, after)]
    return np.abs(cosines[0] - cosines[1]).max()


def int8(W):
    scale = W.abs().amax(dim=1, keepdim=True) / 127
    return (W / scale).round() * scale


FORMATS = {
    "F16": lambda W: W.half(),
    "BF16": lambda W: W.bfloat16(),
    "F8_E4M3": lambda W: W.to(torch.float8_e4m3fn),
    "F8_E5M2": lambda W: W.to(torch.float8_e5m2),
    "I8": int8,
}


@pytest.mark.parametrize("method", NORMALIZATIONS)
@pytest.mark.parametrize("dtype", FORMATS)
def test_no_cosine_of_a_real_head_changes_by_more_than_the_bound(heads, dtype, method):
    before = heads["efficientnet_lite0"].weight
    after = FORMATS[dtype](torch.from_numpy(before)).float().numpy()
    error = np.linalg.norm(after.astype(np.float64) - before, axis=1)
    head = normalize(after, method)
    bound = cosine_error(head, error)
    # rounding errors mostly cancel, so the bound is wide; it is not empty
    assert bound / 100 < largest_change(before, after, method) <= bound < 0.3
    lengths = np.linalg.norm(after.astype(np.float64), axis=1)
    assert weight_error(head, error) == pytest.approx((error / lengths).max(), rel=1e-6)


@given(st.integers(0, 10_000), st.floats(1e-4, 1.5), st.sampled_from(NORMALIZATIONS))
def test_no_error_of_that_length_changes_a_cosine_by_more(seed, size, method):
    random = np.random.default_rng(seed)
    n_classes, dim = random.integers(2, 7), random.integers(2, 7)
    after = (random.normal(size=(n_classes, dim)) + random.normal()).astype(np.float32)
    error = random.uniform(0, size, n_classes)
    away = random.normal(size=after.shape)
    away *= (error / np.linalg.norm(away, axis=1))[:, None]
    head = normalize(after, method)
    bound = cosine_error(head, error)
    assert 0 <= bound <= 2
    assert largest_change(after + away, after, method) <= bound + 1e-6


@pytest.mark.parametrize("turn", [0.001, 0.1, 0.7, 1.5])
def test_the_bound_is_reached_where_two_rows_turn_apart_about_a_right_angle(turn):
    def rows(start, end):
        return np.array([[np.cos(angle), np.sin(angle)] for angle in (start, end)])

    after = rows(0, np.pi / 2 - turn)
    # the shortest errors that turn so far are at right angles to the rows that they lead to
    before = rows(-turn, np.pi / 2) * np.cos(turn)
    error = np.linalg.norm(before - after, axis=1)
    assert error == pytest.approx(np.sin(turn))
    bound = cosine_error(normalize(after.astype(np.float32), "none"), error)
    assert largest_change(before, after, "none") == pytest.approx(2 * np.sin(turn))
    assert bound == pytest.approx(2 * np.sin(turn), rel=1e-5)


def test_rows_that_may_have_been_anything_leave_every_cosine_open():
    head = normalize(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32), "standardize")
    assert cosine_error(head, np.array([0, 0, 0, 0, 100.0])) == 2
    assert cosine_error(head, np.full(5, np.inf)) == 2
    assert cosine_error(head, np.zeros(5)) == 0
