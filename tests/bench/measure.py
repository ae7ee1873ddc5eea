"""Timing child processes, and two sides of a comparison in turns.

This process stays small: the peak memory that Linux reports for a child begins with its parent's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLASSREL = str(Path(sys.executable).with_name("classrel"))
SCRIPTS = Path(__file__).with_name("scripts")


class ChildError(Exception):
    """A child process ended with an error; the message holds what it said."""


@dataclass(frozen=True, slots=True)
class Run:
    """One child process from start to end: wall-clock seconds, peak resident bytes, its output."""

    seconds: float
    peak_bytes: int
    output: str


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> Run:
    """Run ``command`` to its end, with ``env`` on top of this environment."""
    os.sync()  # what an earlier child wrote is not to be paid for by this one
    environment = {**os.environ, **(env or {})}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=output, stderr=errors, env=environment
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            said = errors.read().strip().splitlines()[-3:]
            raise ChildError(f"{' '.join(map(str, command))}: {' / '.join(said)}")
        return Run(seconds, usage.ru_maxrss * 1024, output.read())


def classrel(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Run:
    """The installed command, as a user starts it."""
    return run(CLASSREL, *arguments, env=env)


def script(name: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Run:
    """One of the yardsticks in ``scripts/``, by the same interpreter."""
    return run(sys.executable, SCRIPTS / f"{name}.py", *arguments, env=env)


def answer(name: str, *arguments: str | Path) -> Any:
    """What a script of ``scripts/`` prints, read as JSON."""
    return json.loads(script(name, *arguments).output)


def alternate(
    sides: Mapping[str, Callable[[], Run]], repetitions: int, warm_up: int = 1
) -> dict[str, list[Run]]:
    """Each side in turn, the order reversed every round; rounds of warm-up are thrown away."""
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    order = list(sides)
    for turn in range(warm_up + repetitions):
        for name in order:
            done = sides[name]()
            if turn >= warm_up:
                runs[name].append(done)
        order.reverse()
    return runs


def median_seconds(runs: list[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


def peak_bytes(runs: list[Run]) -> int:
    return max(run.peak_bytes for run in runs)
