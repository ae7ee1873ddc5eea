"""Each model whole or not at all: after an error, after a kill, on a full disk."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
from oracle import assert_refused, run, run_python

import classrel_db
from classrel_db.catalog import ingest as ingest_module
from classrel_db.errors import DatabaseError
from classrel_db.storage import write
from classrel_db.storage.index import folder_of

from .conftest import content_of

# ingest sys.argv[2] into sys.argv[1] and die when the stage sys.argv[3] has come that far
KILLED = """
import os, signal, sys
import classrel_db
path, spec, stage, labels, replace = sys.argv[1:6]

def step(step):
    if step.stage == stage:
        os.kill(os.getpid(), signal.SIGKILL)

if stage == "index":
    from classrel_db.storage.index import IndexCache
    IndexCache.put = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
classrel_db.open(path).ingest(spec, labels=labels, progress=step, replace=replace == "replace")
"""


def kill(path, head, stage, *, replace=False):
    answer = run_python(
        KILLED, path, head.path, stage, head.labels_path, "replace" if replace else "keep"
    )
    assert answer.returncode == -signal.SIGKILL, answer.stderr


def names(path):
    with classrel_db.open(path) as catalog:
        return [row[0] for row in catalog.models().fetchall()]


def assert_sound(path):
    with classrel_db.open(path) as catalog:
        assert [row for row in catalog.check().fetchall() if not row[2]] == []


@pytest.mark.parametrize("stage", ["read", "neighbors", "pairs"])
def test_a_killed_ingest_leaves_the_other_models_as_they_were(stored, make_head, stage):
    path = stored(n_classes=20)
    before = content_of(path)
    head = make_head(name="killed", n_classes=300, dim=20, seed=1)
    kill(path, head, stage)
    assert names(path) == ["small"]
    assert_sound(path)
    assert content_of(path) == before
    with classrel_db.open(path) as catalog:
        (again,) = catalog.ingest(str(head.path), labels=head.labels_path)
    assert again.status == "added"
    assert names(path) == ["small", "killed"]
    assert_sound(path)


@pytest.mark.parametrize("stage", ["neighbors", "pairs"])
def test_a_killed_first_ingest_leaves_a_file_that_the_next_one_fills(tmp_path, make_head, stage):
    path = tmp_path / "new.duckdb"
    head = make_head(name="killed", n_classes=300, dim=20)
    kill(path, head, stage)
    if path.exists():
        assert names(path) == []
    with classrel_db.open(path) as catalog:
        catalog.ingest(str(head.path), labels=head.labels_path)
    assert names(path) == ["killed"]
    assert_sound(path)


def test_a_kill_between_the_commit_and_the_index_keeps_the_whole_model(tmp_path, make_head):
    path = tmp_path / "new.duckdb"
    head = make_head(name="killed", n_classes=30, dim=20)
    kill(path, head, "index")
    assert names(path) == ["killed"]
    assert_sound(path)
    with classrel_db.open(path) as catalog:
        nearest = catalog.similar(vector=head.weight[7], models="killed", k=1).fetchall()
        assert nearest[0][3] == "species 07"
        (again,) = catalog.ingest(str(head.path), labels=head.labels_path)
    assert again.status == "unchanged"


@pytest.mark.parametrize(("stage", "is_new"), [("pairs", False), ("index", True)])
def test_a_killed_replacement_leaves_the_old_or_the_new_head(stored, make_head, stage, is_new):
    path = stored(n_classes=40)
    old = content_of(path)["weights"]
    kill(path, make_head(n_classes=40, seed=8), stage, replace=True)
    assert names(path) == ["small"]
    assert (content_of(path)["weights"] != old) == is_new
    assert_sound(path)


@pytest.mark.parametrize(
    "step", ["insert_model", "insert_classes", "insert_weights", "insert_neighbors", "insert_pairs"]
)
@pytest.mark.parametrize("replace", [False, True])
def test_an_error_at_any_step_rolls_everything_back(stored, make_head, monkeypatch, step, replace):
    path = stored(n_classes=20)
    before = content_of(path)
    index_files = sorted(folder_of(path).iterdir())
    head = make_head(name="small" if replace else "second", n_classes=25, seed=2)
    original = getattr(write, step)

    def fails_after_writing(*arguments):
        original(*arguments)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, step, fails_after_writing)
    with classrel_db.open(path) as catalog:
        with pytest.raises(DatabaseError, match=r"disk under .*small\.duckdb is full"):
            catalog.ingest(str(head.path), labels=head.labels_path, replace=replace)
        assert [row[0] for row in catalog.models().fetchall()] == ["small"]
    assert content_of(path) == before
    assert sorted(folder_of(path).iterdir()) == index_files


def test_a_new_file_goes_with_the_failed_ingest_that_made_it(tmp_path, make_head, monkeypatch):
    head = make_head()
    path = tmp_path / "new.duckdb"

    def fails(*_):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(ingest_module.write, "insert_pairs", fails)
    with pytest.raises(RuntimeError, match="in the middle"):
        classrel_db.open(path).ingest(str(head.path), labels=head.labels_path)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["small.csv", "small.npz"]


def test_a_failed_model_takes_neither_those_before_it_nor_their_index(tmp_path, make_head):
    good, bad = make_head(name="good"), make_head(name="bad", labels=["only"] * 12)
    path = tmp_path / "new.duckdb"
    with classrel_db.open(path) as catalog:
        catalog.ingest(str(good.path), labels=good.labels_path)
        with pytest.raises(classrel_db.ClassrelError):
            catalog.ingest(str(bad.path), labels=bad.labels_path)
    assert names(path) == ["good"]
    assert_sound(path)


def test_a_failed_removal_keeps_the_model(stored, monkeypatch):
    path = stored()
    before = content_of(path)
    original = write.delete_model

    def fails_after_deleting(*arguments):
        original(*arguments)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(write, "delete_model", fails_after_deleting)
    with classrel_db.open(path) as catalog, pytest.raises(DatabaseError):
        catalog.remove("small")
    assert content_of(path) == before


LIMITED = """
import resource, runpy, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.argv = ["classrel", *sys.argv[2:]]
runpy.run_module("classrel_db", run_name="__main__")
"""


@pytest.mark.parametrize("room", [0, 300_000, 3_000_000])
def test_a_file_that_may_not_grow_keeps_what_it_holds(stored, large_head, room):
    """A limit on the file's size stands in for a full disk, and needs no privilege."""
    path = stored(n_classes=20)
    before = content_of(path)
    limit = path.stat().st_size + room
    answer = run_python(
        LIMITED, limit, "ingest", large_head, "--labels", "imagenet1k", "--db", path
    )
    assert_refused(answer, str(path))
    assert names(path) == ["small"]
    assert_sound(path)
    assert content_of(path) == before


