"""Heads as numpy has them, questions put to a database, and a comparison of the two."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest
from oracle import cosine_matrix, standardized

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Row = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """One raw head with its labels, and what follows from it in float64."""

    name: str
    weight: np.ndarray
    bias: np.ndarray | None
    labels: list[str]
    concepts: list[str]
    normalization: str = "standardize"
    pairs: str = "auto"

    @property
    def size(self) -> int:
        return len(self.weight)

    @property
    def stores_pairs(self) -> bool:
        return self.pairs != "none"

    @cached_property
    def rows(self) -> np.ndarray:
        W = self.weight.astype(np.float64)
        if self.normalization == "standardize":
            return standardized(W)
        if self.normalization == "center":
            W = W - W.mean(axis=0)
            return W / np.sqrt((W**2).sum(axis=1, keepdims=True))
        return W

    @cached_property
    def cosine(self) -> np.ndarray:
        return cosine_matrix(self.rows)

    def euclidean(self, i: int, j: int) -> float:
        """From the differences themselves, not from the cosine."""
        return float(np.sqrt(((self.rows[i] - self.rows[j]) ** 2).sum()))

    @cached_property
    def place(self) -> dict[str, int]:
        """Where each concept stands."""
        return {concept: i for i, concept in enumerate(self.concepts)}

    @cached_property
    def order(self) -> list[list[int]]:
        """For each class every other one, the nearest first, equal ones by index."""
        cosine = self.cosine.copy()
        np.fill_diagonal(cosine, -np.inf)
        return np.argsort(-cosine, axis=1, kind="stable")[:, :-1].tolist()

    @cached_property
    def off_diagonal(self) -> np.ndarray:
        return self.cosine[np.triu_indices(self.size, 1)]

    def find(self, text: str | int) -> int | None:
        """The class of that label, else in another case, else concept, else index, if there is one."""
        if isinstance(text, int):
            return text if text < self.size else None
        folded = [label.lower() for label in self.labels]
        for names, name in (
            (self.labels, text),
            (folded, text.lower()),
            (self.concepts, text),
            ([str(i) for i in range(self.size)], text),
        ):
            if name in names:
                assert names.count(name) == 1
                return names.index(name)
        return None


@dataclass(frozen=True)
class Library:
    """A database and the heads that went into it, in that order."""

    path: Path
    models: list[Model]
    connection: duckdb.DuckDBPyConnection = field(repr=False)

    def __getitem__(self, name: str) -> Model:
        return next(model for model in self.models if model.name == name)

    def chosen(self, names: Sequence[str] | None = None) -> list[Model]:
        return [m for m in self.models if names is None or m.name in names]

    def ask(self, query: str) -> list[Row]:
        """The rows of ``FROM query``, each by its column names."""
        answer = self.connection.execute(f"FROM {query}")
        columns = [column[0] for column in answer.description]
        assert len(columns) == len(set(columns))
        return [dict(zip(columns, row, strict=True)) for row in answer.fetchall()]

    def refused(self, query: str) -> str:
        """What DuckDB says to a query that it will not answer."""
        with pytest.raises(duckdb.Error) as raised:
            self.ask(query)
        return str(raised.value)


def literal(value: object) -> str:
    """A value as SQL spells it."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    return str(value)


def call(query: str, *given: object, keep: str | None = None, **named: object) -> str:
    """The call of a macro, ``keep`` as it stands."""
    arguments = [literal(value) for value in given]
    arguments += [f"{name} := {literal(value)}" for name, value in named.items()]
    if keep is not None:
        arguments.append(f"keep := {keep}")
    return f"{query}({', '.join(arguments)})"


def assert_rows(found: list[Row], expected: list[Row]) -> None:
    """The same rows in the same order, the same columns in the same order, numbers nearly."""
    assert len(found) == len(expected)
    for number, (row, wanted) in enumerate(zip(found, expected, strict=True)):
        assert list(row) == list(wanted)
        differing = [name for name in wanted if not same(row[name], wanted[name])]
        assert differing == [], (number, row, wanted)


def assert_rows_nearly_in_order(
    found: list[Row], expected: list[Row], key: tuple[str, ...], by: str
) -> None:
    """As ``assert_rows``, but rows whose ``by`` is equal to single precision may be swapped."""
    names = [tuple(row[column] for column in key) for row in found]
    assert len(set(names)) == len(names)
    wanted = {tuple(row[column] for column in key): row for row in expected}
    assert set(names) == set(wanted)
    assert_rows(found, [wanted[name] for name in names])
    np.testing.assert_allclose(
        [wanted[name][by] for name in names], [row[by] for row in expected], rtol=0, atol=NEAR
    )


NEAR = 1e-7  # what single precision leaves of a cosine


def same(value: object, wanted: object) -> bool:
    if isinstance(wanted, float) and isinstance(value, float):
        return math.isclose(value, wanted, rel_tol=2e-5, abs_tol=5 * NEAR)
    return type(value) is type(wanted) and value == wanted


def by_pair(rows: Iterable[Row], *more: str) -> dict[tuple[object, ...], Row]:
    """The rows by their two classes in either order, and by the columns ``more``."""
    found: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key = (frozenset((row["class_a"], row["class_b"])), *(row[name] for name in more))
        assert key not in found, key
        found[key] = row
    return found
