"""The number formats that a head may be stored in, their way to float32, and what they left out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from classrel_db.scratch import LARGE, release, scratch_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classrel_db.sources.counted import CountingFile

ByteOrder = Literal["<", ">"]


class _Float(NamedTuple):
    """A binary format: the bits of its fraction, and the exponent of its smallest normal number."""

    fraction: int
    lowest: int


_FLOAT32 = _Float(23, -126)

# What a number was rounded to on its way here: float64 is rounded to float32 by ``as_float32``.
_ROUNDED_TO = {
    "F64": _FLOAT32,
    "F16": _Float(10, -14),
    "BF16": _Float(7, -126),
    "F8_E4M3": _Float(3, -6),
    "F8_E5M2": _Float(2, -14),
    "F8_E4M3FNUZ": _Float(3, -7),
    "F8_E5M2FNUZ": _Float(2, -15),
}

# safetensors' name of each supported format: numpy's name, without the byte order. numpy has no
# bfloat16, whose 16 bits are the upper half of a float32, and no float of 8 bits.
_STORED_AS = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2", "I8": "i1", "U8": "u1"} | {
    dtype: "u1" for dtype in _ROUNDED_TO if dtype.startswith("F8_")
}

SUPPORTED = tuple(_STORED_AS)
INTEGERS = ("I8", "U8")
SCALED = (*INTEGERS, *(dtype for dtype in SUPPORTED if dtype.startswith("F8_")))

_BLOCK = 16 << 20  # bytes of a large tensor that are read at a time
_ROWS = 256  # whose steps are in memory at once, as float64


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that was read: its ``numbers`` as float32, and what they were stored as.

    ``dtype`` is safetensors' name of the format. ``step`` is what a stored 1
    stands for where that is another number, () or (C, 1, …) as it broadcasts against ``numbers``;
    else it is None. Integers with a ``step`` stand for numbers that it is the distance between.
    """

    numbers: NDArray[np.float32]
    dtype: str
    step: NDArray[np.float32] | None = None


def itemsize(dtype: str) -> int:
    """Bytes per number of a supported ``dtype``."""
    return np.dtype(_STORED_AS[dtype]).itemsize


def as_float32(
    content: NDArray[np.uint8], dtype: str, order: ByteOrder = "<"
) -> NDArray[np.float32]:
    """The numbers in ``content``, stored as ``dtype``, as a flat float32 array.

    A float64 beyond float32's range becomes infinite; whoever takes the head refuses those. Integers
    come as they are, without a scale.
    """
    stored = content.view(order + _STORED_AS[dtype])
    if dtype == "BF16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    if dtype.startswith("F8_"):
        return np.take(_float8(dtype), stored)
    return rounded(stored)


def read_float32(
    file: CountingFile, start: int, length: int, dtype: str, order: ByteOrder = "<"
) -> NDArray[np.float32]:
    """The numbers that lie at ``start`` in ``file``, in ``length`` bytes, as a flat float32 array.

    A large one lies on the disk, in the system's folder for temporary files, and is read block by block.
    """
    if length <= LARGE:
        return as_float32(file.read_range(start, length), dtype, order)
    size = itemsize(dtype)
    found = scratch_array((length // size,), "<f4", None)
    block = _BLOCK // size
    for at in range(0, len(found), block):
        part = slice(at, min(at + block, len(found)))
        content = file.read_range(start + at * size, (part.stop - at) * size)
        found[part] = as_float32(content, dtype, order)
        release(found)
    return found


def rounded(numbers: NDArray[np.number]) -> NDArray[np.float32]:
    """``numbers`` as float32, without numpy's warning when one of them gets infinite."""
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32, copy=False)


def rounding(tensor: Tensor) -> NDArray[np.float64] | None:
    """How far each row may lie from what it was before it was rounded: (C,), a Euclidean length.

    It is the length of the row of half steps: half the distance of two neighbours in the format, at
    each number's own size, or half the ``step`` of integers. None for float32, and for integers
    without a step: these were not rounded. Numbers are taken to have been rounded to the nearest.
    One that was clipped, because it lay beyond the largest of the format, has no bound: it counts as
    if it had been rounded.
    """
    if tensor.dtype == "F32" or (tensor.dtype not in _ROUNDED_TO and tensor.step is None):
        return None
    rows = tensor.numbers.reshape(len(tensor.numbers), -1)
    step = None
    if tensor.step is not None:
        step = np.abs(tensor.step.astype(np.float64)).reshape(-1, 1)
        step = np.broadcast_to(step, (len(rows), 1))
    lengths = np.empty(len(rows))
    for at in range(0, len(rows), _ROWS):
        part = slice(at, at + _ROWS)
        halves = _half_steps(rows[part], tensor.dtype, None if step is None else step[part])
        lengths[part] = np.linalg.norm(halves, axis=1)
    return lengths


def _half_steps(
    numbers: NDArray[np.float32], dtype: str, step: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Half the distance of two neighbours at each of ``numbers``; ``step`` is (C, 1)."""
    if step is None:
        return _half_ulps(numbers, _ROUNDED_TO[dtype])
    halves = step / 2
    if dtype in _ROUNDED_TO:
        # What was stored, nearly: the quotient is exact at the powers of two, where steps get longer.
        with np.errstate(divide="ignore", invalid="ignore"):  # a scale of 0 makes a row of 0
            stored = numbers / step
        halves = _half_ulps(stored, _ROUNDED_TO[dtype]) * step
    return halves + _half_ulps(numbers, _FLOAT32)  # the product with the step was rounded too


def _half_ulps(numbers: NDArray[np.floating], to: _Float) -> NDArray[np.float64]:
    """Half a unit in the last place of each of ``numbers`` in the format ``to``, as float64."""
    mantissa, exponent = np.frexp(numbers)  # of a mantissa from 0.5 to 1; 0 has none
    exponent = np.where(mantissa == 0, to.lowest, np.maximum(exponent - 1, to.lowest))
    halves: NDArray[np.float64] = np.ldexp(0.5, exponent - to.fraction)
    return halves


@cache
def _float8(dtype: str) -> NDArray[np.float32]:
    """The numbers of all 256 bytes in a format of 8 bits."""
    fraction, lowest = _ROUNDED_TO[dtype]
    codes = np.arange(256)
    exponent, last = (codes & 0x7F) >> fraction, codes % (1 << fraction)
    normal = exponent > 0
    size: NDArray[np.float64] = np.ldexp(
        normal + last / (1 << fraction), np.maximum(exponent, 1) + lowest - 1
    )
    numbers = np.where(codes < 0x80, size, -size)
    if dtype.endswith("FNUZ"):
        numbers[0x80] = np.nan  # instead of a negative zero
    elif dtype == "F8_E4M3":
        numbers[[0x7F, 0xFF]] = np.nan
    else:  # as in float16: the last exponent is of the infinities
        numbers[exponent == 31] = np.nan
        numbers[[0x7C, 0xFC]] = np.inf, -np.inf
    return numbers.astype(np.float32)
