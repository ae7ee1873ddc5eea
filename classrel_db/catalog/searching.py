"""The nearest classes of every class of a head, found at ingest: exactly, or in the lists of an index."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from math import sqrt
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from classrel_db.catalog.vectors import nearest_rows
from classrel_db.errors import ArgumentError
from classrel_db.maths.lists import (
    CANDIDATES,
    QUERIES,
    Lists,
    Rows,
    near_lists,
    nearest_among,
    query_blocks,
)
from classrel_db.scratch import release, scratch_array
from classrel_db.storage.index import VectorIndex, train_centroids
from classrel_db.storage.threads import threads
from classrel_db.text import megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

T = TypeVar("T")
U = TypeVar("U")

_PER_LIST = 40  # rows that a centroid is the mean of, in the sample it is found from
_SAMPLE = (
    1_000  # classes whose true neighbours are found, half to choose by and half to measure with
)
_RECALL_AT = 10
# of the half that is chosen by: of the 10 nearest, and of all that are stored
_WANTED_RECALL = 0.995
_WANTED_OF_ALL = 0.98
# At most one in so many lists: more is no longer much quicker than all. Unless all is little work, by the
# multiplications and additions: ten minutes of two cores.
_MOST_SEARCHED = 8
_LITTLE_WORK = 4e13
_RELEASED_EVERY = 8  # blocks that were read
_ASSIGNED = 4_096  # rows that are held against all centroids at a time
_SEED = 0
_BASE_BYTES = 700_000_000  # of the program, its libraries and DuckDB's own buffers


@dataclass(frozen=True, slots=True)
class Found:
    """The neighbours of every class: ``indices`` C×k int32, ``cosines`` C×k float32, nearest first.

    ``index`` answers for other vectors; None where it would not fit. The rest is as of StoredModel.
    """

    index: VectorIndex | None
    indices: NDArray[np.int32]
    cosines: NDArray[np.float32]
    search: str = "exact"
    recall: float = 1.0
    recall_low: float = 1.0
    recall_all: float = 1.0
    recall_sample: int | None = None


def search_exactly(unit_rows: NDArray[np.float64], k: int, done: Callable[[int], None]) -> Found:
    """The neighbours in a head that fits into memory; ``done`` is told how many classes have theirs."""
    index = VectorIndex.build(unit_rows)
    n_classes = len(unit_rows)
    indices = np.empty((n_classes, k), dtype=np.int32)
    cosines = np.empty((n_classes, k), dtype=np.float32)
    for start in range(0, n_classes, 1024):
        block = np.arange(start, min(start + 1024, n_classes))
        # a class is not its own neighbour
        indices[block], cosines[block] = nearest_rows(
            index, unit_rows, unit_rows[block], k, barred=block[:, None]
        )
        done(int(block[-1]) + 1)
    return Found(index, indices, cosines)


class LargeSearch:
    """The neighbours in a head that need not fit into memory.

    ``rows`` C×D float32 and ``norms`` (C,) are the normalised ones; ``memory`` is in bytes. Raises
    ArgumentError where that is too little.
    """

    def __init__(
        self,
        rows: NDArray[np.float32],
        norms: NDArray[np.float64],
        k: int,
        *,
        memory: int,
        folder: Path | None,
        exact: bool,
    ) -> None:
        self._stored = rows
        self._rows = Rows(rows, norms)
        self._k = k
        self._folder = folder
        self._exact = exact
        n_classes, dim = rows.shape
        self._lists = round(4 * sqrt(n_classes))
        self._bits = self._fitting(memory, n_classes, dim)

    def _fitting(self, memory: int, n_classes: int, dim: int) -> Literal[0, 4, 8]:
        """The bits of each number of the index that fits; 0 is none. Raises ArgumentError."""
        blocks = threads() * (8 * CANDIDATES * dim + 28 * QUERIES * CANDIDATES)
        if not self._exact:
            centroids = 4 * dim * self._lists * (_PER_LIST + 2)
            blocks = max(blocks, threads() * _ASSIGNED * (16 * self._lists + 12 * dim)) + centroids
        per_class = 48  # its place in lists, its norm
        least = blocks + per_class * n_classes + _BASE_BYTES
        if memory < least:
            raise ArgumentError(
                f"memory is {megabytes(memory)}; a head of {n_classes:,}×{dim} takes at least "
                f"{megabytes(least + 500_000)}: give --memory that much"
            )
        if self._exact:
            return 0
        for bits in (8, 4):
            if memory >= least + n_classes * (dim * bits // 8 + 16):
                return bits
        return 0

    def run(self, done: Callable[[int], None], step: Callable[[], None]) -> Found:
        """Find them; ``done`` is told how many classes have theirs, ``step`` is called in between."""
        calls = count(1)

        def step_and_release() -> None:
            step()
            if next(calls) % _RELEASED_EVERY == 0:
                release(self._stored)

        with _threads_a_product(1):
            if self._exact:
                everyone = np.arange(len(self._stored))
                parts = ((block, everyone) for block in query_blocks(everyone))
                return Found(None, *self._among(parts, done, step_and_release))
            return self._approximately(done, step_and_release)

    def _approximately(self, done: Callable[[int], None], step: Callable[[], None]) -> Found:
        n_classes = len(self._stored)
        random = np.random.default_rng(_SEED)
        sampled = np.sort(
            random.choice(n_classes, min(n_classes, _PER_LIST * self._lists), replace=False)
        )
        sample = self._rows.unit(sampled).astype(np.float32)
        release(self._stored)
        step()
        with _threads_a_product(threads()):
            centroids = train_centroids(sample, self._lists, _SEED)
        step()
        lists = Lists(centroids, self._near_lists(centroids, step))
        asked = np.sort(random.choice(n_classes, min(n_classes, _SAMPLE), replace=False))
        truth = np.concatenate(list(self._truth(asked, step)))
        places = lists.ranks(asked, truth)
        chosen_by, measured_with = places[::2], asked[1::2]
        most = self._most_searched()
        searched = max(
            _enough(chosen_by[:, :_RECALL_AT], _WANTED_RECALL, most),
            _enough(chosen_by, _WANTED_OF_ALL, most),
        )
        indices, cosines = self._among(_parts(lists, searched, self._k + 1), done, step)
        true = truth[1::2]
        share = _shares(indices[measured_with, :_RECALL_AT], true[:, :_RECALL_AT])
        of_all = _shares(indices[measured_with], true)
        error = share.std(ddof=1) / sqrt(len(share))
        index = None
        if self._bits:
            blocks = self._assigned(lists)
            index = VectorIndex.build_lists(
                centroids, sample, blocks, bits=self._bits, searched=searched
            )
        return Found(
            index,
            indices,
            cosines,
            f"ivf: {len(lists):,} lists, {searched:,} searched",
            float(share.mean()),
            max(0.0, float(share.mean() - 1.96 * error)),
            float(of_all.mean()),
            len(share),
        )

    def _most_searched(self) -> int:
        n_classes, dim = self._stored.shape
        little = self._lists * _LITTLE_WORK / (2 * n_classes * n_classes * dim)
        return min(self._lists, max(1, self._lists // _MOST_SEARCHED, int(little)))

    def _near_lists(
        self, centroids: NDArray[np.float32], step: Callable[[], None]
    ) -> NDArray[np.int32]:
        def near(block: slice) -> NDArray[np.int32]:
            step()
            return near_lists(self._rows.unit(block), centroids)

        return np.concatenate(list(_in_threads(near, self._blocks(_ASSIGNED))))

    def _truth(
        self, asked: NDArray[np.int64], step: Callable[[], None]
    ) -> Iterator[NDArray[np.int32]]:
        """The true nearest of these classes."""
        everyone = np.arange(len(self._stored))

        def nearest(block: NDArray[np.int64]) -> NDArray[np.int32]:
            return nearest_among(self._rows, block, everyone, self._k, step)[0]

        return _in_threads(nearest, query_blocks(asked))

    def _among(
        self,
        parts: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]],
        done: Callable[[int], None],
        step: Callable[[], None],
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The neighbours of each part of the classes among its candidates."""
        shape = (len(self._stored), self._k)
        indices = scratch_array(shape, "<i4", self._folder)
        cosines = scratch_array(shape, "<f4", self._folder)

        def nearest(part: tuple[NDArray[np.int64], NDArray[np.int64]]) -> int:
            queries, candidates = part
            indices[queries], cosines[queries] = nearest_among(
                self._rows, queries, candidates, self._k, step
            )
            return len(queries)

        finished = 0
        for number, classes in enumerate(_in_threads(nearest, parts)):
            finished += classes
            done(finished)
            if number % _RELEASED_EVERY == 0:
                release(indices, cosines)
        return indices, cosines

    def _assigned(self, lists: Lists) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
        for number, block in enumerate(self._blocks(_ASSIGNED)):
            yield self._rows.unit(block).astype(np.float32), lists.own[block]
            if number % 16 == 15:
                release(self._stored)

    def _blocks(self, size: int) -> Iterator[slice]:
        for start in range(0, len(self._stored), size):
            yield slice(start, min(start + size, len(self._stored)))


