"""The command line: formats, exit codes, what a command loads, and what a user is told."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys

import duckdb
import numpy as np
import pexpect
import pytest
from agreeing import add, made
from oracle import assert_refused, json_of, run_python

import classrel_db

QUESTIONS = {
    "models": ("models", lambda c: c.models()),
    "classes": (
        "classes efficientnet_lite1 crab",
        lambda c: c.classes("efficientnet_lite1", "crab"),
    ),
    "info": ("info efficientnet_lite2", lambda c: c.info("efficientnet_lite2")),
    "similar": ("similar n01978287 -k 30", lambda c: c.similar("n01978287", k=30)),
    "one model": (
        "similar 118 -m efficientnet_lite0 --self",
        lambda c: c.similar("118", models="efficientnet_lite0", include_self=True),
    ),
    "check": ("check", lambda c: c.check()),
}


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A database of few classes, all of which `check` reads."""
    folder = tmp_path_factory.mktemp("few")
    with classrel_db.open(folder / "few.duckdb") as catalog:
        add(catalog, folder, made("few", [f"c{i}" for i in range(9)]))
    return folder / "few.duckdb"


@pytest.fixture(scope="module", params=QUESTIONS)
def question(request, database, few):
    command, ask = QUESTIONS[request.param]
    path = few if request.param == "check" else database
    with classrel_db.open(path) as catalog:
        rows = ask(catalog)
        return [*command.split(), "--db", path], rows.columns, rows.fetchall()


def as_text(value):
    return "" if value is None else str(value)


def same(got, expected):
    if isinstance(expected, bool) and isinstance(got, str):
        return got == str(expected).lower()
    if isinstance(expected, float):
        return np.float32(got) == np.float32(expected)
    return as_text(got) == as_text(expected)


def assert_same_rows(got, expected):
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert all(same(a, b) for a, b in zip(one, other, strict=True)), (one, other)


def test_json_is_what_python_answers(question, classrel):
    command, columns, rows = question
    got = json_of(classrel(*command, "--format", "json"))
    assert [list(item) for item in got] == [columns] * len(rows)
    assert_same_rows([list(item.values()) for item in got], rows)


def test_csv_is_what_python_answers(question, classrel):
    command, columns, rows = question
    header, *body = csv.reader(classrel(*command, "-f", "csv").stdout.splitlines())
    assert header == columns
    assert_same_rows(body, rows)


def test_markdown_is_what_python_answers(question, classrel):
    command, columns, rows = question
    header, _, *body = classrel(*command, "-f", "markdown").stdout.splitlines()
    cells = [line.strip("|").split(" | ") for line in [header, *body]]
    cells = [[cell.strip() for cell in line] for line in cells]
    assert cells[0] == columns
    assert_same_rows(cells[1:], rows)


@pytest.mark.parametrize("ending", ["csv", "json", "parquet", "md", "txt"])
def test_output_writes_the_file_and_nothing_to_standard_output(
    question, classrel, tmp_path, ending
):
    command, columns, rows = question
    file = tmp_path / f"out.{ending}"
    answer = classrel(*command, "--output", file)
    assert (answer.returncode, answer.stdout) == (0, "")
    assert [f.name for f in tmp_path.iterdir()] == [file.name]
    if ending == "parquet":
        assert duckdb.sql(f"FROM '{file}'").columns == columns
        assert duckdb.sql(f"FROM '{file}'").fetchall() == rows
    elif ending == "txt":
        assert file.read_text("utf-8") == classrel(*command).stdout
    else:
        asked = {"md": "markdown"}.get(ending, ending)
        assert file.read_text("utf-8") == classrel(*command, "-f", asked).stdout


@pytest.mark.parametrize("output", ["a.xlsx", "noending", "absent/a.csv"])
def test_an_output_that_cannot_be_written_leaves_nothing(database, classrel, tmp_path, output):
    answer = classrel("models", "--db", database, "-o", tmp_path / output)
    assert_refused(answer, output.split("/")[0])
    assert list(tmp_path.iterdir()) == []


