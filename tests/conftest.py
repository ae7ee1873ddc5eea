"""The three real heads, a database that holds them, and small heads written on demand."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browser import QUIET, chromium
from databases import copy_database, kept_open
from hypothesis import settings
from oracle import REAL, RawHead, load_real
from safetensors.numpy import save_file

import classrel_db
from classrel_db import Catalog
from classrel_db.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

settings.register_profile("classrel", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("classrel")


def pytest_configure(config: pytest.Config) -> None:
    """One thread in each of several processes: they share the cores, and threads that wait burn them."""
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes are not started yet


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that none of them is left to one process at the end."""
    long = (
        "test_readme.py",
        "test_room.py",
        "test_cli_trees.py",
        "test_explorer.py",
        "test_wheel.py",
    )
    items.sort(key=lambda item: item.path.name not in long)


@pytest.fixture
def classrel(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in this process: what it writes, and its exit code."""
    monkeypatch.delenv("CLASSREL_DB", raising=False)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = ["classrel", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code or 0
        return subprocess.CompletedProcess(command, code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests of a process: there can't be a second driver."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium: `make test` installs it where apt can; or name one by $CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[dev]'")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=list(QUIET))
        yield opened
        opened.close()


@dataclass(frozen=True)
class SmallHead:
    """A head written to disk, with what is in it."""

    path: Path
    labels_path: Path
    weight: np.ndarray
    bias: np.ndarray
    labels: list[str]


@pytest.fixture(scope="session")
def heads() -> dict[str, RawHead]:
    """The raw float32 heads of the packaged models, read by torch itself."""
    return {name: load_real(name) for name in REAL}


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The three real heads in one file; read it only, or take ``database_copy``."""
    path = tmp_path_factory.mktemp("real") / "classrel.duckdb"
    with classrel_db.open(path) as catalog:
        catalog.ingest(*REAL)
    with kept_open(path):
        yield path


@pytest.fixture
def database_copy(database: Path, tmp_path: Path) -> Path:
    return copy_database(database, tmp_path / database.name)


@pytest.fixture
def catalog(database: Path) -> Iterator[Catalog]:
    """The real heads, opened for reading."""
    with classrel_db.open(database) as opened:
        yield opened


@pytest.fixture(scope="session")
def large_head(heads: dict[str, RawHead], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real head in a file of its own, which a process reads without loading torch."""
    head = heads["efficientnet_lite0"]
    path = tmp_path_factory.mktemp("large") / f"{head.name}.safetensors"
    save_file({"fc.weight": head.weight, "fc.bias": head.bias}, path)
    return path


@pytest.fixture
def make_head(tmp_path: Path) -> Callable[..., SmallHead]:
    """Write a small head (.npz or .safetensors) and its labels (.csv)."""

    def make(
        name: str = "small",
        n_classes: int = 12,
        dim: int = 6,
        seed: int = 0,
        weight: np.ndarray | None = None,
        labels: list[str] | None = None,
        concepts: list[str] | None = None,
        ending: str = ".npz",
    ) -> SmallHead:
        random = np.random.default_rng(seed)
        if weight is None:
            weight = random.normal(size=(n_classes, dim))
        weight = np.asarray(weight, dtype=np.float32)
        bias = random.normal(size=len(weight)).astype(np.float32)
        labels = labels or [f"species {i:02d}" for i in range(len(weight))]
        path = tmp_path / f"{name}{ending}"
        if ending == ".npz":
            np.savez(path, weight=weight, bias=bias)
        else:
            save_file({"fc.weight": weight, "fc.bias": bias}, path)
        labels_path = tmp_path / f"{name}.csv"
        rows = zip(labels, concepts or [""] * len(labels), strict=True)
        quoted = ['"{}","{}"\n'.format(*(t.replace('"', '""') for t in row)) for row in rows]
        labels_path.write_text("label,concept\n" + "".join(quoted), encoding="utf-8")
        return SmallHead(path, labels_path, weight, bias, labels)

    return make


@pytest.fixture(scope="session")
def small_databases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bytes, Path]]:
    """A folder for databases of small heads, and those in it by what was asked for."""
    return tmp_path_factory.mktemp("small"), {}


@pytest.fixture
def stored(
    tmp_path: Path,
    make_head: Callable[..., SmallHead],
    small_databases: tuple[Path, dict[bytes, Path]],
) -> Callable[..., Path]:
    """Small heads, made as ``make_head`` is told, in one new database; gives its path.

    What was asked for before is a copy of what was ingested then.
    """

    def store(*, normalize: str = "standardize", pairs: str = "auto", **given: object) -> Path:
        folder, known = small_databases
        head = make_head(**given)
        path = tmp_path / "small.duckdb"
        asked = pickle.dumps((normalize, pairs, sorted(given.items())))
        if asked not in known:
            with classrel_db.open(folder / f"{len(known)}.duckdb") as catalog:
                catalog.ingest(
                    str(head.path), labels=head.labels_path, normalize=normalize, pairs=pairs
                )
                known[asked] = catalog.path
        copy_database(known[asked], path)
        return path

    return store
