"""Many heads into one database: several are read and computed at once, one writer stores them."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Any, Protocol

from classrel_db.catalog.ingest import Made, already_there, put_index, store
from classrel_db.errors import (
    ClassrelError,
    ClusterError,
    DatabaseError,
    ModelExistsError,
    WorkerError,
)
from classrel_db.records import Failed, Ingested

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from duckdb import DuckDBPyConnection

    from classrel_db.catalog.planning import Planned
    from classrel_db.catalog.work import Task
    from classrel_db.records import IngestOptions, Progress, StoredModel
    from classrel_db.storage.database import Database
    from classrel_db.storage.index import IndexCache
    from classrel_db.storage.parts import Packed
    from classrel_db.storage.spool import Spool

_SOON = 0.5  # seconds


@dataclass(slots=True)
class Job:
    """One model on its way into the database.

    ``seconds`` is what it has taken, ``lost`` how many processes died with it. ``packed`` is what an earlier
    run has left of it: it is stored where the head turns out to be unchanged.
    """

    name: str
    planned: Planned
    task: Task
    seconds: float = 0.0
    lost: int = 0
    packed: Packed | None = None

    def failed(self, error: ClassrelError) -> Failed:
        return Failed(self.planned.place.spec, self.name, error)


@dataclass(frozen=True, slots=True)
class _Stored:
    job: Job
    made: Made
    answer: Ingested
    before: StoredModel | None


class Crew(Protocol):
    """Who reads and computes heads: threads of this process, or processes here or elsewhere."""

    def ahead(self) -> int:
        """How many jobs may be under way, until they are stored."""

    def submit(self, job: Job) -> Future[Any]: ...

    def made(self, job: Job, future: Future[Any]) -> Made | None:
        """What came of a job that is done; None where the head is unchanged.

        Raises ClassrelError, and BrokenExecutor where a process died.
        """


class Batch:
    """Has a crew at work, and stores what it makes in the caller's thread, one transaction a model.

    The file is held as long as heads come to be stored. What is in the ``spool`` already is not made again.
    """

    def __init__(
        self,
        database: Database,
        indexes: IndexCache,
        options: IngestOptions,
        progress: Progress,
        crew: Crew,
        spool: Spool | None,
    ) -> None:
        self._database = database
        self._indexes = indexes
        self._options = options
        self._progress = progress
        self._crew = crew
        self._spool = spool
        self._waiting: deque[Job] = deque()
        self._running: dict[Future[Any], Job] = {}

    def run(self, jobs: Iterable[Job]) -> Generator[Ingested | Failed]:
        """What became of each model, as it is stored or fails; in the order given with a crew of one.

        Raises DatabaseError and ClusterError, which end the batch.
        """
        self._waiting.extend(jobs)
        self._give_out()
        while (ready := self._ready()) is not None:
            job, outcome = ready
            if isinstance(outcome, Ingested | Failed):
                yield outcome
            else:
                yield from self._stored(job, outcome)

    def _stored(self, job: Job, made: Made) -> Iterator[Ingested | Failed]:
        """Store what is ready, and what gets ready meanwhile, over one connection."""
        is_new = not self._database.exists()
        first = None
        ready: tuple[Job, Made | Ingested | Failed] | None = (job, made)
        with self._database.writer() as connection:
            while ready is not None:
                job, outcome = ready
                if not isinstance(outcome, Ingested | Failed):
                    stored = self._store(connection, job, outcome)
                    if is_new and isinstance(stored, _Stored):
                        first = stored
                        break  # the file takes its place only at the end of this block
                    outcome = self._finished(stored) if isinstance(stored, _Stored) else stored
                yield outcome
                # to open the file anew costs more than a short wait
                ready = self._ready(_SOON)
        if first is not None:
            yield self._finished(first)

    def _store(self, connection: DuckDBPyConnection, job: Job, made: Made) -> _Stored | Failed:
        begun = time.perf_counter()
        try:
            answer, before = store(connection, made, self._options, self._progress)
        except ModelExistsError as error:
            self._forget(job)
            return job.failed(error)
        except BaseException:
            self._forget(job)  # a damaged file would end the next batch, too
            raise
        job.seconds += time.perf_counter() - begun
        return _Stored(job, made, answer, before)

    def _finished(self, stored: _Stored) -> Ingested:
        begun, job = time.perf_counter(), stored.job
        put_index(self._indexes, stored.made, stored.answer, stored.before)
        self._forget(job)
        return replaced(stored.answer, seconds=job.seconds + time.perf_counter() - begun)

    def _forget(self, job: Job) -> None:
        if self._spool is not None:
            self._spool.remove(job.task.key)

    def _give_out(self) -> None:
        """As many jobs as may be under way; one whose process died goes alone."""
        while self._waiting:
            alone = any(job.lost for job in (self._waiting[0], *self._running.values()))
            if len(self._running) >= (1 if alone else self._crew.ahead()):
                return
            job = self._waiting.popleft()
            self._running[self._start(job)] = job

    def _start(self, job: Job) -> Future[Any]:
        """Submit a job, unless an earlier run has left it whole and nothing can have changed since."""
        packed = None if self._spool is None else self._spool.waiting(job.task.key)
        if packed is not None and job.planned.may_change:
            packed = packed if packed.known is not None else None
            job.task = replaced(job.task, known=packed.known if packed else job.task.known)
        job.packed = packed
        if packed is None or job.planned.may_change:
            return self._crew.submit(job)
        unchanged: Future[Any] = Future()
        unchanged.set_result(None)
        return unchanged

    def _ready(self, within: float | None = None) -> tuple[Job, Made | Ingested | Failed] | None:
        """The first job that is ready, and what came of it; None where there is none, or none so soon."""
        while self._running:
            wait(self._running, within, FIRST_COMPLETED)
            future = next((each for each in self._running if each.done()), None)
            if future is None:
                return None
            job = self._running.pop(future)
            outcome = self._outcome(job, future)
            self._give_out()
            if outcome is not None:
                return job, outcome
        return None

    def _outcome(self, job: Job, future: Future[Any]) -> Made | Ingested | Failed | None:
        """What came of a job; None where its process died, and it is to be done again."""
        try:
            made = self._crew.made(job, future) or job.packed
        except BrokenExecutor:
            job.lost += 1
            if job.lost == 1:
                self._waiting.appendleft(job)
                return None
            message = (
                f"the process that computed {job.name} was killed, and again when nothing else was at work: "
                "most likely for lack of memory; give it less with --memory, or run this where there is more"
            )
            return job.failed(WorkerError(message))
        except (ClusterError, DatabaseError):
            raise
        except ClassrelError as error:
            return job.failed(error)
        if made is None:
            assert job.planned.before is not None  # noqa: S101
            return already_there(job.planned.before)
        return made
