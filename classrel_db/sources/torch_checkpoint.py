"""torch's checkpoints: the zip format is read in part, the older one whole.

Nothing is ever unpickled but by torch's own restricted reader (``weights_only=True``), which
builds tensors and plain containers and refuses everything else.
"""

from __future__ import annotations

import bisect
import io
import re
import struct
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.errors import SourceError
from classrel_db.sources.dtypes import Tensor, as_float32, itemsize
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from pathlib import PurePath

    import torch
    from numpy.typing import NDArray

    from classrel_db.records import LabelSpace
    from classrel_db.sources.counted import CountingFile

_ZIP_MAGIC = b"PK\x03\x04"
# a pickle of torch's magic number in any protocol: 0x80, the protocol, then this
_LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_BUFFER = 1 << 20  # the pickle is read a byte at a time

_DTYPES = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
}

_LONGEST_MARK = 16  # bytes; "little" or "big"
_DEEPEST = 20  # levels of a nested checkpoint

_REMEDY = (
    'save tensors only: torch.save(model.state_dict(), "weights.pth"), '
    'or safetensors.torch.save_file(model.state_dict(), "weights.safetensors")'
)

# what torch, its restricted unpickler and zipfile raise on a file that is no checkpoint, or a damaged one
_DAMAGED = (UnpicklingError, RuntimeError, ValueError, EOFError, LookupError, TypeError,
            AttributeError, AssertionError, ArithmeticError, MemoryError, struct.error,
            zipfile.BadZipFile, ImportError)  # fmt: skip


class _TorchFile:
    """What both formats share: named tensors, which hold no labels."""

    usual_head = None

    def __init__(self, file: CountingFile, tensors: dict[str, torch.Tensor]) -> None:
        self._file = file
        self._tensors = tensors
        self.shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}

    def labels(self) -> LabelSpace | None:
        return None

    def _too_large(self, key: str) -> SourceError:
        """A view of a few numbers can claim to be a matrix of any size."""
        shape = "×".join(map(str, self.shapes[key]))
        return SourceError(f"{quoted(key)} of {self._file.shown} ({shape}) does not fit in memory")

    def _dtype(self, key: str) -> str:
        """The supported format of a dense tensor, by safetensors' name."""
        tensor = self._tensors[key]
        if tensor.device.type == "meta":
            raise SourceError(f"{quoted(key)} was saved to {self._file.shown} without its numbers")
        dense = str(tensor.layout) == "torch.strided"
        if not dense or str(tensor.dtype) not in _DTYPES:
            stored = str(tensor.dtype) if dense else f"{tensor.layout} {tensor.dtype}"
            raise SourceError(
                f"{quoted(key)} of {self._file.shown} is stored as {stored}; a head is read from "
                f"dense {', '.join(_DTYPES)}: convert it to one of these"
            )
        return _DTYPES[str(tensor.dtype)]


class TorchWholeFile(_TorchFile):
    """A checkpoint that is read whole: one of torch before 1.6, whose storages have no index."""

    def __init__(self, file: CountingFile) -> None:
        file.expect(file.size)
        file.seek(0)
        buffered = io.BufferedReader(file, _LEGACY_BUFFER)
        try:
            tensors = _load(file, buffered)
        finally:
            buffered.detach()  # or it would close the file
        super().__init__(file, tensors)

    def extent(self, key: str) -> int:  # noqa: ARG002
        return 0  # it is in memory

    def read(self, key: str) -> Tensor:
        dtype = self._dtype(key)
        try:
            numbers: NDArray[np.float32] = self._tensors[key].detach().float().contiguous().numpy()
        except (RuntimeError, MemoryError) as error:
            raise self._too_large(key) from error
        return Tensor(numbers, dtype)


class TorchZipFile(_TorchFile):
    """A checkpoint in torch's zip format; opening it reads its index and its pickle.

    Under torch's FakeTensorMode the tensors come without numbers but with the place of their
    storage in the file.
    """

    def __init__(self, file: CountingFile, archive: _Archive) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode

        self._archive = archive
        file.seek(0)
        with FakeTensorMode():
            tensors = _load(file, file)
        super().__init__(file, tensors)

    def extent(self, key: str) -> int:
        self._dtype(key)
        tensor = self._tensors[key]
        if not tensor.numel():
            return 0
        steps = zip(tensor.shape, tensor.stride(), strict=True)
        span = 1 + sum((size - 1) * stride for size, stride in steps)
        return int(span * tensor.element_size())

    def read(self, key: str) -> Tensor:
        dtype = self._dtype(key)
        tensor = self._tensors[key]
        storage = tensor.untyped_storage()
        start, stored = self._archive.record(storage._checkpoint_offset)
        skipped = int(tensor.storage_offset()) * itemsize(dtype)
        if stored != storage.nbytes() or skipped + self.extent(key) > stored:
            raise self._archive.damaged(f"{quoted(key)} does not fit its record")
        content = self._file.read_range(start + skipped, self.extent(key))
        numbers = as_float32(content, dtype, "=")
        strides = [stride * numbers.itemsize for stride in tensor.stride()]
        view = np.lib.stride_tricks.as_strided(numbers, tuple(tensor.shape), strides)
        try:
            return Tensor(np.ascontiguousarray(view), dtype)
        except MemoryError as error:
            raise self._too_large(key) from error


