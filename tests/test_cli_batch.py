"""``classrel ingest`` of several models, its plan, and ``classrel zoo``."""

from __future__ import annotations

import json
import shlex

import duckdb
import numpy as np
import pytest
from commands import on_a_terminal, run_here
from server import ALWAYS, Fault, serving

from classrel_db.sources import tries


@pytest.fixture
def three(make_head):
    return [make_head(f"m{seed}", seed=seed) for seed in range(3)]


def test_failures_are_listed_at_the_end_with_the_command_that_tries_them_again(
    classrel, tmp_path, three, make_head
):
    short = make_head("too few", n_classes=4)
    db = tmp_path / "my heads.duckdb"
    options = ["--labels", three[0].labels_path, "--normalize", "center", "--jobs", 2, "--db", db]
    answer = classrel("ingest", three[0].path, short.path, three[1].path, *options)
    assert answer.returncode == 1
    assert answer.stdout == ""
    *lines, again = answer.stderr.splitlines()
    assert lines[0].startswith("3 models; ")
    assert "error: 1 of 3 models were not stored:" in lines
    assert lines[-1].startswith("  too few: ")
    assert "12 labels" in lines[-1]
    command = shlex.split(again.partition("again: ")[2])
    assert command[:3] == ["classrel", "ingest", str(short.path)]
    assert command[3:] == [
        "--labels", str(three[0].labels_path), "--normalize", "center", "--jobs", "2", "--db", str(db)
    ]  # fmt: skip
    short.labels_path.write_text(three[0].labels_path.read_text())
    np.savez(short.path, weight=three[2].weight, bias=three[2].bias)
    assert classrel(*command[1:]).returncode == 0
    models = json.loads(classrel("models", "--db", db, "--format", "json").stdout)
    assert {row["model"] for row in models} == {"m0", "m1", "too few"}


def test_the_command_to_retry_has_no_secret_in_it(tmp_path, three):
    with serving(tmp_path) as server:
        secret = server.url("none.npz?token=secret").replace("//", "//user:secret@")
        options = ("--labels", three[0].labels_path, "--db", tmp_path / "x.duckdb")
        answer = run_here("ingest", secret, three[0].path, *options)
    assert answer.returncode == 1
    assert "secret" not in answer.stderr
    told, _, command = answer.stderr.splitlines()[-1].partition(": ")
    assert told == "to try them again (put user, password and query back into the addresses)"
    assert shlex.split(command)[2] == server.url("none.npz")


def test_what_failed_is_told_where_the_batch_ends_early(tmp_path, three, make_head):
    short = make_head("short", n_classes=4)
    db = tmp_path / "x.duckdb"
    options = ("--labels", three[0].labels_path, "--jobs", 1, "--db", db)
    assert run_here("ingest", three[0].path, *options).returncode == 0
    with duckdb.connect(str(db), read_only=True):
        answer = run_here("ingest", short.path, three[1].path, *options)
    assert answer.returncode == 1
    *_, reason, error = answer.stderr.splitlines()
    assert reason.startswith("  short: ")
    assert "12 labels" in reason
    assert error.startswith("error: ")
    assert "is open in this process already" in error


def test_a_dry_run_prints_the_plan_and_writes_nothing(classrel, tmp_path):
    db = tmp_path / "x.duckdb"
    answer = classrel("ingest", "packaged:*", "resnet50", "--dry-run", "--db", db)
    assert answer.returncode == 0
    assert " efficientnet_lite0 " in answer.stdout
    assert "5.1 MB" in answer.stdout
    assert "4 models; " in answer.stderr
    assert not db.exists()


def test_a_plan_has_all_formats_and_an_ingest_has_none(classrel, tmp_path):
    db = tmp_path / "x.duckdb"
    plan = classrel("ingest", "packaged:*", "--dry-run", "--format", "json", "--db", db)
    rows = json.loads(plan.stdout)
    assert [row["spec"] for row in rows] == [f"packaged:efficientnet_lite{n}" for n in range(3)]
    assert {row["state"] for row in rows} == {"local"}
    refused = classrel("ingest", "packaged:*", "--format", "json", "--db", db)
    assert refused.returncode == 2
    assert "--dry-run" in refused.stderr
    assert not db.exists()


def test_a_dry_run_says_what_can_not_be_read(classrel, tmp_path, three):
    short = tmp_path / "gone.npz"
    short.write_bytes(b"no archive")
    options = ("--labels", three[0].labels_path, "--dry-run", "--db", tmp_path / "x.duckdb")
    answer = classrel("ingest", three[0].path, short, *options)
    assert answer.returncode == 1
    assert "m0" in answer.stdout
    assert "error: 1 of 2 models can't be read:\n  gone: " in answer.stderr


def test_an_interrupted_batch_keeps_what_is_stored(classrel, tmp_path, three, monkeypatch):
    from classrel_db.render import progress

    def interrupt(self, answer):
        raise KeyboardInterrupt

    monkeypatch.setattr(progress.IngestDisplay, "done", interrupt)
    db = tmp_path / "x.duckdb"
    options = ("--labels", three[0].labels_path, "--jobs", 1, "--db", db)
    answer = classrel("ingest", *(head.path for head in three), *options)
    assert answer.returncode == 130
    assert "the finished models are" in answer.stderr
    assert [
        row["model"] for row in json.loads(classrel("models", "--db", db, "-f", "json").stdout)
    ] == ["m0"]


def test_on_a_terminal_each_model_and_the_whole_are_seen(tmp_path, three, monkeypatch):
    monkeypatch.setattr(tries, "_FIRST_PAUSE", 0.001)
    with serving(tmp_path) as server:
        server.faults["/m1.npz"] = [Fault("slow", 0.3)] * ALWAYS
        server.faults["/m2.npz"] = [Fault("status", 404)] * ALWAYS
        specs = [server.url(f"m{number}.npz") for number in range(3)]
        shown, code = on_a_terminal(
            "ingest",
            *specs,
            "--labels",
            three[0].labels_path,
            "--db",
            tmp_path / "x.duckdb",
            columns=120,
        )
    assert code == 1
    assert "1 of 3 models" in shown or "2 of 3 models" in shown
    assert "m1 read" in shown
    assert "m2: not stored" in shown
    assert "there is no file at" in shown


def test_a_server_without_ranges_is_told_of_before_the_download(tmp_path, three):
    with serving(tmp_path) as server:
        server.faults["/m0.npz"] = [Fault("no-range")] * ALWAYS
        answer = run_here(
            "ingest",
            server.url("m0.npz"),
            "--labels",
            three[0].labels_path,
            "--db",
            tmp_path / "x.duckdb",
        )
    assert answer.returncode == 0
    first, second = answer.stderr.splitlines()
    assert "m0: " in first
    assert "sends no part of a file alone, so all of it" in first
    assert second.startswith("m0: added")


def test_the_zoo_is_listed(classrel, tmp_path):
    answer = classrel(
        "zoo", "torchvision:resnet5*", "--format", "csv", "--db", tmp_path / "x.duckdb"
    )
    header, *rows = answer.stdout.splitlines()
    assert header == "spec,source,classes,dim,head_bytes,file_bytes,cached"
    assert [row.split(",")[0] for row in rows] == [
        "torchvision:resnet50@IMAGENET1K_V1",
        "torchvision:resnet50@IMAGENET1K_V2",
    ]
    table = classrel("zoo", "efficientnet_lite").stdout
    assert "5.1 MB" in table
    assert "head_bytes" not in table
    assert "no model of a zoo fits" in classrel("zoo", "nothing at all").stderr
