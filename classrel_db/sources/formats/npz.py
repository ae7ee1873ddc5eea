"""NumPy archives of one head: ``weight`` C×D, optional ``bias``, ``labels`` and ``concepts``."""

from __future__ import annotations

import math
import struct
import threading
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from classrel_db.errors import LabelError, SourceError
from classrel_db.sources.formats.dtypes import Tensor, rounded
from classrel_db.sources.labels import label_space
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from pathlib import PurePath

    from numpy.typing import NDArray

    from classrel_db.records import LabelSpace
    from classrel_db.sources.counted import CountingFile

_FLOAT_SIZES = (2, 4, 8)  # float16, float32, float64; x86's 80-bit floats are no portable format

# what numpy and zipfile raise on a damaged archive
_DAMAGED = (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile,
            zlib.error, OverflowError, SyntaxError, TypeError, MemoryError, struct.error)  # fmt: skip

_READING = threading.Lock()
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class NpzFile:
    """The arrays of an .npz file; opening it reads their headers, not their numbers."""

    usual_head = "weight"

    def __init__(self, file: CountingFile, name: str) -> None:
        self._file = file
        self._name = name
        try:
            self._archive = zipfile.ZipFile(file)
        except _DAMAGED as error:
            raise SourceError(
                f"{file.shown} is no .npz file: it is no zip archive, or is cut short"
            ) from error
        self._members = {
            info.filename.removesuffix(".npy"): info
            for info in self._archive.infolist()
            if info.filename.endswith(".npy")
        }
        headers = {key: self._header(key) for key in self._members}
        self.shapes = {key: shape for key, (shape, _dtype) in headers.items()}
        self._dtypes = {key: dtype for key, (_shape, dtype) in headers.items()}

    def in_blocks(self, _key: str) -> bool:
        return False

    def extent(self, key: str) -> int:
        return self._members[key].compress_size

    def read(self, key: str) -> Tensor:
        dtype = self._dtypes[key]
        if dtype.kind != "f" or dtype.itemsize not in _FLOAT_SIZES:
            raise SourceError(
                f"{quoted(key)} of {self._file.shown} holds {dtype}; a head is read from float16, "
                f"float32 or float64: save it as one of these"
            )
        return Tensor(rounded(self._array(key)), f"F{8 * dtype.itemsize}")

    def labels(self) -> LabelSpace | None:
        """The label space that the file brings along, if it has ``labels``."""
        if "labels" not in self._members:
            return None
        concepts = self._strings("concepts") if "concepts" in self._members else None
        where = f"the labels in {self._file.shown}"
        return label_space(self._name, self._strings("labels"), concepts, where, first_row=0)

    def _strings(self, key: str) -> list[str]:
        dtype, shape = self._dtypes[key], self.shapes[key]
        if dtype.hasobject:
            raise SourceError(
                f"refused: {quoted(key)} in {self._file.shown} holds Python objects, and reading "
                f"those can run code; save strings as np.array([...], dtype=str)"
            )
        if dtype.kind not in "US" or len(shape) != 1:
            raise LabelError(
                f"{quoted(key)} in {self._file.shown} is an array of {dtype} of shape {shape}; "
                f"labels are a 1-D array of strings: np.array([...], dtype=str)"
            )
        array = self._array(key)
        try:
            decoded = np.strings.decode(array, "utf-8") if dtype.kind == "S" else array
        except UnicodeDecodeError as error:
            raise LabelError(f"{quoted(key)} in {self._file.shown} is not UTF-8") from error
        return [str(text) for text in decoded]

    def _header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        try:
            with self._archive.open(self._members[key]) as member:
                shape, _fortran, dtype = _read_header(member)
        except _DAMAGED as error:
            raise self._damaged(key) from error
        return shape, dtype

    def _array(self, key: str) -> NDArray[Any]:
        dtype, member = self._dtypes[key], self._members[key]
        if member.file_size < math.prod(self.shapes[key]) * dtype.itemsize:
            raise self._damaged(key)  # before numpy sets memory aside for what is not there
        try:
            with self._archive.open(member) as content:
                shape, fortran, dtype = _read_header(content)
                numbers = np.frombuffer(content.read(math.prod(shape) * dtype.itemsize), dtype)
                return numbers.reshape(shape, order="F" if fortran else "C")
        except _DAMAGED as error:
            raise self._damaged(key) from error

    def _damaged(self, key: str) -> SourceError:
        return SourceError(
            f"{quoted(key)} in {self._file.shown} is damaged; write the file again with np.savez"
        )


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an array, whether it lies column by column, and its format."""
    # The header is Python, of which some versions of Python can't read two at a time in threads: before
    # 3.11.8 that is a SystemError.
    with _READING:
        version = np.lib.format.read_magic(member)
        return _HEADERS[version](member)


def open_npz(file: CountingFile, path: PurePath) -> NpzFile:
    """Open the archive at ``path``; the labels inside it are a space named by its stem."""
    return NpzFile(file, path.stem)
