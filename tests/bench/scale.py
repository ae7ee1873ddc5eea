"""(m) How cost grows: heads of 1,000 to 1,000,000 classes, databases of 10 to 1,000 models.

``make bench-scale`` asks it, for it takes half an hour; ``make bench`` does not.
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING

from tests.bench import many
from tests.bench.measure import answer, classrel, median_seconds, script
from tests.bench.report import Bound, Figure, below, times_faster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_DIM = 512
_CLASSES = (1_000, 10_000, 100_000, 1_000_000)
_MODELS = (10, 100, 1_000)
_FURTHER = {"classes": 10_000_000, "models": 10_000}


def figures(work: Path) -> Iterator[Figure]:
    yield from _wide(work)
    costs: dict[int, dict[str, float]] = {}
    for n_classes in _CLASSES:
        costs[n_classes] = yield from _head(work, n_classes)
    yield from _growth("classes", costs, from_=10_000)
    databases = {models: many.at(work, models) for models in _MODELS}
    for models, cost in databases.items():
        for what, value in cost.items():
            yield Figure(f"{models:,} models: {what}", _unit(what), value)
    yield from _growth("models", databases, from_=10)


def _wide(work: Path) -> Iterator[Figure]:
    """100,000×768, for its recall and memory."""
    head = _made(work, 100_000, 768)
    done = classrel(
        "ingest", head, "--labels", head.with_suffix(".txt"), "--db", work / "wide.duckdb"
    )
    brute = answer("brute_force", head, work / "wide.duckdb", head.stem)
    what = "100,000×768"
    yield Figure(f"{what}: ingest; brute force", "s", done.seconds, brute["seconds"])
    yield Figure(f"{what}: recall at 10", "%", brute["recall"], None, _at_least(0.98))
    yield Figure(f"{what}: peak memory", "GB", done.peak_bytes, None, below(4e9, "GB"))
    _forget(work, "wide", head)


def _head(work: Path, n_classes: int) -> Iterator[Figure]:
    """One head; returns its costs."""
    head = _made(work, n_classes, _DIM)
    database, what = work / "head.duckdb", f"{n_classes:,}×{_DIM}"
    is_largest = n_classes == max(_CLASSES)
    done = classrel("ingest", head, "--labels", head.with_suffix(".txt"), "--db", database)
    brute = answer("brute_force", head, database, head.stem)
    bound = times_faster(15) if is_largest else None
    yield Figure(f"{what}: ingest; brute force", "s", done.seconds, brute["seconds"], bound)
    bound = below(8e9, "GB") if is_largest else None
    yield Figure(f"{what}: its peak memory", "GB", done.peak_bytes, None, bound)
    bound = _at_least(0.95) if is_largest else None
    yield Figure(f"{what}: recall at 10", "%", brute["recall"], None, bound)
    yield Figure(f"{what}: database", "MB", database.stat().st_size)
    cold = median_seconds(
        [
            classrel(
                "similar", f"identity {number:08d}", "-m", head.stem, "-k", "50", "--db", database
            )
            for number in (1, 2, 3)
        ]
    )
    bound = below(0.6, "s") if is_largest else None
    yield Figure(f"{what}: one lookup, a process of its own", "s", cold, None, bound)
    for way, seconds in answer("lookup_times", database, head.stem).items():
        bound = below(0.02, "ms") if is_largest and way != "by a sum" else None
        yield Figure(f"{what}: one lookup {way}, warm", "ms", seconds, None, bound)
    size = database.stat().st_size
    _forget(work, "head", head)
    return {"ingest, seconds": done.seconds, "peak memory": done.peak_bytes, "database": size}


def _made(work: Path, n_classes: int, dim: int) -> Path:
    path = work / f"head{n_classes}.safetensors"
    script("clustered_head", str(n_classes), str(dim), path)
    return path


def _forget(work: Path, database: str, head: Path) -> None:
    for path in (work / f"{database}.duckdb", head, *(work / f"{database}.faiss").iterdir()):
        path.unlink()


def _growth(what: str, costs: Mapping[int, Mapping[str, float]], from_: int) -> Iterator[Figure]:
    """The exponent of each cost, and what it says of more; from the sizes that are no longer all overhead."""
    sizes = [size for size in costs if size >= from_]
    for name in costs[sizes[0]]:
        exponent, factor = _fitted(sizes, [costs[size][name] for size in sizes])
        yield Figure(f"{name} grows with the {what} to the power of", "^", exponent)
        further = _FURTHER[what]
        yield Figure(
            f"{further:,} {what}, by that: {name}", _unit(name), factor * further**exponent
        )


def _fitted(sizes: Sequence[int], values: Sequence[float]) -> tuple[float, float]:
    """b and a of a·n^b, by least squares of the logarithms."""
    x, y = [log(size) for size in sizes], [log(value) for value in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    exponent = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum(
        (a - mean_x) ** 2 for a in x
    )
    return exponent, exp(mean_y - exponent * mean_x)


def _unit(what: str) -> str:
    return "s" if "seconds" in what else "GB"


def _at_least(share: float) -> Bound:
    return Bound(f"at least {100 * share:g} %", lambda figure: figure.classrel >= share)