IN_A_SMALL_DISK = """
mount -t tmpfs -o size="$1" tmpfs "$2" || exit 99
cd "$2"
python="$3"; large="$4"; head="$5"; labels="$6"
classrel() { "$python" -m classrel_db "$@"; }
classrel ingest "$head" --labels "$labels" 2>/dev/null || exit 98
classrel ingest "$large" --labels imagenet1k
echo "ingest: $?"
classrel models --format csv | cut -d, -f1 | tr '\\n' ' '
classrel check >/dev/null; echo "check: $?"
ls -A . classrel.faiss
"""


def in_a_small_disk(size, tmp_path, large_head, head):
    """A tmpfs in a mount namespace of its own: gone with the process, on any outcome."""
    place = tmp_path / "disk"
    place.mkdir()
    script = ["sh", "-c", IN_A_SMALL_DISK, "sh", size, str(place), sys.executable]
    given = [str(path) for path in (large_head, head.path, head.labels_path)]
    answer = run(["unshare", "--mount", *script, *given])
    if answer.returncode == 99 or "unshare failed" in answer.stderr:
        pytest.skip(f"this machine lets us mount no tmpfs: {answer.stderr.strip()}")
    assert answer.returncode == 0, answer.stderr
    assert "Traceback" not in answer.stderr
    return answer


@pytest.mark.parametrize("size", ["3m", "6m", "9m"])
def test_on_a_full_disk_the_ingest_fails_clearly_and_the_file_stays_sound(
    tmp_path, large_head, make_head, size
):
    answer = in_a_small_disk(size, tmp_path, large_head, make_head(n_classes=20))
    assert re.search(r"the disk under .*classrel\.duckdb is full", answer.stderr)
    assert "ingest: 1\nmodel small check: 0\n" in answer.stdout
    assert ".partial" not in answer.stdout
    assert ".tmp" not in answer.stdout


def test_a_disk_with_room_for_all_but_the_index_takes_the_model(tmp_path, large_head, make_head):
    answer = in_a_small_disk("14m", tmp_path, large_head, make_head(n_classes=20))
    assert "ingest: 0\nmodel small efficientnet_lite0 check: 0\n" in answer.stdout
    listed = answer.stdout.partition("classrel.faiss:\n")[2].split()
    assert len(listed) == 1  # the small head's; the large one's did not fit and left nothing
    assert ".partial" not in answer.stdout


def test_two_ingests_at_once_store_both_or_name_who_holds_the_file(tmp_path, make_head):
    path = tmp_path / "shared.duckdb"
    heads = [make_head(name=f"head{i}", n_classes=400, seed=i) for i in range(2)]
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "classrel_db", "ingest", head.path, "--labels",
             head.labels_path, "--db", path],
            stderr=subprocess.PIPE, text=True,
        )
        for head in heads
    ]  # fmt: skip
    outcomes = [(child.communicate(timeout=60)[1], child.returncode) for child in children]
    for message, code in outcomes:
        assert code == 0 or re.search(
            "in use by another process|another process has made", message
        ), message
    done = [f"head{i}" for i, (_, code) in enumerate(outcomes) if code == 0]
    assert done
    assert sorted(names(path)) == done
    assert_sound(path)