class _Archive:
    """The zip side of a checkpoint: torch says where a storage begins, this holds it to it.

    torch computes the places in newer files from the sizes alone, which is right for what
    ``torch.save`` wrote. An archive that another program packed anew would give wrong bytes, so
    each place is held against the record that lies there.
    """

    def __init__(self, file: CountingFile) -> None:
        self._file = file
        try:
            self._zip = zipfile.ZipFile(file)
        except _DAMAGED as error:
            raise SourceError(
                f"{file.shown} is a torch checkpoint cut short, or another zip archive that is "
                f"damaged; copy or download it again"
            ) from error
        self._records = sorted(self._zip.infolist(), key=lambda info: info.header_offset)
        self._starts = [info.header_offset for info in self._records]
        self._check()
        self.native = self._is_native()

    def record(self, start: int | None) -> tuple[int, int]:
        """``start`` and length of the storage whose bytes begin at ``start``."""
        if start is None:
            raise self.damaged("a tensor has no place in it")
        index = bisect.bisect_left(self._starts, start) - 1
        if index < 0:
            raise self.damaged("a tensor lies before the first record")
        info = self._records[index]
        # the local header: 30 bytes, the last four are the lengths of the name and padding after it
        header = self._file.read_range(info.header_offset, 30).tobytes()
        name_length, padding = struct.unpack("<HH", header[26:])
        if start != info.header_offset + len(header) + name_length + padding:
            raise self.damaged("a tensor does not lie where torch.save puts it")
        return start, info.file_size

    def damaged(self, reason: str) -> SourceError:
        return SourceError(
            f"{self._file.shown} is a damaged checkpoint, or was packed anew: {reason}; "
            f"write it again with torch.save"
        )

    def _check(self) -> None:
        names = [info.filename for info in self._records]
        leaves = {name.partition("/")[2] for name in names}
        if "constants.pkl" in leaves:
            raise SourceError(
                f"{self._file.shown} is a TorchScript archive, which is a program; load it with "
                f"torch.jit.load and {_REMEDY}"
            )
        if "data.pkl" not in leaves:
            held = ", ".join(map(quoted, names[:3])) or "nothing"
            raise SourceError(
                f"{self._file.shown} is a zip archive but no torch checkpoint: it holds {held}"
            )
        if any(info.compress_type != zipfile.ZIP_STORED for info in self._records):
            raise self.damaged("its records are compressed")
        keys = [name.rpartition("/")[2] for name in names if re.search(r"^[^/]*/data/\d+$", name)]
        if ".format_version" in leaves and keys != [str(index) for index in range(len(keys))]:
            raise self.damaged("its records are not in order")

    def _is_native(self) -> bool:
        marked = [info for info in self._records if info.filename.lower().endswith("byteorder")]
        if any(info.file_size > _LONGEST_MARK for info in marked):
            raise self.damaged("its byte order is no word")
        try:
            marks = [self._zip.read(info) for info in marked]
        except _DAMAGED as error:
            raise self.damaged("its byte order can't be read") from error
        # without a mark, little: torch's own rule for files from before it
        return all(mark == sys.byteorder.encode() for mark in marks or [b"little"])


def open_torch(file: CountingFile, _path: PurePath) -> TorchZipFile | TorchWholeFile:
    """Open a checkpoint in either format, told apart by how it begins."""
    beginning = file.read(2 + len(_LEGACY_MAGIC))
    if beginning.startswith(_ZIP_MAGIC):
        archive = _Archive(file)
        # torch turns bytes of the other order around, and crashes where there are none to turn
        return TorchZipFile(file, archive) if archive.native else TorchWholeFile(file)
    if beginning[:1] == b"\x80" and beginning[2:] == _LEGACY_MAGIC:
        return TorchWholeFile(file)
    if beginning[:1] == b"\x80":
        raise SourceError(
            f"refused: {file.shown} is a Python pickle but no torch checkpoint, and reading one "
            f"can run code; {_REMEDY}"
        )
    raise SourceError(
        f"{file.shown} is no torch checkpoint: it begins like neither of torch's formats; "
        f"is it another format, or damaged?"
    )


def _load(file: CountingFile, opened: Any) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by their dotted names."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's notes are for whoever wrote the file
            content = torch.load(opened, map_location="cpu", weights_only=True)
        tensors = dict(_walk(content))
    except _DAMAGED as error:
        raise _refusal(file, error) from error
    if not tensors:
        raise SourceError(f"{file.shown} is a torch checkpoint without a single tensor; {_REMEDY}")
    return tensors


def _walk(
    content: Any, names: tuple[str, ...] = (), seen: set[int] | None = None
) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in nested containers, each container once: a pickle can hold itself."""
    import torch

    seen = set() if seen is None else seen
    if isinstance(content, torch.Tensor):
        yield ".".join(names) or "weight", content
    elif isinstance(content, Mapping | list | tuple) and len(names) < _DEEPEST:
        if id(content) in seen:
            return
        seen.add(id(content))
        items = content.items() if isinstance(content, Mapping) else enumerate(content)
        for key, value in items:
            yield from _walk(value, (*names, str(key)), seen)


def _refusal(file: CountingFile, error: BaseException) -> SourceError:
    """What went wrong, in the user's words: torch's own run over many lines."""
    message = str(error)
    unsafe = re.search(r"GLOBAL (\S+)", message)
    if unsafe:
        return SourceError(
            f"refused: {file.shown} holds {quoted(unsafe[1].rstrip('.'))}, which is no tensor, and "
            f"unpickling it runs code of whoever wrote the file (or the file is damaged); {_REMEDY}"
        )
    if "sparse" in message or "not allocated" in message:
        return SourceError(f"{file.shown} holds sparse tensors, which are not read; {_REMEDY}")
    return SourceError(
        f"{file.shown} is a damaged torch checkpoint, or holds more than tensors "
        f"({type(error).__name__}); copy or download it again, or {_REMEDY}"
    )
