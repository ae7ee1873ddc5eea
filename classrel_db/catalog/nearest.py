"""``similar``: what is asked about in each model, which classes may answer, and the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classrel_db.catalog.algebra import Term, parse
from classrel_db.catalog.arguments import require_in_all, require_k, require_query
from classrel_db.errors import ArgumentError, UnknownClassError
from classrel_db.records import Focal
from classrel_db.spelling import quoted
from classrel_db.storage import read, statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from numpy.typing import ArrayLike

    from classrel_db.catalog.known import Known
    from classrel_db.records import StoredModel


def nearest(
    connection: DuckDBPyConnection,
    known: Known,
    query: str | int | None,
    models: str | Sequence[str] | None,
    k: int | None,
    vector: ArrayLike | None,
    include_self: bool,
    where: str | None,
) -> tuple[DuckDBPyRelation, list[Focal]]:
    """The rows of :meth:`Catalog.similar`, and what each of these models was asked about."""
    chosen = known.lookup.models(models)
    among = _among(connection, chosen, where)
    if vector is not None:
        return _near_vector(known, vector, chosen, among, k, where)
    asked = require_query(query)
    terms = parse(asked) if isinstance(asked, str) else None
    if isinstance(asked, str) and terms and not known.lookup.names_outright(asked, chosen):
        return _near_sum(
            known,
            asked,
            terms,
            chosen,
            among,
            k,
            named=models is not None,
            keep=include_self,
            where=where,
        )
    found = known.lookup.find(asked, chosen)
    if models is not None:
        require_in_all(str(asked), found, chosen)
    focal = [
        Focal(model, allowed, ((1, found[model.model_id].index),))
        for model, allowed in zip(chosen, among, strict=True)
        if model.model_id in found
    ]
    wanted = require_k(
        k,
        [each.model for each in focal],
        [len(each.allowed) - (each.terms[0][1] in each.allowed) for each in focal],
        named=models is not None,
        where=where,
    )
    places = {each.model.name: found[each.model.model_id] for each in focal}
    return read.nearest(connection, places, wanted, include_self, where), focal


def _among(
    connection: DuckDBPyConnection, models: Sequence[StoredModel], where: str | None
) -> list[Sequence[int]]:
    """The classes of each model that meet a condition, or all."""
    if where is None:
        return [range(model.n_classes) for model in models]
    if not isinstance(where, str):
        raise ArgumentError(f"where is an SQL condition as text, not {where!r}")
    ids = [model.model_id for model in models]
    statements.require_condition(read.describing(connection, ids), where)
    return [read.kept_classes(connection, model.model_id, where) for model in models]


def _near_vector(
    known: Known,
    vector: ArrayLike,
    chosen: Sequence[StoredModel],
    among: Sequence[Sequence[int]],
    k: int | None,
    where: str | None,
) -> tuple[DuckDBPyRelation, list[Focal]]:
    if len(chosen) != 1:
        raise ArgumentError(
            f"a vector lies in the feature space of one model, not of {len(chosen)}; name it "
            "with models="
        )
    (model,), (allowed,) = chosen, among
    wanted = require_k(k, chosen, [len(allowed)], named=True, where=where)
    found = known.search.near_vector(model, vector, min(wanted, len(allowed)), allowed)
    return known.search.answer("(vector)", [found]), [Focal(model, allowed, vector=vector)]


def _near_sum(
    known: Known,
    text: str,
    terms: Sequence[Term],
    chosen: Sequence[StoredModel],
    among: Sequence[Sequence[int]],
    k: int | None,
    *,
    named: bool,
    keep: bool,
    where: str | None,
) -> tuple[DuckDBPyRelation, list[Focal]]:
    places = [known.lookup.find(term.text, chosen) for term in terms]
    if named:
        for term, place in zip(terms, places, strict=True):
            require_in_all(term.text, place, chosen)
    signs = [term.sign for term in terms]
    focal = []
    for model, allowed in zip(chosen, among, strict=True):
        if all(model.model_id in place for place in places):
            inside = [place[model.model_id].index for place in places]
            outside = [i for i in allowed if keep or i not in inside]
            focal.append(Focal(model, outside, tuple(zip(signs, inside, strict=True))))
    if not focal:
        raise UnknownClassError(f"no model knows every class of {quoted(text)}")
    wanted = require_k(
        k,
        [each.model for each in focal],
        [len(each.allowed) for each in focal],
        named=named,
        where=where,
    )
    found = [
        known.search.near_sum(each, min(wanted, len(each.allowed)))
        for each in focal
        if each.allowed
    ]
    return known.search.answer(text, found), focal
