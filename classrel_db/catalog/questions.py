"""Named queries as a user asks them: arguments checked, names resolved, values bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classrel_db.catalog.lookup import without
from classrel_db.errors import ArgumentError
from classrel_db.spelling import did_you_mean, quoted
from classrel_db.storage import read, taxonomies
from classrel_db.storage.queries import CONDITION
from classrel_db.storage.statements import require_condition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from classrel_db.catalog.lookup import Lookup
    from classrel_db.records import NamedQuery, QueryParameter, StoredModel


def named(queries: Mapping[str, NamedQuery], name: str) -> NamedQuery:
    """The query of this name. Raises ArgumentError, with the nearest names."""
    if not isinstance(name, str) or name not in queries:
        name = str(name)
        raise ArgumentError(
            f"no query {quoted(name)}{did_you_mean(name, list(queries))}; `classrel query` lists them"
        )
    return queries[name]


def call(
    connection: DuckDBPyConnection,
    lookup: Lookup,
    query: NamedQuery,
    positional: Sequence[Any],
    by_name: Mapping[str, Any],
) -> tuple[str, dict[str, Any]]:
    """The SQL that asks ``query``, and the values to bind to it.

    A parameter ``model``, ``model_a``, … or ``models`` is resolved as models, ``class``, ``class_a``,
    … as a class of them. Raises ArgumentError for an unknown, missing or ill-typed argument,
    StatementError for a condition that is none, and what the lookup raises.
    """
    given = {
        name: value
        for name, value in _assigned(query, positional, by_name).items()
        if value is not None or name not in _conditions(query)
    }
    values = {
        parameter.name: _typed(connection, query, parameter, given[parameter.name])
        for parameter in query.parameters
        if parameter.name in given
    }
    models = _models(lookup, query, values)
    parts: list[str] = []
    bound: dict[str, Any] = {}
    for parameter in query.parameters:
        if parameter.name not in values:
            continue
        value = values[parameter.name]
        if parameter.type == CONDITION:
            require_condition(
                read.describing(connection, [model.model_id for model in models]), value
            )
            shown = f"({value}\n)"  # the line break ends a comment in it
        else:
            if _is_class(parameter) and value is not None:
                value = _class(lookup, value, models)
            elif _is_taxon(query, parameter) and value is not None:
                _require_taxon(connection, value, values.get("taxonomy"))
            bound[parameter.name] = value
            shown = f"${parameter.name}"
        parts.append(shown if parameter.default is None else f"{parameter.name} := {shown}")
    return f"FROM {query.name}({', '.join(parts)})", bound


def _conditions(query: NamedQuery) -> set[str]:
    return {parameter.name for parameter in query.parameters if parameter.type == CONDITION}


def _assigned(
    query: NamedQuery, positional: Sequence[Any], by_name: Mapping[str, Any]
) -> dict[str, Any]:
    names = [parameter.name for parameter in query.parameters]
    for name in by_name:
        if name not in names:
            raise ArgumentError(
                f"{query.name} has no parameter {quoted(name)}{did_you_mean(name, names)}; it is "
                f"{query.signature}"
            )
    free = [name for name in names if name not in by_name]
    if len(positional) > len(free):
        raise ArgumentError(
            f"{len(positional) + len(by_name)} arguments for {query.signature}, which takes "
            f"{len(names)}"
        )
    given = {**by_name, **dict(zip(free, positional, strict=False))}
    missing = [p.name for p in query.parameters if p.default is None and p.name not in given]
    if missing:
        raise ArgumentError(
            f"{query.name} needs {' and '.join(missing)}: it is {query.signature}, for example "
            f"{query.examples[0]}"
        )
    return given


def _typed(
    connection: DuckDBPyConnection, query: NamedQuery, parameter: QueryParameter, value: Any
) -> Any:
    """``value`` as the parameter's type; text is read as DuckDB reads it, a list also as a,b."""
    if parameter.type == CONDITION:
        if not isinstance(value, str) or not value.strip():
            raise ArgumentError(f"{parameter.name} is an SQL condition as text, not {value!r}")
        return value
    if value is None or (isinstance(value, str) and value == "NULL"):
        return None
    if _is_class(parameter) and isinstance(value, int | str) and not isinstance(value, bool):
        return value
    if parameter.type.endswith("[]") and isinstance(value, str):
        text = value.strip()
        value = text if text.startswith("[") else [part.strip() for part in text.split(",")]
    converted = read.converted(connection, value, parameter.type)
    if converted is None:
        raise ArgumentError(
            f"{parameter.name} is {quoted(str(value))}; {query.name} takes {_a(parameter.type)} there "
            f"({parameter.help})"
        )
    return converted


def _models(lookup: Lookup, query: NamedQuery, values: Mapping[str, Any]) -> list[StoredModel]:
    """The models that the arguments name, else all, without those of ``exclude``.

    An unknown one is an error.
    """
    names: list[str] = []
    for parameter in query.parameters:
        value = values.get(parameter.name)
        if value is None or not parameter.name.startswith("model"):
            continue
        if parameter.type == "VARCHAR":
            names.append(value)
        elif parameter.type == "VARCHAR[]":
            names += value
    return without(lookup, lookup.models(names or None), values.get("exclude"))


def _is_class(parameter: QueryParameter) -> bool:
    name = parameter.name
    return (name == "class" or name.startswith("class_")) and parameter.type == "VARCHAR"


def _is_taxon(query: NamedQuery, parameter: QueryParameter) -> bool:
    has_taxonomy = any(each.name == "taxonomy" for each in query.parameters)
    return has_taxonomy and parameter.name in {"taxon", "a", "b"}


def _require_taxon(connection: DuckDBPyConnection, name: str, taxonomy: str | None) -> None:
    """Raise ArgumentError where a taxonomy has no taxon of that name, nor a class that is one."""
    where = "wordnet" if taxonomy is None else taxonomy
    if taxonomies.has_taxon(connection, where, name):
        return
    known = taxonomies.labels(connection, where)
    if not known:
        there = ", ".join(taxonomies.names(connection))
        raise ArgumentError(f"no taxonomy {quoted(where)}; there is {there}")
    raise ArgumentError(
        f"no taxon {quoted(name)} in {where}{did_you_mean(name, known)}; it is a taxon's key or label, or a "
        "class's label or concept"
    )


def _class(lookup: Lookup, value: str | int, models: Sequence[StoredModel]) -> str:
    """The label or concept by which SQL finds the class that ``value`` means in these models."""
    found = list(lookup.find(value, models).values())
    labels = {each.label.casefold() for each in found}
    concepts = {each.concept for each in found}
    if len(concepts) > 1 and len(labels) == 1:
        return found[0].label  # one of the models has no ids
    ids = [each.concept for each in found if each.has_id]
    return ids[0] if ids else found[0].label


def _a(kind: str) -> str:
    if kind == "VARCHAR[]":
        return "a list of names, as a,b"
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"
