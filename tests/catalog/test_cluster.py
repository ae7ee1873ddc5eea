"""A real Dask scheduler and its workers on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import deadly
import pytest

import classrel_db
from catalog.test_batch import contents
from catalog.test_work import KILLED, waited_for
from classrel_db.catalog import cluster
from classrel_db.errors import (
    ArgumentError,
    ClassrelWarning,
    ClusterError,
    LabelError,
    MissingExtraError,
    WorkerError,
)
from classrel_db.storage.spool import folder_of

distributed = pytest.importorskip("distributed", reason="pip install -e '.[dev]'")

pytestmark = pytest.mark.long  # a scheduler and workers are started, and killed

ENVIRONMENT = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    "PYTHONPATH": os.pathsep.join(
        [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    ),
    "OMP_NUM_THREADS": "1",
}


@contextmanager
def running(folder: Path, kind: str, *arguments: str, **environment: str):
    """``dask scheduler`` or ``dask worker``; what they say is in ``folder``."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments, "--no-dashboard"]
    with (folder / f"{kind}.log").open("a") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **ENVIRONMENT, **environment}
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


@contextmanager
def working(cluster, *arguments: str, **environment: str):
    """A worker of one thread, once the scheduler knows it."""
    before = cluster.workers()
    options = ("--host", "127.0.0.1", "--nthreads", "1", *(arguments or ("--no-nanny",)))
    with running(cluster.folder, "worker", cluster.address, *options, **environment) as process:
        waited_for(lambda: cluster.workers() > before)
        yield process


class Running:
    """A scheduler with a client of the tests' own."""

    def __init__(self, folder: Path, address: str, client: distributed.Client) -> None:
        self.folder = folder
        self.address = address
        self._client = client

    def workers(self) -> set[str]:
        return set(self._client.nthreads())

    def processing(self) -> int:
        return sum(map(len, self._client.processing().values()))


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    where = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-show")
    with running(folder, "scheduler", *where):
        waited_for(lambda: file.exists() and file.stat().st_size)
        address = json.loads(file.read_text())["address"]
        with distributed.Client(address, set_as_default=False) as client:
            yield Running(folder, address, client)


@pytest.fixture(scope="module")
def two(scheduler):
    """Two workers; whoever kills one must be the last to ask for both."""
    with working(scheduler) as one, working(scheduler) as other:
        yield scheduler, one, other


@pytest.fixture
def six(make_head):
    return [make_head(f"m{seed}", seed=seed) for seed in range(6)]


@pytest.fixture
def catalog(tmp_path):
    return classrel_db.open(tmp_path / "x.duckdb")


def ingest(catalog, heads, scheduler, **given):
    specs = [head.path for head in heads]
    return catalog.ingest(*specs, labels=heads[0].labels_path, scheduler=scheduler, **given)


def test_a_cluster_stores_what_this_process_does(two, catalog, six, tmp_path, make_head):
    short, failures = make_head("short", n_classes=5), []
    answers = ingest(catalog, [*six, short], two[0].address, failed=failures.append)
    assert {answer.model for answer in answers} == {f"m{seed}" for seed in range(6)}
    assert all(answer.status == "added" and answer.seconds > 0 for answer in answers)
    assert [type(failure.error) for failure in failures] == [LabelError]
    local = classrel_db.open(tmp_path / "y.duckdb")
    local.ingest(*(head.path for head in six), labels=six[0].labels_path)
    assert contents(catalog.path) == contents(local.path)
    assert not catalog.check().filter("NOT ok").fetchall()
    assert len(list((tmp_path / "x.faiss").iterdir())) == 6
    assert not folder_of(catalog.path).exists()
    for database in (catalog, local):
        database.export(tmp_path / f"{database.path.stem}.parquet", models=["m3", "m1"])
    assert (tmp_path / "x.parquet").read_bytes() == (tmp_path / "y.parquet").read_bytes()


