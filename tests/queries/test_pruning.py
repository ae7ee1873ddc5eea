"""A question about one model reads that model's part of a table: its row groups, and no others."""

from __future__ import annotations

import json

import duckdb
import numpy as np
import pytest

import classrel_db
from classrel_db.storage.database import Database

MODELS, CLASSES = 8, 600  # 179,700 pairs a model, in two or three row groups of 122,880 rows
ONE_MODEL = [
    "distance('c003', 'c500', models := ['m3'])",
    "pair_spread('c003', models := ['m3'])",
    "pair_spread('c003', class_b := 'c500', models := ['m3'])",
    "consensus('c003', models := ['m3'])",
    "consensus_neighbors('c003', models := ['m3'])",
    "outlier_models('c003', models := ['m3'])",
    "similarity_histogram(models := ['m3'])",
    "near_duplicates(models := ['m3'])",
    "model_summary(models := ['m3'])",
    "consensus_pairs(models := ['m3'], min_models := 1)",
    "bridges('m3')",
    "mutual_neighbors('m3')",
    "neighbors('m3', 'c003')",
    "hubs(models := ['m3'])",
    "isolated_classes(models := ['m3'])",
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pruning")
    labels = [f"c{i:03d}" for i in range(CLASSES)]
    with classrel_db.open(folder / "some.duckdb") as catalog:
        for number in range(MODELS):
            weight = np.random.default_rng(number).normal(size=(CLASSES, 4))
            np.savez(folder / f"m{number}.npz", weight=weight, labels=labels)
            catalog.ingest(folder / f"m{number}.npz", name=f"m{number}")
    return folder / "some.duckdb"


@pytest.fixture(scope="module")
def shuffled(path, tmp_path_factory):
    """The same rows, of all models in one heap."""
    other = tmp_path_factory.mktemp("shuffled") / "some.duckdb"
    other.write_bytes(path.read_bytes())
    database = Database(other)
    with database.writer() as connection:
        for table in ("pairs", "neighbors"):
            connection.execute(f"CREATE TABLE heap AS FROM {table} ORDER BY hash(rowid)")
            connection.execute(f"DELETE FROM {table}")
            connection.execute(f"INSERT INTO {table} FROM heap ORDER BY hash(rowid)")
            connection.execute("DROP TABLE heap")
    database.close()
    return other


def row_groups(path, question):
    """How many row groups of pairs and of neighbors are read for a question, and how many there are."""
    with duckdb.connect(str(path), read_only=True) as connection:
        ((_, plan),) = connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT json) FROM {question}"
        ).fetchall()
    found = {"pairs": [], "neighbors": []}

    def walk(node):
        for each in node if isinstance(node, list) else [node]:
            of = each.get("extra_info", {})
            table = str(of.get("Table", "")).rpartition(".")[2]
            if table in found:
                found[table].append((each["row_groups_scanned"], each["total_row_groups_to_scan"]))
            walk(each.get("children", []))

    walk(json.loads(plan)["operator"])
    return found


@pytest.mark.parametrize("question", ONE_MODEL)
def test_only_the_row_groups_of_that_model_are_read(path, question):
    found = row_groups(path, question)
    assert found["pairs"] or found["neighbors"]
    for scanned, every in found["pairs"]:
        assert every > MODELS
        assert scanned <= 3, found
    for scanned, every in found["neighbors"]:
        assert every >= MODELS // 2
        assert scanned <= 2, found


@pytest.mark.parametrize(
    "question", ["similarity_histogram(models := ['m3'])", "hubs(models := ['m3'])"]
)
def test_in_a_heap_all_of_them_are_read(shuffled, question):
    """So that the test above would see it."""
    scans = [scan for scans in row_groups(shuffled, question).values() for scan in scans]
    assert scans
    assert all(scanned == every > 2 for scanned, every in scans)
