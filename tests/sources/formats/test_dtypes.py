from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from classrel_db.sources.formats.dtypes import SUPPORTED, Tensor, as_float32, itemsize, rounding

# torch's own formats by safetensors' names
FLOATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
}
NARROW = [name for name in FLOATS if name not in {"F64", "F32"}]
INTEGERS = {"I8": torch.int8, "U8": torch.uint8}


def read_back(tensor: torch.Tensor, dtype: str) -> np.ndarray:
    """The bytes of a torch tensor, as this package reads them."""
    stored = tensor.contiguous().view(torch.uint8).reshape(-1).numpy()
    return as_float32(stored, dtype).reshape(tensor.shape)


def rounding_of(numbers: np.ndarray, dtype: str, step: np.ndarray | None = None) -> np.ndarray:
    bound = rounding(Tensor(numbers, dtype, step))
    assert bound is not None
    return bound


def test_all_formats_are_tried() -> None:
    assert {*SUPPORTED} == {*FLOATS, *INTEGERS}


@pytest.mark.parametrize("dtype", [*NARROW, *INTEGERS])
def test_every_pattern_of_bits_is_the_number_that_torch_takes_it_for(dtype: str) -> None:
    torch_dtype = (FLOATS | INTEGERS)[dtype]
    assert itemsize(dtype) == torch_dtype.itemsize
    codes = np.arange(256 ** itemsize(dtype)).astype(f"<u{itemsize(dtype)}")
    expected = torch.from_numpy(codes).view(torch_dtype).float().numpy()
    for order in ("<", ">"):
        stored = codes.astype(codes.dtype.newbyteorder(order)).view(np.uint8)
        np.testing.assert_array_equal(as_float32(stored, dtype, order), expected)


numbers_of = npst.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    | st.floats(-1, 1, width=32)
    | st.floats(-(2.0**-10), 2.0**-10, width=32),
)


@pytest.mark.parametrize("dtype", NARROW)
@given(numbers=numbers_of)
def test_what_was_rounded_is_within_the_bound(dtype: str, numbers: np.ndarray) -> None:
    largest = torch.finfo(FLOATS[dtype]).max
    numbers = np.clip(numbers, -largest, largest)  # beyond, it was clipped and has no bound
    stored = read_back(torch.from_numpy(numbers).to(FLOATS[dtype]), dtype)
    moved = np.linalg.norm(stored.astype(np.float64) - numbers, axis=1)
    assert (moved <= rounding_of(stored, dtype) * (1 + 1e-12)).all()


@given(numbers=npst.arrays(np.float64, (3, 5), elements=st.floats(-1e38, 1e38)))
def test_float64_is_within_the_bound_of_its_way_to_float32(numbers: np.ndarray) -> None:
    stored = read_back(torch.from_numpy(numbers), "F64")
    moved = np.linalg.norm(stored - numbers, axis=1)
    assert (moved <= rounding_of(stored, "F64") * (1 + 1e-12)).all()


@pytest.mark.parametrize("dtype", NARROW)
def test_the_bound_is_reached_to_within_a_factor_of_two(dtype: str) -> None:
    """Halfway between every two neighbours: nothing can be further from what it is rounded to."""
    codes = np.arange(256 ** itemsize(dtype)).astype(f"<u{itemsize(dtype)}")
    every = as_float32(codes.view(np.uint8), dtype)
    every = np.unique(every[np.isfinite(every)].astype(np.float64))
    halfway = ((every[1:] + every[:-1]) / 2)[:, np.newaxis]
    assert np.array_equal(halfway, halfway.astype(np.float32))
    stored = read_back(torch.from_numpy(halfway.astype(np.float32)).to(FLOATS[dtype]), dtype)
    moved = np.abs(stored - halfway)[:, 0]
    bound = rounding_of(stored, dtype)
    assert (moved <= bound).all()
    assert (bound <= 2 * moved).all()
    assert np.median(bound / moved) == 1


def quantised(numbers: np.ndarray, step: np.ndarray) -> Tensor:
    stored = torch.from_numpy(np.rint(numbers / step)).to(torch.int8)
    return Tensor(read_back(stored, "I8") * step, "I8", step)


@given(
    numbers=npst.arrays(np.float32, (4, 6), elements=st.floats(-1, 1, width=32)),
    step=st.floats(2**-6, 1, width=32),
    per_row=st.booleans(),
)
def test_integers_with_a_step_are_within_the_bound(
    numbers: np.ndarray, step: float, per_row: bool
) -> None:
    rows = np.arange(1, 5) if per_row else np.ones(1)
    steps = (step * rows).astype(np.float32).reshape((-1, 1) if per_row else ())
    tensor = quantised(numbers, steps)
    bound = rounding_of(tensor.numbers, "I8", steps)
    moved = np.linalg.norm(tensor.numbers.astype(np.float64) - numbers, axis=1)
    assert (moved <= bound).all()
    np.testing.assert_allclose(bound, np.sqrt(6) * step * rows / 2 * np.ones(4), rtol=1e-4)


@pytest.mark.parametrize("dtype", [name for name in NARROW if name.startswith("F8")])
@given(
    numbers=npst.arrays(np.float32, (3, 6), elements=st.floats(-1, 1, width=32)),
    scale=st.floats(0.0625, 1, width=32),
)
def test_scaled_floats_of_8_bits_are_within_the_bound(
    dtype: str, numbers: np.ndarray, scale: float
) -> None:
    step = np.float32(scale).reshape(())
    stored = read_back(torch.from_numpy(numbers / step).to(FLOATS[dtype]), dtype)
    bound = rounding_of(stored * step, dtype, step)
    moved = np.linalg.norm((stored * step).astype(np.float64) - numbers, axis=1)
    slack = 6 * 2.0**-24  # of the division above
    assert (moved <= bound + slack).all()
    assert (bound <= 1.0001 * float(step) * rounding_of(stored, dtype) + slack).all()


def test_float32_and_bare_integers_were_not_rounded() -> None:
    numbers = np.ones((2, 3), np.float32)
    assert rounding(Tensor(numbers, "F32")) is None
    assert rounding(Tensor(numbers, "I8")) is None


def test_a_convolution_has_a_bound_for_each_row() -> None:
    numbers = np.full((600, 4, 1, 1), 1.5, np.float32)
    np.testing.assert_allclose(rounding_of(numbers, "F16"), np.sqrt(4) * 2.0**-11)


def test_the_sign_of_a_scale_is_no_matter() -> None:
    numbers, step = np.full((2, 3), 0.3, np.float32), np.full((2, 1), 0.1, np.float32)
    for dtype in ("I8", "F8_E4M3"):
        bound = rounding_of(numbers, dtype, step)
        np.testing.assert_array_equal(rounding_of(numbers, dtype, -step), bound)


def test_a_scale_of_zero_bounds_a_row_of_zeros() -> None:
    step = np.zeros((2, 1), np.float32)
    bound = rounding_of(np.zeros((2, 3), np.float32), "F8_E4M3", step)
    assert (bound < 1e-40).all()
