"""The index files beside the database: a cache whose loss or damage changes no answer."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from oracle import cosine_matrix, json_of, nearest, run_classrel, standardized

import classrel_db
from classrel_db.storage.index import IndexCache, VectorIndex, folder_of


@pytest.fixture
def head(make_head):
    return make_head(n_classes=60, dim=8)


@pytest.fixture
def path(tmp_path, head):
    path = tmp_path / "small.duckdb"
    with classrel_db.open(path) as catalog:
        catalog.ingest(str(head.path), labels=head.labels_path)
    return path


def index_file(path):
    (file,) = folder_of(path).iterdir()
    return file


def near_first_row(path, head):
    with classrel_db.open(path) as catalog:
        rows = catalog.similar(vector=head.weight[0], models="small", k=60).fetchall()
    return [int(row[3].removeprefix("species ")) for row in rows]


def expected(head):
    return nearest(cosine_matrix(standardized(head.weight))[0], 60)


def index_finding(path):
    with classrel_db.open(path) as catalog:
        (found,) = [row for row in catalog.check().fetchall() if row[1] == "index"]
    return found[2], found[3]


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "a flipped bit": flip_a_bit,
    "cut short": lambda file: os.truncate(file, file.stat().st_size - 7),
    "only a digest": lambda file: file.write_bytes(b"\0" * 32),
    "empty": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_text("not an index"),
    "one byte more": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_reported_not_used_and_made_anew(path, head, damage):
    file = index_file(path)
    sound = file.read_bytes()
    DAMAGE[damage](file)
    ok, detail = index_finding(path)
    assert not ok
    assert "damaged" in detail
    assert near_first_row(path, head) == expected(head)
    assert file.read_bytes() == sound
    assert index_finding(path)[0]


def test_an_absent_folder_is_made_again(path, head):
    file = index_file(path)
    sound = file.read_bytes()
    shutil.rmtree(folder_of(path))
    assert index_finding(path)[0]  # absent is no fault
    assert near_first_row(path, head) == expected(head)
    assert file.read_bytes() == sound


def test_another_heads_file_under_the_name_is_not_used(path, head, make_head):
    file = index_file(path)
    sound = file.read_bytes()
    other = make_head(name="other", n_classes=60, dim=8, seed=9)
    with classrel_db.open(path) as catalog:
        catalog.ingest(str(other.path), labels=other.labels_path)
    (others,) = [f for f in folder_of(path).iterdir() if f != file]
    shutil.copyfile(others, file)
    assert near_first_row(path, head) == expected(head)
    assert file.read_bytes() == sound


def test_an_index_of_another_shape_under_the_name_is_not_used(path, head):
    key = index_file(path).stem
    cache = IndexCache(folder_of(path))
    cache.put(key, VectorIndex.build(np.eye(3, 8)))
    assert cache.state(key, (60, 8)) == "damaged"
    assert near_first_row(path, head) == expected(head)
    assert cache.state(key, (60, 8)) == "ok"


def test_replacing_a_head_takes_its_old_index_along(path, make_head):
    old = index_file(path)
    stale = old.read_bytes()
    changed = make_head(n_classes=60, dim=8, seed=5)
    with classrel_db.open(path) as catalog:
        catalog.ingest(str(changed.path), labels=changed.labels_path, replace=True)
    assert not old.exists()
    old.write_bytes(stale)  # as a copy of the folder from before would
    assert near_first_row(path, changed) == expected(changed)


def test_removing_the_last_model_removes_the_folder(path):
    with classrel_db.open(path) as catalog:
        catalog.remove("small")
    assert not folder_of(path).exists()


def test_a_folder_that_may_not_be_written_costs_nothing_but_time(path, head, bound_by_permissions):
    index_file(path).unlink()
    folder = folder_of(path)
    folder.chmod(0o500)
    try:
        answer = run_classrel(
            "similar", "species 00 + species 01", "-k", 58, "-f", "json", "--db", path,
            preexec_fn=bound_by_permissions,
        )  # fmt: skip
        assert list(folder.iterdir()) == []
    finally:
        folder.chmod(0o700)
    rows = standardized(head.weight)
    cosines = cosine_matrix(np.vstack([rows, rows[0] + rows[1]]))[-1, :-1]
    ranked = [int(row["neighbor"].removeprefix("species ")) for row in json_of(answer)]
    assert ranked == nearest(cosines, 58, (0, 1))


def test_a_file_in_the_folders_place_does_not_stand_in_the_way(tmp_path, head, make_head):
    path = tmp_path / "small.duckdb"
    folder_of(path).write_text("not a folder")
    with classrel_db.open(path) as catalog:
        catalog.ingest(str(head.path), labels=head.labels_path)
        assert near_first_row(path, head) == expected(head)
        changed = make_head(n_classes=60, dim=8, seed=5)
        (answer,) = catalog.ingest(str(changed.path), labels=changed.labels_path, replace=True)
        assert answer.status == "replaced"
        catalog.remove("small")
    assert folder_of(path).read_text() == "not a folder"


def test_no_unfinished_file_is_left_in_the_folder(path):
    assert [file.suffix for file in folder_of(path).iterdir()] == [".index"]


def test_a_query_of_another_dimension_is_refused_in_words():
    index = VectorIndex.build(np.eye(4))
    with pytest.raises(ValueError, match=r"\(1, 3\).*n×4"):
        index.search(np.ones((1, 3)), 2)


def test_more_than_there_is_gives_all_there_is_and_no_padding():
    index = VectorIndex.build(np.eye(4))
    assert sorted(index.search(np.ones((1, 4)), 10)[0]) == [0, 1, 2, 3]


def test_an_index_that_may_not_be_deleted_does_not_undo_the_removal(path, bound_by_permissions):
    folder = folder_of(path)
    folder.chmod(0o500)
    try:
        answer = run_classrel("remove", "small", "--db", path, preexec_fn=bound_by_permissions)
    finally:
        folder.chmod(0o700)
    assert "Traceback" not in answer.stderr
    assert answer.returncode == 0
    assert json_of(run_classrel("models", "-f", "json", "--db", path)) == []
