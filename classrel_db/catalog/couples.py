"""Every two of many models: what is not known of them yet is computed, and kept as it is finished."""

from __future__ import annotations

import time
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from classrel_db.catalog.comparing import neighbors_among
from classrel_db.catalog.correlating import Vectors, correlations
from classrel_db.catalog.heads import cached_bytes
from classrel_db.errors import LockedDatabaseError
from classrel_db.maths.measures.correlation import Correlation
from classrel_db.records import Step
from classrel_db.storage import arrays, comparisons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from numpy.typing import NDArray

    from classrel_db.catalog.comparing import Comparing
    from classrel_db.maths.measures import Measure
    from classrel_db.records import Progress, StoredModel
    from classrel_db.storage.comparisons import Rows

_BEFORE_Q = 9  # columns of the answer
_FLUSH_SECONDS = (
    5.0  # between two commits of finished comparisons, each of which opens the file anew
)


class Couples:
    """Every two of m models, in the order of their ids: c = m(m-1)/2 of them, by place in that order.

    ``first`` and ``second`` are the places of the two among ``models``, ``n`` the classes that they
    share, 0 where they can't be compared, and ``k`` how many of those count as near: (c,) each.
    Raises ArgumentError for a k that is beyond them.
    """

    def __init__(self, comparing: Comparing, models: Sequence[StoredModel]) -> None:
        self.models = sorted(models, key=lambda model: model.model_id)
        self.first, self.second = np.triu_indices(len(self.models), 1)
        self.ids = np.asarray([model.model_id for model in self.models], dtype=np.int64)
        # what a couple shares depends on the label spaces of the two alone
        spaces: dict[tuple[str, str], int] = {}
        keys = ((m.concepts_sha256, comparing.heads.normalization(m)) for m in self.models)
        self._space = np.asarray([spaces.setdefault(key, len(spaces)) for key in keys], np.int64)
        self.space = self._code(self._space, len(spaces))
        codes, examples = np.unique(self.space, return_index=True)
        sizes, near = np.zeros((2, len(codes)), dtype=np.int64)
        for number, (a, b) in enumerate(self.pairs(examples)):
            if comparing.comparable(a, b):
                sizes[number] = n = len(comparing.shared(a, b))
                near[number] = neighbors_among(comparing.settings.k, n, a, b)
        kind = np.searchsorted(codes, self.space)
        self.n, self.k = sizes[kind], near[kind]
        shapes, shape = np.unique(
            [(m.n_classes, m.dim) for m in self.models], axis=0, return_inverse=True
        )
        self.shape = self._code(shape.reshape(-1), len(shapes))

    def _code(self, kinds: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """A number for the kinds of the two models of each couple, whichever comes first."""
        a, b = kinds[self.first], kinds[self.second]
        code: NDArray[np.int64] = np.minimum(a, b) * count + np.maximum(a, b)
        return code

    def pairs(self, places: NDArray[np.intp]) -> Iterator[tuple[StoredModel, StoredModel]]:
        """The models of these couples."""
        for a, b in zip(self.first[places].tolist(), self.second[places].tolist(), strict=True):
            yield self.models[a], self.models[b]

    def place(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places of couples of models, by the models' own places, the two in any order."""
        a, b, m = np.minimum(first, second), np.maximum(first, second), len(self.models)
        place: NDArray[np.int64] = a * m - a * (a + 1) // 2 + b - a - 1
        return place

    def asked(self) -> dict[str, NDArray[np.int64]]:
        """The couples that can be compared, as columns: model_a, model_b, k."""
        able = np.flatnonzero(self.n)
        return {
            "model_a": self.ids[self.first[able]],
            "model_b": self.ids[self.second[able]],
            "k": self.k[able],
        }


class Missing(NamedTuple):
    """Couples by their places that are to be compared, and how closely: (c,) each."""

    places: NDArray[np.intp]
    permutations: NDArray[np.int64]
    resamples: NDArray[np.int64]


class Sweep:
    """All comparisons of some couples, of which what is stored already is not computed again.

    ``memory`` bounds, in bytes, what is held of the heads. ``keep`` is given nothing before the first
    is computed, to see whether it can; what is finished now and then; and the rest before an
    interruption goes on, and whether to wait for a file that another process holds.
    """

    def __init__(
        self,
        comparing: Comparing,
        couples: Couples,
        keep: Callable[[Sequence[Rows], bool], None],
        memory: int,
        tell: Progress,
    ) -> None:
        self._comparing = comparing
        self._couples = couples
        self._keep = keep
        self._memory = memory - cached_bytes(memory)
        self._tell = tell
        self.begun = False
        self._ready: list[Rows] = []
        self._flushed = time.monotonic()

    def run(self, known: Callable[[Measure], Mapping[str, NDArray[Any]]]) -> None:
        """Compare what is missing of each measure. ``known`` says what is stored of one."""
        try:
            for measure in self._comparing.measures:
                missing = self._missing(measure, known(measure))
                every = len(missing.places)
                if every and not self.begun:
                    self._keep([], False)
                    self.begun = True
                done = 0
                for rows in self._measured(measure, missing):
                    if not self._ready:
                        self._flushed = time.monotonic()
                    self._ready.append(rows)
                    done += len(rows["n"])
                    self._tell(Step(measure.name, "models", done, every))
                    if time.monotonic() - self._flushed > _FLUSH_SECONDS:
                        self._flush(last=False)
        finally:
            self._flush(last=True)

    def _flush(self, *, last: bool) -> None:
        self._flushed = time.monotonic()
        try:
            if self._ready:
                self._keep(self._ready, last)
            self._ready = []
        except LockedDatabaseError:
            if last:
                raise

    def _missing(self, measure: Measure, known: Mapping[str, NDArray[Any]]) -> Missing:
        """What is asked and not stored, or not as closely: neither p nor interval is lost then."""
        couples, settings = self._couples, self._comparing.settings
        permutations, resamples = settings.permutations_of(measure), settings.resamples
        models = (np.searchsorted(couples.ids, known[name]) for name in ("model_a", "model_b"))
        stored = couples.place(*models)
        closer = (known["permutations"] >= permutations) & (known["resamples"] >= resamples)
        if permutations or resamples:
            closer &= known["seed"] == settings.seed
        # not defined: nothing more can be found out
        wanted = couples.n > 0
        wanted[stored[closer | ~known["defined"]]] = False
        places = np.flatnonzero(wanted)
        closely = np.zeros((2, len(wanted)), dtype=np.int64)
        closely[:, stored] = known["permutations"], known["resamples"]
        return Missing(
            places,
            np.maximum(closely[0, places], permutations),
            np.maximum(closely[1, places], resamples),
        )

    def _measured(self, measure: Measure, missing: Missing) -> Iterator[Rows]:
        """One measure of what is missing, as it is found."""
        work = zip(missing.permutations.tolist(), missing.resamples.tolist(), strict=True)
        step = self._comparing.steps(measure, work)
        if isinstance(measure, Correlation):
            for places, estimates in self._correlated(measure, missing):
                at = np.searchsorted(missing.places, places)
                some = Missing(places, missing.permutations[at], missing.resamples[at])
                plain = (some.permutations == 0) & (some.resamples == 0)
                if plain.any():
                    yield self._plain(measure, places[plain], estimates[plain])
                judged = Missing(*(each[~plain] for each in some))
                yield from self._judged(measure, judged, estimates[~plain].tolist(), step)
        else:
            # tile by tile, so that a head is seldom read again
            size = self._comparing.heads.at_once(self._couples.models) // 2 or 1
            first, second = (
                each[missing.places] for each in (self._couples.first, self._couples.second)
            )
            order = np.lexsort((second, first, second // size, first // size))
            tiled = Missing(*(each[order] for each in missing))
            yield from self._judged(measure, tiled, [None] * len(order), step)

    def _judged(
        self,
        measure: Measure,
        some: Missing,
        estimates: Sequence[float | None],
        step: Callable[[int], None],
    ) -> Iterator[Rows]:
        comparing, pairs = self._comparing, self._couples.pairs(some.places)
        closely = zip(some.permutations.tolist(), some.resamples.tolist(), strict=True)
        for (a, b), (permuted, resampled), estimate in zip(pairs, closely, estimates, strict=True):
            settings = replaced(comparing.settings, permutations=permuted, resamples=resampled)
            found = comparing.judged(measure, a, b, comparing.pair(a, b), step, settings, estimate)
            yield comparisons.columns([found])

    def _plain(
        self, measure: Measure, places: NDArray[np.intp], estimates: NDArray[np.float64]
    ) -> Rows:
        """Estimates of couples of one label space, or two, without p and interval."""
        couples, count = self._couples, len(places)
        a, _ = next(couples.pairs(places[:1]))
        kinds, kind = np.unique(couples.shape[places], return_inverse=True)
        examples = [places[np.flatnonzero(kind == number)[:1]] for number in range(len(kinds))]
        nulls = [self._null(measure, place) for place in examples]
        defined = np.isfinite(estimates)
        listed = estimates.tolist()
        if not defined.all():
            listed = [
                value if known else None for value, known in zip(listed, defined, strict=True)
            ]
        nothing = [None] * count
        return {
            "model_a": couples.ids[couples.first[places]],
            "model_b": couples.ids[couples.second[places]],
            "measure": [measure.name] * count,
            "normalization": [self._comparing.heads.normalization(a)] * count,
            "k": nothing,
            "n": couples.n[places],
            "estimate": listed,
            "low": nothing,
            "high": nothing,
            "p_value": nothing,
            "null_value": [nulls[number] for number in kind.tolist()],
            "permutations": np.zeros(count, dtype=np.int64),
            "resamples": np.zeros(count, dtype=np.int64),
            "seed": np.full(count, self._comparing.settings.seed),
        }

    def _null(self, measure: Measure, place: NDArray[np.intp]) -> float | None:
        (a, b), n, k = (
            next(self._couples.pairs(place)),
            self._couples.n[place],
            self._couples.k[place],
        )
        return self._comparing.null(measure, a, b, int(n[0]), int(k[0]))

    def _correlated(
        self, measure: Correlation, missing: Missing
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
        """The estimates of these couples, those of the models of two label spaces together."""
        couples = self._couples
        codes = couples.space[missing.places]
        for code in np.unique(codes):
            places = missing.places[codes == code]
            first, second = couples.first[places], couples.second[places]
            members, at = np.unique(np.concatenate([first, second]), return_inverse=True)
            some = np.zeros((len(members), len(members)), dtype=np.bool_)
            rows, columns = at[: len(places)], at[len(places) :]
            some[rows, columns] = some[columns, rows] = True
            vectors = self._vectors(measure, members, places)

            def tell(done: int, every: int) -> None:
                self._tell(Step(measure.name, "heads", done, every))

            for found in correlations(
                vectors, some, self._memory, centered=measure.centered, tell=tell
            ):
                yield couples.place(members[found.first], members[found.second]), found.values

    def _vectors(
        self, measure: Correlation, members: NDArray[np.intp], places: NDArray[np.intp]
    ) -> Vectors:
        couples, comparing = self._couples, self._comparing
        a, b = next(couples.pairs(places[:1]))
        shared = comparing.shared(a, b)
        indices = {b.concepts_sha256: shared.b, a.concepts_sha256: shared.a}
        models = [couples.models[member] for member in members.tolist()]
        return Vectors(
            comparing.heads, measure, models, [indices[m.concepts_sha256] for m in models]
        )


def with_q_values(connection: DuckDBPyConnection, rows: DuckDBPyRelation) -> DuckDBPyRelation:
    """The answer of :func:`~classrel_db.storage.comparisons.answer`, apart from the database, with
    Benjamini and Hochberg's q for each p, over the couples of one measure."""
    held = arrays.kept(rows)
    names = [*held.columns[:_BEFORE_Q], "q_value", *held.columns[_BEFORE_Q:]]
    found = held.project("measure, p_value").filter("p_value IS NOT NULL")
    if not found.limit(1).fetchall():
        return held.project(", ".join(names).replace("q_value", "NULL::DOUBLE AS q_value"))
    from scipy.stats import false_discovery_control

    measures, p = (np.asarray(each) for each in zip(*found.fetchall(), strict=True))
    tested = np.asarray([each is not None for (each,) in held.project("p_value").fetchall()])
    q = np.empty(len(p))
    for measure in np.unique(measures):
        q[measures == measure] = false_discovery_control(p[measures == measure])
    listed = np.full(len(tested), None, dtype=object)
    listed[tested] = q
    adjusted = arrays.with_shares(connection, held, {"q_value": listed.tolist()})
    return arrays.kept(adjusted.project(", ".join(names)))
