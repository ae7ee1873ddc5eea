"""What the command line says of itself, and what saying it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from oracle import run_classrel, run_python

import classrel_db
from classrel_db.cli import app


def test_every_command_explains_itself(classrel):
    for name, command in app.commands.items():
        for inner in getattr(command, "commands", {None: command}):
            answer = classrel(*filter(None, (name, inner)), "--help")
            assert answer.returncode == 0
            assert "Usage: " in answer.stdout
            assert "--db" in answer.stdout
    assert set(app.commands) == {
        "check", "classes", "cluster", "compare", "consensus", "counterpart", "disagree", "export",
        "info", "ingest", "map", "models", "plot", "query", "remove", "report", "shell", "similar", "sql",
        "tag", "taxonomy", "tree", "zoo",
    }  # fmt: skip


def test_the_version_is_the_packages(classrel):
    assert classrel("--version").stdout == f"classrel {classrel_db.__version__}\n"


LOADED = """
import atexit, json, sys
def tell():
    top = {name.partition(".")[0] for name in sys.modules}
    print(json.dumps(sorted(top)), file=sys.stderr)
atexit.register(tell)
sys.argv = ["classrel", *sys.argv[1:]]
from classrel_db.cli import main
main()
"""
HEAVY = {
    "duckdb",
    "_duckdb",
    "numpy",
    "scipy",
    "skbio",
    "networkx",
    "torch",
    "torchvision",
    "faiss",
    "pyarrow",
    "pandas",
    "prompt_toolkit",
    "pygments",
}


def loaded_by(*arguments, **environment):
    answer = run_python(LOADED, *arguments, env=environment)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout, set(json.loads(answer.stderr.splitlines()[-1]))


@pytest.mark.parametrize("command", [[], *[[name] for name in app.commands]], ids=" ".join)
def test_help_loads_nothing_heavy(command):
    shown, modules = loaded_by(*command, "--help")
    assert "Usage: " in shown
    assert not HEAVY & modules


@pytest.mark.parametrize(
    ("words", "expected"),
    [("classrel ", "similar"), ("classrel si", "similar"), ("classrel similar --", "--format"),
     ("classrel models --format ", "markdown")],
)  # fmt: skip
def test_completion_loads_nothing_heavy(words, expected):
    shown, modules = loaded_by(
        _CLASSREL_COMPLETE="bash_complete",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
    )
    assert expected in shown
    assert not HEAVY & modules


def test_a_stored_answer_loads_duckdb_and_nothing_else_heavy(database):
    shown, modules = loaded_by("similar", "Dungeness crab", "--db", database, "-f", "json")
    assert len(json.loads(shown)) == 75
    assert "duckdb" in modules
    assert not (HEAVY - {"duckdb", "_duckdb"}) & modules


def test_python_m_and_the_script_are_one_command(database):
    script = os.path.join(os.path.dirname(sys.executable), "classrel")
    by_script = subprocess.run([script, "models", "--db", database], capture_output=True, text=True)
    assert by_script.stdout == run_classrel("models", "--db", database).stdout != ""
