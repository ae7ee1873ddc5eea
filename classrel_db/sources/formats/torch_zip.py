"""torch's zip format: a pickle, and a record for each storage, found by the archive's own index."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING

from classrel_db.errors import SourceError
from classrel_db.sources.formats.torch_pickle import (
    DAMAGED,
    LONGEST_PICKLE,
    REMEDY,
    PickleEndsError,
    Pickles,
    Storages,
    View,
    named_views,
    unpickling,
)
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from classrel_db.sources.counted import CountingFile
    from classrel_db.sources.formats.dtypes import ByteOrder

_LOCAL_HEADER = 30  # bytes; the last four are the lengths of the name and of the padding after it
_LOCAL_MAGIC = b"PK\x03\x04"
_LONGEST_MARK = 16  # bytes; "little" or "big"
_ORDERS: dict[bytes, ByteOrder] = {b"little": "<", b"big": ">"}


class ZipLayout:
    """Where the storages of a file lie, and in which byte order."""

    def __init__(self, file: CountingFile) -> None:
        self.storages = Storages()
        self._file = file
        try:
            self._zip = zipfile.ZipFile(_Limited(file))
        except (*DAMAGED, zipfile.BadZipFile) as error:
            raise SourceError(
                f"{file.shown} is a torch checkpoint cut short, or another zip archive that is "
                f"damaged; copy or download it again"
            ) from error
        self._records = {info.filename: info for info in self._zip.infolist()}
        self._folder = self._checked_folder()
        # without a mark, little: torch's own rule for files from before it
        mark = self._read("byteorder", _LONGEST_MARK) if self._has("byteorder") else b"little"
        if mark not in _ORDERS:
            raise self.damaged(f"its byte order is {quoted(mark.decode('latin-1'))}")
        self.order = _ORDERS[mark]

    def pickle(self) -> Pickles:
        return Pickles(self._read("data.pkl", LONGEST_PICKLE))

    def start(self, key: str) -> int:
        """Where the numbers of a storage begin, by the header that lies before its record."""
        info = self._records.get(f"{self._folder}/data/{key}")
        if info is None or info.file_size != self.storages.by_key[key].length:
            raise self.damaged("a tensor does not fit its record")
        header = self._file.read_range(info.header_offset, _LOCAL_HEADER).tobytes()
        if not header.startswith(_LOCAL_MAGIC):
            raise self.damaged("a record does not lie where its index says")
        name_length, padding = struct.unpack("<HH", header[-4:])
        return int(info.header_offset + _LOCAL_HEADER + name_length + padding)

    def _has(self, name: str) -> bool:
        return f"{self._folder}/{name}" in self._records

    def _read(self, name: str, longest: int) -> bytes:
        info = self._records[f"{self._folder}/{name}"]
        if info.file_size > longest:
            raise self.damaged(f"its {quoted(name)} would have {info.file_size:,} bytes")
        try:
            return self._zip.read(info)
        except (*DAMAGED, zipfile.BadZipFile) as error:
            raise self.damaged(f"its {quoted(name)} can't be read") from error

    def _checked_folder(self) -> str:
        """The one folder that all records of a checkpoint lie in."""
        records = self._zip.infolist()
        leaves = {name.partition("/")[2] for name in self._records}
        if "constants.pkl" in leaves:
            raise SourceError(
                f"{self._file.shown} is a TorchScript archive, which is a program; load it with "
                f"torch.jit.load and {REMEDY}"
            )
        if "data.pkl" not in leaves:
            held = ", ".join(quoted(info.filename) for info in records[:3]) or "nothing"
            raise SourceError(
                f"{self._file.shown} is a zip archive but no torch checkpoint: it holds {held}"
            )
        folders = {name.partition("/")[0] for name in self._records}
        if len(folders) > 1 or len(self._records) < len(records):
            raise self.damaged("it has two records of one name, or several folders")
        if any(info.compress_type != zipfile.ZIP_STORED for info in records):
            raise self.damaged("its records are compressed")
        return folders.pop()

    def damaged(self, reason: str) -> SourceError:
        return SourceError(
            f"{self._file.shown} is a damaged checkpoint, or was packed anew: {reason}; "
            f"write it again with torch.save"
        )


class _Limited:
    """A file as zipfile sees it: an index that claims more than any has is not read."""

    def __init__(self, file: CountingFile) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            size = self._file.size - self._file.tell()
        if size > LONGEST_PICKLE:
            raise zipfile.BadZipFile("a part of the index is too long")
        return self._file.read(size)


def open_zip(file: CountingFile) -> tuple[ZipLayout, dict[str, View]]:
    """The layout of a file, and its tensors."""
    layout = ZipLayout(file)
    pickle = layout.pickle()
    try:
        with unpickling(file):
            return layout, named_views(pickle.load(layout.storages), layout.storages)
    except PickleEndsError as error:
        raise layout.damaged("its pickle has no end") from error
