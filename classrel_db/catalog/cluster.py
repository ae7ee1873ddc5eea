"""Workers of a Dask cluster, on machines that see the database's folder as this one does."""

from __future__ import annotations

import asyncio
import logging
import os
import pkgutil
import re
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from classrel_db.catalog.arguments import free_memory
from classrel_db.catalog.crews import Workers
from classrel_db.catalog.work import Done, Task, work
from classrel_db.errors import ArgumentError, ClusterError, MissingExtraError, WorkerError
from classrel_db.spelling import quoted
from classrel_db.version import __version__

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future
    from pathlib import Path

    from classrel_db.catalog.batch import Job
    from classrel_db.catalog.ingest import Made
    from classrel_db.records import Progress

_LOG = logging.getLogger("distributed.client")
_ADDRESS = re.compile(r"(tcp|tls)://[^/\s]+:[0-9]+")
_PATIENCE = 10.0  # seconds
_COUNTED_EVERY = 5.0  # seconds


class Cluster(Workers):
    """The workers of the scheduler at an ``address`` such as ``tcp://head:8786``.

    ``memory`` is what one head may take, in bytes; None for half of what a worker has for a thread.
    Leaving the ``with`` block cancels what is under way. Raises ArgumentError for what is no address,
    MissingExtraError, and ClusterError where there is no such cluster, or where it can't do the work.
    """

    def __init__(self, address: str, folder: Path, progress: Progress, memory: int | None) -> None:
        super().__init__(folder, progress)
        self._memory = memory
        self._address = address
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
            raise ArgumentError(
                f"scheduler is {quoted(str(address))}; it is an address such as tcp://head:8786"
            )
        try:
            import distributed
        except ImportError as error:
            raise MissingExtraError(
                'a cluster needs Dask, which is not installed: `pip install "classrel-db[cluster]"` brings it'
            ) from error
        self._require_scheduler()
        self._level = _LOG.level
        _LOG.setLevel(logging.CRITICAL)  # a lost scheduler is told in a line, and no traceback
        self._client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
        try:
            self._require_workers()
            # another try makes no difference to an error; where a worker is lost Dask has another do the task
            self._executor = self._client.get_executor(pure=False, retries=0)
        except BaseException:
            self._end()
            raise
        self._counted = 0.0
        self._threads = 0

    def ahead(self) -> int:
        """Twice as many as there are threads: what is ready takes no memory, and nobody waits for work."""
        if time.monotonic() - self._counted > _COUNTED_EVERY:
            self._threads = sum(self._client.nthreads().values())
            self._counted = time.monotonic()
        return max(4, 2 * self._threads)

    def submit(self, job: Job) -> Future[Done | None]:
        submitted: Future[Done | None] = self._executor.submit(
            _work, job.task, self._folder, self._memory
        )
        return submitted

    def made(self, job: Job, future: Future[Done | None]) -> Made | None:
        from distributed import KilledWorker

        try:
            return super().made(job, future)
        except KilledWorker as error:
            times = error.allowed_failures + 1
            raise WorkerError(
                f"{times} workers died one after the other while they computed {job.name}: most likely for "
                "lack of memory; give them more (dask worker --memory-limit), or fewer threads each"
            ) from error
        except CancelledError as error:
            raise ClusterError(
                f"the scheduler at {self._address} has gone; what is stored stays, and the same command once "
                "more does what is missing"
            ) from error

    def _end(self) -> None:
        self._client.close(timeout=_PATIENCE)
        _LOG.setLevel(self._level)

    def _require_scheduler(self) -> None:
        """Raise ClusterError where none answers. A client would leave threads behind that complain."""
        try:
            kind = _awaited(_kind_of(self._address))
        except (OSError, TypeError, ValueError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {self._address} within {_PATIENCE:.0f} s; start one with "
                "`dask scheduler`, and give the address that it prints"
            ) from error
        if kind != "Scheduler":
            raise ClusterError(
                f"a Dask {kind.lower()} answers at {self._address}; give the address that `dask scheduler` "
                "prints"
            )

    def _require_workers(self) -> None:
        """Raise ClusterError for no workers, for such with another classrel, or without the folder."""
        try:
            self._client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise ClusterError(
                f"the scheduler at {self._address} has no workers; start some with `dask worker "
                f"{self._address}`"
            ) from error
        for worker, version in self._asked(pkgutil.resolve_name, "classrel_db:__version__").items():
            if version != __version__:
                has = "no classrel" if isinstance(version, Exception) else f"classrel {version}"
                raise ClusterError(
                    f"the worker at {worker} has {has}, and this is {__version__}; install the same on both: "
                    f"pip install classrel-db=={__version__}"
                )
        for worker, seen in self._asked(os.path.isdir, str(self._folder)).items():
            if seen is not True:
                raise ClusterError(
                    f"the worker at {worker} does not see the folder {self._folder}; keep the database where "
                    "all machines see it under the same path, and name it with --db"
                )

    def _asked(self, function: Any, argument: str) -> dict[str, Any]:
        """What each worker answers, or its error."""
        answers: dict[str, Any] = self._client.run(function, argument, on_error="return")
        return answers


def _awaited(answer: Coroutine[Any, Any, str]) -> str:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(answer)
    with ThreadPoolExecutor(1) as beside:  # a notebook has a loop of its own in this thread
        return beside.submit(asyncio.run, answer).result()


async def _kind_of(address: str) -> str:
    """What answers at an address: ``Scheduler`` or ``Worker``."""
    from distributed import rpc

    async def asked() -> str:
        async with rpc(address, timeout=_PATIENCE) as there:
            answer = await there.identity()
            return str(answer["type"])

    return await asyncio.wait_for(asked(), _PATIENCE)


def _work(task: Task, run: Path, memory: int | None) -> Done:
    """In a worker."""
    from distributed import get_worker

    if memory is None:
        worker = get_worker()
        limit = worker.memory_manager.memory_limit or free_memory()
        memory = min(limit, free_memory()) // (2 * worker.state.nthreads)
    return work(task, run, memory=memory)
