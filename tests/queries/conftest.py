"""Two libraries to ask: the real heads, and small ones that share only some of their concepts."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pytest

import classrel_db

from .naive import Library, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from oracle import RawHead


def ingest(path: Path, folder: Path, *models: Model) -> None:
    """Write each head and its labels to ``folder``, and from there into the database ``path``."""
    with classrel_db.open(path) as catalog:
        for model in models:
            head, labels = folder / f"{model.name}.npz", folder / f"{model.name}.csv"
            bias = {} if model.bias is None else {"bias": model.bias}
            np.savez(head, weight=model.weight, **bias)
            with labels.open("w", newline="", encoding="utf-8") as file:
                rows = zip(model.labels, model.concepts, strict=True)
                csv.writer(file).writerows([("label", "concept"), *rows])
            catalog.ingest(
                head,
                name=model.name,
                labels=labels,
                normalize=model.normalization,
                pairs=model.pairs,
            )


def small(
    name: str,
    concepts: list[str],
    labels: list[str] | None = None,
    *,
    dim: int = 7,
    seed: int = 0,
    **options: str,
) -> Model:
    """A random head over ``concepts``; in it related concepts are related in every model."""
    random = np.random.default_rng(seed)
    shared = np.random.default_rng(99).normal(size=(200, dim))
    number = {f"c{i:02d}": i for i in range(200)}
    weight = random.normal(size=(len(concepts), dim)) + random.normal(size=dim)
    for row, concept in zip(weight, concepts, strict=True):
        if concept in number:
            row += shared[number[concept]]
    bias = random.normal(size=len(concepts)).astype(np.float32)
    if labels is None:
        labels = [f"species {c.removeprefix('c')}" for c in concepts]
    return Model(name, weight.astype(np.float32), bias, labels, concepts, **options)


@contextmanager
def opened(path: Path, models: list[Model]) -> Iterator[Library]:
    with duckdb.connect(str(path), read_only=True) as connection:
        yield Library(path, models, connection)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Library]]:
    """Ingest these models into a new database, and open it."""
    held: list[Library] = []

    def build(*models: Model) -> Library:
        folder = tmp_path_factory.mktemp("library")
        path = folder / "classrel.duckdb"
        ingest(path, folder, *models)
        connection = duckdb.connect(str(path), read_only=True)
        connection.execute("SET threads = 1")  # quicker than many, for so little
        held.append(Library(path, list(models), connection))
        return held[-1]

    yield build
    for each in held:
        each.connection.close()


@pytest.fixture(scope="session")
def real_models(heads: dict[str, RawHead]) -> list[Model]:
    table = resources.files("classrel_db") / "data" / "imagenet1k_classes.csv"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    labels, concepts = ([row[column] for row in rows] for column in ("label", "wnid"))
    return [Model(h.name, h.weight, h.bias, labels, concepts) for h in heads.values()]


@pytest.fixture(scope="module")  # others open the same file, each in its own way
def real(database: Path, real_models: list[Model]) -> Iterator[Library]:
    """Three heads of 1,000 ImageNet classes, one label space."""
    with opened(database, real_models) as library:
        yield library


@pytest.fixture(scope="session")
def mixed(library: Callable[..., Library]) -> Library:
    """Label spaces that overlap, in different order, under three normalisations, pairs or not."""
    c = [f"c{i:02d}" for i in range(40)]
    turned = np.random.default_rng(1).permutation(30)
    beta = [*(c[i] for i in turned[:24]), *c[30:36]]
    zeta = [*c[14::-1], *(f"z{i}" for i in range(115))]
    other_names = [f"Art {x.removeprefix('c')}" for x in beta]
    return library(
        small("alpha", c[:30], seed=1),
        small("beta", beta, other_names, seed=2, dim=9),
        small("gamma", c[:30], [f"SPECIES {i:02d}" for i in range(30)], seed=3),
        small("delta", c[5:30], seed=4, normalization="center"),
        small("epsilon", [*c[29:9:-1], "own"], seed=5, dim=5, normalization="center"),
        small("zeta", zeta, seed=6, dim=12, pairs="none"),
        small("eta", ["c01", "c00"], seed=7),
        small("theta", c[3:20], seed=8, normalization="none"),
        small("iota", c[20:4:-1], seed=9, dim=6, normalization="center", pairs="none"),
    )
