"""HDF5 files as Keras writes them, followed by hand: groups, datasets in one piece, and strings.

The library for the format, on damaged files, runs in circles where nothing can stop it, and follows
links to other files. Here every step is a read within the file, and their number is bounded. What
is read is the layout of h5py's default (superblock 0):
https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from classrel_db.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from classrel_db.sources.counted import CountingFile

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NOWHERE = (1 << 64) - 1  # the address of what was never written

# messages of an object's header
_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL = 0x01, 0x02, 0x03, 0x06, 0x07
_LAYOUT, _ATTRIBUTE, _CONTINUATION, _SYMBOL_TABLE = 0x08, 0x0C, 0x10, 0x11
# classes of a data type
_INTEGER, _FLOAT, _STRING, _VARIABLE = 0, 1, 3, 9
# floats by their bytes and the bits of their exponent
_FLOATS = {(2, 5): "F16", (2, 8): "BF16", (4, 8): "F32", (8, 11): "F64"}

_MOST_READS = 1_000_000
_MOST_BYTES = 500_000_000  # in all: a damaged file can refer to the same part again and again
_LARGEST_PART = 16_000_000  # bytes of a header, a text, or the names in a group
_MOST_SIZES = 32  # dimensions


@dataclass(frozen=True, slots=True)
class Dataset:
    """An array: its ``format`` is F16, BF16, F32, F64, I8 or else what the file says of it.

    Its bytes are ``length`` from ``start`` in the whole file; none if it is not there in one piece.
    ``notes`` are its attributes that are strings.
    """

    shape: tuple[int, ...]
    format: str
    big_endian: bool
    start: int
    length: int
    notes: dict[str, str]


class Hdf5File:
    """The ``datasets`` of an HDF5 file by path, and the ``notes`` of its groups: attributes by name.

    The file is ``size`` bytes of ``file`` from ``start`` on. Groups at the top whose names begin with one
    of ``without`` are passed over.
    """

    def __init__(
        self, file: CountingFile, start: int, size: int, without: Collection[str] = ()
    ) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._reads_left = _MOST_READS
        self._bytes_left = _MOST_BYTES
        self.datasets: dict[str, Dataset] = {}
        self.notes: dict[str, dict[str, str]] = {}
        self._walk(self._root(), tuple(without))

    def content(self, dataset: Dataset) -> NDArray[np.uint8]:
        """The bytes of a dataset."""
        return self._file.read_range(dataset.start, dataset.length)

    def _walk(self, root: int, without: tuple[str, ...]) -> None:
        seen: set[int] = set()
        waiting = [("", root)]
        while waiting:
            path, address = waiting.pop()
            if address in seen or (without and path.startswith(without)):
                continue
            seen.add(address)  # a group can be in itself
            messages = list(self._messages(address))
            kinds = {kind for kind, _place, _content in messages}
            notes = dict(self._notes(messages))
            if _LAYOUT in kinds:
                self.datasets[path] = self._dataset(messages, notes)
            elif _SYMBOL_TABLE in kinds:
                self.notes[path] = notes
                content = next(each for kind, _place, each in messages if kind == _SYMBOL_TABLE)
                children = list(self._links(*self._unpacked("<QQ", content)))
                inside = f"{path}/" if path else ""
                waiting.extend((inside + name, child) for name, child in reversed(children))
            elif kinds & {_LINK_INFO, _LINK}:
                raise self._newer()

    def _root(self) -> int:
        content = self._bytes(0, 96)
        if content[:8] != _SIGNATURE:
            raise SourceError(
                f"{self._file.shown} is no HDF5 file: it does not begin like one; is it another format, "
                f"or damaged?"
            )
        if content[8] != 0 or content[13:15] != b"\x08\x08":
            raise self._newer()
        (address,) = struct.unpack("<Q", content[64:72])
        return int(address)

    def _messages(self, address: int) -> Iterator[tuple[int, int, bytes]]:
        """Kind, place and content of each message in the header of the object at ``address``."""
        version, count, size = struct.unpack("<BxHxxxxI", self._bytes(address, 16)[:12])
        if version != 1:
            raise self._newer()
        blocks = [(address + 16, size)]
        for start, length in blocks:  # which grows on the way
            block = self._bytes(start, length)
            position = 0
            while count and position + 8 <= len(block):
                kind, size, flags = struct.unpack("<HHB", block[position : position + 5])
                content = block[position + 8 : position + 8 + size]
                if kind == _CONTINUATION:
                    next_start, next_length = self._unpacked("<QQ", content)
                    blocks.append((next_start, next_length))
                elif not flags & 2:  # else it is elsewhere, shared by several objects
                    yield kind, start + position + 8, content
                position += 8 + size
                count -= 1

    def _links(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        """The names in a group and the addresses of what they name; links to other places are left out."""
        signature, size, segment = struct.unpack("<4s4xQ8xQ", self._bytes(heap, 32))
        if signature != b"HEAP":
            raise self._damaged("a group has no names")
        names = self._bytes(segment, size)
        waiting, seen = [tree], set()
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            signature, level, count = struct.unpack("<4sxBH", self._bytes(node, 8))
            if signature != b"TREE":
                raise self._damaged("a group has no content")
            content = self._bytes(node + 24, 16 * count)
            children = struct.unpack(f"<{2 * count}Q", content)[1::2]
            if level:
                waiting.extend(children)
                continue
            for child in children:
                for offset, address, kind in self._symbols(child):
                    end = names.find(b"\0", offset)
                    if kind != 2 and end > offset:
                        yield names[offset:end].decode(errors="replace"), address

    def _symbols(self, address: int) -> Iterator[tuple[int, int, int]]:
        signature, count = struct.unpack("<4sxxH", self._bytes(address, 8))
        if signature != b"SNOD":
            raise self._damaged("a group has no content")
        yield from struct.iter_unpack("<QQI20x", self._bytes(address + 8, 40 * count))

    def _dataset(self, messages: list[tuple[int, int, bytes]], notes: dict[str, str]) -> Dataset:
        parts = {kind: (place, content) for kind, place, content in messages}
        shape = self._shape(parts[_DATASPACE][1]) if _DATASPACE in parts else ()
        known, big_endian = self._format(parts[_DATATYPE][1]) if _DATATYPE in parts else ("", False)
        place, layout = parts[_LAYOUT]
        start, length = 0, 0
        if layout[:1] in {b"\3", b"\4"} and _EXTERNAL not in parts:
            if layout[1:2] == b"\0":
                (length,) = self._unpacked("<H", layout[2:])
                start = place + 4
            elif layout[1:2] == b"\1":
                start, length = self._unpacked("<QQ", layout[2:])
        if start == _NOWHERE or not length:
            start, length = 0, 0
        if start + length > self._size:
            raise self._file.truncated(self._start + start + length)
        return Dataset(shape, known, big_endian, self._start + start, length, notes)

    def _shape(self, content: bytes) -> tuple[int, ...]:
        version, rank = self._unpacked("<BB", content)
        header = 8 if version == 1 else 4
        if rank > _MOST_SIZES:
            raise self._damaged(f"an array has {rank} dimensions")
        return self._unpacked(f"<{rank}Q", content[header:])

    def _format(self, content: bytes) -> tuple[str, bool]:
        """The name of a data type, and whether its first byte is the highest."""
        kind, flags, size = self._unpacked("<BBxxI", content)
        kind &= 0x0F
        if kind == _INTEGER and size == 1 and flags & 8:  # signed
            return "I8", False
        if kind == _FLOAT:
            (exponent,) = self._unpacked("<13xB", content)
            return _FLOATS.get((size, exponent), f"float of {size} bytes"), bool(flags & 1)
        return f"HDF5's class {kind} of {size} bytes", False

    def _notes(self, messages: list[tuple[int, int, bytes]]) -> Iterator[tuple[str, str]]:
        """The attributes that are one string each."""
        for kind, _place, content in messages:
            if kind != _ATTRIBUTE:
                continue
            version, flags, *sizes = self._unpacked("<BBHHH", content)
            if version not in {1, 2, 3} or flags & 1:
                continue
            position = 9 if version == 3 else 8
            parts = []
            for size in sizes:
                parts.append(content[position : position + size])
                position += (size + 7) // 8 * 8 if version == 1 else size
            name, datatype, dataspace = parts
            text = self._text(datatype, content[position:])
            if text is not None and not self._shape(dataspace):
                yield name.rstrip(b"\0").decode(errors="replace"), text

    def _text(self, datatype: bytes, value: bytes) -> str | None:
        kind, flags, size = self._unpacked("<BBxxI", datatype)
        if kind & 0x0F == _STRING:
            content = value[:size]
        elif kind & 0x0F == _VARIABLE and flags & 0x0F == 1:
            content = self._heap_object(*self._unpacked("<IQI", value))
        else:
            return None
        return content.rstrip(b"\0").decode(errors="replace")

    def _heap_object(self, length: int, heap: int, index: int) -> bytes:
        """An object of the heap that holds what has no fixed length."""
        if not index:
            return b""
        signature, size = struct.unpack("<4s4xQ", self._bytes(heap, 16))
        position, end = heap + 16, heap + size
        while signature == b"GCOL" and position + 16 <= end:
            found, stored = struct.unpack("<H6xQ", self._bytes(position, 16))
            if found == index and stored >= length:
                return self._bytes(position + 16, length)
            position += 16 + (stored + 7) // 8 * 8
        raise self._damaged("a text is not where it should be")

    def _bytes(self, address: int, length: int) -> bytes:
        self._reads_left -= 1
        self._bytes_left -= length
        if min(self._reads_left, self._bytes_left) < 0 or length > _LARGEST_PART:
            raise self._damaged("its parts are too many or too large")
        if address + length > self._size:
            raise self._damaged("a part of it lies beyond its end")
        return self._file.read_range(self._start + address, length).tobytes()

    def _unpacked(self, kind: str, content: bytes) -> tuple[int, ...]:
        size = struct.calcsize(kind)
        if len(content) < size:
            raise self._damaged("a part of it is cut short")
        return struct.unpack(kind, content[:size])

    def _newer(self) -> SourceError:
        return SourceError(
            f"{self._file.shown} is an HDF5 file in a layout that Keras does not write, or is damaged; "
            f"save the model again with Keras"
        )

    def _damaged(self, reason: str) -> SourceError:
        return SourceError(
            f"{self._file.shown} is a damaged HDF5 file: {reason}; copy, download or save it again"
        )
