"""How many threads the libraries of this process compute with."""

from __future__ import annotations

import os


def cores() -> int:
    """The processor's cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """How many threads may compute: as many as there are cores, or fewer where OMP_NUM_THREADS says so."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores(), int(said)) if said.isdecimal() and int(said) else cores()


def use_threads(number: int) -> None:
    """At most ``number`` threads in FAISS and in matrix products, fewer where the environment says so."""
    import faiss
    from threadpoolctl import threadpool_limits

    fewer = min(number, faiss.omp_get_max_threads())
    os.environ["OMP_NUM_THREADS"] = str(fewer)
    faiss.omp_set_num_threads(fewer)
    threadpool_limits(fewer)
