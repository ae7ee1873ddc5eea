"""Reading bytes, and knowing how many: the one way in which a source touches a file."""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.errors import SourceError
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _typeshed import WriteableBuffer
    from numpy.typing import NDArray

    from classrel_db.sources.protocol import ReadProgress

_CHUNK = 1 << 20  # bytes between two reports of progress
_LONGEST_NAME = 300


class CountingFile(io.RawIOBase):
    """A seekable binary file that counts the bytes that were read from it.

    It buffers nothing, so ``bytes_read`` is what the system was asked for. It has no file number
    either: torch would read past the count through one. ``raw`` is any seekable binary file.
    ``neighbor`` opens the file of that name in the same folder; without it there is none.

    ``shown`` is the name for messages; ``size`` is in bytes; ``etag`` is a server's mark of the file's
    state.
    """

    def __init__(
        self,
        raw: io.RawIOBase | io.BufferedIOBase,
        name: str,
        size: int,
        progress: ReadProgress | None = None,
        neighbor: Callable[[str], CountingFile] | None = None,
    ) -> None:
        super().__init__()
        self.shown = quoted(name, _LONGEST_NAME)
        self.size = size
        self.etag: str | None = None
        self._raw = raw
        self._progress = progress
        self._neighbor = neighbor
        self._beside: list[CountingFile] = []
        self._count = 0
        self._expected = 0
        self._read_before = 0

    @property
    def bytes_read(self) -> int:
        """What reading has cost, with the files beside this one."""
        return self._count + sum(file.bytes_read for file in self._beside)

    @property
    def bytes_total(self) -> int:
        """The size of this file and of those that were opened beside it."""
        return self.size + sum(file.bytes_total for file in self._beside)

    def beside(self, name: str) -> CountingFile:
        """Open another file of the same folder, which is closed and counted with this one.

        ``name`` is a plain file name: whoever takes it from a file's content checks that it is. Raises
        SourceError where there is none.
        """
        if self._neighbor is None:
            raise SourceError(
                f"{self.shown} asks for {quoted(name)} beside it, which can't be read"
            )
        file = self._neighbor(name)
        self._beside.append(file)
        return file

    def expect(self, n_bytes: int) -> None:
        """From here on, report progress towards ``n_bytes`` bytes of the head."""
        self._expected = n_bytes
        self._read_before = self.bytes_read

    def read_range(self, start: int, length: int) -> NDArray[np.uint8]:
        """The ``length`` bytes at ``start``; a range beyond the end of the file is refused."""
        if start < 0 or start + length > self.size:
            raise self.truncated(start + length)
        content = np.empty(length, np.uint8)
        self.seek(start)
        if self.readinto(content.data) != length:
            raise self.truncated(start + length)
        return content

    def truncated(self, needed: int) -> SourceError:
        """The error for a file that ends before byte ``needed``."""
        return SourceError(
            f"{self.shown} is cut short: it has {self.size:,} bytes and its own header asks for "
            f"{needed:,}; copy or download it again"
        )

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill ``buffer`` unless the file ends first; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view):
            count = self._raw.readinto(view[done : done + _CHUNK])
            if not count:
                break
            done += count
            self._count += count
            self._report()
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET and not 0 <= offset <= sys.maxsize:
            raise ValueError(f"no position in a file: {offset}")  # a damaged index leads here
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
            for file in self._beside:
                file.close()
        super().close()

    def _report(self) -> None:
        if self._progress is not None and self._expected:
            done = self.bytes_read - self._read_before
            self._progress(min(done, self._expected), self._expected)


def check_file(path: Path) -> int:
    """The size of ``path`` in bytes; SourceError unless it is a file with something in it."""
    shown = quoted(str(path), _LONGEST_NAME)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise SourceError(f"there is no file {shown}") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise _unreadable(shown, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{shown} is a folder; give the checkpoint file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{shown} is not a regular file; give a checkpoint file")
    if not status.st_size:
        raise SourceError(f"{shown} is empty; copy or download it again")
    return status.st_size


def open_counted(path: Path, progress: ReadProgress | None = None) -> CountingFile:
    """Open ``path`` for counted reading; SourceError when it can't be opened."""
    size = check_file(path)
    try:
        raw = path.open("rb", buffering=0)
    except OSError as error:
        raise _unreadable(quoted(str(path), _LONGEST_NAME), error) from error
    return CountingFile(
        raw, str(path), size, progress, lambda name: open_counted(path.parent / name, progress)
    )


def _unreadable(shown: str, error: Exception) -> SourceError:
    reason = (isinstance(error, OSError) and error.strerror) or error
    return SourceError(f"can't read {shown}: {str(reason).lower()}")
