"""Who reads and computes the heads of a batch: threads of this process, or processes here or elsewhere."""

from __future__ import annotations

import threading
import time
import warnings
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import current_process
from typing import TYPE_CHECKING

from classrel_db.catalog.ingest import Prepared
from classrel_db.catalog.loading import load
from classrel_db.errors import ClassrelWarning, ClusterError
from classrel_db.records import Step
from classrel_db.storage.database import translated
from classrel_db.storage.parts import Packed
from classrel_db.storage.spool import Spool, folder_of
from classrel_db.storage.threads import cores

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from classrel_db.catalog.batch import Crew, Job
    from classrel_db.catalog.ingest import Made
    from classrel_db.catalog.work import Done
    from classrel_db.records import IngestOptions, Progress


class Threads:
    """Threads of this process, which keep in memory what they make.

    They are one head ahead of the writer, so that it finds one ready and memory stays bounded. Leaving the
    ``with`` block ends them.
    """

    def __init__(
        self, number: int, options: IngestOptions, progress: Progress, scratch: Path
    ) -> None:
        self._number = number
        self._options = options
        self._progress = progress
        self._scratch = scratch
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="classrel-read")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def ahead(self) -> int:
        return self._number + 1

    def submit(self, job: Job) -> Future[Made | None]:
        return self._pool.submit(self._prepare, job)

    def made(self, _job: Job, future: Future[Made | None]) -> Made | None:
        return future.result()

    def _prepare(self, job: Job) -> Prepared | None:
        """Read one head and find its neighbours; None where it is unchanged."""
        begun = time.perf_counter()
        head = load(job.planned.place, job.name, self._options, self._tell, job.task.known)
        if head is None:
            return None
        prepared = Prepared(head, job.name, self._options, self._scratch)
        with prepared.searching as searching:
            searching.result(self._check)
        job.seconds = time.perf_counter() - begun
        return prepared

    def _tell(self, step: Step) -> None:
        self._check()
        self._progress(step)

    def _check(self) -> None:
        if self._stop.is_set():
            raise _StoppedError


class _StoppedError(Exception):
    """The batch is over, whatever this thread still has to do."""


class Workers(ABC):
    """Processes behind a ``concurrent.futures.Executor``, which leave what they make in a folder."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder = folder
        self._progress = progress

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @abstractmethod
    def _end(self) -> None:
        """Let go of the processes, and of what is under way."""

    @abstractmethod
    def ahead(self) -> int: ...

    @abstractmethod
    def submit(self, job: Job) -> Future[Done | None]: ...

    def made(self, job: Job, future: Future[Done | None]) -> Made | None:
        done = future.result()
        if done is None:
            return None
        for note in done.notes:
            self._progress(Step(job.name, "read", 0, 0, note))
        for text in done.warned:
            warnings.warn(text, ClassrelWarning, stacklevel=2)
        if done.error is not None:
            raise done.error
        job.seconds = done.seconds
        if done.folder is None:
            return None
        packed = Packed.open(self._folder / done.folder)
        if packed is None:
            raise ClusterError(
                f"a worker has put {job.name} into {self._folder / done.folder}, and here it is not whole; "
                "keep the database where all machines see the same files, and name it with --db"
            )
        return packed


@contextmanager
def at_work(
    database: Path,
    jobs: Sequence[Job],
    options: IngestOptions,
    progress: Progress,
    *,
    number: int,
    scheduler: str | None,
    memory: int | None,
) -> Iterator[tuple[Crew, Spool | None]]:
    """A crew for these jobs, and what waits for the ``database`` in files.

    The workers of a ``scheduler``, else a ``number`` of threads, or of processes where there is enough to
    compute; of those two a core at most. ``memory`` is what the user gives a head, in bytes.
    """
    from classrel_db.catalog.planning import worth_processes

    number = min(number, len(jobs))
    # a daemon, such as another pool's worker, may have no processes of its own
    processes = (
        number > 1 and worth_processes(job.planned for job in jobs) and not current_process().daemon
    )
    with ExitStack() as during:
        spool = None
        if scheduler is not None or processes or folder_of(database).is_dir():
            with translated(database):
                spool = during.enter_context(_spooled(database, [job.task.key for job in jobs]))
        crew: Threads | Workers
        if spool is not None and scheduler is not None:
            from classrel_db.catalog.cluster import Cluster

            crew = Cluster(scheduler, spool.folder, progress, memory)
        elif spool is not None and processes:
            from classrel_db.catalog.pool import Pool

            number = min(number, 2 * cores())
            share = options.memory // number if memory is None else memory
            crew = Pool(number, spool.folder, progress, share, database.parent)
        else:
            crew = Threads(max(1, number), options, progress, database.parent)
        during.enter_context(crew)
        yield crew, spool


@contextmanager
def _spooled(database: Path, keys: Collection[str]) -> Iterator[Spool]:
    spool = Spool.open(database, keys)
    try:
        yield spool
    finally:
        left = spool.close()
        if left:
            warnings.warn(
                f"{left} models are computed and not stored yet; they wait in {folder_of(database)}, and the "
                "same command once more stores them",
                ClassrelWarning,
                stacklevel=2,
            )
