"""One piece of work beside the caller's own, on another core."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

T = TypeVar("T")


class Background(Generic[T]):
    """Runs ``work`` in a thread of its own; leaving the ``with`` block stops and awaits it.

    ``work`` is handed a function to call between its steps: it ends the work once nobody waits for
    the result any more. (concurrent.futures would do, but importing it costs as much as this saves
    on a small head.)
    """

    def __init__(self, work: Callable[[Callable[[], None]], T]) -> None:
        self._stop = threading.Event()
        self._work = work
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="classrel-background")

    def __enter__(self) -> Self:
        if self._thread.ident is None:  # else it has run, for another thread
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def result(self, while_waiting: Callable[[], None]) -> T:
        """What ``work`` returned, or the error it raised; the caller's thread looks on."""
        while self._thread.is_alive():
            self._thread.join(timeout=0.1)
            while_waiting()
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._work(self._step))
        except BaseException as error:  # noqa: BLE001
            self._error = error  # the caller's to handle: result() raises it

    def _step(self) -> None:
        if self._stop.is_set():
            raise _StoppedError


class _StoppedError(Exception):
    """Nobody waits for the work any more."""
