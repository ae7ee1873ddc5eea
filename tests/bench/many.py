"""(l) Many models: 1,200 made heads of 1,000 classes, 600 million pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.measure import answer, classrel, median_seconds, script
from tests.bench.report import Figure, below, times_faster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.measure import Run

_MODELS = 1_200
_CLASS = "Dungeness crab"
_LARGEST = 6e9  # bytes of memory that `compare --all` may take


def figures(work: Path) -> Iterator[Figure]:
    database, written = work / "zoo.duckdb", work / "agreement.csv"
    made = script("zoo", database, "0", str(_MODELS))
    of = f"{_MODELS:,} models × 1,000 classes"
    yield Figure(f"{of}, made and written: not classrel's work", "s", made.seconds)

    stored = answer("stored_bytes", database)
    yield Figure(
        "blocks of the pairs table, by their number",
        "B/pair",
        stored["table"] / stored["pairs"],
        bound=below(6, "B/pair"),
    )
    yield Figure("the whole file, by the pairs", "B/pair", stored["file"] / stored["pairs"])

    yield Figure(
        f"similar over {of}, warm", "s", answer("warm_similar", database), bound=below(0.5, "s")
    )
    yield Figure("the same, a process of its own", "s", median_seconds(_asked(database, 5)))
    contested = _contested(database)
    yield Figure(f"contested_pairs of {of}", "s", contested.seconds, bound=below(60, "s"))
    yield Figure("its peak memory", "GB", contested.peak_bytes, bound=below(8e9, "GB"))

    compared = _compared(database, written)
    yield Figure(
        f"compare --all, rsa-spearman, {of}; scipy's spearmanr of as many couples, from six of them",
        "s",
        compared.seconds,
        answer("scipy_compare", database, written),
        times_faster(20),
    )
    yield Figure("the same, by the clock", "s", compared.seconds, bound=below(900, "s"))
    yield Figure("its peak memory", "GB", compared.peak_bytes, bound=below(_LARGEST, "GB"))
    again = _compared(database, written)
    yield Figure("the same again, of which nothing is missing", "s", again.seconds)
    script("zoo", database, str(_MODELS), str(_MODELS + 1))
    one = _compared(database, written)
    yield Figure("with one model more; all of them", "s", one.seconds, compared.seconds)
    yield Figure("its peak memory", "GB", one.peak_bytes, bound=below(_LARGEST, "GB"))


def at(work: Path, models: int) -> dict[str, float]:
    """What so many models take, by name: seconds, or bytes."""
    database, written = work / f"zoo{models}.duckdb", work / "agreement.csv"
    script("zoo", database, "0", str(models))
    size = database.stat().st_size
    asked, contested = _asked(database, 3), _contested(database)
    compared = _compared(database, written)
    database.unlink()
    return {
        "similar, seconds": median_seconds(asked),
        "contested_pairs, seconds": contested.seconds,
        "contested_pairs, memory": contested.peak_bytes,
        "compare --all, seconds": compared.seconds,
        "compare --all, memory": compared.peak_bytes,
        "database": size,
    }


def _asked(database: Path, times: int) -> list[Run]:
    """One class over all models."""
    question = ("similar", _CLASS, "-k", "10", "--format", "csv", "--db", database)
    return [classrel(*question) for _ in range(times)]


def _contested(database: Path) -> Run:
    return classrel("query", "contested_pairs", "--format", "csv", "--db", database)


def _compared(database: Path, written: Path) -> Run:
    return classrel("compare", "--all", "--output", written, "--db", database)
