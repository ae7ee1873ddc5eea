"""Lakes in folders: what is written, by other readers of Parquet; and what is read while others write."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import duckdb
import pyarrow as pa
import pytest
from agreeing import add, made
from pyarrow import parquet

import classrel_db
from classrel_db.errors import DatabaseError, LockedDatabaseError, SchemaError
from classrel_db.storage import lake as lakes
from classrel_db.storage import lake_export, lake_files, schema
from classrel_db.storage.database import said
from classrel_db.storage.lake import Lake
from classrel_db.storage.lake_files import DATA, Folder

CONCEPTS = [f"c{i:02d}" for i in range(14)]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache folder of each test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(lakes, "_LOOK_EVERY", 0.0)
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Two small heads, one without pairs, with a tag, a tree, a comparison and a mapped concept."""
    folder = tmp_path_factory.mktemp("original")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, made("gone", CONCEPTS, dim=4, seed=9))
        add(catalog, folder, made("one", CONCEPTS, dim=9, seed=1))
        catalog.remove("gone")
        add(catalog, folder, made("two", CONCEPTS, dim=6, seed=2), pairs="none")
        catalog.tag("one", family="vision")
        catalog.tree("one")
        catalog.compare_all()
    return folder / "small.duckdb"


@pytest.fixture
def database(original, tmp_path):
    return shutil.copyfile(original, tmp_path / "small.duckdb")


@pytest.fixture
def lake(database, tmp_path):
    export(database, tmp_path / "lake")
    return tmp_path / "lake"


def export(database, lake, **given):
    with classrel_db.open(database) as catalog:
        return catalog.export(f"{lake}/", "parquet", **given)


def ingest(database, name, *, replace=False, **given):
    with classrel_db.open(database) as catalog:
        head = made(name, given.pop("concepts", CONCEPTS), **given)
        add(catalog, database.parent, head, replace=replace)


