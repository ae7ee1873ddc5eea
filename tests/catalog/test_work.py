"""The work of one model as a task, and processes on this machine that do it."""

from __future__ import annotations

import inspect
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings

import deadly
import numpy as np
import psutil
import pytest
from server import ALWAYS, Fault, serving

import classrel_db
from catalog.test_batch import contents
from classrel_db import errors
from classrel_db.catalog import crews, planning, pool, work
from classrel_db.catalog.loading import located
from classrel_db.catalog.planning import planned
from classrel_db.records import IngestOptions, KnownHead, Step
from classrel_db.sources import describe
from classrel_db.storage.parts import Packed
from classrel_db.storage.spool import folder_of


def options(**given):
    plain = {"normalization": "standardize", "pairs": "auto", "replace": False, "full": False}
    return IngestOptions(**{"head": None, "labels": None, **plain, **given})


def task_of(spec, **given):
    chosen = options(**given)
    ((name, place),) = located([str(spec)], name=None, options=chosen).items()
    plan = planned({name: (place, describe(place))}, {}, chosen, lambda _model: None)
    return work.task_of(name, plan[name], chosen)


@pytest.fixture
def six(make_head):
    return [make_head(f"m{seed}", seed=seed) for seed in range(6)]


@pytest.fixture
def processes(monkeypatch):
    """However small the heads are, processes compute them."""
    monkeypatch.setattr(planning, "_WORTH_PROCESSES", 0)


def ours():
    """The Python processes under this one, but for those that help to start others, and a browser's."""
    return [
        each
        for each in psutil.Process().children(recursive=True)
        if "python" in each.name() and "resource_tracker" not in " ".join(each.cmdline())
    ]


def workers():
    """Those that work: the forkserver stands above them."""
    return [each for each in ours() if each.parent().pid != os.getpid()]


# A task


def test_a_task_leaves_a_model_in_files(tmp_path, six):
    task = pickle.loads(pickle.dumps(task_of(six[0].path, labels=six[0].labels_path)))
    told = []
    done = work.work(task, tmp_path, memory=10**9, tell=told.append)
    done = pickle.loads(pickle.dumps(done))
    part = Packed.open(tmp_path / done.folder)
    assert (done.error, done.notes, done.warned, done.seconds > 0) == (None, (), (), True)
    assert (part.model.name, part.model.n_pairs, part.space.labels) == (
        "m0",
        66,
        tuple(six[0].labels),
    )
    assert {step.stage for step in told} >= {"read", "pairs", "neighbors"}
    assert part.model.uri == str(six[0].path)


def test_a_task_finds_its_files_from_any_folder(tmp_path, six, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = task_of(six[0].path.name, labels=six[0].labels_path.name)
    monkeypatch.chdir("/")
    assert work.work(task, tmp_path, memory=10**9).error is None


def test_errors_come_back_as_they_are(tmp_path, six, make_head):
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        error = pickle.loads(pickle.dumps(kind("what there is to say")))
        assert (type(error), str(error)) == (kind, "what there is to say")
    constant = make_head("constant", weight=np.ones((12, 6)))
    for head, kind, words in [
        (constant, errors.WeightsError, "constant"),
        (make_head("short", n_classes=5), errors.LabelError, "12"),
    ]:
        task = task_of(head.path, labels=six[0].labels_path)
        error = pickle.loads(pickle.dumps(work.work(task, tmp_path, memory=10**9))).error
        assert type(error) is kind
        assert words in str(error)
    assert not list(tmp_path.glob("*-*"))


def test_a_task_for_another_classrel_is_refused(tmp_path, six, monkeypatch):
    task = task_of(six[0].path, labels=six[0].labels_path)
    monkeypatch.setattr(work, "__version__", "9.9.9")
    error = work.work(task, tmp_path, memory=10**9).error
    assert isinstance(error, errors.ClusterError)
    assert "9.9.9" in str(error)
    assert f"classrel-db=={classrel_db.__version__}" in str(error)


def test_a_folder_that_a_worker_does_not_see_is_an_error(tmp_path, six):
    task = task_of(six[0].path, labels=six[0].labels_path)
    error = work.work(task, tmp_path / "none", memory=10**9).error
    assert isinstance(error, errors.ClusterError)
    assert "does not see the folder" in str(error)


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (MemoryError(), errors.WorkerError, "too little memory"),
        (OSError(28, "No space left on device"), errors.DatabaseError, "is full"),
    ],
)
def test_what_a_machine_lacks_is_said(tmp_path, six, monkeypatch, raised, kind, words):
    def lacking(*_arguments):
        raise raised

    monkeypatch.setattr(work, "Prepared", lacking)
    task = task_of(six[0].path, labels=six[0].labels_path)
    error = work.work(task, tmp_path, memory=10**9).error
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.filterwarnings("default::UserWarning")
def test_what_was_told_and_warned_comes_with_the_answer(tmp_path, six, monkeypatch):
    def load(place, name, options, tell, known):
        tell(Step(name, "read", 0, 1, "the server is slow"))
        warnings.warn("odd labels", errors.ClassrelWarning, stacklevel=2)
        warnings.warn("not ours", UserWarning, stacklevel=2)

    monkeypatch.setattr(work, "load", load)
    done = work.work(task_of(six[0].path, labels=six[0].labels_path), tmp_path, memory=10**9)
    assert (done.notes, done.warned) == (("the server is slow",), ("odd labels",))
    assert done.folder is None


