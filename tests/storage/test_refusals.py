"""Files that are no usable database: a clear message, exit code 1, and the file left as it was."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys

import duckdb
import pytest
from oracle import assert_refused, json_of, run_classrel

import classrel_db
from classrel_db.errors import (
    DatabaseError,
    LockedDatabaseError,
    MissingDatabaseError,
    SchemaError,
)
from classrel_db.storage.database import Database

READING = [["models"], ["classes", "small"], ["info", "small"], ["similar", "0"], ["check"]]


@pytest.fixture
def writing(make_head):
    """Commands that write."""
    head = make_head(name="other", seed=9)
    return [["remove", "small"], ["ingest", head.path, "--labels", head.labels_path]]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def assert_all_refuse(classrel, writing):
    """Every command refuses the database, names the reason, and leaves it as it was."""

    def check(path, *parts, commands=(*READING, *writing)):
        before = digest(path) if path.is_file() else sorted(os.listdir(path))
        for command in commands:
            assert_refused(classrel(*command, "--db", path), *parts)
        assert (digest(path) if path.is_file() else sorted(os.listdir(path))) == before

    return check


@pytest.fixture
def bound_classrel(bound_by_permissions):
    """The command line in a process that file permissions bind."""
    return functools.partial(run_classrel, preexec_fn=bound_by_permissions)


def test_a_folder(tmp_path, assert_all_refuse):
    assert_all_refuse(tmp_path, str(tmp_path), "folder")


def test_a_file_that_is_not_duckdb(tmp_path, assert_all_refuse):
    path = tmp_path / "notes.txt"
    path.write_text("these are notes\n" * 1000)
    assert_all_refuse(path, str(path), "not a DuckDB database")


def test_a_database_file_that_was_cut_short(stored, assert_all_refuse):
    path = stored(n_classes=200)
    os.truncate(path, 8192)  # less than a header and a block
    assert_all_refuse(path, str(path))


def test_an_empty_file_is_no_database_yet(tmp_path, classrel, make_head):
    path = tmp_path / "empty.duckdb"
    path.touch()  # as mktemp makes it
    assert_refused(classrel("models", "--db", path), str(path), "no database")
    head = make_head()
    assert classrel("ingest", head.path, "--labels", head.labels_path, "--db", path).returncode == 0
    assert classrel("check", "--db", path).returncode == 0


def test_a_database_of_another_program(tmp_path, assert_all_refuse):
    path = tmp_path / "sales.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (7)")
    assert_all_refuse(path, "not one of classrel's", "orders")
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("FROM orders").fetchall() == [(7,)]


def test_a_database_of_another_program_that_happens_to_have_models(tmp_path, assert_all_refuse):
    path = tmp_path / "cars.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE models (name VARCHAR)")
    assert_all_refuse(path, "not one of classrel's", "models")


def test_a_database_of_a_newer_schema(stored, assert_all_refuse):
    path = stored()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE classrel SET value = '99' WHERE key = 'schema'")
    assert_all_refuse(path, "schema 99", "newer", "upgrade classrel-db")
    with pytest.raises(SchemaError):
        classrel_db.open(path).models()


def test_a_missing_database_names_its_path_and_the_way_to_make_one(tmp_path, classrel):
    path = tmp_path / "absent.duckdb"
    for command in [*READING, ["remove", "small"]]:
        assert_refused(classrel(*command, "--db", path), str(path), "classrel ingest")
    assert not path.exists()
    with pytest.raises(MissingDatabaseError):
        classrel_db.open(path).models()


def test_a_missing_folder_is_named(tmp_path, classrel):
    path = tmp_path / "no" / "such" / "x.duckdb"
    answer = classrel("ingest", "efficientnet_lite0", "--db", path)
    assert_refused(answer, str(path.parent))
    assert not (tmp_path / "no").exists()


HOLDER = """
import sys, time
import duckdb
with duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held():
    """Another process that holds a database until the test ends."""
    children = []

    def hold(path, how):
        child = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path), how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        children.append(child)
        assert child.stdout.readline() == "held\n"
        return child.pid

    yield hold
    for child in children:
        child.communicate()


