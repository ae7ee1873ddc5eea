"""torch's checkpoints, in the zip format and the one before it: only the head is read of either.

The pickle says what tensors there are and of which storage each is a view; the format's layout says
where in the file a storage lies.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from classrel_db.errors import SourceError
from classrel_db.sources.formats.dtypes import Tensor, read_float32
from classrel_db.sources.formats.torch_legacy import open_legacy
from classrel_db.sources.formats.torch_pickle import REMEDY
from classrel_db.sources.formats.torch_zip import open_zip
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from pathlib import PurePath

    from classrel_db.records import LabelSpace
    from classrel_db.sources.counted import CountingFile
    from classrel_db.sources.formats.dtypes import ByteOrder
    from classrel_db.sources.formats.torch_pickle import View

_ZIP_MAGIC = b"PK\x03\x04"
# a pickle of torch's magic number in any protocol: 0x80, the protocol, then this
_LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

_DTYPES = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
    "torch.float8_e4m3fnuz": "F8_E4M3FNUZ",
    "torch.float8_e5m2fnuz": "F8_E5M2FNUZ",
    "torch.int8": "I8",
    "torch.uint8": "U8",
}


class _Layout(Protocol):
    """Where in the file the storages lie."""

    @property
    def order(self) -> ByteOrder: ...

    def start(self, key: str) -> int:
        """The byte at which the numbers of a storage begin; SourceError when that can't be."""


class TorchFile:
    """The tensors of a checkpoint, which hold no labels; none of their numbers is read yet."""

    usual_head = None

    def __init__(self, file: CountingFile, layout: _Layout, views: dict[str, View]) -> None:
        if not views:
            raise SourceError(
                f"{file.shown} is a torch checkpoint without a single tensor; {REMEDY}"
            )
        self._file = file
        self._layout = layout
        self._views = views
        self.shapes = {key: view.shape for key, view in views.items()}

    def in_blocks(self, key: str) -> bool:
        view = self._views[key]
        return view.extent == math.prod(view.shape) * view.itemsize and not view.negated

    def extent(self, key: str) -> int:
        return self._views[key].extent

    def read(self, key: str) -> Tensor:
        view = self._views[key]
        if view.dtype not in _DTYPES:
            raise SourceError(
                f"{quoted(key)} of {self._file.shown} is stored as {view.dtype}; a head is read "
                f"from {', '.join(_DTYPES)}: convert it to one of these"
            )
        dtype = _DTYPES[view.dtype]
        start = self._start(key, view)
        numbers = read_float32(self._file, start, view.extent, dtype, self._layout.order)
        strides = [stride * numbers.itemsize for stride in view.strides]
        strided = np.lib.stride_tricks.as_strided(numbers, view.shape, strides)
        return Tensor(np.ascontiguousarray(-strided if view.negated else strided), dtype)

    def labels(self) -> LabelSpace | None:
        return None

    def _start(self, key: str, view: View) -> int:
        """The byte of the file at which the first number of ``view`` lies."""
        part, skipped = view.part, view.offset * view.itemsize
        if part is None:
            raise SourceError(f"{quoted(key)} was saved to {self._file.shown} without its numbers")
        if skipped + view.extent > part.length:
            raise SourceError(
                f"{self._file.shown} is a damaged torch checkpoint: {quoted(key)} does not fit its "
                f"storage; copy or download it again"
            )
        return self._layout.start(part.key) + part.start + skipped


def open_torch(file: CountingFile, _path: PurePath) -> TorchFile:
    """Open a checkpoint in either format, told apart by how it begins."""
    beginning = file.read(2 + len(_LEGACY_MAGIC))
    if beginning.startswith(_ZIP_MAGIC):
        return TorchFile(file, *open_zip(file))
    if beginning[:1] == b"\x80" and beginning[2:] == _LEGACY_MAGIC:
        return TorchFile(file, *open_legacy(file))
    if beginning[:1] == b"\x80":
        raise SourceError(
            f"refused: {file.shown} is a Python pickle but no torch checkpoint, and reading one "
            f"can run code; {REMEDY}"
        )
    raise SourceError(
        f"{file.shown} is no torch checkpoint: it begins like neither of torch's formats; "
        f"is it another format, or damaged?"
    )
