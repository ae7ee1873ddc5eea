"""``check`` finds what was changed behind classrel's back."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest
from oracle import nearest

import classrel_db
from classrel_db.storage.index import folder_of


def findings(path):
    with classrel_db.open(path) as catalog:
        return catalog.check().fetchall()


def failed(path):
    return {(model, check) for model, check, ok, _ in findings(path) if not ok}


@pytest.fixture
def path(stored):
    return stored(n_classes=12)


def change(path, statement):
    with duckdb.connect(str(path)) as connection:
        ((changed,),) = connection.execute(statement).fetchall()
    assert changed, "the statement met no row"


def test_a_sound_database_passes_and_says_what_was_looked_at(database):
    found = findings(database)
    assert all(ok for _, _, ok, _ in found)
    assert {check for _, check, _, _ in found} == {
        "definitions",
        "strays",
        "counts",
        "classes",
        "norms",
        "weights",
        "neighbors",
        "pairs",
        "index",
    }
    assert all(detail for *_, detail in found)


CHANGES = {
    "UPDATE weights SET vector = list_concat([1.0::FLOAT], vector[2:]) WHERE class_idx = 7": "weights",
    "UPDATE weights SET class_idx = 11 - class_idx": "weights",
    "UPDATE pairs SET cosine = cosine + 0.001 WHERE a = 3 AND b = 8": "pairs",
    "UPDATE pairs SET cosine = 'nan'::FLOAT WHERE a = 3 AND b = 8": "pairs",
    "UPDATE neighbors SET cosine = cosine + 0.001 WHERE class_idx = 4 AND rank = 9": "neighbors",
    "UPDATE neighbors SET cosine = 'nan'::FLOAT WHERE class_idx = 4 AND rank = 9": "neighbors",
    "UPDATE neighbors SET neighbor_idx = (neighbor_idx + 1) % 12 WHERE class_idx = 5": "neighbors",
    "DELETE FROM neighbors WHERE class_idx = 2 AND rank = 11": "counts",
    "DELETE FROM pairs WHERE a = 0 AND b = 1": "counts",
    "DELETE FROM weights WHERE class_idx = 11": "counts",
    "DELETE FROM classes WHERE class_idx = 11": "counts",
    "INSERT INTO neighbors SELECT * FROM neighbors WHERE class_idx = 0 AND rank = 1": "counts",
    "UPDATE pairs SET a = 1, b = 2 WHERE a = 0 AND b = 1": "pairs",
    "UPDATE neighbors SET rank = 2 WHERE class_idx = 1 AND rank = 1": "neighbors",
}


@pytest.mark.parametrize("statement", CHANGES)
def test_a_change_is_found_under_its_name(path, statement):
    change(path, statement)
    assert ("small", CHANGES[statement]) in failed(path)


def test_swapped_neighbors_with_their_own_cosines_are_found(path):
    change(
        path,
        "UPDATE neighbors SET rank = CASE rank WHEN 1 THEN 2 ELSE 1 END "
        "WHERE class_idx = 4 AND rank <= 2",
    )
    assert ("small", "neighbors") in failed(path)


def test_a_fault_in_one_model_is_not_laid_on_another(path, make_head):
    second = make_head(name="second", seed=3)
    with classrel_db.open(path) as catalog:
        catalog.ingest(str(second.path), labels=second.labels_path)
    change(path, "UPDATE pairs SET cosine = 0.5 WHERE model_id = 2 AND a = 0")
    assert failed(path) == {("second", "pairs")}


def test_a_damaged_index_is_found_and_an_absent_one_is_none(path):
    (file,) = folder_of(path).iterdir()
    content = bytearray(file.read_bytes())
    content[40] ^= 255
    file.write_bytes(content)
    assert failed(path) == {("small", "index")}
    file.unlink()
    assert failed(path) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE weights SET vector = vector[:5] WHERE class_idx = 7",
        "UPDATE weights SET vector = [] WHERE class_idx = 7",
        "UPDATE weights SET vector = list_concat(['nan'::FLOAT], vector[2:]) WHERE class_idx = 7",
        "UPDATE neighbors SET neighbor_idx = 5000 WHERE class_idx = 5 AND rank = 3",
        "UPDATE neighbors SET neighbor_idx = -1 WHERE class_idx = 5 AND rank = 3",
        "UPDATE pairs SET b = 5000 WHERE a = 3 AND b = 8",
        "UPDATE pairs SET a = -7 WHERE a = 3 AND b = 8",
        "UPDATE classes SET norm = norm * 2 WHERE class_idx = 6",
        "UPDATE classes SET class_idx = 77 WHERE class_idx = 6",
        "UPDATE models SET dim = 7",
        "UPDATE models SET n_classes = 13",
    ],
)
def test_what_cannot_be_right_is_a_finding_and_no_crash(path, statement):
    change(path, statement)
    assert failed(path)


def test_every_pair_of_a_large_head_is_looked_at_or_the_sample_is_named(database):
    looked_at = [detail for _, check, _, detail in findings(database) if check == "pairs"]
    assert all("16 classes" in detail for detail in looked_at)


def test_check_changes_nothing(path):
    before = path.read_bytes()
    findings(path)
    assert path.read_bytes() == before


def test_the_oracle_of_these_tests_ranks_equals_by_index():
    assert nearest(np.array([0.5, 0.9, 0.5, 0.9]), 4, (1,)) == [3, 0, 2]