def test_a_database_that_another_process_writes_names_program_and_pid(
    stored, held, assert_all_refuse
):
    path = stored()
    pid = held(path, "writing")
    assert_all_refuse(path, str(path), f"PID {pid}", "python")
    with pytest.raises(LockedDatabaseError, match=str(pid)):
        classrel_db.open(path).models()


def test_a_database_that_another_process_reads_can_be_read_but_not_written(
    stored, held, classrel, writing, assert_all_refuse
):
    path = stored()
    pid = held(path, "reading")
    assert_all_refuse(path, f"PID {pid}", commands=writing)
    for command in READING:
        assert classrel(*command, "--db", path).returncode == 0


def test_a_read_only_file_answers_and_refuses_to_be_written(stored, writing, bound_classrel):
    path = stored()
    before = digest(path)
    path.chmod(0o400)
    for command in (["models"], ["similar", "0"]):
        answer = bound_classrel(*command, "--db", path)
        assert answer.returncode == 0, answer.stderr
    for command in writing:
        assert_refused(
            bound_classrel(*command, "--db", path), str(path), "may not be read or written"
        )
    assert digest(path) == before


def test_a_read_only_folder_answers_and_refuses_to_be_written(stored, writing, bound_classrel):
    path = stored()
    path.parent.chmod(0o500)
    path.chmod(0o400)
    before = sorted(os.listdir(path.parent))
    try:
        for command in (["check"], ["similar", "species 00 + species 01"]):
            answer = bound_classrel(*command, "--db", path)
            assert answer.returncode == 0, answer.stderr
        for target in (path, path.with_name("new.duckdb")):
            answer = bound_classrel(*writing[1], "--db", target)
            assert_refused(answer, str(target))
        assert sorted(os.listdir(path.parent)) == before
    finally:
        path.parent.chmod(0o700)


def test_a_file_that_may_not_be_read_is_refused(stored, writing, bound_classrel):
    path = stored()
    path.chmod(0)
    for command in (["models"], *writing):
        assert_refused(bound_classrel(*command, "--db", path), str(path))


def test_the_same_process_may_hold_the_file_itself(stored):
    path = stored()
    with duckdb.connect(str(path), read_only=True), classrel_db.open(path) as catalog:
        assert json_of(run_classrel("models", "-f", "json", "--db", path))
        assert len(catalog.models().fetchall()) == 1
        with pytest.raises(DatabaseError):
            catalog.remove("small")
        assert len(catalog.models().fetchall()) == 1


def test_changed_views_are_reported_and_renewed_by_the_next_write(stored, make_head):
    path = stored()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE OR REPLACE VIEW nearest AS SELECT 1 AS model")
        connection.execute("DROP VIEW pairwise")
        connection.execute("CREATE OR REPLACE MACRO neighbors(a) AS TABLE SELECT a AS model")
    (definitions, *_) = json_of_check(path)
    assert (definitions["check"], definitions["ok"]) == ("definitions", False)
    for name in ("view nearest", "view pairwise", "macro neighbors"):
        assert name in definitions["detail"]
    second = make_head(name="second", seed=4)
    with classrel_db.open(path) as catalog:
        catalog.ingest(str(second.path), labels=second.labels_path)
        assert len(catalog.similar("species 03", models="small", k=4).fetchall()) == 4
    assert all(row["ok"] for row in json_of_check(path))


def test_views_that_change_between_two_writes_of_one_catalog_are_renewed(stored, make_head):
    path = stored()
    second, third = (make_head(name=name, seed=4) for name in ("second", "third"))
    with classrel_db.open(path) as catalog:
        catalog.ingest(second.path, labels=second.labels_path)
        catalog.close()
        with duckdb.connect(str(path)) as connection:
            connection.execute("DROP VIEW pairwise")
        catalog.ingest(third.path, labels=third.labels_path)
        assert all(row[2] for row in catalog.check().fetchall())


def test_a_database_that_can_not_be_written_once_can_not_be_written_twice(stored):
    path = stored()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE classrel SET value = '99' WHERE key = 'schema'")
    database = Database(path)
    for _ in range(2):
        with pytest.raises(SchemaError), database.writer():
            pytest.fail("the body must not run")


def json_of_check(path):
    return json.loads(run_classrel("check", "-f", "json", "--db", path).stdout)
