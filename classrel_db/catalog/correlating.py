"""The correlations of many models with each other, by matrix products in blocks of bounded memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from classrel_db.errors import ArgumentError
from classrel_db.maths.geometry import Geometry, is_constant
from classrel_db.text import megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from classrel_db.catalog.heads import Heads
    from classrel_db.maths.measures.correlation import Correlation
    from classrel_db.records import StoredModel

_CHUNK = (
    2_048  # pairs of classes at a time: the products of so many ranks are added without rounding
)
_TILE = 128  # models whose products with the others are found at once
_THREADS = 2
_WORKING = 64  # bytes a pair of classes while its cosines are read and ranked, a thread


class Correlated(NamedTuple):
    """Pairs of models by their places, ``first`` and ``second`` (c,), with the correlation of each in
    ``values`` (c,), NaN where it is not defined."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Block:
    """The places of the models that are held in memory, and of those that then pass by them."""

    held: NDArray[np.intp]
    passing: NDArray[np.intp]


class Vectors:
    """What a measure correlates (N,), of models on classes that they share.

    ``indices`` (n,) are those classes in each model, in the same order in all. Where all models have
    the same classes in the same order, they are taken as they are stored.
    """

    def __init__(
        self,
        heads: Heads,
        measure: Correlation,
        models: Sequence[StoredModel],
        indices: Sequence[NDArray[np.int64]],
    ) -> None:
        self._heads = heads
        self._measure = measure
        self._models = models
        self._indices = indices
        # the order of the classes does not matter as long as it is that of all
        self._one_space = len({model.concepts_sha256 for model in models}) == 1
        # cosines and ranks are float32 as they are; a dissimilarity would be rounded
        self._kind = np.dtype(np.float32 if measure.centered else np.float64)

    @property
    def size(self) -> int:
        """N, of the pairs of shared classes."""
        n = len(self._indices[0])
        return n * (n - 1) // 2

    def of(
        self, places: Sequence[int] | NDArray[np.intp], each: Callable[[], None]
    ) -> NDArray[np.floating]:
        """Those of the models at these places (m×N); ``each`` is called after each of them."""
        values = np.empty((len(places), self.size), dtype=self._kind)

        def fill(row: int, read: NDArray[np.float32]) -> None:
            cosines = read if self._one_space else Geometry(read).pairs
            undefined = self._measure.centered and is_constant(cosines)
            values[row] = np.nan if undefined else self._measure.of_cosines(cosines)

        with ThreadPoolExecutor(_THREADS) as pool:
            waiting = []
            for row, place in enumerate(places):
                model = self._models[place]
                read = (
                    self._heads.cosines(model)
                    if self._one_space
                    else self._heads.rows(model)[self._indices[place]]
                )
                waiting.append(pool.submit(fill, row, read))
                if row >= _THREADS:
                    waiting[row - _THREADS].result()  # no more heads in memory than are worked on
                each()
            for done in waiting:
                done.result()
        return values

    def capacity(self, memory: int) -> int:
        """How many models' values go into so many bytes. Raises ArgumentError where it is not even two."""
        row, working = self.size * self._kind.itemsize, _THREADS * _WORKING * self.size
        if memory < (least := working + 2 * row):
            raise ArgumentError(
                f"memory is {megabytes(memory)}; {self._measure.name} over {len(self._indices[0]):,} shared "
                f"classes takes at least {megabytes(least + 50_000)}: give --memory that much"
            )
        return (memory - working) // row