def test_an_output_on_a_full_device_is_refused(database, classrel):
    with open("/dev/full", "w") as full:
        answer = subprocess.run(
            [sys.executable, "-m", "classrel_db", "classes", "efficientnet_lite0", "--db", database],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr


def test_a_reader_that_stops_early_is_no_traceback(database):
    answer = subprocess.run(
        f"'{sys.executable}' -m classrel_db classes efficientnet_lite0 --db '{database}' | head -1",
        shell=True, capture_output=True, text=True,
    )  # fmt: skip
    assert len(answer.stdout.splitlines()) == 1
    assert "Traceback" not in answer.stderr
    assert "BrokenPipe" not in answer.stderr


@pytest.mark.parametrize(
    "command",
    [
        "similar nonsense-no-class",
        "similar crab",
        "similar tench -k 0",
        "similar tench -k -3",
        "similar tench -k 1000",
        "similar tench -m resnet50",
        "similar [bold] -m efficientnet_lite0",
        "similar tench+",
        "classes resnet50",
        "info resnet50",
        "remove resnet50",
        "ingest resnet5O",
        "ingest torchvision:resnet50@NO_SUCH",
        "ingest nosuch:resnet50",
        "ingest ./missing.safetensors",
        "ingest /tmp",
        "ingest https://127.0.0.1:9/head.zip",
        "ingest packaged:nothing*",
        "ingest efficientnet_lite0 --labels x.csv",
        "ingest efficientnet_lite0 --normalize center",
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(database_copy, classrel, command):
    before = database_copy.read_bytes()
    answer = classrel(*command.split(), "--db", database_copy)
    if command == "similar tench+":  # no blank before the sign: a label, and there is none
        assert "tench" in answer.stderr
    assert_refused(answer)
    assert database_copy.read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        "similar",
        "similar tench -k many",
        "similar tench --format xml",
        "ingest",
        "ingest efficientnet_lite0 --normalize zscore",
        "nosuchcommand",
        "models --nosuchoption",
    ],
)
def test_wrong_usage_is_exit_code_2(classrel, command):
    answer = classrel(*command.split())
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "Usage: " in answer.stderr


def test_no_network_names_the_file_the_cache_and_the_heads_that_need_none(tmp_path):
    """Whatever the machine can reach: the child's name lookups fail, as without a network."""
    code = """
import runpy, socket, sys
def no_network(*_, **__): raise OSError("Network is unreachable")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = no_network
sys.argv = ["classrel", *sys.argv[1:]]
runpy.run_module("classrel_db", run_name="__main__")
"""
    path = tmp_path / "x.duckdb"
    answer = run_python(code, "ingest", "resnet18", "--db", path, env={"TORCH_HOME": str(tmp_path)})
    assert_refused(answer, "resnet18-f37072fd.pth", str(tmp_path), "efficientnet_lite0")
    assert not path.exists()


def test_a_packaged_head_is_ingested_with_every_socket_blocked(tmp_path):
    code = """
import runpy, socket, sys
def blocked(*_, **__): raise AssertionError("a socket was opened")
socket.socket.__init__ = blocked
sys.argv = ["classrel", *sys.argv[1:]]
runpy.run_module("classrel_db", run_name="__main__")
"""
    path = tmp_path / "x.duckdb"
    answer = run_python(code, "ingest", "efficientnet_lite0", "--db", path)
    assert answer.returncode == 0, answer.stderr


def test_a_check_that_fails_shows_the_finding_and_exits_with_1(stored, classrel):
    path = stored()
    assert classrel("check", "--db", path).returncode == 0
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE pairs SET cosine = 0.5 WHERE a = 0 AND b = 1")
    answer = classrel("check", "--db", path)
    assert answer.returncode == 1
    assert "FAILED" in answer.stdout
    assert answer.stderr == "error: 1 of 9 checks failed\n"


def test_the_database_is_named_by_option_or_environment(stored, classrel, monkeypatch, tmp_path):
    path = stored()
    monkeypatch.chdir(tmp_path)
    expected = classrel("models", "--db", path).stdout
    assert classrel("--db", path, "models").stdout == expected
    monkeypatch.setenv("CLASSREL_DB", str(path))
    assert classrel("models").stdout == expected
    monkeypatch.delenv("CLASSREL_DB")
    (tmp_path / "small.duckdb").rename(tmp_path / "classrel.duckdb")
    assert classrel("models").stdout == expected


def test_ingest_tells_each_model_on_standard_error(tmp_path, make_head, classrel):
    head = make_head()
    path = tmp_path / "x.duckdb"
    command = ["ingest", head.path, "--labels", head.labels_path, "--db", path]
    first = classrel(*command)
    assert (first.returncode, first.stdout) == (0, "")
    assert first.stderr.startswith("small: added, 12 classes × 6, 66 pairs, read ")
    assert first.stderr.count("\n") == 1  # no bars: nobody watches
    assert "\x1b" not in first.stderr
    again = classrel(*command)
    assert again.stderr == ("small: unchanged, the same head is stored already (12 classes × 6)\n")
    gone = classrel("remove", "small", "--db", path)
    assert (gone.returncode, gone.stderr) == (0, "small: removed\n")
    assert json_of(classrel("models", "-f", "json", "--db", path)) == []


def test_a_pattern_without_a_class_says_so_and_is_no_error(stored, classrel):
    answer = classrel("classes", "small", "zzz", "--db", stored(), "-f", "json")
    assert json_of(answer) == []
    assert "'zzz'" in answer.stderr


def test_a_terminal_sees_bars_with_rates_while_an_ingest_runs(tmp_path, large_head):
    child = pexpect.spawn(
        sys.executable,
        ["-m", "classrel_db", "ingest", str(large_head), "--labels", "imagenet1k",
         "--db", str(tmp_path / "x.duckdb")],
        dimensions=(40, 100), env={**os.environ, "TERM": "xterm-256color"},
        encoding="utf-8", timeout=60,
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "━" in child.before
    for part in ("efficientnet_lite0 neighbors", "efficientnet_lite0 pairs", "/s", "1,000 classes"):
        assert part in child.before
    # the bars are gone when it is done; what was stored stays
    shown = screen(child.before)
    assert [line.split(",")[0] for line in shown] == ["efficientnet_lite0: added"]


def screen(sent):
    """The lines that a terminal shows in the end; knows line feeds, cursor up and erase line."""
    lines, row = [""], 0
    coloured = re.compile(r"\x1b\[[0-9;]*m")
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)", coloured.sub("", sent)):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\x1b["):
            row = max(0, row - int(part[2:-1] or 1))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part and part != "\r" and not part.startswith("\x1b"):
            lines[row] += part
    return [line for line in lines if line.strip()]


