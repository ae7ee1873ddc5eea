"""Which class a user means: a label, a unique part of one, a concept or an index."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from classrel_db.errors import AmbiguousClassError, UnknownClassError, UnknownModelError
from classrel_db.spelling import did_you_mean, quoted
from classrel_db.storage import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from classrel_db.records import StoredModel

_SHOWN_CANDIDATES = 12


@dataclass(slots=True)
class Lookup:
    """Names as one connection sees them; what it found is kept, for the file can't change under it."""

    connection: DuckDBPyConnection
    _models: list[StoredModel] | None = None
    _classes: dict[tuple[str, tuple[int, ...]], dict[int, int]] = field(default_factory=dict)

    def models(self, names: str | Sequence[str] | None = None) -> list[StoredModel]:
        """The models of these names, in that order; all of them for None.

        Raises UnknownModelError, with the nearest names.
        """
        if self._models is None:
            self._models = read.stored_models(self.connection)
        stored = {model.name: model for model in self._models}
        if not stored:
            raise UnknownModelError(
                "the database holds no model; add one with `classrel ingest efficientnet_lite0`"
            )
        if names is None:
            return list(stored.values())
        wanted = [names] if isinstance(names, str) else list(names)
        for name in wanted:
            if name not in stored:
                raise UnknownModelError(
                    f"no model {quoted(name)} in the database{did_you_mean(name, list(stored))}; "
                    "`classrel models` lists them"
                )
        return [stored[name] for name in dict.fromkeys(wanted)]

    def named(self, text: str, models: Sequence[StoredModel]) -> dict[int, int]:
        """The class that ``text`` names outright in each model that has it, as {model_id: index}.

        A label goes before a label in another case, that before a concept, that before an index.
        Raises AmbiguousClassError where classes of different concepts share the label.
        """
        by_model: dict[int, list[tuple[int, int, str, str]]] = {}
        wanted = {model.model_id: model for model in models}
        for model_id, index, label, concept, exact, folded in read.named_classes(
            self.connection, text
        ):
            if model_id in wanted:
                tier = 0 if exact else 1 if folded else 2 if concept == text else 3
                by_model.setdefault(model_id, []).append((tier, index, label, concept))
        found: dict[int, int] = {}
        for model_id, hits in by_model.items():
            best = [hit for hit in hits if hit[0] == min(hits)[0]]
            if len(best) > 1:
                raise AmbiguousClassError(
                    f"{quoted(text)} names {len(best)} classes of {wanted[model_id].name}: "
                    + _listed([(index, label, concept) for _, index, label, concept in best])
                    + "; give the concept or the index"
                )
            found[model_id] = best[0][1]
        return found

    def find(self, text: str, models: Sequence[StoredModel]) -> dict[int, int]:
        """Like :meth:`named`, or else the only class with ``text`` as a part of its label.

        Models without the class are left out. Raises UnknownClassError, with close spellings, when
        no model has it, and AmbiguousClassError, with the candidates, when several classes fit.
        """
        key = (text, tuple(model.model_id for model in models))
        if key not in self._classes:
            self._classes[key] = self.named(text, models) or self._by_part(text, models)
        return self._classes[key]

    def _by_part(self, text: str, models: Sequence[StoredModel]) -> dict[int, int]:
        where = models[0].name if len(models) == 1 else f"any of {len(models)} models"
        everything = read.labels(self.connection, [model.model_id for model in models])
        part = text.casefold().strip()
        hits = [row for row in everything if part and part in row[2].casefold()]
        concepts = {concept: (index, label, concept) for _, index, label, concept in hits}
        if len(concepts) > 1:
            raise AmbiguousClassError(
                f"{quoted(text)} fits {len(concepts)} classes of {where}: "
                + _listed(list(concepts.values()))
                + "; give one of these"
            )
        if not hits:
            labels = list(dict.fromkeys(label for _, _, label, _ in everything))
            raise UnknownClassError(
                f"no class {quoted(text)} in {where}{did_you_mean(text, labels)}; a class is a "
                "label, a unique part of one, a concept or an index (`classrel classes MODEL` "
                "lists them)"
            )
        return {model_id: index for model_id, index, _, _ in hits}


def _listed(candidates: Sequence[tuple[int, str, str]]) -> str:
    shown = [
        f"{quoted(label)} ({concept}, {index})"
        if concept != label.casefold()
        else f"{quoted(label)} ({index})"
        for index, label, concept in candidates[:_SHOWN_CANDIDATES]
    ]
    more = len(candidates) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
