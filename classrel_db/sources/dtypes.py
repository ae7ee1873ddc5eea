"""The number formats that a head may be stored in, and their way to float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ByteOrder = Literal["<", "="]  # little-endian, or the machine's own

# safetensors' name of each supported format: numpy's name, without the byte order.
# numpy has no bfloat16: its 16 bits are the upper half of a float32.
_STORED_AS = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2"}

SUPPORTED = tuple(_STORED_AS)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that was read: its ``numbers`` as float32, and what they were stored as.

    ``dtype`` is safetensors' name of the format: F64, F32, F16, BF16, F8_E4M3, F8_E5M2, I8, U8. Of
    integers that stand for numbers, ``step`` is the distance of two neighbouring ones, () or (C, 1, …)
    as it broadcasts against ``numbers``; else it is None.
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

    A float64 beyond float32's range becomes infinite; whoever takes the head refuses those.
    """
    stored = content.view(order + _STORED_AS[dtype])
    if dtype == "BF16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return rounded(stored)


def rounded(numbers: NDArray[np.floating]) -> NDArray[np.float32]:
    """``numbers`` as float32, without numpy's warning when one of them gets infinite."""
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32, copy=False)
