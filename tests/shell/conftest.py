"""A shell without its terminal, on a small database with labels that need care."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from databases import kept_open

import classrel_db
from classrel_db.cli import app
from classrel_db.shell.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LABELS = [
    "dog",
    "hot dog",
    "Dungeness crab",
    "king crab",
    "jack-o'-lantern",
    'the "grand" piano',
    'it\'s "both"',
    "🦀 crab",
    "a = b; c",
    "back\\slash",
    "-dash",
    "Österreich",
]
MODELS = ("alpha", "beta")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A database of two small models; read it only."""
    folder = tmp_path_factory.mktemp("small")
    random = np.random.default_rng(0)
    with classrel_db.open(folder / "small.duckdb") as catalog:
        for name in MODELS:
            weight = random.normal(size=(len(LABELS), 6)).astype(np.float32)
            np.savez(folder / f"{name}.npz", weight=weight, labels=LABELS)
            catalog.ingest(folder / f"{name}.npz")
    with kept_open(folder / "small.duckdb"):
        yield folder / "small.duckdb"


@pytest.fixture
def session(small: Path) -> Iterator[Session]:
    """A shell on the small database, as a terminal has it."""
    with classrel_db.open(small) as catalog:
        yield Session(app, catalog)


@pytest.fixture
def own(small: Path, tmp_path: Path) -> Iterator[Session]:
    """A shell on a copy, which may be changed."""
    with classrel_db.open(shutil.copy(small, tmp_path / "own.duckdb")) as catalog:
        yield Session(app, catalog)
