"""What the consensus of models is asked with, checked and put in order for its named query."""

from __future__ import annotations

from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

from classrel_db.catalog.arguments import require_in_all
from classrel_db.catalog.lookup import without
from classrel_db.errors import ArgumentError
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from classrel_db.catalog.lookup import Lookup
    from classrel_db.catalog.tree_rows import Columns
    from classrel_db.records import StoredModel

_SIMILAR = ("model", "class", "rank", "neighbor", "neighbor_concept", "cosine", "euclidean")
_NAMED = 3  # models of one normalisation that a message lists


def arguments(
    lookup: Lookup,
    query: str | int,
    *,
    models: str | Sequence[str] | None,
    exclude: str | Sequence[str] | None,
    weights: Mapping[str, float] | None,
    k: object,
    least: object,
    where: object,
) -> dict[str, Any]:
    """The arguments of the query ``consensus``, by name; what counts 0 is left out of ``models``.

    Raises ArgumentError for numbers out of range, weights that can't be used, no model left, and
    models that are normalised in different ways; and what the lookup raises.
    """
    _require_positive("k", k)
    _require_positive("least", least)
    if where is not None and not (isinstance(where, str) and where.strip()):
        raise ArgumentError(f"where is an SQL condition as text, not {where!r}")
    asked = without(lookup, lookup.models(models), exclude)
    weighed = _weighed(lookup, asked, weights or {})
    counted = [model for model in asked if weighed[model.name] > 0]
    if not counted:
        raise ArgumentError(
            "every weight is 0, which leaves all models out; give one a weight above 0"
        )
    found = lookup.find(query, counted)
    if models is not None:
        require_in_all(str(query), found, counted)
    knowing = [model for model in counted if model.model_id in found]
    _require_one_normalization(str(query), knowing)
    if least > len(knowing):  # type: ignore[operator]
        raise ArgumentError(
            f"least is {least}; {len(knowing)} of the models know {quoted(str(query))}, so least is "
            f"from 1 to {len(knowing)}"
        )
    given = {
        "class": query,
        "k": k,
        "models": [model.name for model in counted],
        "least": least,
        "keep": where,
    }
    return given | ({"weights": [weighed[model.name] for model in counted]} if weights else {})


def _weighed(
    lookup: Lookup, models: Sequence[StoredModel], weights: Mapping[str, object]
) -> dict[str, float]:
    """What each of ``models`` counts: its weight, or 1."""
    weighed = {model.name: 1.0 for model in models}
    for name, weight in weights.items():
        lookup.models([name])
        if name not in weighed:
            raise ArgumentError(
                f"a weight for {name}, which is not among the models asked; ask it too, or leave the "
                "weight out"
            )
        number = not isinstance(weight, bool) and isinstance(weight, Real)
        value = float(cast("Real", weight)) if number else -1.0
        if not (isfinite(value) and value >= 0):
            raise ArgumentError(
                f"the weight of {name} is {weight!r}; a weight is a finite number, 0 or above"
            )
        weighed[name] = value
    return weighed


def _require_positive(name: str, value: object) -> None:
    if not (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        raise ArgumentError(f"{name} is {value!r}; it is a whole number from 1 on")


def _require_one_normalization(query: str, models: Sequence[StoredModel]) -> None:
    ways: dict[str, list[str]] = {}
    for model in models:
        ways.setdefault(model.normalization, []).append(model.name)
    if len(ways) > 1:
        listed = "; ".join(f"{way}: {_listed(names)}" for way, names in sorted(ways.items()))
        raise ArgumentError(
            f"the models that know {quoted(query)} are normalised in different ways ({listed}), and "
            "their cosines have no common mean; choose models of one way with -m (models=)"
        )


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    more = len(shown) - _NAMED
    return ", ".join(shown[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def rank_columns(
    ranked: Sequence[Sequence[tuple[Any, ...]]], read_as: Mapping[str, str], k: int
) -> Columns:
    """The rows of ``similar`` of several models, of all their classes, as columns with the mean rank: of the
    ``k`` classes with the best mean over the models that have them, which are half of them or more."""
    places: dict[str, list[tuple[Any, ...]]] = {}
    for rows in ranked:
        for row in rows:
            places.setdefault(read_as.get(row[4], row[4]), []).append(row)
    mean = {
        concept: sum(row[2] for row in rows) / len(rows)
        for concept, rows in places.items()
        if 2 * len(rows) >= len(ranked)
    }
    best = sorted(mean, key=lambda concept: (mean[concept], concept))[:k]
    # the class of the first model gives a mapped one its name
    rows = [
        (*row[:3], *places[concept][0][3:4], concept, *row[5:7], mean[concept])
        for concept in best
        for row in places[concept]
    ]
    kinds = {"rank": "INTEGER", "cosine": "FLOAT", "euclidean": "DOUBLE", "mean_rank": "DOUBLE"}
    return {
        name: (kinds.get(name, "VARCHAR"), [row[number] for row in rows])
        for number, name in enumerate((*_SIMILAR, "mean_rank"))
    }
