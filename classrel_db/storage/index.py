"""The vector index beside the database: a cache of what ``weights`` holds, never the only copy.

One file per head, named by the hash of its stored rows, ends with a SHA-256 over that name and the
index's bytes: a file that is damaged, cut short or put under another head's name is not used and is
made anew from the database.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

State = Literal["ok", "absent", "damaged"]

_DIGEST_BYTES = hashlib.sha256().digest_size
_CHUNK = 1 << 20  # bytes
_SETTLED = 10  # seconds after which who writes has a lock
_ROUNDS = 10  # of k-means


def folder_of(database: Path) -> Path:
    """``classrel.duckdb`` keeps its index files in ``classrel.faiss/``."""
    return database.with_name(f"{database.stem}.faiss")


def train_centroids(sample: NDArray[np.float32], number: int, seed: int) -> NDArray[np.float32]:
    """``number`` centroids of unit rows n×D by spherical k-means, of unit length themselves.

    The same with any number of threads, as a test holds FAISS to.
    """
    import faiss

    dim = sample.shape[1]
    clustering = faiss.Clustering(dim, number)
    clustering.niter, clustering.seed, clustering.spherical = _ROUNDS, seed, True
    clustering.min_points_per_centroid = 1  # a warning otherwise
    clustering.max_points_per_centroid = len(sample)
    clustering.train(sample, faiss.IndexFlatIP(dim))
    found: NDArray[np.float32] = faiss.vector_to_array(clustering.centroids).reshape(number, dim)
    return found


class VectorIndex:
    """Inner-product search over the unit rows of one head."""

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

    @classmethod
    def build_lists(
        cls,
        centroids: NDArray[np.float32],
        sample: NDArray[np.float32],
        blocks: Iterable[tuple[NDArray[np.float32], NDArray[np.int32]]],
        *,
        bits: Literal[4, 8],
        searched: int,
    ) -> VectorIndex:
        """An inverted file of unit rows, of which so many lists are ``searched``; with ``bits`` a dimension.

        ``blocks`` are of rows n×D, in their order, and of the list (n,) that each belongs to; ``sample``
        n×D says what values there are to tell apart.
        """
        import faiss

        number, dim = centroids.shape
        quantizer = faiss.IndexFlatIP(dim)
        quantizer.add(centroids)
        kind = {4: faiss.ScalarQuantizer.QT_4bit, 8: faiss.ScalarQuantizer.QT_8bit}[bits]
        index = faiss.IndexIVFScalarQuantizer(
            quantizer, dim, number, kind, faiss.METRIC_INNER_PRODUCT, False
        )
        index.train(sample)
        index.nprobe = searched
        for rows, lists in blocks:
            ids = np.arange(index.ntotal, index.ntotal + len(rows), dtype=np.int64)
            wide = lists.astype(np.int64)
            contiguous = np.ascontiguousarray(rows, dtype=np.float32)
            # not add(), which would look for the lists again
            index.add_core(
                len(rows), faiss.swig_ptr(contiguous), faiss.swig_ptr(ids), faiss.swig_ptr(wide)
            )
        return cls(index)

    @property
    def shape(self) -> tuple[int, int]:
        return int(self._index.ntotal), int(self._index.d)

    def search(self, queries: NDArray[np.floating], k: int) -> NDArray[np.int64]:
        """The ``k`` rows (at most C) nearest to each of n×D queries: n×k, best first.

        The answer may be off by float32 rounding, or by that of an approximate index: whoever asks puts it
        in order. Where its lists hold fewer, -1 stands at the end.
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

        try:
            self.folder.mkdir(exist_ok=True)
            self._sweep()
            handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".partial")
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # alive, for a sweep
                written = _Digested(file, key)
                faiss.write_index(index._index, faiss.PyCallbackIOWriter(written.write, _CHUNK))  # type: ignore[attr-defined]
                file.write(written.digest.digest())
            Path(temporary).replace(self.path(key))
        except (OSError, RuntimeError):  # FAISS's own, of what a write has raised
            Path(temporary).unlink(missing_ok=True)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _sweep(self) -> None:
        """Delete what killed processes have begun to write a while ago: nobody holds it."""
        for path in self.folder.glob("*.partial"):
            with suppress(OSError), path.open("rb") as file:
                if time.time() - os.fstat(file.fileno()).st_mtime > _SETTLED:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()

    def stored(self, key: str, shape: tuple[int, int]) -> VectorIndex | None:
        """The index of the head whose rows hash to ``key``, if its file is there and in order."""
        return self._read(key, shape)

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
            with self.path(key).open("rb") as file:
                left = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
                digest = _digest_of(key)
                while left > 0 and (chunk := file.read(min(_CHUNK, left))):
                    digest.update(chunk)
                    left -= len(chunk)
                if left or file.read() != digest.digest():
                    return None
                import faiss

                # only bytes that this module wrote come so far; of the open file, whatever has taken its
                # name in the meantime
                file.seek(0)
                reader = faiss.PyCallbackIOReader(file.read, _CHUNK)  # type: ignore[attr-defined]
                index = VectorIndex(faiss.read_index(reader))
        except OSError:
            return None
        return index if index.shape == shape else None


class _Digested:
    """A file that is written, and the hash of what was written to it."""

    def __init__(self, file: BinaryIO, key: str) -> None:
        self._file = file
        self.digest = _digest_of(key)

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return self._file.write(content)


def _digest_of(key: str) -> hashlib._Hash:
    return hashlib.sha256(key.encode() + b"\0")
