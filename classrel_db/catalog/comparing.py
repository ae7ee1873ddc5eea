"""Comparisons of two models: measured and judged."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as replaced
from itertools import combinations
from typing import TYPE_CHECKING

from classrel_db.catalog.alignment import Alignment, require_shared
from classrel_db.catalog.arguments import require_measures
from classrel_db.catalog.correlating import Vectors
from classrel_db.catalog.heads import Heads, require_memory
from classrel_db.errors import ArgumentError
from classrel_db.maths.geometry import LEAST_CLASSES, Pair
from classrel_db.maths.inference import judge, null_values, work_of
from classrel_db.maths.measures import MEASURES
from classrel_db.records import DEFAULT_PERMUTATIONS, Step, StoredComparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.catalog.alignment import Shared
    from classrel_db.maths.measures import Measure
    from classrel_db.maths.measures.correlation import Correlation
    from classrel_db.records import Normalization, Progress, StoredModel

DEFAULT_K = 25


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
    """Comparisons over one state of the database; ``memory`` bounds, in bytes, what is held of the heads."""

    def __init__(
        self,
        reader: Callable[[], DuckDBPyConnection],
        settings: Settings,
        *,
        ancestors: bool,
        tell: Progress,
        memory: int | None = None,
    ) -> None:
        self.settings = settings
        self._tell = tell
        self._memory = memory
        self._nulls: dict[tuple[object, ...], dict[str, float | None]] = {}
        self.heads = Heads(reader, settings.normalization, memory)
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
        require_memory(len(found), self._memory)
        return found

    def pair(self, a: StoredModel, b: StoredModel) -> Pair:
        """Two models on the classes that they share."""
        # which head is permuted goes by what is in it: no p depends on the order of ingest
        a, b = sorted((a, b), key=by_content)
        shared = self.shared(a, b)
        return Pair(
            self.heads.geometry(a, shared.a),
            self.heads.geometry(b, shared.b),
            neighbors_among(self.settings.k, len(shared), a, b),
        )

    def is_first(self, model: StoredModel, other: StoredModel) -> bool:
        """Whether ``model`` is the first head of the :meth:`pair` of the two."""
        return by_content(model) <= by_content(other)

    def named(self, models: Sequence[StoredModel]) -> list[StoredComparison]:
        """Every measure of every two of these models, which must be comparable."""
        settings = self.settings
        couples = [tuple(sorted(two, key=_by_id)) for two in combinations(models, 2)]
        for a, b in couples:
            neighbors_among(settings.k, len(self.shared(a, b)), a, b)
        found = []
        for a, b in couples:
            pair = self.pair(a, b)
            for measure in settings.measures:
                step = self.steps(
                    measure, [(settings.permutations_of(measure), settings.resamples)]
                )
                found.append(self.judged(measure, a, b, pair, step, settings))
        return found

    def steps(self, measure: Measure, asked: Iterable[tuple[int, int]]) -> Callable[[int], None]:
        """What is called with the number of draws done since the last time, over all that is asked: of each
        comparison the permutations and the resamples."""
        every = sum(work_of(measure, permuted, resampled) for permuted, resampled in asked)
        done = 0

        def step(more: int) -> None:
            nonlocal done
            done += more
            self._tell(Step(measure.name, "compare", done, every))

        if every:
            step(0)
        return step

    def judged(
        self,
        measure: Measure,
        a: StoredModel,
        b: StoredModel,
        pair: Pair,
        step: Callable[[int], None],
        settings: Settings,
        estimate: float | None = None,
    ) -> StoredComparison:
        """One measure of two models, as closely as ``settings`` say; ``step`` is of :meth:`steps`."""
        judged = judge(
            measure,
            pair,
            permuted=settings.permutations_of(measure),
            resampled=settings.resamples,
            seed=settings.seed,
            null_value=self.null(measure, a, b, pair.n, pair.k),
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

    def null(
        self, measure: Measure, a: StoredModel, b: StoredModel, n: int, k: int
    ) -> float | None:
        """What the measure is for heads of these shapes with nothing in common; computed once."""
        normalization = self.heads.normalization(a)
        lower, upper = sorted((model.n_classes, model.dim) for model in (a, b))
        key = (lower, upper, n, k, normalization)
        if key not in self._nulls:
            self._nulls[key] = null_values(
                self.measures, (lower, upper), n, k, normalization, self.settings.seed
            )
        return self._nulls[key][measure.name]

    def comparable(self, a: StoredModel, b: StoredModel) -> bool:
        """Whether two models are normalised alike and share enough classes."""
        alike = self.heads.normalization(a) == self.heads.normalization(b)
        return alike and len(self.alignment.shared(a, b)) >= LEAST_CLASSES

    def _wanted(self, measure: Measure, a: StoredModel, b: StoredModel, k: int) -> StoredComparison:
        settings = self.settings
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
        return self.settings.measures

    def values(self, measure: Correlation, models: Sequence[StoredModel]) -> NDArray[np.floating]:
        """What a measure correlates, of models of one label space (m×N)."""
        vectors = Vectors(
            self.heads, measure, models, [self.shared(models[0], model).b for model in models]
        )
        every = len(models)
        made = 0

        def each() -> None:
            nonlocal made
            made += 1
            self._tell(Step(measure.name, "heads", made, every))

        return vectors.of(range(every), each)


def by_content(model: StoredModel) -> tuple[str, str]:
    """What sorts models by what is in them: no answer depends on which was ingested first."""
    return model.rows_sha256, model.name


def _by_id(model: StoredModel) -> int:
    return model.model_id
