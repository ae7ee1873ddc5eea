"""A model as a folder of Parquet files, and the folder where such folders wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classrel_db.catalog.ingest import Prepared, searched_model, store
from classrel_db.catalog.work import _tables
from classrel_db.errors import DatabaseError
from classrel_db.records import Head, IngestOptions, LabelSpace
from classrel_db.storage.database import Database
from classrel_db.storage.index import IndexCache
from classrel_db.storage.parts import Packed, pack
from classrel_db.storage.spool import Spool, attempt, folder_of

TABLES = ("models", "classes", "weights", "pairs", "neighbors")


def options(normalize="standardize", pairs="auto"):
    return IngestOptions(None, None, normalize, pairs, replace=False, full=False)


def head_of(n_classes, dim, seed=0, labels=None, others=(), **given):
    random = np.random.default_rng(seed)
    names = tuple(labels or (f"kind {i}" for i in range(n_classes)))
    space = LabelSpace("kinds", names, tuple(name.casefold() for name in names))
    weight = random.normal(size=(n_classes, dim)).astype(np.float32)
    return Head(weight, None, space, "file", "/x", "fc", 1, 2, others=others, **given)


def packed(folder, head, chosen=None):
    """``head`` in ``folder``, as a worker leaves it."""
    folder.mkdir(parents=True)
    made = Prepared(head, "m", chosen or options())
    with made.searching:
        found = made.found(lambda _step: None)
    made.put_index(IndexCache(folder))
    model = searched_model(made.model, found)
    tables = _tables(made, found, lambda _step: None)
    pack(folder, model, made.normalized.center, made.others, tables)
    return made


def stored(path, made, chosen=None):
    """Every row of a new database with ``made`` in it, in the order of the file."""
    with Database(path).writer() as connection:
        store(connection, made, chosen or options(), lambda _step: None)
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = {}
        for table in TABLES:
            left_out = "EXCLUDE (ingested_at)" if table == "models" else ""
            rows[table] = connection.execute(
                f"SELECT * {left_out} FROM {table} ORDER BY rowid"
            ).fetchall()
        return rows


LABELS = st.lists(
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=8),
    min_size=2,
    max_size=150,
    unique_by=str.casefold,
)


@settings(max_examples=8)
@given(
    labels=LABELS,
    dim=st.integers(3, 40),
    normalize=st.sampled_from(["standardize", "center", "none"]),
    pairs=st.sampled_from(["all", "none"]),
    etag=st.sampled_from([None, '"x"']),
)
def test_what_is_stored_from_files_is_what_is_stored_from_memory(
    tmp_path_factory, labels, dim, normalize, pairs, etag
):
    folder, chosen = tmp_path_factory.mktemp("parts"), options(normalize, pairs)
    head = head_of(len(labels), dim, labels=labels, others=("aux",), etag=etag, revision="r1")
    made = packed(folder / "part", head, chosen)
    part = Packed.open(folder / "part")
    assert (part.space, part.others) == (head.space, ("aux",))
    with made.searching:
        from_memory = stored(folder / "memory.duckdb", made, chosen)
    assert stored(folder / "files.duckdb", part, chosen) == from_memory
    assert len(from_memory["pairs"]) == (len(labels) * (len(labels) - 1) // 2) * (pairs == "all")


def test_many_row_groups_keep_their_order(tmp_path):
    made = packed(tmp_path / "part", head_of(1_700, 8))  # 1.4 million pairs
    rows = stored(tmp_path / "x.duckdb", Packed.open(tmp_path / "part"))
    pairs = np.array([row[1:3] for row in rows["pairs"]])
    assert (pairs == np.column_stack(np.triu_indices(1_700, 1))).all()
    assert [row[1] for row in rows["weights"]] == list(range(1_700))
    assert [row[1:3] for row in rows["neighbors"]] == [
        (i, rank) for i in range(1_700) for rank in range(1, 101)
    ]
    assert made.model.n_pairs == len(pairs)


def test_the_same_head_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        packed(tmp_path / name, head_of(300, 16))
    files = sorted(each.name for each in (tmp_path / "one").iterdir())
    assert [name for name in files if name.endswith(".parquet")] == [
        "classes.parquet", "model.parquet", "neighbors.parquet", "pairs.parquet", "weights.parquet"
    ]  # fmt: skip
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("name", ["[a] *", "model_id=7", "it's ?", "å"])
def test_a_folder_may_have_any_name(tmp_path, name):
    packed(tmp_path / name / "part", head_of(20, 4))
    rows = stored(tmp_path / "x.duckdb", Packed.open(tmp_path / name / "part"))
    assert {row[0] for row in rows["pairs"]} == {1}


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.parquet").unlink(),
        lambda folder: cut(folder / "model.parquet"),
        lambda folder: (folder / "pairs.parquet").unlink(),
        lambda folder: cut(folder / "pairs.parquet"),
        lambda folder: (folder / "weights.parquet").write_bytes(b"PAR1"),
        lambda folder: (folder / "classes.parquet").replace(folder / "neighbors.parquet"),
        lambda folder: (folder / "model.parquet").write_bytes(
            (folder / "classes.parquet").read_bytes()
        ),
    ],
)
def test_a_folder_that_is_not_whole_is_none(tmp_path, damage):
    packed(tmp_path / "part", head_of(20, 4))
    assert Packed.open(tmp_path / "part") is not None
    damage(tmp_path / "part")
    assert Packed.open(tmp_path / "part") is None


def test_a_folder_that_is_damaged_within_is_said(tmp_path):
    packed(tmp_path / "part", head_of(300, 4))
    file = tmp_path / "part" / "pairs.parquet"
    content = bytearray(file.read_bytes())
    content[2_000:40_000] = bytes(38_000)
    file.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"pairs.parquet is damaged: .*run this again"):
        stored(tmp_path / "x.duckdb", Packed.open(tmp_path / "part"))
    assert not (tmp_path / "x.duckdb").exists()


def test_the_index_moves_to_the_others(tmp_path):
    made = packed(tmp_path / "part", head_of(20, 4))
    indexes = IndexCache(tmp_path / "x.faiss")
    Packed.open(tmp_path / "part").put_index(indexes)
    assert indexes.state(made.model.rows_sha256, (20, 4)) == "ok"
    Packed.open(tmp_path / "part").put_index(indexes)  # it is a cache, and may be missing
    assert [each.name for each in indexes.folder.iterdir()] == [f"{made.model.rows_sha256}.index"]


# Where they wait


@pytest.fixture
def database(tmp_path):
    return tmp_path / "x.duckdb"


KEYS = ["a" * 32, "b" * 32, "c" * 32]


def fill(spool):
    """Model a is whole, b is not, c is whole."""
    for key in KEYS:
        packed(attempt(spool.folder, key) / "inner", head_of(5, 4))
    for key in KEYS:
        (folder,) = spool.folder.glob(f"{key}-*")
        for file in (folder / "inner").iterdir():
            file.rename(folder / file.name)
        (folder / "inner").rmdir()
        if key == KEYS[1]:
            (folder / "model.parquet").unlink()


def test_a_run_that_ends_leaves_what_is_whole_and_the_next_takes_what_it_asks_for(database):
    first = Spool.open(database, KEYS)
    fill(first)
    assert first.close() == 2
    assert [each.name[:32] for each in sorted(first.folder.iterdir())] == [KEYS[0], KEYS[2]]
    second = Spool.open(database, KEYS[:2])
    assert second.waiting(KEYS[0]).model.n_classes == 5
    assert second.waiting(KEYS[1]) is None
    assert [each.name[:32] for each in second.folder.iterdir()] == [KEYS[0]]
    assert not first.folder.exists()
    second.remove(KEYS[0])
    assert second.close() == 0
    assert not folder_of(database).exists()


def test_what_a_living_run_has_is_its_own(database):
    first = Spool.open(database, KEYS)
    fill(first)
    second = Spool.open(database, KEYS)
    assert second.waiting(KEYS[0]) is None
    assert second.close() == 0
    assert len(list(first.folder.iterdir())) == 3
    assert first.close() == 2


def test_what_a_killed_run_has_left_is_taken_over(database):
    code = f"""
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from catalog.test_parts import KEYS, Spool, fill
spool = Spool.open(Path({str(database)!r}), KEYS)
fill(spool)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    spool = Spool.open(database, KEYS)
    assert [spool.waiting(key) is not None for key in KEYS] == [True, False, True]
    assert spool.close() == 2
    assert len(list(folder_of(database).iterdir())) == 2  # the folder and its lock


def test_what_a_run_did_not_make_stays(database):
    mine = folder_of(database) / "mine" / "a"
    mine.mkdir(parents=True)
    Spool.open(database, KEYS).close()
    assert mine.is_dir()


def test_where_there_can_be_no_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Spool.open(tmp_path / "none" / "x.duckdb", KEYS)
    os.mkfifo(tmp_path / "y.parts")
    with pytest.raises(FileExistsError):
        Spool.open(tmp_path / "y.duckdb", KEYS)