def test_one_model_goes_to_the_cluster_too(two, classrel, six, tmp_path):
    answer = classrel(
        "ingest", six[0].path, "--labels", six[0].labels_path, "--scheduler", two[0].address,
        "--db", tmp_path / "x.duckdb",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.startswith("m0: added, 12 classes")


def test_the_command_that_tries_again_names_the_scheduler(two, classrel, six, make_head, tmp_path):
    short = make_head("short", n_classes=5)
    options = ("--labels", six[0].labels_path, "--scheduler", two[0].address)
    answer = classrel("ingest", six[0].path, short.path, *options, "--db", tmp_path / "x.duckdb")
    assert answer.returncode == 1
    assert f"--scheduler {two[0].address}" in answer.stderr.splitlines()[-1]


def test_a_folder_that_workers_do_not_see_is_said_before_anything_is_read(
    two, six, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    catalog = classrel_db.open("/proc/self/cwd/x.duckdb")  # theirs is another
    with pytest.raises(ClusterError, match=r"worker at tcp.* does not see the folder .*--db"):
        ingest(catalog, six, two[0].address)
    assert not list(tmp_path.glob("x.*"))


def test_another_classrel_on_a_worker_is_said(scheduler, two, catalog, six, tmp_path):
    fake = tmp_path / "fake" / "classrel_db"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("__version__ = '9.9.9'")
    with working(scheduler, PYTHONPATH=str(fake.parent)):
        with pytest.raises(ClusterError, match=r"has classrel 9\.9\.9, and this is .*pip install"):
            ingest(catalog, six, scheduler.address)
        (fake / "__init__.py").unlink()
    assert not folder_of(catalog.path).exists()


def test_no_classrel_on_a_worker_is_said(two, catalog, six, monkeypatch):
    monkeypatch.setattr(cluster.pkgutil, "resolve_name", os.path.getsize)  # an error on any worker
    with pytest.raises(ClusterError, match=r"has no classrel, and this is"):
        ingest(catalog, six, two[0].address)


def test_a_killed_coordinator_is_resumed(two, six, tmp_path, monkeypatch):
    parts = folder_of(tmp_path / "x.duckdb")
    code = f"import os, signal, sys, time\n{KILLED.format(parts=parts)}" + (
        "from classrel_db.cli import main\nmain()"
    )
    options = ("--labels", six[0].labels_path, "--scheduler", two[0].address)
    command = ["ingest", *(head.path for head in six), *options, "--db", tmp_path / "x.duckdb"]
    answer = subprocess.run([sys.executable, "-c", code, *map(str, command)], capture_output=True)
    assert answer.returncode == -signal.SIGKILL, answer.stderr
    waited_for(lambda: not two[0].processing())  # they end what they are at
    whole = len(list(parts.glob("*/*/model.parquet")))
    asked = []
    submit = cluster.Cluster.submit
    monkeypatch.setattr(
        cluster.Cluster, "submit", lambda self, job: asked.append(job.name) or submit(self, job)
    )
    catalog = classrel_db.open(tmp_path / "x.duckdb")
    answers = ingest(catalog, six, two[0].address)
    assert [answer.status for answer in answers].count("added") == 5
    assert len(asked) == 6 - whole
    assert not catalog.check().filter("NOT ok").fetchall()
    assert not parts.exists()


def test_a_killed_worker_s_models_are_computed_by_the_other(two, catalog, make_head):
    heads = [make_head(f"m{seed}", 900, 300, seed) for seed in range(6)]
    told = []

    def stored(answer):
        if not told:
            os.kill(two[1].pid, signal.SIGKILL)
        told.append(answer.model)

    ingest(catalog, heads, two[0].address, done=stored)
    assert sorted(told) == [f"m{seed}" for seed in range(6)]
    assert len(two[0].workers()) == 1
    assert not catalog.check().filter("NOT ok").fetchall()
    assert not folder_of(catalog.path).exists()


def test_ctrl_c_leaves_the_cluster_at_once(two, catalog, six):
    begun = []

    def enough(answer):
        parts = folder_of(catalog.path)
        waited_for(lambda: len(list(parts.glob("*/*/model.parquet"))) > 1)
        begun.append(time.monotonic())
        raise KeyboardInterrupt

    with pytest.warns(ClassrelWarning, match="wait in .*x.parts"), pytest.raises(KeyboardInterrupt):
        ingest(catalog, six, two[0].address, done=enough)
    assert time.monotonic() - begun[0] < 2


# What is out of reach


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 0.5)


@pytest.mark.parametrize("address", ["head", "tcp://head", "http://head:8786", "tcp://a b:1", 8786])
def test_what_is_no_address_is_refused(catalog, six, address):
    with pytest.raises(ArgumentError, match=r"it is an address such as tcp://head:8786"):
        ingest(catalog, six, address)
    assert not folder_of(catalog.path).exists()


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_a_scheduler_that_does_not_answer_is_said(catalog, six, impatient, scheme):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"no Dask scheduler answers at {address}"):
            ingest(catalog, six, address)
    with pytest.raises(ClusterError, match="no Dask scheduler answers"):
        ingest(catalog, six, address)
    assert not folder_of(catalog.path).exists()


def test_a_worker_is_no_scheduler(two, catalog, six):
    (worker, *_others) = two[0].workers()
    with pytest.raises(ClusterError, match=r"a Dask worker answers .*`dask scheduler` prints"):
        ingest(catalog, six, worker)


def test_without_dask_its_extra_is_named(catalog, six, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"classrel-db\[cluster\]"):
        ingest(catalog, six, "tcp://127.0.0.1:8786")


@pytest.fixture
def alone(tmp_path):
    """A scheduler without workers, and a client."""
    file = tmp_path / "scheduler.json"
    where = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-show")
    with running(tmp_path, "scheduler", *where) as process:
        waited_for(lambda: file.exists() and file.stat().st_size)
        address = json.loads(file.read_text())["address"]
        with distributed.Client(address, set_as_default=False) as client:
            yield Running(tmp_path, address, client), process


def test_a_worker_that_runs_out_of_memory_is_said(alone, catalog, six, monkeypatch):
    scheduler, _ = alone
    monkeypatch.setattr(cluster, "_work", deadly.eat)
    failures = []
    with working(scheduler, "--memory-limit", "500MB"):
        ingest(catalog, six[:1], scheduler.address, failed=failures.append)
    (failure,) = failures
    assert type(failure.error) is WorkerError
    assert "2 workers died one after the other while they computed m0" in str(failure.error)
    assert "--memory-limit" in str(failure.error)


def test_a_scheduler_without_workers_or_that_goes_is_said(alone, catalog, six, impatient, capfd):
    scheduler, process = alone
    with pytest.raises(ClusterError, match="has no workers; start some with `dask worker"):
        ingest(catalog, six, scheduler.address)
    told = []

    def stored(answer):
        if not told:
            process.kill()
        told.append(answer.model)

    with working(scheduler), pytest.raises(ClusterError, match="has gone; what is stored stays"):
        ingest(catalog, six, scheduler.address, done=stored)
    assert told
    assert not catalog.check().filter("NOT ok").fetchall()
