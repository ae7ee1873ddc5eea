"""(p) Six heads that take their time: by one worker and by two, of a Dask cluster and of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING

from tests.bench.measure import alternate, classrel, median_seconds, script
from tests.bench.report import Bound, Figure, times_faster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.measure import Run

_HEADS, _CLASSES, _DIM = 6, 12_000, 1024
_REPETITIONS = 2
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def figures(work: Path) -> Iterator[Figure]:
    script("wide_heads", work, str(_HEADS), str(_CLASSES), str(_DIM))
    heads = [work / f"wide{number}.npz" for number in range(_HEADS)]
    latest: dict[str, Path] = {}
    numbers = count()

    def ingest(side: str, *options: str) -> Run:
        database = work / f"{side}{next(numbers)}.duckdb"
        if side in latest:
            latest[side].unlink()
        latest[side] = database
        fixed = ("--pairs", "none", "--db", database)
        return classrel("ingest", *heads, *fixed, *options, env=_ONE_THREAD)

    with _scheduled(work, 1) as one, _scheduled(work, 2) as two:
        runs = alternate(
            {
                "one": lambda: ingest("one", "--scheduler", one),
                "two": lambda: ingest("two", "--scheduler", two),
                "thread": lambda: ingest("thread", "--jobs", "1"),
                "pool": lambda: ingest("pool", "--jobs", "2"),
            },
            _REPETITIONS,
            warm_up=0,  # what it would warm is lost in runs this long
        )
    seconds = {side: median_seconds(done) for side, done in runs.items()}
    what = f"{_HEADS} heads of {_CLASSES:,}×{_DIM}, no pairs, one thread a worker"
    yield Figure(
        f"{what}: two Dask workers; other: one",
        "s",
        seconds["two"],
        seconds["one"],
        times_faster(1.6),
    )
    yield Figure(f"{what}: --jobs 2; other: --jobs 1", "s", seconds["pool"], seconds["thread"])
    names = [word for head in heads for word in ("-m", head.stem)]
    exported = []
    for side, database in latest.items():
        classrel("export", file := work / f"{side}.parquet", *names, "--db", database)
        exported.append(file.read_bytes())
    other = sum(len(each) for each in exported if each != exported[0])
    same = Bound("none", lambda figure: not figure.classrel)
    yield Figure("exported Parquet that is not the same, byte for byte", "B", other, None, same)


@contextmanager
def _scheduled(work: Path, workers: int) -> Iterator[str]:
    """The address of a Dask scheduler with so many workers of one thread."""
    file = work / f"scheduler{workers}.json"
    quiet = ("--host", "127.0.0.1", "--no-dashboard")
    with ExitStack() as running:

        def start(kind: str, *arguments: str) -> None:
            command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments, *quiet]
            process = subprocess.Popen(
                command, cwd=work, stderr=subprocess.DEVNULL, env={**os.environ, **_ONE_THREAD}
            )
            running.callback(process.wait)
            running.callback(process.terminate)

        start("scheduler", "--port", "0", "--no-show", "--scheduler-file", str(file))
        while not (file.exists() and file.stat().st_size):
            time.sleep(0.05)
        address = json.loads(file.read_text("utf-8"))["address"]
        for _ in range(workers):
            start("worker", address, "--nthreads", "1")
        script("dask_ready", address, str(workers))
        yield address