def files(lake):
    """Every file that is no secret of the lake's, with its content."""
    return {
        str(path.relative_to(lake)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(lake.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def models(lake):
    with classrel_db.open(lake) as catalog:
        return [name for (name,) in catalog.models().project("model").fetchall()]


def rows(path, table, order="ALL"):
    """The rows of a table, by classrel."""
    with classrel_db.open(path) as catalog:
        return catalog.sql(f"SELECT * FROM {table} ORDER BY {order}").fetchall()


# What is written


def test_a_lake_has_a_file_for_each_table_and_model_and_the_numbers_are_in_names_alone(lake):
    named = set(files(lake))
    assert named == {
        *(f"{table}/model_id={n}/data.parquet" for table in (*DATA, "models") for n in (2, 3)),
        *(f"{table}/model_id=2/data.parquet" for table in ("tags", "trees", "merges", "leaves")),
        *(f"shared/{table}.parquet" for table in lake_files.SHARED),
    }
    for name in named:
        file = parquet.ParquetFile(lake / name)
        assert "model_id" not in file.schema_arrow.names
        for group in range(file.metadata.num_row_groups):
            assert file.metadata.row_group(group).column(0).compression == "ZSTD"


@pytest.mark.parametrize("table", [*DATA, "models", *lake_files.EXTRAS, *lake_files.SHARED[:-1]])
def test_tables_have_the_rows_the_order_and_the_types_of_the_database(database, lake, table):
    described = f"(SELECT column_name, column_type FROM (DESCRIBE FROM {table}))"
    assert rows(lake, described) == rows(database, described)
    assert rows(lake, table) == rows(database, table)
    if table in DATA:
        with duckdb.connect(str(database), read_only=True) as connection:
            own = connection.sql(f"SELECT * EXCLUDE (model_id) FROM {table} WHERE model_id = 2")
            file = lake_files.file_of(table, 2)
            found = duckdb.sql(f"SELECT * EXCLUDE (model_id) FROM '{lake / file}'")
            assert found.fetchall() == own.fetchall()


def test_the_same_head_makes_the_same_bytes_whatever_its_number_and_the_threads(
    database, lake, tmp_path
):
    other = tmp_path / "other.duckdb"
    for name, seed in (("filler", 5), ("another", 6), ("one", 1)):
        ingest(other, name, dim=9 if name == "one" else 4, seed=seed)
    with classrel_db.open(other) as catalog:
        catalog.sql("SET threads = 1")
        catalog.export(f"{tmp_path}/other/", "parquet")
    ours, theirs = files(lake), files(tmp_path / "other")
    for table in DATA:
        assert (
            ours[f"{table}/model_id=2/data.parquet"] == theirs[f"{table}/model_id=3/data.parquet"]
        )


def test_row_groups_are_small_enough_for_a_question_about_one_class(large_head, tmp_path):
    with classrel_db.open(tmp_path / "large.duckdb") as catalog:
        catalog.ingest(large_head, labels="imagenet1k")
        catalog.export(f"{tmp_path}/lake/", "parquet")
    file = parquet.ParquetFile(tmp_path / "lake/pairs/model_id=1/data.parquet").metadata
    sizes = [file.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert sizes == [122_880] * 4 + [499_500 - 4 * 122_880]


def test_the_file_in_models_comes_last_and_that_of_a_replaced_model_goes_after_it(
    database, lake, monkeypatch
):
    done = []
    for name in ("put", "remove"):
        before = getattr(Folder, name)

        def told(self, what, *rest, before=before, name=name):
            done.extend((name, each) for each in ([what] if name == "put" else what))
            return before(self, what, *rest)

        monkeypatch.setattr(Folder, name, told)
    ingest(database, "one", replace=True, dim=9, seed=7)
    export(database, lake)
    of_four = [what for what in done if "model_id=4" in what[1]]
    assert of_four[-1] == ("put", "models/model_id=4/data.parquet")
    assert len(of_four) == 6  # the tag is of the model that took the name
    assert done[done.index(of_four[-1]) + 1] == ("remove", "models/model_id=2/data.parquet")


# Exporting again


def test_what_is_unchanged_is_not_written_again(database, lake):
    before = {path: path.stat().st_ino for path in lake.rglob("*.parquet")}
    answer = export(database, lake)
    assert answer.notes[0] == "2 unchanged"
    assert {path: path.stat().st_ino for path in lake.rglob("*.parquet")} == before


def test_a_new_model_is_added_and_none_is_removed(database, lake):
    before = files(lake)
    ingest(database, "three", dim=5, seed=3)
    with classrel_db.open(database) as catalog:
        catalog.remove("two")
    assert export(database, lake, models="three").notes[0] == "1 added"
    after = files(lake)
    assert {name: after[name] for name in before if "shared" not in name} == {
        name: content for name, content in before.items() if "shared" not in name
    }
    assert models(lake) == ["one", "two", "three"]


@pytest.mark.parametrize(
    "change",
    ["weights", "labels", "pairs"],
)
def test_a_changed_model_gets_files_of_its_own_and_the_old_ones_go_with_the_next_export(
    database, lake, change
):
    if change == "weights":
        ingest(database, "two", replace=True, dim=6, seed=8)
    else:
        with classrel_db.open(database) as catalog:
            changes = {
                "labels": "UPDATE classes SET label = 'new' WHERE model_id = 3 AND class_idx = 0",
                "pairs": "UPDATE models SET n_pairs = 91 WHERE model_id = 3",
            }
            catalog.sql(changes[change], write=True)
    before = classrel_db.open(lake)
    kept = before.sql("FROM neighbors WHERE model_id = 3")
    expected = rows(lake, "neighbors")
    assert export(database, lake).notes[0] == "1 replaced, 1 unchanged"
    assert lake_files.ids_of(files(lake), "models") == [2, 4]
    assert lake_files.ids_of(files(lake), "weights") == [2, 3, 4]
    assert sorted(kept.fetchall()) == [row for row in expected if row[0] == 3]
    assert models(lake) == ["one", "two"]
    assert len(rows(lake, "neighbors")) == len(expected)
    export(database, lake)
    assert lake_files.ids_of(files(lake), "weights") == [2, 4]
    before.close()


def test_numbers_are_the_database_s_where_they_are_free(database, lake, tmp_path):
    other = tmp_path / "other.duckdb"
    for number, name in enumerate(("uno", "due", "tre", "quattro")):
        ingest(other, name, dim=5, seed=20 + number)
    export(other, lake)
    assert rows(lake, "(SELECT name, model_id FROM models)", "model_id") == [
        ("uno", 1), ("one", 2), ("two", 3), ("quattro", 4), ("due", 5), ("tre", 6),
    ]  # fmt: skip


def test_comparisons_keep_their_models_and_taxonomies_their_names(database, lake, tmp_path):
    other = tmp_path / "other.duckdb"
    for number, name in enumerate(("uno", "due", "tre")):
        ingest(other, name, dim=5, seed=20 + number)
    with classrel_db.open(other) as catalog:
        catalog.compare_all()
        own = tmp_path / "own.csv"
        own.write_text("family,genus,species\nall,first,c00\nall,second,c01\n")
        catalog.add_taxonomy(own, name="own")
        expected = catalog.sql("FROM agreement").fetchall()
    before = rows(lake, "agreement")
    export(other, lake)
    # by the number of the model in the lake: uno is 1, due 4, tre 5
    assert sorted(rows(lake, "agreement")) == sorted([*before, *expected])
    assert {name for name, *_ in rows(lake, "taxonomies")} == {"wordnet", "own"}
    assert len(rows(lake, "taxa")) == len(rows(other, "taxa"))


def test_the_comparisons_of_a_replaced_model_go_with_it(database, lake):
    assert len(rows(lake, "comparisons")) > 0
    ingest(database, "two", replace=True, dim=6, seed=8)
    export(database, lake)
    assert rows(lake, "comparisons") == []


def test_tags_and_trees_of_an_unchanged_model_are_brought_up_to_date(database, lake):
    with classrel_db.open(lake) as reader:
        assert len(reader.sql("FROM trees").fetchall()) == 1
        with classrel_db.open(database) as catalog:
            catalog.tag("one", family="")
            catalog.tag("two", family="audio")
            catalog.tree("one", method="average")
        assert export(database, lake).notes[0] == "2 unchanged"
        assert reader.sql("FROM tagged_models").fetchall() == [("two", "family", "audio")]
        assert len(reader.sql("FROM trees").fetchall()) == 2
        assert len(reader.sql("FROM merges").fetchall()) == 26


def test_a_database_with_fewer_trees_takes_none_away(database, lake):
    with classrel_db.open(database) as catalog:
        catalog.tree("one", method="average")
        export(database, lake)
        catalog.sql("DELETE FROM trees WHERE method = 'ward'", write=True)
        catalog.sql("DELETE FROM merges WHERE method = 'ward'", write=True)
    export(database, lake)
    assert len(rows(lake, "trees")) == 2
    assert len(rows(lake, "merges")) == 26


def test_a_lake_is_exported_to_another(database, lake, tmp_path):
    export(lake, tmp_path / "again")
    ours, theirs = files(lake), files(tmp_path / "again")
    assert set(ours) == set(theirs)
    assert {name for name in ours if ours[name] != theirs[name]} == set()


# What is no place for a lake, and what is in the way


def test_a_folder_with_something_else_in_it_is_left_alone(database, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(DatabaseError, match=r"mine holds \"notes.txt\", which is not of a lake"):
        export(database, folder)
    assert [path.name for path in folder.iterdir() if path.name != ".lock"] == ["notes.txt"]


def test_one_export_at_a_time(database, lake):
    with (
        Folder(lake).exclusive(),
        pytest.raises(LockedDatabaseError, match="another export is writing"),
    ):
        export(database, lake)
    export(database, lake)


def test_a_missing_folder_above_and_a_file_in_its_place_are_named(database, tmp_path):
    with pytest.raises(DatabaseError, match=f"there is no folder {tmp_path}/no to hold lake"):
        export(database, tmp_path / "no" / "lake")
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match=f"{tmp_path}/file"):
        export(database, tmp_path / "file")


# What is not whole


def test_a_half_written_model_is_not_seen_and_check_names_it(lake, monkeypatch):
    (lake / "models/model_id=3/data.parquet").unlink()
    assert models(lake) == ["one"]
    assert rows(lake, "(SELECT DISTINCT model_id FROM neighbors)") == [(2,)]
    with classrel_db.open(lake) as catalog:
        found = {row[1]: row for row in catalog.check().fetchall()}
    assert found["leftovers"][2]
    assert "classes/model_id=3/data.parquet" in found["leftovers"][3]


def test_an_export_that_was_killed_is_taken_up_by_the_next(database, lake, tmp_path):
    ingest(database, "three", dim=5, seed=3)
    killed = f"""
import os, signal, sys
import classrel_db
from classrel_db.storage.lake_files import Folder
put = Folder.put
def stopped(self, name, file):
    if name.startswith("neighbors/"):
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, name, file)
Folder.put = stopped
classrel_db.open({str(database)!r}).export({f"{lake}/"!r}, "parquet")
"""
    answer = subprocess.run([sys.executable, "-c", killed], capture_output=True, check=False)
    assert answer.returncode == -signal.SIGKILL, answer.stderr
    assert (lake / "pairs/model_id=4/data.parquet").exists()
    assert models(lake) == ["one", "two"]
    with classrel_db.open(lake) as catalog:
        (found,) = [row for row in catalog.check().fetchall() if row[1] == "leftovers"]
    assert "pairs/model_id=4/data.parquet" in found[3]
    assert ".exporting-" in found[3]
    assert export(database, lake).notes[0] == "1 added, 2 unchanged"
    assert models(lake) == ["one", "two", "three"]
    assert list(lake.glob(".exporting-*")) == []


@pytest.mark.parametrize("table", ["weights", "pairs"])
def test_a_missing_file_is_named_with_its_model_and_an_export_brings_it_back(database, lake, table):
    (lake / f"{table}/model_id=3/data.parquet").unlink()
    with pytest.raises(
        DatabaseError, match=rf"not whole: of two, {table}/model_id=3/data\.parquet is missing"
    ):
        models(lake)
    with classrel_db.open(lake) as catalog:
        wrong = [row for row in catalog.check().fetchall() if not row[2]]
    assert len(wrong) == 1, wrong
    found = wrong[0]
    assert found[:2] == ("two", "files")
    assert f"{table}/model_id=3/data.parquet is missing" in found[3]
    assert export(database, lake).notes[0] == "1 replaced, 1 unchanged"
    assert models(lake) == ["one", "two"]


@pytest.mark.parametrize(
    ("table", "left"),
    [("models", 7), ("classes", 0), ("neighbors", 0.6), ("neighbors", 0), ("shared", 7)],
)
def test_a_file_that_was_cut_short_is_named_and_an_export_replaces_it(database, lake, table, left):
    name = "shared/taxa.parquet" if table == "shared" else f"{table}/model_id=3/data.parquet"
    size = (lake / name).stat().st_size
    os.truncate(lake / name, left if isinstance(left, int) else int(left * size))
    with pytest.raises(DatabaseError, match=re.escape(name)):
        models(lake)
    with classrel_db.open(lake) as catalog:
        if table == "models":
            with pytest.raises(DatabaseError, match=f"{re.escape(name)}.* remove it, and export"):
                catalog.check()
            (lake / name).unlink()
        else:
            assert any(name in row[3] for row in catalog.check().fetchall() if not row[2])
    export(database, lake)
    assert models(lake) == ["one", "two"]
    assert rows(lake, "taxa") == rows(database, "taxa")


def test_check_names_a_file_that_is_damaged_inside(lake):
    file = lake / "neighbors/model_id=3/data.parquet"
    content = bytearray(file.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    file.write_bytes(content)
    with classrel_db.open(lake) as catalog:
        (found,) = [row[3] for row in catalog.check().fetchall() if not row[2]]
    assert found.startswith("neighbors/model_id=3/data.parquet is cut short or damaged")


@pytest.mark.parametrize("number", [schema.newest() - 1, schema.newest() + 1])
def test_models_of_another_schema_are_refused_with_both_numbers(database, lake, number):
    file = lake / "models/model_id=3/data.parquet"
    other = parquet.ParquetFile(file).read()
    at = other.column_names.index("schema")
    parquet.write_table(other.set_column(at, "schema", pa.array([number], pa.int32())), file)
    said = rf"schema {number} \(two\).* reads schema {schema.newest()}: .*(upgrade|new lake)"
    with pytest.raises(SchemaError, match=said):
        models(lake)
    with pytest.raises(SchemaError, match=said):
        export(database, lake)
    with classrel_db.open(lake) as catalog:
        (found,) = [row for row in catalog.check().fetchall() if not row[2]]
    assert found[1] == "schema"
    assert f"two has {number}" in found[3]


@pytest.mark.parametrize("inside", [None, "notes.txt"])
def test_a_folder_without_a_lake_names_both_ways_out(tmp_path, inside):
    folder = tmp_path / "folder"
    folder.mkdir()
    if inside:
        (folder / inside).write_text("mine")
    with pytest.raises(DatabaseError, match=r"folder/classrel\.duckdb, or make a lake") as raised:
        models(folder)
    assert (f"(it holds {inside})" in str(raised.value)) == bool(inside)


def test_a_lake_that_may_not_be_read_is_told(lake, monkeypatch):
    def refused(_path):
        raise PermissionError(13, "Permission denied", str(lake))  # root would be let in

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DatabaseError, match="may not be read or written by you"):
        models(lake)


# Reading


def opened(path):
    reader = Lake(Folder(path))
    return reader, reader.reader()


@pytest.mark.parametrize(
    "question",
    [
        "FROM pairs WHERE model_id = 3",
        "FROM neighbors WHERE list_contains([3], model_id) AND class_idx = 5",
        "FROM weights WHERE model_id = 3 AND class_idx = 5",
        "SELECT * FROM nearest WHERE model = 'two' AND class_idx = 5",
        "FROM neighbors('two', 5)",
    ],
)
def test_a_question_about_one_model_opens_its_files_alone(lake, question):
    ((_, plan),) = opened(lake)[1].execute(f"EXPLAIN ANALYZE {question}").fetchall()
    assert set(re.findall(r"model_id=(\d+)/data", plan)) <= {"3"}
    assert re.findall(r"Total Files Read: (\d+)", plan)
    assert set(re.findall(r"Total Files Read: (\d+)", plan)) <= {"0", "1"}
    assert "Scanning Files: 2/2" not in plan


def test_what_would_change_a_lake_is_refused_with_what_to_do(lake, tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("family,genus,species\nall,first,c00\nall,second,c01\n")
    with classrel_db.open(lake) as catalog:
        for change in (
            lambda: catalog.remove("one"),
            lambda: catalog.tag("one", family="x"),
            lambda: catalog.map_concepts(None),
            lambda: catalog.sql("DELETE FROM models", write=True),
            lambda: catalog.add_taxonomy(own, "own"),
            lambda: catalog.ingest("efficientnet_lite0"),
        ):
            with pytest.raises(
                DatabaseError, match="a lake, which is only read; change the database"
            ):
                change()
        for statement in ("DELETE FROM models", "DROP VIEW pairs", "CREATE TABLE x (i INT)"):
            with pytest.raises(classrel_db.ClassrelError, match="changes the database"):
                catalog.sql(statement)
        catalog.sql("CREATE TEMP TABLE mine AS FROM classes")
        assert catalog.sql("FROM mine").shape[0] == 28


def test_a_tree_is_told_and_not_kept(lake):
    with classrel_db.open(lake) as catalog:
        with pytest.warns(
            classrel_db.errors.ClassrelWarning, match="is a lake, which is only read"
        ):
            assert catalog.tree("two").shape[0] == 27
        assert catalog.tree("one").shape[0] == 27  # which the database had


def test_own_queries_work_on_a_lake(lake, tmp_path):
    folder = tmp_path / "queries"
    folder.mkdir()
    (folder / "many.sql").write_text(
        "-- How many classes.\n--\n-- Example: FROM many()\n"
        "CREATE OR REPLACE MACRO many() AS TABLE SELECT count(*) AS n FROM classes;\n"
    )
    with classrel_db.open(lake, queries=folder) as catalog:
        assert catalog.query("many").fetchall() == [(28,)]


@pytest.mark.parametrize("name", ["what? [1] of *it's* stars", "year=2026", "ü 🦀"])
def test_folders_of_any_name(database, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    export(database, folder / "lake")
    export(database, folder / "lake")
    assert models(folder / "lake") == ["one", "two"]
    assert rows(folder / "lake", "neighbors") == rows(database, "neighbors")


def test_models_are_seen_when_they_are_there_and_what_was_got_before_stays(database, lake):
    with classrel_db.open(lake) as catalog:
        before = catalog.sql("SELECT DISTINCT model_id FROM neighbors")
        ingest(database, "three", dim=5, seed=3)
        export(database, lake)
        assert catalog.similar("c00", k=1).shape[0] == 3
        assert sorted(before.fetchall()) == [(2,), (3,)]


def test_a_lake_is_looked_at_now_and_then_and_not_with_every_question(database, lake, monkeypatch):
    monkeypatch.setattr(lakes, "_LOOK_EVERY", 3600.0)
    with classrel_db.open(lake) as catalog:
        assert catalog.similar("c00", k=1).shape[0] == 2
        ingest(database, "three", dim=5, seed=3)
        export(database, lake)
        assert catalog.similar("c00", k=1).shape[0] == 2
        monkeypatch.setattr(lakes, "_LOOK_EVERY", 0.0)
        assert catalog.similar("c00", k=1).shape[0] == 3


@pytest.mark.long
def test_readers_see_each_model_whole_while_models_come_and_are_replaced(database, lake):
    """Each answer is of as many models as there were before or after, and of each of them whole."""
    stop, faults, seen = threading.Event(), [], set()

    def read():
        while not stop.is_set():
            try:
                with classrel_db.open(lake) as catalog:
                    found = catalog.sql(
                        "SELECT m.name, m.n_classes * (m.n_classes - 1), n_pairs, "
                        "(SELECT count(*) FROM neighbors AS n WHERE n.model_id = m.model_id), "
                        "(SELECT count(*) FROM pairs AS p WHERE p.model_id = m.model_id) FROM models AS m"
                    ).fetchall()
                seen.add(len(found))
                faults.extend(row for row in found if row[1] != row[3] or row[2] != row[4])
            except Exception as error:  # noqa: BLE001
                faults.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for each in readers:
        each.start()
    for number in range(3):
        ingest(database, f"new{number}", dim=5, seed=30 + number)
        ingest(database, "one", replace=True, dim=9, seed=40 + number)
        export(database, lake)
    time.sleep(0.2)
    stop.set()
    for each in readers:
        each.join()
    assert faults == []
    assert max(seen) == 5


# What is kept between processes


def kept(cache):
    return sorted((cache / "classrel/lakes").glob("*.duckdb"))


def test_the_first_process_gathers_what_the_next_open(lake, cache, monkeypatch):
    expected = models(lake)
    (file,) = kept(cache)
    assert file.stat().st_mode & 0o777 == 0o644
    assert file.parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(Lake, "_gather", lambda *_: pytest.fail("it is there"))
    assert models(lake) == expected


def test_another_state_is_another_file_and_the_former_goes(database, lake, cache):
    models(lake)
    (before,) = kept(cache)
    ingest(database, "three", dim=5, seed=3)
    export(database, lake)
    assert len(models(lake)) == 3
    (after,) = kept(cache)
    assert after != before


def test_what_was_gathered_and_is_damaged_is_gathered_anew(lake, cache):
    expected = models(lake)
    (file,) = kept(cache)
    file.write_bytes(b"damaged" * 1000)
    assert models(lake) == expected


def test_without_a_cache_folder_a_lake_answers_all_the_same(lake, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert models(lake) == ["one", "two"]
    with classrel_db.open(lake) as catalog:
        assert catalog.similar("c00 + c01", models="one", k=2).shape[0] == 2


def test_vector_indexes_are_kept_in_the_cache_and_not_in_the_lake(lake, cache):
    before = files(lake)
    with classrel_db.open(lake) as catalog:
        assert catalog.similar("c00 + c01", models="one", k=2).shape[0] == 2
    assert files(lake) == before
    assert len(list((cache / "classrel/faiss").glob("*.index"))) == 1


# What DuckDB says


def test_a_traceback_of_duckdb_becomes_its_last_words():
    way = 'Traceback (most recent call last):\n  File "x", line 1, in y\n'
    assert said(duckdb.Error(f"{way}a.b.DatabaseError: no: none\n\nLINE 1: x")) == "no: none"
    assert said(duckdb.Error(" IO Error: x ")) == "IO Error: x"


def test_what_a_failed_export_leaves_in_a_lake_is_no_model(database, tmp_path, monkeypatch):
    monkeypatch.setattr(
        lake_export, "_ORDER", {**lake_export._ORDER, "neighbors": "no_such_column"}
    )
    with pytest.raises(DatabaseError, match="no_such_column"):
        export(database, tmp_path / "lake")
    with pytest.raises(DatabaseError, match="without a lake"):
        models(tmp_path / "lake")
