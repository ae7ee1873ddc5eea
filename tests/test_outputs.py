"""Where the command line reads and writes: what it must never replace, and which database it means."""

from __future__ import annotations

import os
import stat
import threading

import pytest
from oracle import assert_refused, json_of


@pytest.mark.parametrize("through_a_link", [False, True])
def test_the_database_is_never_the_output(stored, classrel, tmp_path, through_a_link):
    path = stored()
    before = path.read_bytes()
    output = path
    if through_a_link:
        output = tmp_path / "link.csv"
        output.symlink_to(path)
    assert_refused(
        classrel("models", "--db", path, "-f", "csv", "-o", output), "the database itself"
    )
    assert path.read_bytes() == before


def test_a_link_stays_a_link_and_what_it_leads_to_is_written(stored, classrel, tmp_path):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    assert classrel("models", "--db", stored(), "-o", link).returncode == 0
    assert link.is_symlink()
    assert target.read_text().startswith("model,")


def test_a_pipe_is_written_to_as_it_is(stored, classrel, tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert classrel("models", "--db", stored(), "-o", pipe).returncode == 0
    reader.join(timeout=10)
    assert read[0].startswith("model,")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_pipe_is_no_database(classrel, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert_refused(classrel("models", "--db", tmp_path / "pipe"), "a device or a pipe")


def test_the_option_before_the_command_goes_before_the_environment(stored, classrel, monkeypatch):
    path = stored()
    monkeypatch.setenv("CLASSREL_DB", "/nowhere/else.duckdb")
    assert classrel("--db", path, "models").returncode == 0
    assert classrel("models", "--db", path).returncode == 0
    assert_refused(classrel("models"), "/nowhere/else.duckdb")


def test_numbers_of_different_normalisations_come_with_a_note(stored, classrel, make_head):
    path, head = stored(), make_head(name="centred")
    classrel(
        "ingest", head.path, "--labels", head.labels_path, "--db", path, "--normalize", "center"
    )
    both = classrel("similar", "0", "--db", path, "-f", "json")
    assert "small standardize, centred center" in both.stderr
    assert {row["model"] for row in json_of(both)} == {"small", "centred"}
    assert classrel("similar", "0", "--db", path, "-m", "small").stderr == ""
