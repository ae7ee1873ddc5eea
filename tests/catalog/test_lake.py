"""Lakes in an S3-compatible store on loopback: the same answers, whatever the connection does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import duckdb
import pytest
from agreeing import add, made
from stores import BUCKET, Dropping, client, forget, store

import classrel_db
from classrel_db.errors import (
    ArgumentError,
    DatabaseError,
    LockedDatabaseError,
    MissingExtraError,
    StatementError,
)
from classrel_db.sources import buckets
from classrel_db.storage import lake as lakes
from classrel_db.storage.database import said
from classrel_db.storage.lake_files import DATA, EXTRAS, SHARED

CONCEPTS = [f"c{i:02d}" for i in range(14)]
LAKE = f"s3://{BUCKET}/some/where"
SHARED_LAKE = f"s3://{BUCKET}/shared lake"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache folder of each test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(lakes, "_LOOK_EVERY", 0.0)
    return folder


@pytest.fixture(scope="module")
def server():
    with store() as address:
        yield address


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, made("one", CONCEPTS, dim=9, seed=1))
        add(catalog, folder, made("two", CONCEPTS, dim=6, seed=2))
        catalog.tag("one", family="vision")
        catalog.tree("one")
        catalog.compare_all()
    return folder / "small.duckdb"


@pytest.fixture
def database(original, tmp_path):
    return shutil.copyfile(original, tmp_path / "small.duckdb")


@pytest.fixture(scope="module")
def shared(server, original):
    """The address of a lake of two models, to be read only."""
    export(original, SHARED_LAKE)
    return SHARED_LAKE


@pytest.fixture
def lake(server, database):
    """The address of a lake of two models that may be changed."""
    empty()
    export(database)
    return LAKE


def empty():
    s3 = client()
    for each in s3.list_objects_v2(Bucket=BUCKET, Prefix="some/").get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=each["Key"])


def keys():
    found = client().list_objects_v2(Bucket=BUCKET, Prefix="some/").get("Contents", [])
    return {each["Key"].removeprefix("some/where/"): each["ETag"] for each in found}


def export(database, place=LAKE, **given):
    with classrel_db.open(database) as catalog:
        return catalog.export(place, "parquet", **given)


def models(place=LAKE):
    with classrel_db.open(place) as catalog:
        return [name for (name,) in catalog.models().project("model").fetchall()]


def one_more(database, name="three", seed=3):
    with classrel_db.open(database) as catalog:
        add(catalog, database.parent, made(name, CONCEPTS, dim=5, seed=seed))


@pytest.fixture
def dropping(server, monkeypatch):
    """Puts a proxy before the store that drops every so many-th connection."""
    made = []

    def drop(every):
        made.append(Dropping(server, every))
        monkeypatch.setenv("AWS_ENDPOINT_URL", made[-1].address)
        forget()
        return made[-1]

    yield drop
    forget()
    for each in made:
        each.close()


def test_every_table_has_the_rows_of_the_database(original, shared):
    with classrel_db.open(shared) as ours, classrel_db.open(original) as theirs:
        for table in ("models", *DATA, *EXTRAS, *SHARED[:-1]):
            question = f"SELECT * FROM {table} ORDER BY ALL"
            assert ours.sql(question).fetchall() == theirs.sql(question).fetchall(), table


def test_the_objects_are_the_files_of_a_folder(database, lake, tmp_path):
    folder = tmp_path / "lake"
    export(database, f"{folder}/")
    s3, found = client(), keys()
    paths = [path for path in folder.rglob("*.parquet") if path.is_file()]
    assert {str(path.relative_to(folder)) for path in paths} == set(found)
    for path in paths:
        key = f"some/where/{path.relative_to(folder)}"
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == path.read_bytes()


def test_a_catalog_shows_the_address_as_it_is(monkeypatch):
    monkeypatch.setenv("CLASSREL_DB", f"{LAKE}/")
    with classrel_db.open() as catalog:
        assert str(catalog.path) == LAKE
        assert repr(catalog) == f"Catalog('{LAKE}')"
        assert catalog.path.name == "where"


def test_exporting_again_puts_what_is_new_and_leaves_the_rest(database, lake):
    before = keys()
    assert export(database).notes[0] == "2 unchanged"
    assert keys() == before
    one_more(database)
    assert export(database).notes[0] == "1 added, 2 unchanged"
    assert {
        name: mark for name, mark in keys().items() if name in before and "shared" not in name
    } == {name: mark for name, mark in before.items() if "shared" not in name}
    assert models() == ["one", "two", "three"]


@pytest.mark.long
def test_questions_of_all_kinds(original, shared):
    with classrel_db.open(shared) as ours, classrel_db.open(original) as theirs:
        for ask in (
            lambda catalog: catalog.similar("c00 + c01", k=3),
            lambda catalog: catalog.similar("c00", k=3, support=True),
            lambda catalog: catalog.consensus("c00", k=3),
            lambda catalog: catalog.tree("one"),
            lambda catalog: catalog.compare("one", "two", measures="cka"),
            lambda catalog: catalog.query("contested_pairs", k=3),
        ):
            assert ask(ours).fetchall() == ask(theirs).fetchall()
        assert all(row[2] for row in ours.check().fetchall())


READING = """
import sys
import classrel_db
from classrel_db.storage import lake
lake._LOOK_EVERY = 0.0
seen = set()
with classrel_db.open(sys.argv[1]) as catalog:
    while len(seen) < 2:
        found = catalog.sql(
            "SELECT m.name, m.n_classes * (m.n_classes - 1), n_pairs, "
            "(SELECT count(*) FROM neighbors AS n WHERE n.model_id = m.model_id), "
            "(SELECT count(*) FROM pairs AS p WHERE p.model_id = m.model_id) FROM models AS m"
        ).fetchall()
        assert all(row[1] == row[3] and row[2] == row[4] for row in found), found
        if not seen:
            print("ready", flush=True)
        seen.add(len(found))