def test_a_key_stays_as_long_as_the_model_does(tmp_path, six, monkeypatch):
    def key(**given):
        return task_of(six[0].path, **{"labels": six[0].labels_path, **given}).key

    first = key()
    assert key(replace=True, memory=5) == first
    monkeypatch.chdir(tmp_path)
    assert task_of(six[0].path.name, labels=six[0].labels_path.name).key == first
    keys = {
        first,
        key(normalization="center"),
        key(pairs="none"),
        key(head="fc"),
        key(full=True),
        key(exact=True),
        key(labels=six[1].labels_path),
        task_of(six[1].path, labels=six[0].labels_path).key,
    }
    assert len(keys) == 8
    os.utime(six[0].labels_path, ns=(1, 1))
    keys.add(key())
    os.utime(six[0].path, ns=(1, 1))
    keys.add(key())
    monkeypatch.setattr(work, "__version__", "9.9.9")
    keys.add(key())
    assert len(keys) == 11


def test_the_key_of_a_file_that_names_others_is_of_them_too(tmp_path, six):
    shard, index = tmp_path / "model-1.safetensors", tmp_path / "model.safetensors.index.json"
    for file in (shard, index):
        file.write_text("{}")

    def key():
        return task_of(index, labels=six[0].labels_path).key

    first = key()
    (tmp_path / "x.duckdb").touch()
    assert key() == first
    os.utime(shard, ns=(1, 1))
    assert key() != first


def test_what_its_server_still_has_is_not_read_again(tmp_path, six):
    with serving(tmp_path) as server:
        task = task_of(server.url("m0.npz"), labels=six[0].labels_path)
        part = Packed.open(tmp_path / work.work(task, tmp_path, memory=10**9).folder)
        assert isinstance(part.known, KnownHead)
        task = work.replaced(task, known=part.known)
        done = work.work(task, tmp_path, memory=10**9)
    assert (done.folder, done.error) == (None, None)


# Processes


def test_processes_store_what_threads_do(tmp_path, six, processes, monkeypatch):
    steps, told = [], []
    catalog = classrel_db.open(tmp_path / "processes.duckdb")
    specs = [head.path for head in six]
    answers = catalog.ingest(
        *specs, labels=six[0].labels_path, jobs=3, progress=steps.append, done=told.append
    )
    assert sorted(answer.model for answer in told) == [f"m{seed}" for seed in range(6)]
    assert all(answer.status == "added" and answer.seconds > 0 for answer in answers)
    assert {step.stage for step in steps} == {"read", "pairs", "neighbors"}
    monkeypatch.setattr(planning, "_WORTH_PROCESSES", 10**12)
    classrel_db.open(tmp_path / "threads.duckdb").ingest(*specs, labels=six[0].labels_path, jobs=3)
    assert contents(tmp_path / "processes.duckdb") == contents(tmp_path / "threads.duckdb")
    assert not catalog.check().filter("NOT ok").fetchall()
    assert len(list((tmp_path / "processes.faiss").iterdir())) == 6
    assert not folder_of(catalog.path).exists()
    assert not workers()
    again = catalog.ingest(*specs, labels=six[0].labels_path, jobs=3)
    assert {answer.status for answer in again} == {"unchanged"}


