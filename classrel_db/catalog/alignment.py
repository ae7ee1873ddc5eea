"""Which classes of two models are the same: by concept, by a mapping, by ancestry where asked."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from classrel_db.errors import ArgumentError
from classrel_db.maths.geometry import LEAST_CLASSES
from classrel_db.spelling import quoted
from classrel_db.storage import comparisons, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.records import StoredModel


class Shared(NamedTuple):
    """The classes that two models share: their indices in each (n,), and the concepts, sorted.

    Sorted, so that no answer depends on the order in which a model keeps its classes, nor on which of
    the two comes first.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    concepts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.concepts)


class Alignment:
    """The concepts of models as the database's map reads them, in one state of the database."""

    def __init__(self, connection: DuckDBPyConnection, *, ancestors: bool = False) -> None:
        self._connection = connection
        self._map = read.concept_map(connection)
        self._ancestors = ancestors
        self._places: dict[str, dict[str, int]] = {}
        self._shared: dict[tuple[str, str], Shared] = {}

    def shared(self, a: StoredModel, b: StoredModel) -> Shared:
        """The classes of both models."""
        key = (a.concepts_sha256, b.concepts_sha256)
        if key not in self._shared:
            places = self.places(a), self.places(b)
            twins = {concept: concept for concept in places[0] if concept in places[1]}
            if self._ancestors:
                twins |= _related(*places)
            concepts = sorted(twins)
            self._shared[key] = Shared(
                np.asarray([places[0][concept] for concept in concepts], dtype=np.int64),
                np.asarray([places[1][twins[concept]] for concept in concepts], dtype=np.int64),
                tuple(concepts),
            )
        return self._shared[key]

    def places(self, model: StoredModel) -> dict[str, int]:
        """The index of each concept of a model, under the name by which it is compared."""
        if model.concepts_sha256 not in self._places:
            listed = comparisons.concepts(self._connection, model.model_id)
            own = set(listed)
            mapped = (self._map.get(concept, concept) for concept in listed)
            self._places[model.concepts_sha256] = {
                # a model that has come since, with both as classes, tells them apart
                concept if other != concept and other in own else other: index
                for index, (concept, other) in enumerate(zip(listed, mapped, strict=True))
            }
        return self._places[model.concepts_sha256]


def require_shared(a: StoredModel, b: StoredModel, shared: Shared) -> None:
    """Raise ArgumentError where two models share too few classes to be compared."""
    if len(shared) >= LEAST_CLASSES:
        return
    what = (
        "no class"
        if not len(shared)
        else f"only {len(shared)} of the {LEAST_CLASSES} classes needed"
    )
    reasons = (
        "; three classes have three pairs, too few to correlate, and debiased CKA divides by n - 3"
        if len(shared)
        else ""
    )
    raise ArgumentError(
        f"{a.name} ({a.n_classes:,} classes of {a.label_space}) and {b.name} ({b.n_classes:,} of "
        f"{b.label_space}) share {what}{reasons}. Classes are the same by their concept: say which "
        "are with `classrel map FILE`, or let an ancestor in WordNet count with --ancestors"
    )


def require_map(
    connection: DuckDBPyConnection, pairs: Sequence[tuple[str, str]], source: str
) -> None:
    """Raise ArgumentError for a mapping with unknown or doubled concepts."""
    columns = {"concept_a": [a for a, _ in pairs], "concept_b": [b for _, b in pairs]}
    for column, values in columns.items():
        doubled = [value for value, count in Counter(values).items() if count > 1]
        if doubled:
            raise ArgumentError(
                f"{source}: {_listed(doubled)} stands more than once in {column}; a concept is the same "
                "as one other"
            )
    both = sorted(set(columns["concept_a"]) & set(columns["concept_b"]))
    if both:
        raise ArgumentError(
            f"{source}: {_listed(both)} stands in both columns; concept_b is read as concept_a, and "
            "that once"
        )
    known = comparisons.known_concepts(connection, [*columns["concept_a"], *columns["concept_b"]])
    for column, values in columns.items():
        unknown = [value for value in values if value not in known]
        if unknown:
            raise ArgumentError(
                f"{source}: no model has the concept {_listed(unknown)} of {column}; `classrel classes "
                "MODEL` lists a model's concepts"
            )
    for a, b in pairs:
        common = sorted({name for _, name in known[a]} & {name for _, name in known[b]})
        if common:
            raise ArgumentError(
                f"{source}: {quoted(a)} and {quoted(b)} are two classes of {common[0]}; they can't be "
                "the same concept"
            )


def _related(mine: Mapping[str, int], theirs: Mapping[str, int]) -> dict[str, str]:
    """The concepts of the one model that stand for one of the other's by ancestry, either's above."""
    above = _by_ancestry(mine, theirs)
    pairs = [*above.items(), *((a, b) for b, a in _by_ancestry(theirs, mine).items())]
    # one that has a class of the other above it may be above another of them
    firsts, seconds = (Counter(side) for side in zip(*pairs, strict=True)) if pairs else ({}, {})
    return {a: b for a, b in pairs if firsts[a] == seconds[b] == 1}


def _by_ancestry(mine: Mapping[str, int], theirs: Mapping[str, int]) -> dict[str, str]:
    """The nearest WordNet ancestor that the other model has, of each concept it has not.

    Only where that is one concept, the other model's has no twin, and no second class has it too.
    """
    from classrel_db.sources.wordnet import hypernyms

    parents = hypernyms()
    found: dict[str, str] = {}
    for concept in mine:
        if concept in theirs:
            continue
        level, seen = {concept}, set()
        while level:
            seen |= level
            level = {parent for each in level for parent in parents.get(each, ())} - seen
            reached = sorted(level & theirs.keys())
            if reached:
                if len(reached) == 1 and reached[0] not in mine:
                    found[concept] = reached[0]
                break
    taken = Counter(found.values())
    return {concept: other for concept, other in found.items() if taken[other] == 1}


def _listed(concepts: Sequence[str]) -> str:
    more = f" and {len(concepts) - 3} more" if len(concepts) > 3 else ""
    return ", ".join(map(quoted, concepts[:3])) + more