print(sorted(seen))
"""


def test_other_processes_see_a_new_model_whole_or_not_at_all(database, lake):
    one_more(database)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READING, LAKE],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for each in readers:
        assert each.stdout.readline() == "ready\n"
    export(database)
    for each in readers:
        output, errors = each.communicate(timeout=60)
        assert output == "[2, 3]\n", errors


@pytest.mark.long
def test_threads_read_while_models_are_replaced(database, lake):
    stop, faults = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                with classrel_db.open(LAKE) as catalog:
                    found = catalog.sql(
                        "SELECT model, count(*) FROM nearest GROUP BY ALL"
                    ).fetchall()
                faults.extend(row for row in found if row[1] != 14 * 13)
            except Exception as error:  # noqa: BLE001
                faults.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for seed in (3, 4):
        with classrel_db.open(database) as catalog:
            add(catalog, database.parent, made("one", CONCEPTS, dim=5, seed=seed), replace=True)
        export(database)
    stop.set()
    reader.join()
    assert faults == []


# A store that does not do what it should


@pytest.mark.parametrize("every", [2, pytest.param(3, marks=pytest.mark.long)])
def test_reads_are_tried_again_where_connections_drop(shared, dropping, every):
    with classrel_db.open(shared) as catalog:
        expected = catalog.similar("c00").fetchall()
    shutil.rmtree(os.environ["XDG_CACHE_HOME"])
    proxy = dropping(every)
    with classrel_db.open(shared) as catalog:
        assert catalog.similar("c00").fetchall() == expected
        assert catalog.sql("SELECT count(*) FROM pairs").fetchall() == [(182,)]
    assert proxy.dropped > 3


def test_an_export_goes_on_where_connections_drop(database, lake, dropping):
    proxy = dropping(3)
    one_more(database)
    assert export(database).notes[0] == "1 added, 2 unchanged"
    assert proxy.dropped > 3
    assert models() == ["one", "two", "three"]


def test_a_store_that_drops_every_connection_ends_in_one_message(shared, dropping):
    proxy = dropping(1)
    with pytest.raises(
        DatabaseError, match=rf"can't read the lake {shared}: .*try again"
    ) as raised:
        models(shared)
    assert "\n" not in str(raised.value)
    assert proxy.connections <= 10


def test_a_store_that_goes_away_between_two_questions_is_told(shared, dropping, monkeypatch):
    monkeypatch.setattr(lakes, "_LOOK_EVERY", 3600.0)
    proxy = dropping(10**9)
    with classrel_db.open(shared) as catalog:
        assert catalog.models().shape[0] == 2
        proxy.close()
        with pytest.raises((StatementError, duckdb.Error)) as raised:
            catalog.sql("FROM neighbors WHERE model_id = 2 AND class_idx = 0").fetchall()
        assert said(raised.value).startswith(f"can't read the lake {shared}: ")


def test_without_permission_the_message_says_so(server, original, shared):
    def enforced(after):
        url, plain = f"{server}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        request = urllib.request.Request(url, str(after).encode(), plain, method="POST")
        urllib.request.urlopen(request).close()

    enforced(0)  # moto now knows of no user who may do anything
    try:
        for doing, ask in (("read", models), ("write", lambda place: export(original, place))):
            with pytest.raises(DatabaseError, match=f"can't {doing} the lake .* may not {doing}"):
                ask(shared)
    finally:
        enforced("inf")


def test_what_is_no_lake_or_no_bucket_is_named(server, original):
    with pytest.raises(DatabaseError, match=f"no lake at s3://{BUCKET}/none; make one with"):
        models(f"s3://{BUCKET}/none")
    for ask in (models, lambda place: export(original, place)):
        with pytest.raises(DatabaseError, match=r"s3://no-such-bucket/x: .*bucket does not exist"):
            ask("s3://no-such-bucket/x")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("s3://me:SECRET@bucket/x", "a user, a password or a query"),
        ("s3://bucket/x?versionId=SECRET", "a user, a password or a query"),
        ("s3://bucket/x#SECRET", "a user, a password or a query"),
        ("https://me.example/x", "is no address of a lake; give a folder"),
        ("s3://", "is no address of a lake"),
        ("nowhere://x/y", "is no address of a lake: Protocol not known"),
    ],
)
def test_addresses_that_are_none_are_refused_and_secrets_not_shown(place, words):
    with pytest.raises(DatabaseError, match=words) as raised:
        classrel_db.open(place)
    assert "SECRET" not in str(raised.value)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setattr(sys.modules["fsspec.registry"], "registry", {})
    with pytest.raises(MissingExtraError, match=r'pip install "classrel-db\[s3\]" brings it'):
        classrel_db.open(LAKE)


@pytest.mark.parametrize(
    ("place", "to"), [(f"s3://{BUCKET}/x.npz", "npz"), (f"s3://{BUCKET}/x.parquet", "parquet")]
)
def test_only_a_lake_goes_to_an_address(original, place, to):
    with classrel_db.open(original) as catalog, pytest.raises(ArgumentError, match="only a lake"):
        catalog.export(place, to)


def test_a_lake_is_not_exported_onto_itself(shared):
    with classrel_db.open(shared) as catalog, pytest.raises(ArgumentError, match="the lake itself"):
        catalog.export(f"{shared}/", "parquet")


def test_other_addresses_than_those_of_the_lake_are_not_read(shared):
    client().put_object(Bucket=BUCKET, Key="other.parquet", Body=b"other")
    with (
        classrel_db.open(shared) as catalog,
        pytest.raises(StatementError, match=f"s3://{BUCKET}/other.parquet is no file of the lake"),
    ):
        catalog.sql(f"FROM 's3://{BUCKET}/other.parquet'")


# One export at a time


def test_an_export_waits_for_no_other_and_says_who_it_is(database, lake):
    with (
        buckets.Bucket(LAKE).exclusive(),
        pytest.raises(LockedDatabaseError, match=rf"process {os.getpid()} on .*\.exporting\.json"),
    ):
        export(database)
    assert export(database).notes[0] == "2 unchanged"
    assert not [name for name in keys() if "exporting" in name]


@pytest.mark.parametrize("left", [json.dumps({"host": "x", "process": 1}), "nonsense"])
def test_an_export_that_has_died_long_ago_is_in_nobody_s_way(database, lake, monkeypatch, left):
    client().put_object(Bucket=BUCKET, Key="some/where/.exporting.json", Body=left.encode())
    with pytest.raises(LockedDatabaseError, match="another export is writing"):
        export(database)
    monkeypatch.setattr(buckets, "_STALE", -5.0)
    assert export(database).notes[0] == "2 unchanged"


def test_a_long_export_shows_signs_of_life(database, lake, monkeypatch):
    monkeypatch.setattr(buckets, "_SIGN", -1.0)
    shelf = buckets.Bucket(LAKE)
    with shelf.exclusive() as work:
        client().put_object(Bucket=BUCKET, Key="some/where/.exporting.json", Body=b"old")
        (work / "file").write_bytes(b"new")
        shelf.put("shared/taxa.parquet", work / "file")
        told = client().get_object(Bucket=BUCKET, Key="some/where/.exporting.json")["Body"].read()
    assert json.loads(told)["process"] == os.getpid()


def test_indexes_are_in_the_user_s_cache(shared, cache):
    with classrel_db.open(shared) as catalog:
        catalog.similar("c00 + c01", models="one")
    assert len(list((cache / "classrel/faiss").glob("*.index"))) == 1
    assert not Path("s3:").exists()
