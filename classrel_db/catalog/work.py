"""The work of one model, wherever a worker is: read, normalise, search, and leave its rows in files."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db import sources
from classrel_db.catalog.ingest import Prepared, searched_model
from classrel_db.catalog.loading import load
from classrel_db.errors import ClassrelError, ClassrelWarning, ClusterError, WorkerError
from classrel_db.records import Step
from classrel_db.sources.checkpoint import READERS
from classrel_db.sources.labels import IMAGENET1K
from classrel_db.storage.columns import (
    class_columns,
    neighbor_columns,
    pair_columns,
    weight_columns,
)
from classrel_db.storage.database import translated
from classrel_db.storage.index import IndexCache
from classrel_db.storage.parts import pack
from classrel_db.storage.spool import attempt
from classrel_db.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from classrel_db.catalog.planning import Planned
    from classrel_db.catalog.searching import Found
    from classrel_db.records import IngestOptions, KnownHead, Progress

    Columns = dict[str, pa.Array]


@dataclass(frozen=True, slots=True)
class Task:
    """One model to be worked at, in what a process on any machine understands.

    ``key`` stays the same as long as model, options, files and classrel do. Paths are absolute.
    """

    key: str
    spec: str
    name: str
    options: IngestOptions
    known: KnownHead | None
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a task.

    The name of the ``folder`` of its files, None where the head is unchanged; or the ``error`` that the
    user is to know. ``notes`` and ``warned`` are what nobody was told meanwhile.
    """

    folder: str | None = None
    error: ClassrelError | None = None
    notes: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    seconds: float = 0.0


def task_of(name: str, planned: Planned, options: IngestOptions) -> Task:
    """The task of one model of a plan."""
    place, entry, labels = planned.place, planned.entry, options.labels
    if labels is not None:
        labels = str(labels) if str(labels) == IMAGENET1K else str(Path(labels).absolute())
    options = replaced(options, labels=labels)
    spec = entry.uri if entry.source == "file" else place.spec
    return Task(_key(spec, name, options), spec, name, options, planned.known)


def work(
    task: Task, run: Path, *, memory: int, scratch: Path | None = None, tell: Progress | None = None
) -> Done:
    """Read and compute one model, and pack it into a folder of its own in that of a ``run``.

    ``memory`` is in bytes; large arrays lie in ``scratch``, or in the system's folder for such files. Errors
    that the user is to know are in the answer: none of them gets better by another try.
    """
    started = time.perf_counter()
    notes: list[str] = []

    def step(each: Step) -> None:
        if tell is not None:
            tell(each)
        elif each.note:
            notes.append(each.note)

    packed = None
    error: ClassrelError | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ClassrelWarning)
        try:
            packed = _worked(task, run, memory, scratch, step)
        except ClassrelError as raised:
            error = raised.with_traceback(None)
        except MemoryError:
            error = WorkerError(
                f"there was too little memory to compute {task.name}; ingest fewer at once (--jobs), or "
                "give --memory"
            )
    warned = tuple(str(each.message) for each in caught if each.category is ClassrelWarning)
    name = None if packed is None else packed.name
    return Done(name, error, tuple(notes), warned, time.perf_counter() - started)


def _worked(
    task: Task, run: Path, memory: int, scratch: Path | None, step: Progress
) -> Path | None:
    if task.version != __version__:
        raise ClusterError(
            f"a worker has classrel {__version__}, and this is {task.version}; install the same on both: "
            f"pip install classrel-db=={task.version}"
        )
    if not run.is_dir():
        raise ClusterError(
            f"a worker does not see the folder {run}; keep the database where all machines see it under "
            "the same path, and name it with --db"
        )
    options = replaced(task.options, memory=memory)
    head = load(sources.locate(task.spec), task.name, options, step, task.known)
    if head is None:
        return None
    with translated(scratch or Path(tempfile.gettempdir())):
        made = Prepared(head, task.name, options, scratch)
        with made.searching:
            found = made.found(step)
    n_classes = made.model.n_classes
    step(Step(task.name, "neighbors", n_classes, n_classes))
    with translated(run):
        folder = attempt(run, task.key)
        try:
            made.put_index(IndexCache(folder))
            pack(
                folder,
                searched_model(made.model, found),
                made.normalized.center,
                made.others,
                _tables(made, found, step),
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return folder


def _tables(made: Prepared, found: Found, tell: Progress) -> dict[str, Iterable[Columns]]:
    name, n_pairs = made.model.name, made.model.n_pairs

    def pairs() -> Iterator[Columns]:
        written = 0
        for block in pair_columns(made.pair_blocks()):
            yield block
            written += len(block["cosine"])
            tell(Step(name, "pairs", written, n_pairs))

    return {
        "classes": [class_columns(made.space, made.head.bias, made.statistics)],
        "weights": weight_columns(made.normalized.rows),
        "pairs": pairs() if n_pairs else (),
        "neighbors": neighbor_columns(found.indices, found.cosines),
    }


def _key(spec: str, name: str, options: IngestOptions) -> str:
    said = asdict(options)
    del said["memory"], said["replace"]  # which change nothing in a head
    files = [Path(each) for each in (spec, said["labels"]) if each]
    if spec.endswith(".json"):  # it names others, beside it
        files += sorted(each for each in Path(spec).parent.glob("*") if each.suffix in READERS)
    told = json.dumps([__version__, spec, name, said, [_state(each) for each in files]])
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _state(path: Path) -> tuple[str, int, int] | None:
    """What changes with the content of a file; None of what is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return path.name, found.st_size, found.st_mtime_ns
