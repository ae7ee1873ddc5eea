"""Worker processes on this machine, made anew when one of them dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from queue import Empty
from types import ModuleType
from typing import TYPE_CHECKING, Any

from classrel_db.catalog.crews import Workers
from classrel_db.catalog.work import Done, Task, work
from classrel_db.storage.threads import cores, use_threads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.queues import Queue
    from pathlib import Path

    from classrel_db.catalog.batch import Job
    from classrel_db.catalog.ingest import Made
    from classrel_db.records import Progress, Step

_TOLD_EVERY = 0.1  # seconds
# what every head needs: a process that is forked from one that has them starts at once
_PRELOADED = ["classrel_db.catalog.pool", "faiss", "pyarrow.parquet"]


class Pool(Workers):
    """So many ``processes``. Leaving the ``with`` block ends them at once.

    ``memory`` is what one of them may take, in bytes; their large arrays lie in ``scratch``.
    """

    def __init__(
        self, processes: int, folder: Path, progress: Progress, memory: int, scratch: Path
    ) -> None:
        super().__init__(folder, progress)
        self._processes = processes
        self._memory = memory
        self._scratch = scratch
        self._team: _Team | None = None

    def ahead(self) -> int:
        return 2 * self._processes  # what is ready takes no memory

    def submit(self, job: Job) -> Future[Done | None]:
        if self._team is None:
            self._team = _Team(self._processes, self._progress)
        return self._team.submit(_work, job.task, self._folder, self._memory, self._scratch)

    def made(self, job: Job, future: Future[Done | None]) -> Made | None:
        try:
            return super().made(job, future)
        except BrokenExecutor:
            # whatever else is under way is lost with it; the next job gets new processes
            error = None if self._team is None else self._team.error
            self._end()
            if error is not None:
                raise error from None
            raise

    def _end(self) -> None:
        if self._team is not None:
            self._team.end()
            self._team = None


class _Team:
    """An executor, what its processes tell, and what ends them with this one, however it ends.

    ``error`` is what the caller's ``progress`` raised.
    """

    def __init__(self, processes: int, progress: Progress) -> None:
        kinds = multiprocessing.get_all_start_methods()
        # never by fork: the copy would lack the threads that DuckDB, FAISS and OpenMP count on
        context = multiprocessing.get_context("forkserver" if "forkserver" in kinds else "spawn")
        context.set_forkserver_preload(_PRELOADED)
        self.error: BaseException | None = None
        self._progress = progress
        self._steps: Queue[Step] = context.Queue()
        self._lifeline, self._held = context.Pipe(duplex=False)
        self._over = threading.Event()
        threads = max(1, cores() // processes)
        self._executor = ProcessPoolExecutor(
            processes, context, _begin, (self._lifeline, self._steps, threads)
        )
        self._listener = threading.Thread(target=self._listen, name="classrel-steps", daemon=True)
        self._listener.start()

    def submit(self, *call: Any) -> Future[Done | None]:
        try:
            with _starting():
                return self._executor.submit(*call)
        except BrokenExecutor as error:
            broken: Future[Done | None] = Future()
            broken.set_exception(error)
            return broken

    def end(self) -> None:
        self._held.close()
        self._executor.shutdown(cancel_futures=True)
        self._over.set()
        self._listener.join()
        self._lifeline.close()
        self._steps.close()

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                self._progress(self._steps.get(timeout=_TOLD_EVERY))
            except Empty:
                continue
            except BaseException as error:  # noqa: BLE001
                self.error = error  # the caller's own, raised by made()
                self._held.close()
                return


@contextmanager
def _starting() -> Iterator[None]:
    """What a process that starts now is spared: Ctrl-C, the script of the caller, and the current folder.

    It would run the script once more, where that has no guard, and import from the folder before all else.
    """
    main = sys.modules["__main__"]
    unsafe = "PYTHONSAFEPATH" not in os.environ
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = ModuleType("__main__")
    if unsafe:
        os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if unsafe:
            del os.environ["PYTHONSAFEPATH"]
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


# In a worker's process


def _no_one(_step: Step) -> None: ...


_tell: Progress = _no_one


def _begin(lifeline: Connection, steps: Queue[Step], threads: int) -> None:
    """Make this process ready to work."""
    global _tell
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    use_threads(threads)
    steps.cancel_join_thread()  # nobody waits for the last of them
    last: dict[tuple[str, str], float] = {}

    def tell(step: Step) -> None:
        now, key = time.monotonic(), (step.model, step.stage)
        if step.done == step.total or now - last.get(key, 0.0) >= _TOLD_EVERY:
            last[key] = now
            steps.put(step)

    _tell = tell


def _die_with(lifeline: Connection) -> None:
    lifeline.poll(None)
    os._exit(1)


def _work(task: Task, run: Path, memory: int, scratch: Path) -> Done:
    return work(task, run, memory=memory, scratch=scratch, tell=_tell)
