"""safetensors files: a JSON header that says where each tensor lies, then the bytes.

The format is small enough to read by hand, and reading it by hand costs the header and the head's
range only: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classrel_db.errors import SourceError
from classrel_db.sources.formats.dtypes import SUPPORTED, Tensor, itemsize, read_float32
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from pathlib import PurePath

    from classrel_db.records import LabelSpace
    from classrel_db.sources.counted import CountingFile

_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000  # bytes; the limit of the format's own library


@dataclass(frozen=True, slots=True)
class _Stored:
    dtype: str
    shape: tuple[int, ...]
    start: int  # from the beginning of the file
    length: int  # in bytes


class SafetensorsFile:
    """The tensors of a safetensors file; opening it reads the header."""

    usual_head = None

    def __init__(self, file: CountingFile) -> None:
        self._file = file
        self._tensors = _tensors(file)
        self.shapes = {key: stored.shape for key, stored in self._tensors.items()}

    def in_blocks(self, _key: str) -> bool:
        return True

    def extent(self, key: str) -> int:
        return self._tensors[key].length

    def read(self, key: str) -> Tensor:
        stored = self._tensors[key]
        if stored.dtype not in SUPPORTED:
            raise SourceError(
                f"{quoted(key)} of {self._file.shown} is stored as {quoted(stored.dtype)}; a head "
                f"is read from {', '.join(SUPPORTED)}: convert it to one of these"
            )
        numbers = read_float32(self._file, stored.start, stored.length, stored.dtype)
        return Tensor(numbers.reshape(stored.shape), stored.dtype)

    def labels(self) -> LabelSpace | None:
        return None


def open_safetensors(file: CountingFile, _path: PurePath) -> SafetensorsFile:
    """Open a safetensors file, which tells nothing of its name."""
    return SafetensorsFile(file)


def _tensors(file: CountingFile) -> dict[str, _Stored]:
    header, data_start = _header(file)
    described = {key: value for key, value in header.items() if key != "__metadata__"}
    return {key: _described(file, key, value, data_start) for key, value in described.items()}


def _header(file: CountingFile) -> tuple[dict[str, Any], int]:
    if file.size < _LENGTH_BYTES:
        raise _malformed(file, f"it has {file.size} bytes, less than a header")
    length = int.from_bytes(file.read_range(0, _LENGTH_BYTES).tobytes(), "little")
    if length > _LONGEST_HEADER:
        raise _malformed(file, f"its header would have {length:,} bytes")
    content = file.read_range(_LENGTH_BYTES, length).tobytes()
    try:
        header = json.loads(content)
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or no UTF-8
        raise _malformed(file, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _malformed(file, "its header is not a JSON object")
    return header, _LENGTH_BYTES + length


def _described(file: CountingFile, key: str, value: object, data_start: int) -> _Stored:
    """One entry of the header, checked: a wrong one would read another tensor's bytes."""
    match value:
        case {
            "dtype": str(dtype),
            "shape": [*shape],
            "data_offsets": [int(start), int(end)],
        } if all(type(size) is int and size >= 0 for size in shape):
            pass
        case _:
            raise _malformed(file, f"its header describes {quoted(key)} in no known way")
    if not 0 <= start <= end:
        raise _malformed(file, f"{quoted(key)} would lie from byte {start} to byte {end}")
    if dtype in SUPPORTED and end - start != math.prod(shape) * itemsize(dtype):
        raise _malformed(
            file,
            f"{quoted(key)} has {end - start:,} bytes for {'×'.join(map(str, shape))} {dtype}",
        )
    if data_start + end > file.size:
        raise file.truncated(data_start + end)
    return _Stored(dtype, tuple(shape), data_start + start, end - start)


def _malformed(file: CountingFile, reason: str) -> SourceError:
    return SourceError(
        f"{file.shown} is no safetensors file: {reason}; is it another format, or damaged?"
    )
