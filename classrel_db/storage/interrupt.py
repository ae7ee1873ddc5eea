"""Ctrl-C ends a running query at once.

Python runs its own handler of a signal only when the C code that it waits for has returned, and DuckDB
looks for signals at some places of some queries only. So a thread is told of the signal by the file
descriptor that Python keeps for that, and interrupts the connections.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

_connections: WeakSet[DuckDBPyConnection] = WeakSet()


def watch(connection: DuckDBPyConnection) -> DuckDBPyConnection:
    """The connection, to be interrupted by Ctrl-C inside of :func:`interruptible`."""
    _connections.add(connection)
    return connection


def is_interruption(error: BaseException) -> bool:
    """Whether Ctrl-C ended what raised: Python's spelling, or one of the two that DuckDB has."""
    return (
        isinstance(error, KeyboardInterrupt)
        or str(error) == "Query interrupted"
        or type(error).__name__ == "InterruptException"
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt the queries of this process while the body runs; for the main thread."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(reading,), daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)
        listener.join()
        os.close(reading)


def _listen(reading: int) -> None:
    while signals := os.read(reading, 64):
        if signal.SIGINT in signals:
            for connection in list(_connections):
                with suppress(Exception):  # one that is closed has nothing to interrupt
                    connection.interrupt()
