"""Comparisons of models: measured, judged, stored, and put into an order."""

from __future__ import annotations

import time
from dataclasses import dataclass
from dataclasses import replace as replaced
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.catalog.alignment import Alignment, require_shared
from classrel_db.catalog.arguments import require_measures
from classrel_db.catalog.heads import Heads, require_memory
from classrel_db.errors import ArgumentError, LockedDatabaseError
from classrel_db.maths.geometry import LEAST_CLASSES, Geometry, Pair, is_constant
from classrel_db.maths.inference import judge, null_values, work_of
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.measures.correlation import Correlation
from classrel_db.records import DEFAULT_PERMUTATIONS, Step, StoredComparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.catalog.alignment import Shared
    from classrel_db.maths.measures import Measure
    from classrel_db.records import Normalization, Progress, StoredModel

DEFAULT_K = 25
_CHUNK = 2_048  # pairs of classes at a time, of many models
_FLUSH_SECONDS = 2.0  # between two commits of finished comparisons


@dataclass(frozen=True, slots=True)
class Settings:
    """How models are compared. ``permutations`` None: as many as each measure takes by default."""

    measures: tuple[Measure, ...]
    k: int | None
    permutations: int | None
    resamples: int
    seed: int
    normalization: Normalization | None

    def permutations_of(self, measure: Measure) -> int:
        if self.permutations is not None:
            return self.permutations
        return measure.most_permutations or DEFAULT_PERMUTATIONS


def measures_named(names: Sequence[str] | str | None) -> tuple[Measure, ...]:
    """The measures of these names, or all. Raises ArgumentError, with the nearest names."""
    return tuple(MEASURES[name] for name in require_measures(names, list(MEASURES)))


