"""Comparisons of many models as rows: in their order, by groups, and against the noise ceiling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.errors import ArgumentError
from classrel_db.maths.groups import group_difference, noise_ceiling
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.measures.correlation import Correlation
from classrel_db.spelling import quoted
from classrel_db.storage import arrays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyRelation

    from classrel_db.catalog.classwise import Columns
    from classrel_db.catalog.comparing import Comparing
    from classrel_db.records import StoredComparison, StoredModel


def comparison_columns(
    found: Sequence[tuple[int, int, StoredComparison]], names: Mapping[int, str]
) -> Columns:
    """The columns of ``compare``, of comparisons with the two models in the order to be shown."""
    rows = list(found)
    adjusted = _adjusted([each for _, _, each in rows])
    comparisons = [each for _, _, each in rows]
    return {
        "model_a": ("VARCHAR", [names[a] for a, _, _ in rows]),
        "model_b": ("VARCHAR", [names[b] for _, b, _ in rows]),
        "measure": ("VARCHAR", [each.measure for each in comparisons]),
        "n": ("INTEGER", [each.n for each in comparisons]),
        "estimate": ("DOUBLE", [each.estimate for each in comparisons]),
        "low": ("DOUBLE", [each.low for each in comparisons]),
        "high": ("DOUBLE", [each.high for each in comparisons]),
        "p_value": ("DOUBLE", [each.p_value for each in comparisons]),
        "null_value": ("DOUBLE", [each.null_value for each in comparisons]),
        "q_value": ("DOUBLE", adjusted),
        "normalization": ("VARCHAR", [each.normalization for each in comparisons]),
        "k": ("INTEGER", [each.k for each in comparisons]),
        "permutations": ("INTEGER", [each.permutations for each in comparisons]),
        "resamples": ("INTEGER", [each.resamples for each in comparisons]),
        "seed": ("BIGINT", [each.seed for each in comparisons]),
    }


def grouped(
    rows: DuckDBPyRelation, groups: Mapping[str, str], measure: str, permutations: int, seed: int
) -> DuckDBPyRelation:
    """The answer of ``group_agreement`` from that of ``compare_all``."""
    names = list(groups)
    place = {name: number for number, name in enumerate(names)}
    matrix = np.full((len(names), len(names)), np.nan)
    for a, b, estimate in rows.project("model_a, model_b, estimate").fetchall():
        if estimate is not None:
            matrix[place[a], place[b]] = matrix[place[b], place[a]] = estimate
    sign = -1.0 if MEASURES[measure].at_self == 0 else 1.0  # of distances, the small ones are alike
    kinds = sorted(set(groups.values()))
    labels = [kinds.index(groups[name]) for name in names]
    found = group_difference(sign * matrix, labels, permutations, seed)
    if not np.isfinite(found.difference):
        raise ArgumentError(
            f"of {len(names)} models in {len(kinds)} groups no two of one group, or no two of "
            "different groups, can be compared; more models are needed"
        )
    above = np.triu_indices(len(names), 1)
    values = matrix[above]
    pairs = np.sort(np.stack([np.asarray(labels)[above[0]], np.asarray(labels)[above[1]]]), axis=0)
    same = pairs[0] == pairs[1]
    known = np.isfinite(values)
    listed: list[tuple[str, str | None, str | None, int, float | None, float | None]] = [
        ("within", None, None, int((same & known).sum()), sign * found.within, None),
        ("between", None, None, int((~same & known).sum()), sign * found.between, None),
        ("difference", None, None, int(known.sum()), sign * found.difference, found.p_value),
    ]
    for i, first in enumerate(kinds):
        for j, second in enumerate(kinds[i:], i):
            here = (pairs[0] == i) & (pairs[1] == j) & known
            mean = float(values[here].mean()) if here.any() else None
            listed.append(("groups", first, second, int(here.sum()), mean, None))
    columns = list(zip(*listed, strict=True))
    size = len(listed)
    tested = [each[0] == "difference" for each in listed]
    return arrays.table(
        {
            "measure": ("VARCHAR", [measure] * size),
            "part": ("VARCHAR", list(columns[0])),
            "group_a": ("VARCHAR", list(columns[1])),
            "group_b": ("VARCHAR", list(columns[2])),
            "pairs": ("INTEGER", list(columns[3])),
            "mean": ("DOUBLE", list(columns[4])),
            "p_value": ("DOUBLE", list(columns[5])),
            "permutations": ("INTEGER", [found.tried if each else None for each in tested]),
            "seed": ("BIGINT", [seed if each else None for each in tested]),
        }
    )


def ceiling(comparing: Comparing, models: Sequence[StoredModel]) -> DuckDBPyRelation:
    """The answer of ``noise_ceiling``, for each label space that has three models normalised alike."""
    spaces: dict[tuple[str, str], list[StoredModel]] = {}
    for model in models:
        key = (model.concepts_sha256, comparing.heads.normalization(model))
        spaces.setdefault(key, []).append(model)
    together = [members for members in spaces.values() if len(members) > 2]
    if not together:
        raise ArgumentError(
            f"{len(models)} models, and no three of one label space that are normalised alike; a noise "
            "ceiling leaves one out and averages the others"
        )
    columns: dict[str, list[object]] = {
        name: []
        for name in (
            "measure",
            "label_space",
            "normalization",
            "model",
            "models",
            "n",
            "lower",
            "upper",
        )
    }
    for measure in comparing.measures:
        if not isinstance(measure, Correlation):
            fit = ", ".join(
                name for name, each in MEASURES.items() if isinstance(each, Correlation)
            )
            raise ArgumentError(
                f"no noise ceiling for {quoted(measure.name)}; it is for measures that correlate pairs: "
                f"{fit}"
            )
        for members in together:
            values = comparing.values(measure, members)
            bounds = noise_ceiling(list(values), centered=measure.centered)
            n = len(comparing.shared(members[0], members[1]))
            for model, low, high in zip(members, *(b.tolist() for b in bounds), strict=True):
                # the same concepts under another name, as of a file's own labels, are one space
                space = (members[0].label_space, comparing.heads.normalization(model))
                row = (
                    measure.name,
                    *space,
                    model.name,
                    len(members),
                    n,
                    _number(low),
                    _number(high),
                )
                for name, value in zip(columns, row, strict=True):
                    columns[name].append(value)
    kinds = ("VARCHAR", "VARCHAR", "VARCHAR", "VARCHAR", "INTEGER", "INTEGER", "DOUBLE", "DOUBLE")
    return arrays.table(
        {name: (kind, columns[name]) for name, kind in zip(columns, kinds, strict=True)}
    )


def _adjusted(found: Sequence[StoredComparison]) -> list[float | None]:
    """Benjamini and Hochberg's q for each p, over the pairs of models of one measure."""
    q: list[float | None] = [None] * len(found)
    for measure in {each.measure for each in found}:
        tested = [
            (number, each.p_value)
            for number, each in enumerate(found)
            if each.measure == measure and each.p_value is not None
        ]
        if tested:
            from scipy.stats import false_discovery_control

            for (number, _), value in zip(
                tested, false_discovery_control([p for _, p in tested]), strict=True
            ):
                q[number] = float(value)
    return q


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
