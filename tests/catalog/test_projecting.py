"""`Catalog.project`: the map of a model's classes, by MDS and by UMAP."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from agreeing import add, dicts, made
from oracle import REAL, cosine_matrix

import classrel_db
from classrel_db.errors import (
    ArgumentError,
    ClassrelWarning,
    MissingExtraError,
    UnknownModelError,
)

COLUMNS = [
    "model", "class_idx", "class", "concept", "x", "y", "kept", "method", "seed", "explained_x",
    "explained_y", "trustworthiness", "k",
]  # fmt: skip
GROUPS = 3
random = np.random.default_rng(0)
# groups of 20 in their own directions: 15 neighbours join none of them to another
PARTED = np.repeat(np.eye(GROUPS, 9) * 9, 20, axis=0) + random.normal(size=(20 * GROUPS, 9))
JOINED = made("joined", [f"c{i:02d}" for i in range(40)], dim=12, seed=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    parted = made("parted", [f"p{i:02d}" for i in range(len(PARTED))], weight=PARTED)
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, JOINED)
        add(catalog, folder, parted, normalize="none", pairs="none")
        for n in (2, 3, 4):
            head = made(f"of {n}", [f"c{i}" for i in range(n)], seed=n)
            add(catalog, folder, head, normalize="center")
        yield catalog


def points(rows):
    found = rows.fetchnumpy()
    return np.stack([found["x"], found["y"]], axis=1)


@pytest.mark.parametrize("name", REAL)
def test_a_map_by_mds_holds_what_it_says_of_the_variance(catalog, heads, name):
    rows = catalog.project(name)
    assert rows.columns == COLUMNS
    found = rows.fetchnumpy()
    assert found["class_idx"].tolist() == list(range(1000))
    described = catalog.classes(name).project("class, concept").fetchall()
    assert list(zip(found["class"], found["concept"], strict=True)) == described
    # the Gower-centred squares of all chord distances, less what the two axes hold
    gram = heads[name].cosine
    gram = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
    placed = points(rows)
    shares = [found[f"explained_{axis}"][0] for axis in "xy"]
    assert (placed**2).sum(axis=0) / np.trace(gram) == pytest.approx(shares, rel=1e-5)
    largest = np.linalg.norm(gram - placed @ placed.T, 2)
    assert largest <= (placed[:, 1] ** 2).sum() * (1 + 1e-5)
    assert shares[0] > shares[1] > 0
    assert set(found["method"]) == {"mds"}
    assert found["seed"].mask.all()
    assert set(found["k"]) == {10}


def test_what_a_map_keeps_is_counted_by_class(catalog, heads):
    found = catalog.project(REAL[0]).fetchnumpy()
    placed = np.stack([found["x"], found["y"]], axis=1)
    for index in (0, 118, 999):
        on_map = np.linalg.norm(placed - placed[index], axis=1)
        near = heads[REAL[0]].cosine[index].copy()
        on_map[index], near[index] = np.inf, -np.inf
        both = set(np.argsort(on_map)[:10]) & set(np.argsort(-near)[:10])
        assert found["kept"][index] == pytest.approx(len(both) / 10)


def test_two_and_three_classes_have_a_map(small):
    two = dicts(small.project("of 2"))
    assert [row["y"] for row in two] == [0, 0]
    assert two[0]["x"] == pytest.approx(-two[1]["x"])
    assert [row["explained_x"] for row in two] == [pytest.approx(1)] * 2
    assert {row[name] for row in two for name in ("kept", "k", "trustworthiness")} == {None}
    three = dicts(small.project("of 3"))
    assert {row["k"] for row in three} == {1}
    assert three[0]["explained_x"] + three[0]["explained_y"] == pytest.approx(1)
    assert three[0]["trustworthiness"] == 1


@pytest.mark.parametrize("name", ["joined", "parted", "of 4"])
def test_the_map_is_of_the_rows_as_they_are_normalised(small, name):
    rows = np.stack(
        [row for (row,) in small.sql(
            "SELECT vector FROM class_weights WHERE model = $m ORDER BY class_idx", {"m": name}
        ).fetchall()]
    )  # fmt: skip
    gram = cosine_matrix(rows)
    gram = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
    values = np.linalg.eigvalsh(gram)
    assert (points(small.project(name)) ** 2).sum(axis=0) == pytest.approx(values[[-1, -2]])


@pytest.mark.long
def test_umap_keeps_neighbours_and_the_same_seed_gives_the_same_map(small, classrel, tmp_path):
    pytest.importorskip("umap", reason="needs umap-learn, the extra map")
    rows = small.project("joined", "umap", seed=3)
    assert rows.columns == COLUMNS
    first = dicts(rows)
    assert {(row["method"], row["seed"]) for row in first} == {("umap", 3)}
    assert {row[f"explained_{axis}"] for row in first for axis in "xy"} == {None}
    assert np.mean([row["kept"] for row in first]) > 2 * 10 / 39  # twice what chance keeps
    assert first == dicts(small.project("joined", "umap", seed=3))
    assert first != dicts(small.project("joined", "umap", seed=4))

    with pytest.warns(ClassrelWarning, match="parted: .* 3 parts") as told:
        placed = points(small.project("parted", "umap"))
    assert told[0].filename == __file__
    group = np.arange(len(placed)) // 20
    distance = np.linalg.norm(placed[:, None] - placed[None], axis=2)
    alike = group[:, None] == group[None]
    assert distance[alike].max() < distance[~alike].min()

    assert np.isfinite(points(small.project("of 4", "umap"))).all()
    with pytest.raises(ArgumentError, match="3 classes; UMAP lays out 4 or more"):
        small.project("of 3", "umap")

    # numba compiles UMAP once a process, in some ten seconds: what else needs it is here, too
    target = tmp_path / "atlas.parquet"
    given = ["--to", "embedding-atlas", "--by", "umap", "--seed", "3", "-m", "joined"]
    small.close()
    answer = classrel("export", target, *given, "--db", small.path)
    assert answer.returncode == 0, answer.stderr
    assert "map of joined by umap: " in answer.stderr
    with classrel_db.open(small.path) as catalog:
        exported = catalog.sql(f"SELECT x, y FROM '{target}'").fetchall()
    assert exported == [(row["x"], row["y"]) for row in first]


def test_without_umap_learn_the_extra_is_named(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r'pip install "classrel-db\[map\]"'):
        small.project("joined", "umap")


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (["nosuch"], UnknownModelError, "nosuch"),
        (["joined", "tsne"], ArgumentError, 'by is "tsne"; accepted: mds, umap'),
    ],
)
def test_what_there_is_no_map_of(small, given, kind, message):
    with pytest.raises(kind, match=message):
        small.project(*given)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, True])
def test_a_seed_is_one_of_umaps(small, seed):
    with pytest.raises(ArgumentError, match=r"seed is .* from 0 to 4,294,967,295"):
        small.project("joined", seed=seed)


def test_a_map_larger_than_the_machine_is_refused(small, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _name: 64)
    with pytest.raises(ArgumentError, match="a map of 40 classes"):
        small.project("joined")