def _parts(
    lists: Lists, searched: int, least: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All classes in parts, and among which others the neighbours of each part are searched."""
    for number in range(len(lists)):
        candidates = lists.candidates(number, searched, least)
        for block in query_blocks(lists.members(number)):
            yield block, candidates


def _shares(found: NDArray[np.int32], true: NDArray[np.int32]) -> NDArray[np.float64]:
    """The share of each row's true neighbours that was found (n,), both n×k."""
    hits = [np.isin(one, other).mean() for one, other in zip(true, found, strict=True)]
    return np.asarray(hits, dtype=np.float64)


def _enough(places: NDArray[np.int64], wanted: float, most: int) -> int:
    """The fewest lists in which the ``wanted`` share of the true neighbours is, or ``most``.

    ``places`` are those of the neighbours' lists, from 0, in the order in which lists are searched.
    """
    number = int(np.ceil(wanted * places.size))
    return min(most, int(np.sort(places, axis=None)[number - 1]) + 1)


def _in_threads(work: Callable[[T], U], parts: Iterable[T]) -> Iterator[U]:
    """``work`` of each part, in order, by several threads; few parts are made before they are needed."""
    from collections import deque
    from concurrent.futures import Future, ThreadPoolExecutor

    waiting: deque[Future[U]] = deque()
    with ThreadPoolExecutor(threads()) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) > 2 * threads():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def _threads_a_product(number: int) -> Iterator[None]:
    """Matrix products take so many threads each: several small ones beside each other are quicker."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(number, user_api="blas"):
        yield