def neighbors_among(k: int | None, n: int, a: StoredModel, b: StoredModel) -> int:
    """How many of n shared classes count as near: ``k``, or 25 where that is at most half of the rest.

    Raises ArgumentError for a ``k`` that leaves nothing to tell apart.
    """
    if k is None:
        return min(DEFAULT_K, (n - 1) // 2)
    if k > n - 2:
        raise ArgumentError(
            f"k is {k}; {a.name} and {b.name} share {n:,} classes, so a class has {n - 1:,} others and k "
            f"is from 1 to {n - 2:,}"
        )
    return k


class Comparing:
    """Comparisons over one state of the database."""

    def __init__(
        self,
        reader: Callable[[], DuckDBPyConnection],
        settings: Settings,
        *,
        ancestors: bool,
        tell: Progress,
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._nulls: dict[tuple[object, ...], dict[str, float | None]] = {}
        self.heads = Heads(reader, settings.normalization)
        self.alignment = Alignment(reader(), ancestors=ancestors)

    def shared(self, a: StoredModel, b: StoredModel) -> Shared:
        """The classes that two models share. Raises ArgumentError where they can't be compared."""
        ways = {model.name: self.heads.normalization(model) for model in (a, b)}
        if len(set(ways.values())) > 1:
            listed = " and ".join(f"{name} by {way}" for name, way in ways.items())
            raise ArgumentError(
                f"normalised in different ways: {listed}; numbers of the one mean something else in the "
                "other. Give --normalize standardize, center or none to compare the raw heads under one"
            )
        found = self.alignment.shared(a, b)
        require_shared(a, b, found)
        require_memory(len(found))
        return found

    def pair(self, a: StoredModel, b: StoredModel) -> Pair:
        """Two models on the classes that they share."""
        # which head is permuted goes by what is in it: no p depends on the order of ingest
        a, b = sorted((a, b), key=by_content)
        shared = self.shared(a, b)
        return Pair(
            self.heads.geometry(a, shared.a),
            self.heads.geometry(b, shared.b),
            neighbors_among(self._settings.k, len(shared), a, b),
        )

    def is_first(self, model: StoredModel, other: StoredModel) -> bool:
        """Whether ``model`` is the first head of the :meth:`pair` of the two."""
        return by_content(model) <= by_content(other)

    def named(self, models: Sequence[StoredModel]) -> list[StoredComparison]:
        """Every measure of every two of these models, which must be comparable."""
        settings = self._settings
        couples = [tuple(sorted(two, key=_by_id)) for two in combinations(models, 2)]
        for a, b in couples:
            neighbors_among(settings.k, len(self.shared(a, b)), a, b)
        found = []
        for a, b in couples:
            pair = self.pair(a, b)
            for measure in settings.measures:
                step = self._steps(measure, [settings])
                found.append(self._judged(measure, a, b, pair, step, settings))
        return found

    def _steps(self, measure: Measure, asked: Sequence[Settings]) -> Callable[[int], None]:
        """What is called with the number of draws done since the last time, over all that is asked."""
        every = sum(
            work_of(measure, each.permutations_of(measure), each.resamples) for each in asked
        )
        done = 0

        def step(more: int) -> None:
            nonlocal done
            done += more
            self._tell(Step(measure.name, "compare", done, every))

        if every:
            step(0)
        return step

    def _judged(
        self,
        measure: Measure,
        a: StoredModel,
        b: StoredModel,
        pair: Pair,
        step: Callable[[int], None],
        settings: Settings,
        estimate: float | None = None,
    ) -> StoredComparison:
        judged = judge(
            measure,
            pair,
            permuted=settings.permutations_of(measure),
            resampled=settings.resamples,
            seed=settings.seed,
            null_value=self._null(measure, pair.a.shape, pair.b.shape, pair.n, pair.k, a),
            step=step,
            estimate=estimate,
        )
        return replaced(
            self._wanted(measure, a, b, pair.k),
            n=pair.n,
            estimate=judged.estimate,
            low=judged.low,
            high=judged.high,
            p_value=judged.p_value,
            null_value=judged.null_value,
            permutations=judged.permutations,
            resamples=judged.resamples,
        )

    def _null(
        self,
        measure: Measure,
        first: tuple[int, int],
        second: tuple[int, int],
        n: int,
        k: int,
        model: StoredModel,
    ) -> float | None:
        """What the measure is for heads of these shapes with nothing in common; computed once."""
        normalization = self.heads.normalization(model)
        lower, upper = sorted((first, second))
        key = (lower, upper, n, k, normalization)
        if key not in self._nulls:
            self._nulls[key] = null_values(
                self.measures, (lower, upper), n, k, normalization, self._settings.seed
            )
        return self._nulls[key][measure.name]

    def all_pairs(
        self,
        models: Sequence[StoredModel],
        stored: Sequence[StoredComparison],
        keep: Callable[[Sequence[StoredComparison], bool], None],
    ) -> None:
        """Compare every two of these models that can be, as far as it is not ``stored`` already.

        ``keep`` is given nothing before the first is computed, to see whether it can; what is finished
        now and then; and the rest before an interruption goes on, and whether to wait for a file that
        another process holds.
        """
        settings = self._settings
        known = {self.key(each): each for each in stored}
        ready: list[StoredComparison] = []
        flushed = time.monotonic()
        begun = False

        def flush(*, last: bool) -> None:
            nonlocal ready, flushed
            flushed = time.monotonic()
            try:
                if ready:
                    keep(ready, last)
                ready = []
            except LockedDatabaseError:
                if last:
                    raise

        try:
            for measure in settings.measures:
                missing = []
                for a, b in combinations(sorted(models, key=_by_id), 2):
                    if not self.comparable(a, b):
                        continue
                    k = neighbors_among(settings.k, len(self.shared(a, b)), a, b)
                    wanted = self._wanted(measure, a, b, k)
                    have = known.get(self.key(wanted))
                    if not self._suffices(have, wanted):
                        missing.append((a, b, self._closer(have, wanted)))
                every = len(missing)
                if missing and not begun:
                    keep([], False)
                    begun = True
                for number, found in enumerate(self._measured(measure, missing), 1):
                    if not ready:
                        flushed = time.monotonic()
                    ready.append(found)
                    self._tell(Step(measure.name, "models", number, every))
                    if time.monotonic() - flushed > _FLUSH_SECONDS:
                        flush(last=False)
        finally:
            flush(last=True)

    def comparable(self, a: StoredModel, b: StoredModel) -> bool:
        """Whether two models are normalised alike and share enough classes."""
        alike = self.heads.normalization(a) == self.heads.normalization(b)
        return alike and len(self.alignment.shared(a, b)) >= LEAST_CLASSES

    def _measured(
        self, measure: Measure, missing: Sequence[tuple[StoredModel, StoredModel, Settings]]
    ) -> Iterator[StoredComparison]:
        """One measure of many pairs of models, each as closely as its settings say."""
        estimates: Iterable[float | None] = [None] * len(missing)
        if isinstance(measure, Correlation) and missing:
            estimates = self._correlations(measure, [(a, b) for a, b, _ in missing])
        step = self._steps(measure, [settings for _, _, settings in missing])
        for (a, b, settings), estimate in zip(missing, estimates, strict=True):
            simple = not settings.permutations_of(measure) and not settings.resamples
            if simple and estimate is not None:
                yield self._plain(measure, a, b, estimate)
            else:
                pair = self.pair(a, b)
                yield self._judged(measure, a, b, pair, step, settings, estimate)

    def _plain(
        self, measure: Measure, a: StoredModel, b: StoredModel, estimate: float
    ) -> StoredComparison:
        n = len(self.shared(a, b))
        k = neighbors_among(self._settings.k, n, a, b)
        shapes = ((a.n_classes, a.dim), (b.n_classes, b.dim))
        null = self._null(measure, *shapes, n, k, a)
        wanted = self._wanted(measure, a, b, k)
        value = float(np.clip(estimate, -1.0, 1.0)) if np.isfinite(estimate) else None
        return replaced(wanted, n=n, estimate=value, null_value=null)

    def _correlations(
        self, measure: Correlation, couples: Sequence[tuple[StoredModel, StoredModel]]
    ) -> list[float]:
        """The estimates of many pairs, by matrix products over the models of two label spaces."""
        found: dict[tuple[int, int], float] = {}
        blocks: dict[tuple[str, str], list[tuple[StoredModel, StoredModel]]] = {}
        for a, b in couples:
            blocks.setdefault((a.concepts_sha256, b.concepts_sha256), []).append((a, b))
        for block in blocks.values():
            shared = self.alignment.shared(*block[0])
            require_memory(len(shared))
            indices: dict[StoredModel, NDArray[np.int64]] = {}
            for a, b in block:
                indices[a], indices[b] = shared.a, shared.b
            listed = list(indices)
            values = self._values(measure, listed, indices)
            products = centered_products(values, centered=measure.centered)
            place = {model.model_id: number for number, model in enumerate(listed)}
            for a, b in block:
                found[a.model_id, b.model_id] = products[place[a.model_id], place[b.model_id]]
        return [found[a.model_id, b.model_id] for a, b in couples]

    def _values(
        self,
        measure: Correlation,
        models: Sequence[StoredModel],
        indices: dict[StoredModel, NDArray[np.int64]],
    ) -> NDArray[np.floating]:
        """What a measure correlates, of each model (m×N)."""
        from concurrent.futures import ThreadPoolExecutor

        n = len(indices[models[0]])
        # the order of the classes does not matter as long as it is that of all: as they are stored
        one_space = len({model.concepts_sha256 for model in models}) == 1
        # cosines and ranks are float32 as they are; a dissimilarity would be rounded
        kind = np.float32 if measure.centered else np.float64
        values = np.empty((len(models), n * (n - 1) // 2), dtype=kind)

        def fill(number: int, read: NDArray[np.float32]) -> None:
            cosines = read if one_space else Geometry(read).pairs
            undefined = measure.centered and is_constant(cosines)
            values[number] = np.nan if undefined else measure.of_cosines(cosines)

        with ThreadPoolExecutor(2) as pool:
            waiting = []
            for number, model in enumerate(models):
                read = (
                    self.heads.cosines(model)
                    if one_space
                    else self.heads.rows(model)[indices[model]]
                )
                waiting.append(pool.submit(fill, number, read))
                if number >= 2:
                    waiting[number - 2].result()  # no more heads in memory than are worked on
                self._tell(Step(measure.name, "heads", number + 1, len(models)))
            for each in waiting:
                each.result()
        return values

    def _wanted(self, measure: Measure, a: StoredModel, b: StoredModel, k: int) -> StoredComparison:
        settings = self._settings
        return StoredComparison(
            model_a=a.model_id,
            model_b=b.model_id,
            measure=measure.name,
            normalization=self.heads.normalization(a),
            k=k if measure.uses_k else None,
            n=0,
            estimate=None,
            low=None,
            high=None,
            p_value=None,
            null_value=None,
            permutations=settings.permutations_of(measure),
            resamples=settings.resamples,
            seed=settings.seed,
        )

    @property
    def measures(self) -> tuple[Measure, ...]:
        return self._settings.measures

    def values(self, measure: Correlation, models: Sequence[StoredModel]) -> NDArray[np.floating]:
        """What a measure correlates, of models of one label space (m×N)."""
        indices = {model: self.shared(models[0], model).b for model in models}
        return self._values(measure, models, indices)

    def keys(self, models: Sequence[StoredModel]) -> set[tuple[object, ...]]:
        """The keys of what :meth:`all_pairs` sees to for these models."""
        couples = [
            two for two in combinations(sorted(models, key=_by_id), 2) if self.comparable(*two)
        ]
        found = set()
        for a, b in couples:
            k = neighbors_among(self._settings.k, len(self.shared(a, b)), a, b)
            found |= {self.key(self._wanted(m, a, b, k)) for m in self._settings.measures}
        return found

    @staticmethod
    def key(each: StoredComparison) -> tuple[object, ...]:
        """What makes a stored comparison the one that is asked for."""
        return each.model_a, each.model_b, each.measure, each.normalization, each.k

    def _closer(self, have: StoredComparison | None, wanted: StoredComparison) -> Settings:
        """What is asked, and no less than what is stored: neither p nor interval is lost."""
        if have is None:
            return self._settings
        return replaced(
            self._settings,
            permutations=max(have.permutations, wanted.permutations),
            resamples=max(have.resamples, wanted.resamples),
        )

    @staticmethod
    def _suffices(have: StoredComparison | None, wanted: StoredComparison) -> bool:
        """Whether what is stored answers what is asked: it may be judged more closely."""
        if have is None:
            return False
        if have.estimate is None:
            return True  # not defined: nothing more can be found out
        closer = have.permutations >= wanted.permutations and have.resamples >= wanted.resamples
        judged = wanted.permutations or wanted.resamples
        return closer and (not judged or have.seed == wanted.seed)


def centered_products(values: NDArray[np.floating], *, centered: bool) -> NDArray[np.float64]:
    """The correlations (or cosines) of every two rows of m×N values, m×m; NaN for a constant row."""
    means = values.mean(axis=1, dtype=np.float64) if centered else np.zeros(len(values))
    products = np.zeros((len(values), len(values)))
    for start in range(0, values.shape[1], _CHUNK):
        part = values[:, start : start + _CHUNK] - means[:, None]
        products += part @ part.T
    squares = np.diagonal(products)
    lengths = np.sqrt(np.where(squares > 0, squares, np.nan))
    scaled: NDArray[np.float64] = products / lengths[:, None] / lengths[None, :]
    return scaled


def by_content(model: StoredModel) -> tuple[str, str]:
    """What sorts models by what is in them: no answer depends on which was ingested first."""
    return model.rows_sha256, model.name


def _by_id(model: StoredModel) -> int:
    return model.model_id
