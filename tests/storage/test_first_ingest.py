"""A new database: there whole or not at all, whoever else makes one, on any file system."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading

import duckdb
import pytest

import classrel_db
from classrel_db.errors import ClassrelError, DatabaseError, LockedDatabaseError


def leftovers(folder):
    return [file.name for file in folder.iterdir() if file.name.endswith((".new", ".wal"))]


def names(path):
    with classrel_db.open(path) as catalog:
        return [row[0] for row in catalog.models().fetchall()]


def test_an_empty_duckdb_file_is_filled(tmp_path, make_head):
    path, head = tmp_path / "empty.duckdb", make_head()
    duckdb.connect(str(path)).close()
    classrel_db.open(path).ingest(head.path, labels=head.labels_path)
    assert names(path) == ["small"]


def test_what_a_killed_first_ingest_left_is_neither_used_nor_kept(tmp_path, make_head):
    path, head = tmp_path / "new.duckdb", make_head()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True).stdout.strip()  # fmt: skip
    for pid in (dead, "not a number"):
        left = tmp_path / f".new.duckdb.{pid}.abc.new"
        left.mkdir()
        (left / "new.duckdb").write_text("garbage")
    classrel_db.open(path).ingest(head.path, labels=head.labels_path)
    assert names(path) == ["small"]
    assert leftovers(tmp_path) == [".new.duckdb.not a number.abc.new"]


def test_two_threads_that_make_one_database_store_both_or_one_is_told(tmp_path, make_head):
    path = tmp_path / "two.duckdb"
    heads = [make_head(name=f"head{i}", seed=i) for i in range(2)]
    told: list[ClassrelError] = []

    def ingest(head):
        try:
            classrel_db.open(path).ingest(head.path, labels=head.labels_path)
        except LockedDatabaseError as error:
            told.append(error)

    threads = [threading.Thread(target=ingest, args=(head,)) for head in heads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(path)) == 2 - len(told)
    assert len(told) < 2
    assert leftovers(tmp_path) == []


def test_a_file_system_without_hard_links_will_do(tmp_path, make_head, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path, head = tmp_path / "new.duckdb", make_head()
    classrel_db.open(path).ingest(head.path, labels=head.labels_path)
    assert names(path) == ["small"]


def test_the_log_of_a_lost_database_is_not_taken_for_the_new_ones(tmp_path, make_head):
    path, head = tmp_path / "new.duckdb", make_head()
    log = tmp_path / "new.duckdb.wal"
    log.write_text("of another time")
    with pytest.raises(DatabaseError, match=r"new\.duckdb\.wal"):
        classrel_db.open(path).ingest(head.path, labels=head.labels_path)
    assert log.read_text() == "of another time"
    assert not path.exists()


@pytest.mark.parametrize("stage", ["read", "neighbors", "pairs"])
def test_a_callback_that_fails_fails_as_itself_and_leaves_nothing(tmp_path, make_head, stage):
    def progress(step):
        if step.stage == stage:
            raise KeyError("mine")

    path, head = tmp_path / "new.duckdb", make_head()
    with pytest.raises(KeyError, match="mine"):
        classrel_db.open(path).ingest(head.path, labels=head.labels_path, progress=progress)
    assert not path.exists()
    assert leftovers(tmp_path) == []
    assert "classrel-background" not in [thread.name for thread in threading.enumerate()]


def test_progress_is_told_in_the_callers_own_thread_and_to_the_end(tmp_path, make_head):
    seen = []
    head = make_head(n_classes=40)
    classrel_db.open(tmp_path / "new.duckdb").ingest(
        head.path,
        labels=head.labels_path,
        progress=lambda step: seen.append((threading.current_thread(), step)),
    )
    assert {thread for thread, _ in seen} == {threading.main_thread()}
    last = {step.stage: (step.done, step.total) for _, step in seen}
    assert last["neighbors"] == (40, 40)
    assert last["pairs"] == (780, 780)
    assert last["read"][0] == last["read"][1] > 0
