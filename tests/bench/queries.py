"""(f) Every named query over 100 models, against SQL by hand on the base tables; bytes per pair."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import fixtures
from tests.bench.measure import ChildError, answer
from tests.bench.report import Figure, at_most, below

if TYPE_CHECKING:
    from collections.abc import Iterator

_BARE = Path(__file__).with_name("scripts") / "bare_queries.sql"
_NAMED = Path(__file__).parents[2] / "queries"
_CASE = re.compile(r"^-- (FROM (\w+)\(.*\))(?:, under (\d+) (ms|s))?$", re.MULTILINE)
_SECONDS = {"ms": 1e-3, "s": 1.0}


def figures(work: Path) -> Iterator[Figure]:
    cases = _CASE.findall(_BARE.read_text("utf-8"))
    left_out = {path.stem for path in _NAMED.glob("*.sql")} - {case[1] for case in cases}
    if left_out:
        raise ChildError(f"{_BARE.name} does not answer {', '.join(sorted(left_out))}")
    fixtures.make("many", work)
    database = work / "many.duckdb"

    stored = answer("stored_bytes", database)
    for part, what in (("table", "blocks of the pairs table"), ("file", "the whole file")):
        per_pair = stored[part] / stored["pairs"]
        yield Figure(
            f"{what}, by {stored['pairs']:,} pairs", "B/pair", per_pair, bound=below(6, "B/pair")
        )

    for question, _name, limit, unit in cases:
        ours, floor = answer("query_times", database, question)
        yield Figure(question, "ms", ours, floor, at_most(1.5))
        if limit:
            bound = below(int(limit) * _SECONDS[unit], unit)
            yield Figure("the same, by the clock", unit, ours, bound=bound)
