"""Work that ends its process: pytest is not imported by the workers that run it."""

from __future__ import annotations

import os
import signal
import time

from classrel_db.catalog import pool

pool_work = pool._work


def die_of_m1(task, *rest):
    """A head that takes its process down, whenever it is computed."""
    if task.name == "m1":
        os.kill(os.getpid(), signal.SIGKILL)
    return pool_work(task, *rest)


def die_once(task, run, *rest):
    """The first process that comes by dies, after the others have begun."""
    mark = run.parent.parent / "died"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return pool_work(task, run, *rest)
    time.sleep(0.2)
    return os.kill(os.getpid(), signal.SIGKILL)


def eat(*_task):
    """Ever more memory."""
    eaten = []
    while True:
        eaten.append(b"\1" * 20_000_000)
        time.sleep(0.01)
