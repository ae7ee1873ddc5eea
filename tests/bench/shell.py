"""(g) The shell: how soon its prompt is there, and a keystroke's completion among 22,000 labels."""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING

import pexpect

from tests.bench.fixtures import make
from tests.bench.measure import CLASSREL, SCRIPTS, answer, classrel
from tests.bench.report import Figure, at_most, below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REPETITIONS = 9


def figures(work: Path) -> Iterator[Figure]:
    database = work / "shell.duckdb"
    classrel("ingest", "efficientnet_lite0", "--db", database)
    environment = {"TERM": "xterm", "HOME": str(work), "PATH": "/usr/bin:/bin"}
    sides = {
        "classrel": ([CLASSREL, "--db", str(database), "shell"], "classrel>"),
        "bare": ([sys.executable, str(SCRIPTS / "bare_prompt.py")], "bare>"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(_REPETITIONS):
        for name, (command, prompt) in sides.items():
            seconds[name].append(_until(command, prompt, environment))
    ours, bare = (statistics.median(seconds[name]) for name in sides)
    what = "classrel shell, to its prompt; other: Python that imports duckdb and prompt_toolkit"
    yield Figure(what, "s", ours, bare, at_most(2.5))

    make("labels", work)
    many = work / "labels.duckdb"
    classrel("ingest", work / "labels.npz", "--pairs", "none", "--db", many)
    took = answer("completion_times", many)
    limit = below(50e-3, "ms")
    for line, each in took["keystrokes"].items():
        yield Figure(f"the slowest keystroke of {line!r}, 22,000 labels", "ms", each, bound=limit)
    yield Figure("what is fetched meanwhile, at the first prompt", "ms", took["warming"])


def _until(command: list[str], prompt: str, environment: dict[str, str]) -> float:
    """Seconds from the start of a command in a terminal to its prompt."""
    started = time.perf_counter()
    child = pexpect.spawn(command[0], command[1:], env=environment, dimensions=(30, 100))
    child.expect_exact(prompt, timeout=60)
    seconds = time.perf_counter() - started
    child.close(force=True)
    return seconds
