"""The vector index beside the database: a cache of what ``weights`` holds, never the only copy.

One file per head, named by the hash of its stored rows, ends with a SHA-256 over that name and the
index's bytes: a file that is damaged, cut short or put under another head's name is not used and is
made anew from the database.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

State = Literal["ok", "absent", "damaged"]

_DIGEST_BYTES = hashlib.sha256().digest_size


def folder_of(database: Path) -> Path:
    """``classrel.duckdb`` keeps its index files in ``classrel.faiss/``."""
    return database.with_name(f"{database.stem}.faiss")


class VectorIndex:
    """Exact inner-product search over the unit rows of one head."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, unit_rows: NDArray[np.floating]) -> VectorIndex:
        """From unit rows C×D."""
        import faiss

        rows = np.ascontiguousarray(unit_rows, dtype=np.float32)
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows)
        return cls(index)

    @property
    def shape(self) -> tuple[int, int]:
        return int(self._index.ntotal), int(self._index.d)

    def search(self, queries: NDArray[np.floating], k: int) -> NDArray[np.int64]:
        """The ``k`` rows (at most C) nearest to each of n×D queries: n×k, best first.

        The answer may be off by float32 rounding; ``maths.exact_neighbors`` puts it right.
        """
        n_rows, dim = self.shape
        if queries.ndim != 2 or queries.shape[1] != dim:
            # FAISS itself raises a bare AssertionError
            raise ValueError(f"queries are {queries.shape}; the index takes n×{dim}")
        wanted = min(k, n_rows)  # FAISS pads a longer answer with -1
        _scores, found = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), wanted)
        indices: NDArray[np.int64] = found
        return indices


class IndexCache:
    """The index files of one database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.index"

    def get(
        self, key: str, shape: tuple[int, int], unit_rows: Callable[[], NDArray[np.floating]]
    ) -> VectorIndex:
        """The index of the head whose rows hash to ``key``; from ``unit_rows()`` when need be."""
        index = self._read(key, shape)
        if index is None:
            index = VectorIndex.build(unit_rows())
            self.put(key, index)
        return index

    def put(self, key: str, index: VectorIndex) -> None:
        """Write the file whole or not at all; a folder that can't be written costs only time."""
        import faiss

        content = faiss.serialize_index(index._index).data  # not copied: it is as large as the head
        try:
            self.folder.mkdir(exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".partial")
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.write(_digest(key, content))
            Path(temporary).replace(self.path(key))
        except OSError:
            Path(temporary).unlink(missing_ok=True)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def remove(self, key: str) -> None:
        """Forget one head's index; the folder goes with its last file.

        What can't be deleted stays: nothing reads it any more.
        """
        with suppress(OSError):
            self.path(key).unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def state(self, key: str, shape: tuple[int, int]) -> State:
        if not self.path(key).exists():
            return "absent"
        return "ok" if self._read(key, shape) is not None else "damaged"

    def _read(self, key: str, shape: tuple[int, int]) -> VectorIndex | None:
        try:
            stored = memoryview(self.path(key).read_bytes())
        except OSError:
            return None
        content, digest = stored[:-_DIGEST_BYTES], stored[-_DIGEST_BYTES:]
        if digest != _digest(key, content):
            return None
        import faiss

        # only bytes that this module wrote come so far
        index = VectorIndex(faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8)))
        return index if index.shape == shape else None


def _digest(key: str, content: memoryview) -> bytes:
    digest = hashlib.sha256(key.encode() + b"\0")
    digest.update(content)
    return digest.digest()
