"""Numbers of 8 bits, and the scale that a checkpoint keeps in a tensor beside them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from classrel_db.errors import SourceError
from classrel_db.sources.formats.dtypes import INTEGERS, SCALED, Tensor
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


class _Tensors(Protocol):
    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def read(self, key: str) -> Tensor: ...


def read_scaled(tensors: _Tensors, key: str, shown: str) -> Tensor:
    """The tensor ``key`` as the numbers that it stands for; ``shown`` is the file in messages.

    Of 8 bits, these are (stored − zero point) · scale. The scale has one number, or one for each row.
    Floats of 8 bits may do without. Unsigned integers need a zero point, as no weights are all
    positive.

    Raises
    ------
    SourceError
        Integers without a known scale, several scales, or one for each block or column.
    """
    stored = tensors.read(key)
    if stored.dtype not in SCALED or stored.step is not None:
        return stored
    divisors = _known_scales(key)
    found = [name for name in divisors if name in tensors.shapes]
    zero_key = f"{key}_zero_point"
    what = f"{quoted(key)} of {shown} is stored as {stored.dtype}"
    if len(found) > 1:
        raise SourceError(
            f"{what} with {len(found)} scales, {' and '.join(map(quoted, found))}; "
            f"save it with one of them, or as float32"
        )
    if not found and stored.dtype in INTEGERS:
        raise SourceError(
            f"{what} without a scale; accepted is {' or '.join(map(quoted, divisors))}, with one "
            f"number or one for each row: save it with its scale, or as float32"
        )
    if stored.dtype == "U8" and zero_key not in tensors.shapes:
        raise SourceError(
            f"{what} without a zero point, {quoted(zero_key)}; save it with that, or as float32"
        )
    if not found:
        return stored
    step = _per_row(tensors, found[0], stored.numbers, what) / np.float32(divisors[found[0]])
    numbers = stored.numbers
    if zero_key in tensors.shapes:
        numbers = numbers - _per_row(tensors, zero_key, numbers, what)
    return Tensor(numbers * step, stored.dtype, step)


def _known_scales(key: str) -> dict[str, float]:
    """The tensors that can be the scale of ``key``, and what each is to be divided by."""
    # The second is no inverse of the first: its makers name it after the one that they multiplied by
    # before they rounded.
    divisors = {f"{key}_scale": 1.0, f"{key}_scale_inv": 1.0}
    if key.rpartition(".")[2] == "weight":
        layer = key.removesuffix("weight")
        # bitsandbytes keeps the largest number of each row, which it stores as 127
        divisors |= {f"{layer}SCB": 127.0, f"{layer}scales": 1.0}
    return divisors


def _per_row(
    tensors: _Tensors, key: str, numbers: NDArray[np.float32], what: str
) -> NDArray[np.float32]:
    """One number, or one for each row, in a shape that broadcasts against ``numbers``."""
    shape = tensors.shapes[key]
    count = math.prod(shape)
    if count != 1 and (count != len(numbers) or shape[0] != count):
        raise SourceError(
            f"{what}, and {quoted(key)} is {'×'.join(map(str, shape))}; accepted is one number, or "
            f"one for each of the {len(numbers):,} rows: save it so, or as float32"
        )
    per_row = (-1,) + (1,) * (numbers.ndim - 1)
    return tensors.read(key).numbers.reshape(per_row if count > 1 else ())
