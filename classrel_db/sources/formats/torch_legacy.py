"""Checkpoints of torch before 1.6: a few pickles, then every storage, its count before its numbers.

The file has no index, but the pickles are one: they list the storages in the order of the file, with
the count and format of each. Where a storage lies is the sum of those before it, which is how torch
itself reads them, one after the other. So a head costs the pickles and its own range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classrel_db.errors import SourceError
from classrel_db.sources.formats.torch_pickle import (
    LONGEST_PICKLE,
    REMEDY,
    PickleEndsError,
    Pickles,
    Storages,
    View,
    named_views,
    unpickling,
)

if TYPE_CHECKING:
    from collections.abc import Hashable

    from classrel_db.sources.counted import CountingFile
    from classrel_db.sources.formats.dtypes import ByteOrder

_PROTOCOL = 1001  # of the one format that torch wrote this way
_COUNT_BYTES = 8
_FIRST_READ = 1 << 16  # bytes; resnet50's pickles have fewer


class LegacyLayout:
    """Where the storages of a file lie. What it holds is little-endian on every machine."""

    order: ByteOrder = "<"

    def __init__(self, file: CountingFile, storages: Storages, keys: Any, start: int) -> None:
        self.storages = storages
        self._file = file
        known = storages.by_key
        if not isinstance(keys, list) or len(keys) != len(known) or {*keys} != {*known}:
            raise ValueError("it lists other storages than its tensors have")
        self._starts: dict[Hashable, int] = {}
        for key in keys:
            self._starts[key] = start + _COUNT_BYTES
            start += _COUNT_BYTES + known[key].length
        self._end = start

    def check_size(self) -> None:
        """SourceError when the file ends before its last storage does."""
        if self._end > self._file.size:
            raise self._file.truncated(self._end)

    def start(self, key: str) -> int:
        """Where the numbers of a storage begin.

        The count before them must be the one in the pickle: it is the proof that they lie here, for
        a wrong length of any storage before it would have led elsewhere.
        """
        start = self._starts[key]
        count = self._file.read_range(start - _COUNT_BYTES, _COUNT_BYTES).view("<i8")[0]
        if count != self.storages.by_key[key].count:
            raise SourceError(
                f"{self._file.shown} is a damaged torch checkpoint: a storage does not lie where "
                f"the lengths before it put it; copy or download it again"
            )
        return start


def open_legacy(file: CountingFile) -> tuple[LegacyLayout, dict[str, View]]:
    """The layout of a file, and its tensors."""
    content = b""
    while True:
        length = min(max(_FIRST_READ, 2 * len(content)), file.size, LONGEST_PICKLE)
        content += file.read_range(len(content), length - len(content)).tobytes()
        try:
            with unpickling(file):
                layout, tensors = _unpickled(file, Pickles(content))
        except PickleEndsError as error:
            if length == file.size:
                raise file.truncated(length + 1) from error
            if length == LONGEST_PICKLE:
                raise SourceError(
                    f"{file.shown} is a torch checkpoint with {length:,} bytes and more beside its "
                    f"tensors, or is damaged; {REMEDY}"
                ) from error
            continue
        layout.check_size()
        return layout, tensors


def _unpickled(file: CountingFile, pickles: Pickles) -> tuple[LegacyLayout, dict[str, View]]:
    pickles.load()  # the magic number, by which the file was told
    protocol, system = pickles.load(), pickles.load()
    if protocol != _PROTOCOL or not system["little_endian"]:
        raise ValueError("it is of another protocol or byte order")
    storages = Storages()
    content = pickles.load(storages)
    keys = pickles.load()
    return LegacyLayout(file, storages, keys, pickles.tell()), named_views(content, storages)