def correlations(
    vectors: Vectors,
    missing: NDArray[np.bool_],
    memory: int,
    *,
    centered: bool,
    tell: Callable[[int, int], None],
) -> Iterator[Correlated]:
    """Every pair of models that is ``missing`` (m×m, symmetric), once, a tile of them after the other.

    No number depends on ``memory``, in bytes: those of ranks to the last bit, others to about 1e-15.
    ``tell`` is told how many models' values have been made, and of how many: of those that do not fit
    beside the others, several times. Raises ArgumentError for too little memory.
    """
    capacity = vectors.capacity(memory)
    group = max(1, min(_TILE, capacity // 8))
    plan = blocks(missing, capacity - group)
    every = sum(len(block.held) + len(block.passing) for block in plan)
    made = 0

    def each() -> None:
        nonlocal made
        made += 1
        tell(made, every)

    left = missing.copy()
    for block in plan:
        held = _Scaled(vectors.of(block.held, each), centered=centered)
        within = np.tril(left[np.ix_(block.held, block.held)])
        for start in range(0, len(block.held), _TILE):
            wanted = within[start : start + _TILE]
            yield from _tile(held, block.held, start, held, block.held, wanted)
        for start in range(0, len(block.passing), group):
            columns = block.passing[start : start + group]
            passing = _Scaled(vectors.of(columns, each), centered=centered)
            wanted = left[np.ix_(block.held, columns)]
            for top in range(0, len(block.held), _TILE):
                yield from _tile(held, block.held, top, passing, columns, wanted[top : top + _TILE])
        _close(left, block.held)


def _tile(
    held: _Scaled,
    places: NDArray[np.intp],
    top: int,
    other: _Scaled,
    other_places: NDArray[np.intp],
    wanted: NDArray[np.bool_],
) -> Iterator[Correlated]:
    """The pairs ``wanted`` (R×C) of the R models that are held from ``top`` on with the C others, if any."""
    rows, columns = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    if len(rows):
        products = held.products(top + rows, other, columns)
        first, second = np.nonzero(wanted[np.ix_(rows, columns)])
        yield Correlated(
            places[top + rows[first]], other_places[columns[second]], products[first, second]
        )


def blocks(missing: NDArray[np.bool_], capacity: int) -> list[Block]:
    """Which models to hold, at most ``capacity`` at a time, so that others pass by for every pair that is
    ``missing`` (m×m, symmetric).

    Those first that miss most: one new model among many is held, and the others pass by it once.
    """
    left: NDArray[np.bool_] = missing.copy()
    found = []
    while left.any():
        open_pairs = left.sum(axis=1)
        held: list[int] = []
        while len(held) < capacity and open_pairs.any():
            one = int(open_pairs.argmax())
            held.append(one)
            open_pairs -= left[one]
            open_pairs[held] = 0
        passing = np.asarray(left[held].any(axis=0))
        passing[held] = False
        found.append(Block(np.sort(held), np.flatnonzero(passing)))
        _close(left, held)
    return found


def _close(left: NDArray[np.bool_], held: Sequence[int] | NDArray[np.intp]) -> None:
    """Nothing is missing of these models any more."""
    left[held, :] = False
    left[:, held] = False


class _Scaled:
    """Values (m×N) with the mean and the length of each row."""

    def __init__(self, values: NDArray[np.floating], *, centered: bool) -> None:
        self.values = values
        m = len(values)
        self.means = values.mean(axis=1, dtype=np.float64) if centered else np.zeros(m)
        squares = np.zeros(m)
        every = np.arange(m)
        for start in range(0, values.shape[1], _CHUNK):
            part = self.part(every, start)
            squares += np.einsum("ij,ij->i", part, part)
        self.lengths = np.sqrt(np.where(squares > 0, squares, np.nan))

    def part(self, rows: NDArray[np.intp], start: int) -> NDArray[np.float64]:
        """A chunk of the columns of these rows, less their means."""
        part: NDArray[np.float64] = (
            self.values[rows, start : start + _CHUNK] - self.means[rows, None]
        )
        return part

    def products(
        self, rows: NDArray[np.intp], other: _Scaled, columns: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """The cosines of these rows with those of ``other``, which are correlations if centred."""
        products = np.zeros((len(rows), len(columns)))
        for start in range(0, self.values.shape[1], _CHUNK):
            products += self.part(rows, start) @ other.part(columns, start).T
        # one divisor, so that it does not matter which of two models is the row
        scaled: NDArray[np.float64] = products / np.outer(
            self.lengths[rows], other.lengths[columns]
        )
        return np.clip(scaled, -1.0, 1.0, out=scaled)