INTERRUPTED = """
import importlib, os, signal, sys
module, name = importlib.import_module(sys.argv[1]), sys.argv[2]
original = getattr(module, name)
def interrupted(*arguments, **options):
    answer = original(*arguments, **options)
    os.kill(os.getpid(), signal.SIGINT)
    return answer
setattr(module, name, interrupted)
sys.argv = ["classrel", *sys.argv[3:]]
from classrel_db.cli import main
main()
"""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("classrel_db.sources", "load"),
        ("classrel_db.maths", "normalize"),
        ("classrel_db.storage.write", "insert_model"),
        ("classrel_db.storage.write", "insert_neighbors"),
        ("classrel_db.storage.write", "insert_pairs"),
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_ctrl_c_in_an_ingest_leaves_no_half_model(
    tmp_path, stored, make_head, module, name, is_new
):
    path = tmp_path / "new.duckdb" if is_new else stored()
    other = make_head(name="other", n_classes=100)
    answer = run_python(
        INTERRUPTED, module, name,
        "ingest", other.path, "--labels", other.labels_path, "--db", path,
    )  # fmt: skip
    assert answer.returncode == 130, answer.stderr
    assert "Traceback" not in answer.stderr
    assert "interrupted" in answer.stderr
    if is_new:
        assert not path.exists()
        return
    with classrel_db.open(path) as catalog:
        assert [row[0] for row in catalog.models().fetchall()] == ["small"]
        assert all(row[2] for row in catalog.check().fetchall())


def test_ctrl_c_in_any_other_command_is_130_and_no_traceback(database):
    answer = run_python(
        INTERRUPTED, "classrel_db.storage.read", "models", "models", "--db", database
    )
    assert answer.returncode == 130
    assert "Traceback" not in answer.stderr
