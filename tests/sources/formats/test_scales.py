from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from classrel_db.errors import SourceError
from classrel_db.records import Head

from ..conftest import C, D, single_line

Read = Callable[..., Head]
Save = Callable[[dict[str, torch.Tensor]], Path]

STORED = torch.randint(
    -127, 128, (C, D), dtype=torch.int8, generator=torch.Generator().manual_seed(0)
)
STEP = torch.linspace(0.01, 0.05, C)


@pytest.fixture(params=["safetensors", "pth"])
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Save:
    def write(tensors: dict[str, torch.Tensor]) -> Path:
        path = tmp_path / f"m.{request.param}"
        (torch.save if request.param == "pth" else save_file)(tensors, path)
        return path

    return write


def refused(read: Read, path: Path, pattern: str) -> None:
    with pytest.raises(SourceError, match=pattern) as caught:
        read(path)
    assert single_line(str(caught.value))
    assert path.name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("fc.weight_scale", STEP[:, None]),
        ("fc.weight_scale", STEP),
        ("fc.weight_scale_inv", STEP),
        ("fc.scales", STEP.double()),
        ("fc.SCB", STEP * 127),
        ("fc.weight_scale", torch.tensor(0.02)),
        ("fc.weight_scale", torch.tensor([0.02])),
        ("fc.weight_scale", torch.tensor([[0.02]]).half()),
    ],
)
def test_integers_are_read_with_the_scale_beside_them(
    save: Save, read: Read, name: str, scale: torch.Tensor
) -> None:
    bias = torch.randn(C)
    head = read(save({"fc.weight": STORED, name: scale, "fc.bias": bias, "x": torch.ones(9)}))
    step = scale.double().reshape(-1, 1) / (127 if name == "fc.SCB" else 1)
    np.testing.assert_allclose(head.weight, STORED.double() * step, rtol=2e-7)
    assert head.weight.dtype == np.float32
    assert head.dtype == "I8"
    np.testing.assert_allclose(
        head.rounding, np.sqrt(D) * step.expand(C, 1).flatten() / 2, rtol=1e-4
    )
    assert torch.equal(torch.from_numpy(head.bias), bias)


def test_a_zero_point_is_subtracted_before(save: Save, read: Read) -> None:
    shifted = (STORED.int() + 128).to(torch.uint8)
    tensors = {"fc.weight": shifted, "fc.weight_scale": STEP}
    refused(read, save(tensors), 'stored as U8 without a zero point, "fc.weight_zero_point"')
    for zero in (torch.tensor(128, dtype=torch.uint8), torch.full((C,), 128.0)):
        head = read(save({**tensors, "fc.weight_zero_point": zero}))
        np.testing.assert_allclose(head.weight, STORED * STEP[:, None], rtol=2e-7)
        assert head.dtype == "U8"


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_floats_of_8_bits_are_read_with_a_scale_and_without(
    save: Save, read: Read, dtype: torch.dtype
) -> None:
    weight = torch.randn(C, D).to(dtype)
    plain = read(save({"fc.weight": weight}))
    assert torch.equal(torch.from_numpy(plain.weight), weight.float())
    scaled = read(save({"fc.weight": weight, "fc.weight_scale_inv": STEP[:, None]}))
    assert torch.equal(torch.from_numpy(scaled.weight), weight.float() * STEP[:, None])
    np.testing.assert_allclose(scaled.rounding, plain.rounding * STEP.numpy(), rtol=1e-5)
    assert plain.dtype == scaled.dtype
    assert plain.dtype.startswith("F8_E")


def test_numbers_of_more_bits_have_no_scale(save: Save, read: Read) -> None:
    weight = torch.randn(C, D).half()
    head = read(save({"fc.weight": weight, "fc.weight_scale": STEP}))
    assert torch.equal(torch.from_numpy(head.weight), weight.float())


def test_a_convolution_is_read_with_its_scale(save: Save, read: Read) -> None:
    tensors = {"fc.weight": STORED[:, :, None, None], "fc.weight_scale": STEP[:, None, None, None]}
    head = read(save(tensors))
    assert torch.equal(torch.from_numpy(head.weight), STORED * STEP[:, None])


@pytest.mark.parametrize(
    ("tensors", "pattern"),
    [
        (
            {},
            "stored as I8 without a scale; accepted is "
            '"fc.weight_scale" or "fc.weight_scale_inv" or "fc.SCB" or "fc.scales"',
        ),
        ({"fc.scales": STEP, "fc.SCB": STEP + 1}, 'with 2 scales, "fc.SCB" and "fc.scales"'),
        (
            {"fc.weight_scale": torch.ones(2, 2)},
            r'"fc.weight_scale" is 2×2; accepted is one number',
        ),
        ({"fc.weight_scale": torch.ones(1, C)}, f"is 1×{C}; .* each of the {C} rows"),
        ({"fc.weight_scale": torch.ones(D)}, f"is {D}; accepted"),
        ({"fc.weight_scale": torch.ones(0)}, "is 0; accepted"),
        ({"fc.weight_scale": STEP, "fc.weight_zero_point": torch.ones(2)}, "is 2; accepted"),
        ({"fc.weight_scale": STEP.to(torch.complex64)}, '"fc.weight_scale" .* is stored as'),
    ],
)
def test_integers_without_a_scale_for_each_row_are_refused(
    save: Save, read: Read, tensors: dict[str, torch.Tensor], pattern: str
) -> None:
    refused(read, save({"fc.weight": STORED, **tensors}), pattern)


def test_a_bias_of_integers_takes_a_scale_of_its_own(save: Save, read: Read) -> None:
    bias = torch.arange(C, dtype=torch.int8)
    tensors = {"fc.weight": torch.randn(C, D), "fc.bias": bias, "fc.SCB": STEP}
    refused(read, save(tensors), '"fc.bias" .* without a scale; accepted is "fc.bias_scale"')
    head = read(save({**tensors, "fc.bias_scale": torch.tensor(0.5)}))
    assert torch.equal(torch.from_numpy(head.bias), bias * 0.5)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (torch.float64, "F64"),
        (torch.float16, "F16"),
        (torch.bfloat16, "BF16"),
        (torch.float32, "F32"),
    ],
)
def test_the_head_tells_its_format_and_its_rounding(
    save: Save, read: Read, dtype: torch.dtype, name: str
) -> None:
    original = torch.randn(C, D, dtype=torch.float64)
    head = read(save({"fc.weight": original.to(dtype)}))
    assert head.dtype == name
    if name == "F32":
        assert head.rounding is None
        return
    assert head.rounding.shape == (C,)
    moved = np.linalg.norm(head.weight - original.numpy(), axis=1)
    assert (moved <= head.rounding).all()
    assert (head.rounding <= 10 * moved).all()
