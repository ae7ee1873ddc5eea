"""(a) One question as a cold process, against the notebook that computes it from the weights."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from tests.bench import fixtures
from tests.bench.measure import ChildError, alternate, classrel, median_seconds, script
from tests.bench.report import Figure, times_faster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.bench.measure import Run

_QUESTION = "Dungeness crab"
_REPETITIONS = 7


def figures(work: Path) -> Iterator[Figure]:
    fixtures.make("resnet50", work / "torch" / "hub" / "checkpoints")
    torch_home = {"TORCH_HOME": str(work / "torch")}
    database = work / "cold.duckdb"
    classrel("ingest", "resnet50", "efficientnet_lite0", "--db", database, env=torch_home)

    def ask(model: str, *options: str) -> Run:
        question = ["similar", _QUESTION, "-k", "25", "-m", model, "--db", database]
        return classrel(*question, *options)

    notebook = partial(script, "similar_notebook", env=torch_home)
    _require_same_answer(partial(ask, "resnet50", "--format", "json"), notebook)
    runs = alternate({"ours": partial(ask, "resnet50"), "notebook": notebook}, _REPETITIONS)
    seconds = {name: median_seconds(done) for name, done in runs.items()}
    yield Figure(
        "classrel similar -k 25 -m resnet50, cold; other: the published code, without its cdist",
        "s",
        seconds["ours"],
        seconds["notebook"],
        times_faster(12),
    )

    packaged, torch = partial(ask, "efficientnet_lite0"), partial(script, "similar_torch")
    bare = partial(script, "similar_duckdb", database)
    _require_same_answer(partial(packaged, "--format", "json"), torch)
    runs = alternate({"ours": packaged, "torch": torch, "bare": bare}, _REPETITIONS)
    seconds = {name: median_seconds(done) for name, done in runs.items()}
    what = "-m efficientnet_lite0; other:"
    yield Figure(
        f"{what} torch.load of its file alone, no torchvision",
        "s",
        seconds["ours"],
        seconds["torch"],
    )
    yield Figure(f"{what} bare duckdb runs that query", "s", seconds["ours"], seconds["bare"])


def _require_same_answer(ask: Callable[[], Run], yardstick: Callable[[], Run]) -> None:
    """The script prints the class itself first, then its neighbours."""
    ours = [row["neighbor"] for row in json.loads(ask().output)]
    theirs = yardstick().output.splitlines()
    if theirs != [_QUESTION, *ours[:24]]:
        raise ChildError(f"the two sides differ: {theirs} and {ours}")
