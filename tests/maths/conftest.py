"""The three real heads as points, their cosines computed once for all tests of a run."""

from __future__ import annotations

from itertools import combinations

import pytest

from classrel_db.maths.geometry import Geometry, Pair


@pytest.fixture(scope="session")
def real_pairs(heads) -> list[tuple[Pair, object, object]]:
    """Every two of the real heads, standardised, with the raw heads that they are of."""
    geometries = [Geometry(head.standardized) for head in heads.values()]
    raw = list(heads.values())
    return [
        (Pair(geometries[a], geometries[b], 25), raw[a], raw[b])
        for a, b in combinations(range(3), 2)
    ]
