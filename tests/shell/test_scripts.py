"""The shell without a terminal: `-c`, and lines on standard input."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from oracle import run

import classrel_db


@pytest.fixture
def script(small, classrel, monkeypatch):
    """Run lines as they come from standard input."""

    def of(text, *options, db=small):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return classrel("shell", *options, "--db", db)

    return of


@pytest.fixture
def commands(small, classrel):
    """Run each with -c."""

    def of(*lines, db=small):
        return classrel("shell", *[part for line in lines for part in ("-c", line)], "--db", db)

    return of


@pytest.mark.parametrize(
    "line",
    [
        "models -f csv",
        "similar dog -k 3 -f csv",
        "query model_summary -f csv",
        "classes alpha -f csv",
    ],
)
def test_a_command_is_the_command_lines(commands, classrel, small, line):
    expected = classrel(*line.split(), "--db", small)
    answer = commands(line)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == expected.stdout


@pytest.mark.parametrize("end", ["", ";", " ; ", "; -- the end"])
def test_sql_with_c_needs_no_semicolon(commands, end):
    answer = commands("\\format csv", f"SELECT 1 AS a{end}")
    assert (answer.returncode, answer.stdout) == (0, "a\n1\n")


def test_several_run_in_order_in_one_shell(commands):
    answer = commands(
        "\\format csv",
        "use alpha",
        "CREATE TEMP MACRO mine() AS getvariable('model')",
        "SELECT mine() AS m; SELECT 2 AS n",
        "similar dog -k 1 -f jsonl",
    )
    assert answer.returncode == 0
    lines = answer.stdout.splitlines()
    assert lines[-5:-1] == ["m", "alpha", "n", "2"]
    assert json.loads(lines[-1])["model"] == "alpha"
    assert "format is csv" in answer.stderr
    assert "model alpha" in answer.stderr


def test_the_first_error_ends_it(commands):
    answer = commands("models -f csv", "similar nosuch", "models -f csv")
    assert answer.returncode == 1
    assert answer.stdout.count("model,classes") == 1
    assert answer.stderr.startswith('error: no class "nosuch"')


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("similar nosuch", 1),
        ("nosuch", 1),
        ("SELECT nosuch", 1),
        ("SELECT error('stop')", 1),
        ("DELETE FROM models", 1),
        ("\\nosuch", 1),
        ("shell", 1),
        ("\\e", 1),
        ("\\watch 1 FROM models", 1),
        ("\\read nosuch.txt", 1),
        ("similar", 2),
        ("similar dog -k many", 2),
        ("models", 0),
        ("", 0),
        ("\\q", 0),
    ],
)
def test_the_exit_code_is_that_of_the_command_line(commands, line, code):
    answer = commands(line, *(["models"] if code else []))
    assert answer.returncode == code
    assert answer.stderr.startswith("error: ") is bool(code)
    assert "Traceback" not in answer.stderr
    if code and not line.startswith("\\watch"):
        assert answer.stdout == ""


@pytest.mark.parametrize("line", ["\\watch 1 FROM models", "\\e SELECT 1"])
def test_what_needs_a_terminal_writes_nothing(commands, line):
    assert commands(line).stdout == ""


def test_what_needs_a_terminal_says_so(commands):
    assert commands("\\e SELECT 1").stderr == "error: \\e needs a terminal; leave it out\n"
    assert (
        commands("\\watch 1 FROM models").stderr
        == "error: \\watch needs a terminal; leave it out\n"
    )


@pytest.mark.parametrize("leave", ["exit", "\\q", "quit;"])
def test_leaving_ends_it_without_an_error(commands, script, leave):
    assert commands(leave, "nosuch").returncode == 0
    assert script(f"{leave}\nnosuch\n").returncode == 0


def test_a_script_may_have_remarks_and_statements_over_lines(script):
    answer = script(
        "# remarks\n-- of both kinds\n\n\\format csv\nSELECT\n  1 AS a,\n\n  'x; -- y' AS b\n;\n"
        "use beta\nSELECT getvariable('model') AS m; SELECT 2 AS n;\n"
    )
    assert answer.returncode == 0
    assert answer.stdout == "a,b\n1,x; -- y\nm\nbeta\nn\n2\n"


def test_a_script_needs_no_semicolon_at_its_end(script):
    assert script("\\format csv\nSELECT 1\nAS a").stdout == "a\n1\n"


@pytest.mark.parametrize(
    ("text", "line", "code"),
    [
        ("models\n\n# a\nnosuch\nmodels\n", 4, 1),
        ("models\nsimilar\nmodels\n", 2, 2),
        ("models\nSELECT 1,\n labl\nFROM classes;\nmodels\n", 2, 1),
        ("models\n\\read nosuch.txt\nmodels", 2, 1),
        ("models\nSELECT error('stop') FROM classes;\nmodels", 2, 1),
        ("models\n\\watch 1 FROM models\nmodels", 2, 1),
        ("models\nSELECT 'open\nmodels\nmodels\n", 2, 1),
    ],
)
def test_a_script_stops_at_its_first_error_with_the_line_and_the_code(script, text, line, code):
    answer = script(text)
    assert answer.returncode == code
    assert answer.stderr.startswith(f"error: line {line}: ")
    assert answer.stdout.count("model  ") == 1


def test_an_empty_script_is_done(script):
    for text in ("", "\n\n", "# nothing\n"):
        answer = script(text)
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_o_writes_the_results_of_a_script(script, tmp_path):
    answer = script(f"\\o {tmp_path}/a.csv\nSELECT 1 AS a;\n\\o {tmp_path}/b.parquet\nSELECT 2 AS b;\n\\o\n"
                    "SELECT 3 AS c;\n")  # fmt: skip
    assert answer.returncode == 0
    assert (tmp_path / "a.csv").read_text() == "a\n1\n"
    assert pa.parquet.read_table(tmp_path / "b.parquet").to_pylist() == [{"b": 2}]
    assert answer.stdout.split()[::2] == ["c", "3"]
    assert f"wrote {tmp_path}/a.csv\n" in answer.stderr


def test_a_command_may_write_elsewhere_than_o(script, tmp_path):
    script(f"\\o {tmp_path}/a.csv\nsql 'SELECT 1 AS a' -o {tmp_path}/b.csv\n")
    assert [file.name for file in tmp_path.iterdir()] == ["b.csv"]


def test_last_writes_the_last_result_of_a_script(script, tmp_path):
    answer = script(f"SELECT 1 AS a;\n\\last csv {tmp_path}/out.csv\n")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "out.csv").read_text() == "a\n1\n"


def test_all_rows_are_written_however_many(commands):
    answer = commands("\\format csv", "FROM range(150000)")
    assert answer.stdout.count("\n") == 150_001
    cut = commands("FROM range(5000)")
    assert len(cut.stdout.splitlines()) == 1000 + 4
    assert cut.stderr == "the first 1,000 rows; --format csv or --output FILE writes all of them\n"


def test_a_script_ingests_and_asks(script, tmp_path):
    np.savez(
        tmp_path / "gamma.npz",
        weight=np.random.default_rng(1).normal(size=(4, 5)),
        labels=list("abcd"),
    )
    db = tmp_path / "new.duckdb"
    assert script("models\n", db=db).returncode == 1
    assert not db.exists()
    text = f"ingest {tmp_path}/gamma.npz\n\\format csv\nSELECT name FROM models;\nsimilar a -k 1\n"
    answer = script(text, db=db)
    assert answer.returncode == 0, answer.stderr
    assert list(csv.reader(answer.stdout.splitlines()))[1] == ["gamma"]
    with classrel_db.open(db) as catalog:
        assert catalog.models().shape[0] == 1


def test_a_write_that_fails_midway_stops_the_script(script, tmp_path):
    answer = script(f"\\o {tmp_path}/a.csv\nSELECT error('stop') FROM classes;\nSELECT 1;\n")
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith("error: line 2: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_binary_may_be_piped(small, format):
    answer = subprocess.run(
        [sys.executable, "-m", "classrel_db", "shell", "--db", small, "-c", f"\\format {format}",
         "-c", "SELECT 1 AS a"],
        capture_output=True,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    if format == "parquet":
        table = pa.parquet.read_table(pa.BufferReader(answer.stdout))
    else:
        table = pa.ipc.open_file(answer.stdout).read_all()
    assert table.to_pylist() == [{"a": 1}]


def test_timing_is_told_in_a_script_too(script):
    assert " ms" in script("\\timing on\nSELECT 1;\n").stderr


def test_wrong_usage_of_the_shell_is_2(classrel, small):
    assert classrel("shell", "extra", "--db", small).returncode == 2
    assert classrel("shell", "--nosuch", "--db", small).returncode == 2
    shown = classrel("shell", "-h")
    assert shown.returncode == 0
    assert "classrel shell < questions.txt" in shown.stdout


def test_a_pipe_from_another_program(small):
    answer = run(
        ["bash", "-c", 'printf "use alpha\\nsimilar dog -k 1 -f csv\\nnosuch\\n" | "$0" -m classrel_db '
         'shell --db "$1"', sys.executable, str(small)]
    )  # fmt: skip
    assert answer.returncode == 1
    assert answer.stdout.splitlines()[1].startswith("alpha,dog,1,")
    assert 'error: line 3: no command "nosuch"' in answer.stderr


def test_a_reader_that_stops_early_is_no_traceback(small):
    answer = run(
        ["bash", "-c", '"$0" -m classrel_db shell --db "$1" -c "\\format csv" -c "FROM range(200000)" '
         "| head -1", sys.executable, str(small)]
    )  # fmt: skip
    assert answer.stdout == "range\n"
    assert "Traceback" not in answer.stderr
    assert "BrokenPipe" not in answer.stderr
