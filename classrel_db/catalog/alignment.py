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
    """Which classes are the same, in one state of the database and its concept map."""

    def __init__(self, connection: DuckDBPyConnection, *, ancestors: bool = False) -> None:
        self._connection = connection
        self.read_as = read.concept_map(connection)
        self._partners = self.read_as | {c: other for other, c in self.read_as.items()}
        self._ancestors = ancestors
        self._places: dict[str, dict[str, int]] = {}
        self._shared: dict[tuple[str, str], Shared] = {}

    def shared(self, a: StoredModel, b: StoredModel) -> Shared:
        """The classes of both models: first those of one concept, then those that the map pairs."""
        key = (a.concepts_sha256, b.concepts_sha256)
        if key not in self._shared:
            places = self.places(a), self.places(b)
            twins = {concept: concept for concept in places[0] if concept in places[1]}
            for concept in places[0]:
                partner = self._partners.get(concept)
                if concept not in twins and partner in places[1] and partner not in twins:
                    twins[concept] = partner
            if self._ancestors:
                taken = set(twins.values())
                mine = {each: at for each, at in places[0].items() if each not in twins}
                theirs = {each: at for each, at in places[1].items() if each not in taken}
                twins |= _related(mine, theirs)
            # by a name that does not depend on which of the two models comes first
            concepts = sorted(twins, key=lambda concept: min(concept, twins[concept]))
            self._shared[key] = Shared(
                np.asarray([places[0][concept] for concept in concepts], dtype=np.int64),
                np.asarray([places[1][twins[concept]] for concept in concepts], dtype=np.int64),
                tuple(concepts),
            )
        return self._shared[key]

    def places(self, model: StoredModel) -> dict[str, int]:
        """The index of each concept of a model."""
        if model.concepts_sha256 not in self._places:
            listed = comparisons.concepts(self._connection, model.model_id)
            self._places[model.concepts_sha256] = {
                concept: index for index, concept in enumerate(listed)
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
    """The nearest WordNet ancestor among the other model's concepts, of each that has one.

    Only where that is one concept, and no second class has it too.
    """
    from classrel_db.sources.wordnet import hypernyms

    parents = hypernyms()
    found: dict[str, str] = {}
    for concept in mine:
        level, seen = {concept}, set()
        while level:
            seen |= level
            level = {parent for each in level for parent in parents.get(each, ())} - seen
            reached = sorted(level & theirs.keys())
            if reached:
                if len(reached) == 1:
                    found[concept] = reached[0]
                break
    taken = Counter(found.values())
    return {concept: other for concept, other in found.items() if taken[other] == 1}


def _listed(concepts: Sequence[str]) -> str:
    more = f" and {len(concepts) - 3} more" if len(concepts) > 3 else ""
    return ", ".join(map(quoted, concepts[:3])) + more
