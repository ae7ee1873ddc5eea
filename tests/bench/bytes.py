"""(e) How much of a 100 MB checkpoint is read for its head, by the system's count and by ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import fixtures
from tests.bench.measure import answer
from tests.bench.report import Bound, Figure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def figures(work: Path) -> Iterator[Figure]:
    fixtures.make("resnet50", work)
    fixtures.make("tiny", work)
    for name in (fixtures.RESNET50_FILE, "resnet50.safetensors"):
        path = work / name
        read = answer("bytes_of_load", path, work / f"tiny{path.suffix}")
        limit = 1.02 * read["head"] + 1e6
        bound = Bound("head + 2% + 1 MB", lambda figure, limit=limit: figure.classrel <= limit)
        what = f"resnet50 as {path.suffix}, {path.stat().st_size / 1e6:.1f} MB"
        yield Figure(
            f"{what}: /proc/self/io; other: the head", "B", read["system"], read["head"], bound
        )
        yield Figure(
            f"{what}: bytes_read; other: the head", "B", read["counted"], read["head"], bound
        )
