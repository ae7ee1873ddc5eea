"""Which class a user means: a label, a unique part of one, a concept or an index."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from classrel_db.errors import (
    AmbiguousClassError,
    ArgumentError,
    UnknownClassError,
    UnknownModelError,
)
from classrel_db.spelling import did_you_mean, quoted
from classrel_db.storage import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classrel_db.records import StoredClass, StoredModel
    from classrel_db.storage.arrays import Names
    from classrel_db.storage.database import Database

_SHOWN_CANDIDATES = 12
_LARGE = 50_000  # classes of a model whose names are gone through once only


class Lookup:
    """Names in one state of the database; answers are kept, for the state can't change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._models = read.stored_models(database.reader())
        self._read_as = read.concept_map(database.reader())
        self._names: dict[int, Names | None] = {}
        self._found: dict[tuple[str | int, tuple[int, ...]], dict[int, StoredClass]] = {}

    def models(self, names: str | Sequence[str] | None = None) -> list[StoredModel]:
        """The models of these names, in that order; all of them for None.

        Raises UnknownModelError, with the nearest names.
        """
        stored = {model.name: model for model in self._models}
        if not stored:
            raise UnknownModelError(
                "the database holds no model; add one with `classrel ingest efficientnet_lite0`"
            )
        if names is None:
            return list(stored.values())
        wanted = [names] if isinstance(names, str) else list(names)
        if not wanted:
            raise ArgumentError("no model is named; leave models out to ask all of them")
        for name in wanted:
            if name not in stored:
                raise UnknownModelError(
                    f"no model {quoted(str(name))} in the database"
                    f"{did_you_mean(str(name), list(stored))}; `classrel models` lists them"
                )
        return [stored[name] for name in dict.fromkeys(wanted)]

    def find(self, query: str | int, models: Sequence[StoredModel]) -> dict[int, StoredClass]:
        """The class that ``query`` means in each model that has it, by model_id.

        A label goes before the same label in another case, that before a concept, that before an
        index, and all of these before a part of a label; an int is an index. What is found is one
        concept, and every model that has this concept answers, whatever its label for it. A class
        without an id of its own is the same as one of the same label, and concepts are one that the
        database's ``concept_map`` says are the same.

        Raises UnknownClassError, with close spellings, where no model has it, and
        AmbiguousClassError, with the candidates, where it could be several concepts.
        """
        key = (query, tuple(model.model_id for model in models))
        if key not in self._found:
            self._found[key] = self._find(query, models)
        return self._found[key]

    def names_outright(self, query: str, models: Sequence[StoredModel]) -> bool:
        """Whether ``query`` is the whole of a label or concept, or an index, in any of ``models``."""
        return bool(self._outright(query, models))

    def _find(self, query: str | int, models: Sequence[StoredModel]) -> dict[int, StoredClass]:
        candidates = self._outright(query, models)
        if not candidates and isinstance(query, str):
            candidates = self._mapped(query, models) or self._by_part(query, models)
        if not candidates:
            raise self._unknown(query, models)
        ids = self._ids(candidates)
        labels_of_ids = {_folded(c.label) for c in candidates if self._has_id(c)}
        plain = {_folded(c.label) for c in candidates if not self._has_id(c)} - labels_of_ids
        family = candidates
        if len(ids) + len(plain) == 1:
            family = self._family(candidates, models)
        found = {candidate.model_id: candidate for candidate in family}
        ids = self._ids(family)
        if len(ids) + (not ids and len(plain)) > 1 or len(found) < len(family):
            raise self._ambiguous(query, family, models)
        return found

    def _family(
        self, candidates: Sequence[StoredClass], models: Sequence[StoredModel]
    ) -> list[StoredClass]:
        """These classes and, in the other models, those of the same concept.

        That is a class of the same id, whatever its label; and a class of the same label, where one
        of the two has no id.
        """
        family = list(candidates)
        while True:
            known = {candidate.model_id for candidate in family}
            rest = [model.model_id for model in models if model.model_id not in known]
            ids = self._ids(family)
            labels = {_folded(c.label) for c in family}
            spelled = [*ids, *(b for b, a in self._read_as.items() if a in ids)]
            related = read.stored_classes(self._database.reader(), rest, spelled, list(labels))
            more = [c for c in related if c.concept in spelled or not (self._has_id(c) and ids)]
            # where a model has both of two concepts that are one, that which the other is read as
            own = {(c.model_id, c.concept) for c in more}
            more = [c for c in more if (c.model_id, self._read_as.get(c.concept)) not in own]
            if not more:
                return family
            family += more

    def _ids(self, classes: Sequence[StoredClass]) -> set[str]:
        """The ids of these classes, each as it is read."""
        return {self._read_as.get(c.concept, c.concept) for c in classes if self._has_id(c)}

    def _has_id(self, one: StoredClass) -> bool:
        """Whether the concept says more than the label: an id of its own, or one that is mapped."""
        return one.has_id or one.concept in self._read_as or one.concept in self._read_as.values()

    def _mapped(self, concept: str, models: Sequence[StoredModel]) -> list[StoredClass]:
        """The classes of a concept that is the same as this one."""
        same = [a if b == concept else b for b, a in self._read_as.items() if concept in {a, b}]
        ids = [model.model_id for model in models]
        return read.stored_classes(self._database.reader(), ids, same) if same else []

    def _outright(self, query: str | int, models: Sequence[StoredModel]) -> list[StoredClass]:
        connection = self._database.reader()
        large = [model for model in models if model.n_classes > _LARGE]
        if isinstance(query, int) or not large:
            rows = read.named_classes(connection, query, [model.model_id for model in models])
        else:
            small = [model.model_id for model in models if model not in large]
            rows = read.named_classes(connection, query, small)
            for model in large:
                among = self._candidates(model, query)
                rows += read.named_classes(connection, query, [model.model_id], among)
            rows.sort(key=lambda row: (row[1].model_id, row[1].index))
        best = min((tier for tier, _ in rows), default=0)
        return [candidate for tier, candidate in rows if tier == best]

    def _candidates(self, model: StoredModel, text: str) -> list[int] | None:
        """The classes of a large model that may be meant; None, for all, when it is asked only once."""
        if model.model_id not in self._names:
            self._names[model.model_id] = None
            return None
        names = self._names[model.model_id]
        if names is None:
            from classrel_db.storage.arrays import Names

            names = self._names[model.model_id] = Names(self._database.reader(), model.model_id)
        return names.candidates(self._database.reader(), text)

    def _by_part(self, text: str, models: Sequence[StoredModel]) -> list[StoredClass]:
        part, ids = _folded(text), [model.model_id for model in models]
        return read.classes_with(self._database.reader(), ids, part) if part else []

    def _everything(self, models: Sequence[StoredModel]) -> list[StoredClass]:
        ids = [model.model_id for model in models]
        return read.stored_classes(self._database.reader(), ids)

    def _unknown(self, query: str | int, models: Sequence[StoredModel]) -> UnknownClassError:
        if isinstance(query, int):
            most = max(model.n_classes for model in models)
            return UnknownClassError(
                f"no class {query} {_where(models)}; indexes are from 0 to {most - 1:,}"
            )
        labels = list(dict.fromkeys(c.label for c in self._everything(models)))
        return UnknownClassError(
            f"no class {quoted(query)} {_where(models)}{did_you_mean(query, labels)}; a class is a "
            "label, a unique part of one, a concept or an index (`classrel classes MODEL` lists them)"
        )

    def _ambiguous(
        self, query: str | int, candidates: Sequence[StoredClass], models: Sequence[StoredModel]
    ) -> AmbiguousClassError:
        names = {model.model_id: model.name for model in models}
        distinct = {(c.label, c.concept): c for c in reversed(candidates)}
        shown = [
            f"{quoted(c.label)} ({f'{c.concept}, ' if c.has_id else ''}{c.index}"
            f"{f' in {names[c.model_id]}' if len(models) > 1 else ''})"
            for c in list(reversed(distinct.values()))[:_SHOWN_CANDIDATES]
        ]
        more = len(distinct) - len(shown)
        return AmbiguousClassError(
            f"{quoted(str(query))} could be {len(distinct)} classes {_where(models)}: "
            f"{', '.join(shown)}{f' and {more} more' if more > 0 else ''}; give a whole label, the "
            "concept, or one model"
        )


def without(
    lookup: Lookup, models: Sequence[StoredModel], exclude: str | Sequence[str] | None
) -> list[StoredModel]:
    """``models`` but for those of the names ``exclude``.

    Raises UnknownModelError, and ArgumentError where none is left.
    """
    left_out = {model.name for model in lookup.models(exclude)} if exclude else set()
    left = [model for model in models if model.name not in left_out]
    if not left:
        raise ArgumentError(
            f"all models asked are excluded, {len(models)} of {len(models)}; leave one to ask"
        )
    return left


def _folded(text: str) -> str:
    """As DuckDB folds a label in ``read``: composed, in lower case."""
    return unicodedata.normalize("NFC", text).lower()


def _where(models: Sequence[StoredModel]) -> str:
    return f"in {models[0].name}" if len(models) == 1 else f"in any of {len(models)} models"