def test_processes_tell_of_failures_and_go_on(tmp_path, six, processes, make_head):
    short = make_head("short", n_classes=5)
    failures = []
    catalog = classrel_db.open(tmp_path / "x.duckdb")
    catalog.ingest(six[2].path, labels=six[0].labels_path)
    other = make_head("m2", seed=99)
    answers = catalog.ingest(
        short.path, six[0].path, other.path, six[1].path,
        labels=six[0].labels_path, jobs=2, failed=failures.append,
    )  # fmt: skip
    assert {answer.model for answer in answers} == {"m0", "m1"}
    assert {failure.model: type(failure.error) for failure in failures} == {
        "short": errors.LabelError, "m2": errors.ModelExistsError
    }  # fmt: skip
    assert not folder_of(catalog.path).exists()


def test_where_a_process_dies_its_models_are_computed_again(tmp_path, six, processes, monkeypatch):
    monkeypatch.setattr(pool, "_work", deadly.die_once)
    catalog = classrel_db.open(tmp_path / "x.duckdb")
    answers = catalog.ingest(*(head.path for head in six), labels=six[0].labels_path, jobs=2)
    assert (tmp_path / "died").exists()
    assert {answer.model for answer in answers} == {f"m{seed}" for seed in range(6)}
    assert not catalog.check().filter("NOT ok").fetchall()
    assert not folder_of(catalog.path).exists()


def test_a_head_that_its_process_dies_of_fails_alone(tmp_path, six, processes, monkeypatch):
    monkeypatch.setattr(pool, "_work", deadly.die_of_m1)
    failures = []
    catalog = classrel_db.open(tmp_path / "x.duckdb")
    answers = catalog.ingest(
        *(head.path for head in six), labels=six[0].labels_path, jobs=2, failed=failures.append
    )
    assert {answer.model for answer in answers} == {"m0", "m2", "m3", "m4", "m5"}
    (failure,) = failures
    assert (failure.model, type(failure.error)) == ("m1", errors.WorkerError)
    assert "lack of memory" in str(failure.error)


def test_what_progress_raises_ends_the_batch(tmp_path, six, processes):
    class EnoughError(Exception):
        pass

    def enough(step):
        raise EnoughError

    with pytest.raises(EnoughError):
        classrel_db.open(tmp_path / "x.duckdb").ingest(
            *(head.path for head in six), labels=six[0].labels_path, jobs=2, progress=enough
        )
    assert not workers()


def test_a_script_needs_no_guard_and_the_current_folder_no_trust(tmp_path, six):
    (tmp_path / "script.py").write_text(f"""
import classrel_db
from classrel_db.catalog import planning
planning._WORTH_PROCESSES = 0
print("once", flush=True)
answers = classrel_db.open("x.duckdb").ingest(*{[str(head.path) for head in six[:3]]!r},
    labels={str(six[0].labels_path)!r}, jobs=2)
print(len(answers))
""")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "faiss.py").write_text("print('taken from the current folder')")
    answer = subprocess.run(
        [sys.executable, tmp_path / "script.py"], cwd=elsewhere, capture_output=True, text=True
    )
    assert (answer.stdout, answer.stderr) == ("once\n3\n", "")


def command(tmp_path, six, specs, after):
    """``classrel ingest`` by processes, with a statement that is run before it."""
    arguments = [
        "ingest",
        *specs,
        "--labels",
        six[0].labels_path,
        "--jobs",
        2,
        "--db",
        tmp_path / "x.duckdb",
    ]
    code = f"""
import os, signal, sys, time
from classrel_db.catalog import planning
planning._WORTH_PROCESSES = 0
{after}
sys.argv = ["classrel", *sys.argv[1:]]
from classrel_db.cli import main
main()
"""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip


