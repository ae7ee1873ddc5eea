"""Many heads into one database: several are read and computed at once, one writer stores them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import TYPE_CHECKING

from classrel_db.catalog.ingest import Prepared, already_there, put_index, store
from classrel_db.catalog.loading import load
from classrel_db.errors import ClassrelError, ModelExistsError
from classrel_db.records import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from concurrent.futures import Future

    from classrel_db.catalog.planning import Planned
    from classrel_db.records import Ingested, IngestOptions, Progress, Step, StoredModel
    from classrel_db.storage.database import Database
    from classrel_db.storage.index import IndexCache

_SOON = 0.5  # seconds


class Batch:
    """Reads and computes in threads, stores in the caller's, one transaction a model.

    The heads that are read ahead are at most one more than there are threads, so that the writer finds
    one ready and memory stays bounded. The file is held as long as heads come to be stored.
    """

    def __init__(
        self,
        database: Database,
        indexes: IndexCache,
        options: IngestOptions,
        progress: Progress,
    ) -> None:
        self._database = database
        self._indexes = indexes
        self._options = options
        self._progress = progress
        self._stop = threading.Event()

    def run(self, plan: Mapping[str, Planned], threads: int) -> Generator[Ingested | Failed]:
        """What became of each model, as it is stored or fails; in the order given with one thread.

        Raises DatabaseError, which ends the batch.
        """
        waiting = iter(plan.items())
        running: dict[Future[Prepared | None], _Job] = {}
        pool = ThreadPoolExecutor(threads, thread_name_prefix="classrel-read")

        def submit() -> None:
            name, planned = next(waiting, (None, None))
            if name is not None and planned is not None:
                future = pool.submit(self._prepare, name, planned)
                running[future] = _Job(name, planned, time.perf_counter())

        try:
            for _ in range(threads + 1):
                submit()
            while running:
                wait(running, return_when=FIRST_COMPLETED)
                ready = next(future for future in running if future.done())
                settled = _settled(running[ready], ready)
                if settled is None:
                    yield from self._stored(running, submit)
                else:
                    del running[ready]
                    submit()
                    yield settled
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)

    def _stored(
        self, running: dict[Future[Prepared | None], _Job], submit: Callable[[], None]
    ) -> Iterator[Ingested | Failed]:
        """Store what is ready, and what gets ready meanwhile, over one connection."""
        is_new = not self._database.exists()
        first = None
        with self._database.writer() as connection:
            while ready := _next(running):
                job = running.pop(ready)
                submit()
                settled = _settled(job, ready)
                if settled is not None:
                    yield settled
                    continue
                prepared = ready.result()
                assert prepared is not None  # noqa: S101
                try:
                    with prepared.searching:
                        stored = store(connection, prepared, self._options, self._progress)
                except ModelExistsError as error:
                    yield Failed(job.planned.place.spec, job.name, error)
                    continue
                if is_new:
                    first = (job, prepared, *stored)
                    break  # the file takes its place only at the end of this block
                yield self._finished(job, prepared, *stored)
        if first is not None:
            yield self._finished(*first)

    def _finished(
        self, job: _Job, prepared: Prepared, answer: Ingested, before: StoredModel | None
    ) -> Ingested:
        put_index(self._indexes, prepared, answer, before)
        return replaced(answer, seconds=time.perf_counter() - job.started)

    def _prepare(self, name: str, planned: Planned) -> Prepared | None:
        """Read one head and find its neighbours, in a thread of the pool; None where it is stored."""
        head = load(planned.place, name, self._options, self._tell, planned.known)
        if head is None:
            return None
        prepared = Prepared(head, name, self._options, self._database.path.parent)
        with prepared.searching as searching:
            searching.result(self._check)
        return prepared

    def _tell(self, step: Step) -> None:
        self._check()
        self._progress(step)

    def _check(self) -> None:
        if self._stop.is_set():
            raise _StoppedError


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    planned: Planned
    started: float


class _StoppedError(Exception):
    """The batch is over, whatever this thread still has to do."""


def _next(running: Mapping[Future[Prepared | None], _Job]) -> Future[Prepared | None] | None:
    """The first that is ready, or is so soon: to open the file anew costs more than a short wait."""
    wait(running, timeout=_SOON, return_when=FIRST_COMPLETED)
    return next((future for future in running if future.done()), None)


def _settled(job: _Job, future: Future[Prepared | None]) -> Ingested | Failed | None:
    """What became of a model that isn't to be stored: it failed, or stands there; None of any other."""
    error = future.exception()
    if isinstance(error, ClassrelError):
        return Failed(job.planned.place.spec, job.name, error)
    if error is not None:
        raise error  # nobody's to expect
    if future.result() is None and job.planned.before is not None:
        return already_there(job.planned.before)
    return None
