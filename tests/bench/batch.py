"""(l) A hundred heads over HTTP with four jobs, against the sum of the floors of each."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

from tests.bench import fixtures
from tests.bench.measure import (
    SCRIPTS,
    alternate,
    answer,
    classrel,
    median_seconds,
    peak_bytes,
    script,
)
from tests.bench.report import Bound, Figure, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.measure import Run

_REPETITIONS = 3
_JOBS = "4"


def figures(work: Path) -> Iterator[Figure]:
    fixtures.make("heads", work)
    fresh = (work / f"{number}.duckdb" for number in count())
    with _served(work) as address:
        specs = [f"{address}/head{number:03d}.safetensors" for number in range(fixtures.MANY)]

        def ours() -> Run:
            options = ("--labels", "imagenet1k", "--jobs", _JOBS)
            return classrel("ingest", *specs, *options, "--db", _only(next(fresh)))

        def floor() -> Run:
            return script("batch_floor", address, str(fixtures.MANY), _only(next(fresh)))

        runs = alternate({"ours": ours, "floors": floor}, _REPETITIONS)
        seconds = {name: median_seconds(done) for name, done in runs.items()}
        spent = json.loads(runs["floors"][-1].output)
        shares = ", ".join(f"{name} {value:.1f} s" for name, value in spent.items())
        what = f"{fixtures.MANY} heads of 1000×1280 over loopback, {_JOBS} jobs; floors: {shares}"
        yield Figure(what, "s", seconds["ours"], seconds["floors"], at_most(1.3))
        memory = Bound("at most 2.5 GB", lambda figure: figure.classrel <= 2.5e9)
        yield Figure("its peak memory", "GB", peak_bytes(runs["ours"]), None, memory)
        spent = answer("batch_idle", address, str(fixtures.MANY), _only(next(fresh)), _JOBS)
        idle = Bound("at most 1 % of it", lambda figure: figure.ratio <= 0.01)
        what = "the writer idle while a head is ready; other: the whole batch"
        yield Figure(what, "s", spent["idle"], spent["whole"], idle)
        yield Figure(
            "the writer at work; other: the whole batch", "s", spent["writing"], spent["whole"]
        )


def _only(path: Path) -> Path:
    """``path``, once the databases before it are gone: a hundred heads take 1.5 GB."""
    for old in path.parent.glob("*.duckdb"):
        old.unlink()
    return path


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    command = [sys.executable, str(SCRIPTS / "file_server.py"), str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.communicate()
