"""The README's examples are run, in order, in one folder: what it shows is what is printed."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from commands import run_here

import classrel_db
import classrel_db.cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, list[str]]]:
    """(command, the lines shown under it) of every console block."""
    found: list[tuple[str, list[str]]] = []
    for line in "\n".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which every console example has been run; what each printed."""
    place = tmp_path_factory.mktemp("readme")
    printed = {}
    with contextlib.chdir(place):
        for command, _ in examples():
            program, *arguments = shlex.split(command)
            assert program == "classrel"
            done = run_here(*arguments)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            printed[command] = done.stdout + done.stderr
    return place, printed


def squeezed(line: str) -> str:
    return re.sub(r"\s+|─+", " ", line).strip()


def test_there_are_examples_to_run():
    assert len(examples()) >= 8


@pytest.mark.parametrize(("command", "shown"), examples())
def test_console_examples_print_what_the_readme_shows(folder, command, shown):
    lines = iter(squeezed(line) for line in folder[1][command].splitlines())
    for line in shown:
        start = squeezed(line.split("…")[0])
        assert any(given.startswith(start) for given in lines), f"{line!r} is not printed"


@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples_run(folder, monkeypatch, code):
    monkeypatch.chdir(folder[0])
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("statements", blocks("sql"))
def test_sql_examples_answer_with_rows(folder, statements):
    with duckdb.connect(str(folder[0] / "classrel.duckdb"), read_only=True) as connection:
        for statement in connection.extract_statements(statements):
            assert connection.execute(statement).fetchall()


def test_every_command_and_option_in_the_readme_exists():
    for line in "\n".join(blocks("sh") + blocks("console")).splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words[:1] != ["classrel"]:
            continue
        if words[1] == "--db":  # of all commands, and before them
            assert "--db" in {name for each in classrel_db.cli.app.params for name in each.opts}
            del words[1:3]
        command = classrel_db.cli.app.commands[words[1]]
        inner = getattr(command, "commands", {})
        named = next((inner[word] for word in words[2:3] if word in inner), None)
        command = named or inner.get(getattr(command, "default", "")) or command
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("-") and word != "-"} <= options, line


def test_every_command_is_in_the_readme():
    for name in classrel_db.cli.app.commands:
        assert f"classrel {name}" in README, name


def test_every_make_target_is_in_the_help_and_the_ones_users_need_in_the_readme():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^\.PHONY: (\w+)$", makefile, re.MULTILINE))
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    assert targets - {"help"} == set(re.findall(r"^make (\w+)", listed, re.MULTILINE))
    for name in ("demo", "test", "ingest", "check", "bench"):
        assert f"make {name}" in README, name


def test_ci_runs_the_test_command_of_the_readme():
    assert "make test\n" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_the_lines_of_the_shell_run(folder):
    (shown,) = blocks("text")
    script = re.sub(r"^\S*> ", "", shown, flags=re.MULTILINE)
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        [scripts / "classrel", "shell"], cwd=folder[0], input=script, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (folder[0] / "crab.csv").read_text().startswith("model,class,rank,neighbor,")


def test_every_query_and_shell_command_is_in_the_readme(folder):
    from classrel_db.shell.session import Session

    with classrel_db.open(folder[0] / "classrel.duckdb") as catalog:
        names = [*catalog.named_queries, *Session(classrel_db.cli.app, catalog).backslash_commands]
    assert [name for name in names if f"`{name}" not in README] == []
