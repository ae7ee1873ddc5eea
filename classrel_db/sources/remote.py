"""Files behind an address: the head costs its own bytes, not those of the checkpoint."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections import OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import numpy as np

from classrel_db.errors import SourceError
from classrel_db.sources.counted import CountingFile
from classrel_db.sources.transport import FIRST, open_ranges
from classrel_db.text import megabytes, shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed import WriteableBuffer
    from numpy.typing import NDArray

    from classrel_db.sources.protocol import ReadProgress
    from classrel_db.sources.transport import Arrived, Ranges

_BLOCK = FIRST  # bytes; small reads are served from blocks of this size
_KEPT_BLOCKS = 512  # 32 MiB
_STREAMED = 4 * _BLOCK  # a range from this length on is read past the blocks
_MOST_UNASKED = 4_000_000_000  # bytes of a whole file that are fetched without being asked to


def open_remote(
    url: str,
    progress: ReadProgress | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    full: bool = False,
) -> CountingFile:
    """Open the file at ``url`` for reading in ranges, or fetched whole where its server has none.

    ``headers`` are for HTTP, and go to the host of ``url`` alone. ``full`` fetches the whole file.
    Raises SourceError, as MissingExtraError where the address needs a package that is not installed.
    """
    ranges = open_ranges(url, headers or {}, lambda: _begin(progress))

    def neighbor(name: str) -> CountingFile:
        parts = urlsplit(url)
        path = f"{parts.path.rpartition('/')[0]}/{quote(name)}"
        return open_remote(urlunsplit(parts._replace(path=path)), progress, headers=headers)

    if full:
        return _Fetched(ranges, shown_url(url), progress, "", neighbor)
    if ranges.size is None or ranges.whole_only:
        why = "its server sends no part of a file alone"
        return _Fetched(ranges, shown_url(url), progress, why, neighbor)
    return RemoteFile(ranges, ranges.size, shown_url(url), progress, neighbor)


class RemoteFile(CountingFile):
    """A file that is read in ranges; ``bytes_read`` is what came over the wire."""

    def __init__(
        self,
        ranges: Ranges,
        size: int,
        name: str,
        progress: ReadProgress | None,
        neighbor: Callable[[str], CountingFile],
    ) -> None:
        blocks = _Blocks(ranges, size, self._arrived)
        super().__init__(blocks, name, size, progress, neighbor)
        self.etag = ranges.etag
        self._count = len(ranges.first)
        self._ranges = ranges

    def read_range(self, start: int, length: int) -> NDArray[np.uint8]:
        if length < _STREAMED or start < 0 or start + length > self.size:
            return super().read_range(start, length)
        content = np.empty(length, np.uint8)
        self._ranges.fetch(start, content.data, self._arrived)
        return content

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._raw.readinto(buffer) or 0  # which counts for itself

    def _arrived(self, count: int) -> None:
        self._count += count
        if self._expected:
            self._report()
        else:
            _begin(self._progress)


def _begin(progress: ReadProgress | None) -> None:
    """Tell that a file is being looked at, of whose head nothing is known yet."""
    if progress is not None:
        progress(0, 0)


class _Fetched(CountingFile):
    """A file that was fetched whole, into one without a name; it is gone when it is closed.

    ``why`` says in a few words that this can't be helped, nothing where the user asked for it.
    """

    def __init__(
        self,
        ranges: Ranges,
        name: str,
        progress: ReadProgress | None,
        why: str,
        neighbor: Callable[[str], CountingFile],
    ) -> None:
        size = ranges.size or 0
        folder = _require_fetchable(name, size, why)
        arrived = 0

        def tell(count: int) -> None:
            nonlocal arrived
            arrived += count
            if why and arrived > _MOST_UNASKED:  # of a size that nobody told
                raise _too_large(name, f"over {megabytes(_MOST_UNASKED)}", why)
            if progress is not None:
                progress(min(arrived, size) if size else arrived, size, "download")

        if progress is not None:
            of = f" ({megabytes(size)})" if size else ""
            progress(
                0, size, "download", f"{name}: {why}, so all of it{of} is fetched" if why else ""
            )
        try:
            kept = tempfile.TemporaryFile(prefix="classrel-", dir=folder)  # noqa: SIM115
            try:
                ranges.fetch_whole(kept, tell)
                size = kept.seek(0, os.SEEK_END)
            except BaseException:
                kept.close()
                raise
        except OSError as error:
            raise SourceError(
                f"can't keep {name} in {folder}: {error.strerror}; name another folder by TMPDIR"
            ) from error
        super().__init__(kept, name, size, progress, neighbor)
        self.etag = ranges.etag

    @property
    def bytes_read(self) -> int:
        return self.size + sum(file.bytes_read for file in self._beside)


def _require_fetchable(name: str, size: int, why: str) -> str:
    """The folder for a whole file; SourceError for one too large to be fetched unasked, or for the disk."""
    if why and size > _MOST_UNASKED:
        raise _too_large(name, megabytes(size), why)
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise SourceError(
            f"there is no folder to keep {name} in ({error.strerror}); name one by TMPDIR"
        ) from error
    if size > free:
        raise SourceError(
            f"{name} has {megabytes(size)}, and {folder} has room for {megabytes(free)}; name another "
            f"folder by TMPDIR"
        )
    return folder


def _too_large(name: str, size: str, why: str) -> SourceError:
    return SourceError(
        f"{name}: {why}, and the whole file is {size}; give --full to fetch it "
        f"nevertheless, or get it by other means and give its path"
    )


class _Blocks(io.RawIOBase):
    """Small reads served from blocks of the file, of which the last used are kept."""

    def __init__(self, ranges: Ranges, size: int, arrived: Arrived) -> None:
        super().__init__()
        self._ranges = ranges
        self._size = size
        self._arrived = arrived
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        if ranges.first:
            self._kept[0] = ranges.first
        self._position = 0

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        start = self._position
        stop = min(start + len(view), self._size)
        if stop <= start:
            return 0
        wanted = range(start // _BLOCK, (stop - 1) // _BLOCK + 1)
        self._load([index for index in wanted if index not in self._kept])
        for index in wanted:
            self._kept.move_to_end(index)
            at = index * _BLOCK
            part = self._kept[index][max(0, start - at) : stop - at]
            first = max(start, at) - start
            view[first : first + len(part)] = part
        while len(self._kept) > _KEPT_BLOCKS:
            self._kept.popitem(last=False)
        self._position = stop
        return stop - start

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"no position in a file: {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def _load(self, missing: list[int]) -> None:
        """Fetch these blocks, and what lies between them, in one range."""
        if not missing:
            return
        start = missing[0] * _BLOCK
        content = bytearray(min((missing[-1] + 1) * _BLOCK, self._size) - start)
        self._ranges.fetch(start, memoryview(content), self._arrived)
        for at in range(0, len(content), _BLOCK):
            self._kept[(start + at) // _BLOCK] = bytes(content[at : at + _BLOCK])