def waited_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_ctrl_c_ends_the_processes_at_once(tmp_path, six):
    with serving(tmp_path) as server:
        for number in range(3):
            server.faults[f"/m{number}.npz"] = [Fault("slow", 20)] * ALWAYS
        specs = [server.url(f"m{number}.npz") for number in range(3)]
        with command(tmp_path, six, specs, "") as run:
            waited_for(lambda: len(workers()) >= 2 and server.requests)
            held = workers()
            begun = time.monotonic()
            os.killpg(run.pid, signal.SIGINT)
            output, said = run.communicate(timeout=10)
            assert time.monotonic() - begun < 1.5
    assert (run.returncode, output) == (130, "")
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("interrupted: ")
    psutil.wait_procs(held, timeout=2)
    assert not any(each.is_running() for each in held)
    assert sorted(each.name for each in tmp_path.glob("x.*")) == []


KILLED = """
from classrel_db.render.progress import IngestDisplay
def done(self, answer):
    end = time.monotonic() + 20
    while time.monotonic() < end and len(list(Path("{parts}").glob("*/*/model.parquet"))) < 3:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
IngestDisplay.done = done
from pathlib import Path
"""


def test_after_a_kill_the_next_run_stores_what_was_computed(tmp_path, six, monkeypatch):
    specs = [head.path for head in six]
    parts = folder_of(tmp_path / "x.duckdb")
    with command(tmp_path, six, specs, KILLED.format(parts=parts)) as run:
        waited_for(lambda: len(workers()) >= 2 or run.poll() is not None)
        held = workers()
        assert run.wait(60) == -signal.SIGKILL, run.stderr.read()
    psutil.wait_procs(held, timeout=5)
    assert not any(each.is_running() for each in held)  # they end with it
    whole = len(list(parts.glob("*/*/model.parquet")))
    assert whole >= 3
    loaded = []
    load = crews.load
    monkeypatch.setattr(
        crews, "load", lambda place, *rest: loaded.append(place.spec) or load(place, *rest)
    )
    catalog = classrel_db.open(tmp_path / "x.duckdb")
    answers = catalog.ingest(*specs, labels=six[0].labels_path, jobs=2)
    assert [answer.status for answer in answers].count("added") == 5  # one was stored before
    assert len(loaded) == 6 - whole  # that one's folder is there, or it is looked at
    assert not catalog.check().filter("NOT ok").fetchall()
    assert not parts.exists()


def test_what_lies_elsewhere_is_looked_at_before_it_is_taken_over(tmp_path, make_head, processes):
    wide = np.random.default_rng(0).normal(size=(12, 20_000))  # 0.96 MB
    heads = [
        make_head(f"w{number}", weight=wide + number * np.eye(12, 20_000)) for number in range(3)
    ]
    labels = heads[0].labels_path
    parts = folder_of(tmp_path / "x.duckdb")
    with serving(tmp_path) as server:
        specs = [server.url(f"w{number}.npz") for number in range(3)]
        catalog = classrel_db.open(tmp_path / "x.duckdb")

        def enough(answer):
            waited_for(lambda: len(list(parts.glob("*/*/model.parquet"))) == 2)
            raise KeyboardInterrupt

        with (
            pytest.warns(errors.ClassrelWarning, match="2 models .* wait in .*x.parts"),
            pytest.raises(KeyboardInterrupt),
        ):
            catalog.ingest(*specs, labels=labels, jobs=2, done=enough)
        ((first,),) = catalog.models().project("model").fetchall()
        changed, same = (f"w{number}" for number in range(3) if f"w{number}" != first)
        np.savez(tmp_path / f"{changed}.npz", weight=-wide, bias=heads[0].bias)
        before = server.sent(f"/{same}.npz")
        catalog.ingest(*specs, labels=labels, jobs=2)
        assert server.sent(f"/{same}.npz") - before < 300_000
        fresh = classrel_db.open(tmp_path / "y.duckdb")
        fresh.ingest(*specs, labels=labels)
    assert contents(catalog.path) == contents(fresh.path)
    assert not catalog.check().filter("NOT ok").fetchall()
    assert not parts.exists()
