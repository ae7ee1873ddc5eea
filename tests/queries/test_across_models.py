"""One class, or two, over several models: classes are matched by concept, never by index."""

from __future__ import annotations

import statistics
from collections import defaultdict

import numpy as np
import pytest
from oracle import REAL

from .naive import assert_rows, call

PAIRS = [("Dungeness crab", "king crab"), ("n01440764", "TENCH"), (3, "n01978287"), (999, 0)]
CHOICES = [None, ["efficientnet_lite2"], ["efficientnet_lite2", "efficientnet_lite0"], ["nobody"]]
# all have c10 and c11; alpha, gamma, zeta and the rest also share labels, beta has others
MIXED_CHOICES = [
    None,
    ["alpha", "gamma"],
    ["alpha", "beta"],
    ["beta", "gamma", "zeta"],
    ["delta", "epsilon", "iota"],
    ["zeta", "iota", "theta"],
    ["eta", "alpha"],
    [],
]


def naive_distance(library, class_a, class_b, models):
    found = []
    for m in library.chosen(models):
        i, j = m.find(class_a), m.find(class_b)
        if None not in (i, j) and i != j:
            row = {"model": m.name, "class_a": m.labels[i], "class_b": m.labels[j]}
            row |= {"cosine": float(m.cosine[i, j]), "euclidean": m.euclidean(i, j)}
            found.append(row | {"normalization": m.normalization})
    return found


def naive_spread(library, class_a, class_b, models):
    groups = defaultdict(list)
    for m in library.chosen(models):
        i = m.find(class_a)
        others = range(m.size) if class_b is None else [m.find(class_b)]
        for j in others:
            if None not in (i, j) and i != j:
                cell = (float(m.cosine[i, j]), m.name, m.labels[i], m.labels[j])
                groups[m.normalization, m.concepts[i], m.concepts[j]].append(cell)
    found = []
    for (normalization, concept_a, concept_b), cells in groups.items():
        cosines = [cell[0] for cell in cells]
        found.append(
            {
                "concepts": (concept_b, concept_a),
                "class_a": min(cell[2] for cell in cells),
                "class_b": min(cell[3] for cell in cells),
                "normalization": normalization,
                "n": len(cells),
                "mean": statistics.fmean(cosines),
                "sd": statistics.stdev(cosines) if len(cells) > 1 else None,
                "low": min(cosines),
                "low_model": min(cells)[1],
                "high": max(cosines),
                "high_model": max(cells)[1],
            }
        )
    found.sort(
        key=lambda r: (
            (r["sd"] is None, -(r["sd"] or 0), r["class_b"], r["normalization"], r.pop("concepts"))
        )
    )
    return found


def naive_outliers(library, given, models):
    profiles = {}
    for m in library.chosen(models):
        i = m.find(given)
        if i is not None:
            others = [j for j in range(m.size) if j != i]
            profiles[m.name] = {m.concepts[j]: float(m.cosine[i, j]) for j in others}
    found = []
    for name, own in profiles.items():
        method = library[name].normalization
        rest = [
            profile
            for other, profile in profiles.items()
            if other != name and library[other].normalization == method
        ]
        shared = [concept for concept in own if any(concept in profile for profile in rest)]
        if not shared:
            continue
        x = np.array([own[concept] for concept in shared])
        y = np.array([np.mean([p[c] for p in rest if c in p]) for c in shared])
        correlation = float(np.corrcoef(x, y)[0, 1]) if len(shared) > 1 else None
        row = {"model": name, "normalization": method, "n": len(shared)}
        found.append(
            row | {"correlation": correlation, "mean_difference": float(np.abs(x - y).mean())}
        )
    # of two models both have the same, but for the last digits
    return sorted(found, key=lambda r: (r["correlation"] is None, round(r["correlation"] or 0, 9)))


def naive_consensus(library, given, k, models, keep=lambda m, i: True):
    seen, asked = defaultdict(list), None
    for m in library.chosen(models):
        i = m.find(given)
        if i is None:
            continue
        asked = asked or m.labels[i]
        for rank, j in enumerate([j for j in m.order[i] if keep(m, j)], 1):
            seen[m.concepts[j]].append((rank, float(m.cosine[i, j]), m.labels[j]))
    ranked = sorted(seen, key=lambda c: (np.mean([cell[0] for cell in seen[c]]), c))
    found = []
    for place, concept in enumerate(ranked[:k], 1):
        ranks, cosines, labels = zip(*seen[concept], strict=True)
        found.append(
            {
                "class": asked,
                "rank": place,
                "neighbor": labels[0],
                "neighbor_concept": concept,
                "n": len(ranks),
                "mean_rank": float(np.mean(ranks)),
                "best_rank": min(ranks),
                "worst_rank": max(ranks),
                "mean_cosine": float(np.mean(cosines)),
                "sd_cosine": statistics.stdev(cosines) if len(ranks) > 1 else None,
            }
        )
    return found


def naive_shift(a, b, given, k, keep=lambda m, i: True):
    i, j = a.find(given), b.find(given)
    if None in (i, j):
        return []
    near_a = [a.concepts[x] for x in a.order[i] if keep(a, x)]
    near_b = [b.concepts[x] for x in b.order[j]]
    near_a, near_b = [c for c in near_a if c in near_b], [c for c in near_b if c in near_a]
    found = []
    for concept in near_a:
        rank_a, rank_b = near_a.index(concept) + 1, near_b.index(concept) + 1
        x, y = a.place[concept], b.place[concept]
        if min(rank_a, rank_b) <= k:
            row = {"neighbor": a.labels[x], "neighbor_concept": concept}
            row |= {"rank_a": rank_a, "rank_b": rank_b, "shift": rank_b - rank_a}
            row |= {"cosine_a": float(a.cosine[i, x]), "cosine_b": float(b.cosine[j, y])}
            found.append(row)
    return sorted(found, key=lambda r: (min(r["rank_a"], r["rank_b"]), r["rank_a"]))


@pytest.mark.parametrize("models", CHOICES, ids=str)
@pytest.mark.parametrize(("a", "b"), PAIRS, ids=str)
def test_distance_and_spread_of_a_pair_in_real_heads(real, a, b, models):
    assert_rows(real.ask(call("distance", a, b, models=models)), naive_distance(real, a, b, models))
    for pair in ((a, b), (b, a)):
        asked = call("pair_spread", pair[0], class_b=pair[1], models=models)
        assert_rows(real.ask(asked), naive_spread(real, *pair, models))


@pytest.mark.parametrize("models", MIXED_CHOICES, ids=str)
@pytest.mark.parametrize(
    ("a", "b"), [("c10", "c11"), ("species 05", "c19"), ("c01", "c00"), ("c30", "Art 31"), (1, 0)]
)
def test_distance_and_spread_of_a_pair_in_unlike_label_spaces(mixed, a, b, models):
    expected = naive_distance(mixed, a, b, models)
    assert_rows(mixed.ask(call("distance", a, b, models=models)), expected)
    backward = [row | {"class_a": row["class_b"], "class_b": row["class_a"]} for row in expected]
    assert_rows(mixed.ask(call("distance", b, a, models=models)), backward)
    asked = call("pair_spread", a, class_b=b, models=models)
    assert_rows(mixed.ask(asked), naive_spread(mixed, a, b, models))


@pytest.mark.parametrize("models", CHOICES, ids=str)
@pytest.mark.parametrize("given", ["Dungeness crab", "n02012849", 999])
def test_the_spread_of_one_class_with_every_other_in_real_heads(real, given, models):
    found = real.ask(call("pair_spread", given, models=models))
    expected = naive_spread(real, given, None, models)
    assert len(found) == (0 if models == ["nobody"] else 999)
    assert_rows(found, expected)


@pytest.mark.parametrize("models", MIXED_CHOICES, ids=str)
@pytest.mark.parametrize("given", ["c10", "species 12", "c31", 2])
def test_the_spread_of_one_class_with_every_other_in_unlike_label_spaces(mixed, given, models):
    found = mixed.ask(call("pair_spread", given, models=models))
    assert_rows(found, naive_spread(mixed, given, None, models))


@pytest.mark.parametrize("models", CHOICES, ids=str)
@pytest.mark.parametrize("given", ["Dungeness crab", "n02012849", 0])
def test_outlier_models_among_real_heads(real, given, models):
    found = real.ask(call("outlier_models", given, models=models))
    assert len(found) == {None: 3}.get(models and 1, 2 if models == CHOICES[2] else 0)
    assert_rows(found, naive_outliers(real, given, models))


@pytest.mark.parametrize("models", MIXED_CHOICES, ids=str)
@pytest.mark.parametrize("given", ["c10", "c01", "c25", "species 07", "c30", "nothing"])
def test_outlier_models_are_held_against_those_of_their_normalisation(mixed, given, models):
    found = mixed.ask(call("outlier_models", given, models=models))
    assert_rows(found, naive_outliers(mixed, given, models))


def test_a_class_that_two_classes_of_a_model_compare_has_no_correlation(mixed):
    (row, *_), (last, *_) = (
        mixed.ask("outlier_models('c01', models := ['eta', 'alpha'])")[at:] for at in (0, 1)
    )
    assert (row["n"], row["correlation"], last["n"], last["correlation"]) == (1, None, 1, None)


@pytest.mark.parametrize("k", [1, 25, 100])
@pytest.mark.parametrize("models", CHOICES, ids=str)
@pytest.mark.parametrize("given", ["Dungeness crab", "n02012849", 0])
def test_consensus_neighbors_of_real_heads(real, given, models, k):
    found = real.ask(call("consensus_neighbors", given, k=k, models=models))
    assert_rows(found, naive_consensus(real, given, k, models))


@pytest.mark.parametrize("k", [3, 200])
@pytest.mark.parametrize("models", MIXED_CHOICES, ids=str)
@pytest.mark.parametrize("given", ["c10", "c01", "species 07", "c33"])
def test_consensus_neighbors_over_unlike_label_spaces(mixed, given, models, k):
    found = mixed.ask(call("consensus_neighbors", given, k=k, models=models))
    assert_rows(found, naive_consensus(mixed, given, k, models))


KEEP = {
    "label ILIKE '%dog%'": lambda m, i: "dog" in m.labels[i].lower(),
    "class_idx BETWEEN 5 AND 120": lambda m, i: 5 <= i <= 120,
    "concept > 'c14' AND bias > 0": lambda m, i: m.concepts[i] > "c14" and m.bias[i] > 0,
    "mean > 0 OR std > 1e9": lambda m, i: m.weight[i].astype(float).mean() > 0,
    "norm < 0": lambda m, i: False,
    "class_idx < NULL": lambda m, i: False,
}


@pytest.mark.parametrize("condition", KEEP)
def test_a_condition_counts_ranks_among_the_classes_that_it_keeps(real, mixed, condition):
    keep = KEEP[condition]
    for library, given, models in (
        (real, "Dungeness crab", list(REAL[:2])),
        (mixed, "c10", ["beta", "alpha"]),
        (mixed, "c10", ["zeta", "delta"]),
    ):
        for k in (2, 30):
            found = library.ask(
                call("consensus_neighbors", given, k=k, models=models, keep=condition)
            )
            expected = naive_consensus(library, given, 10_000, models, keep)
            assert_rows(found, expected[:k])
            found = library.ask(call("rank_shift", given, *models, k=k, keep=condition))
            assert_rows(found, naive_shift(library[models[0]], library[models[1]], given, k, keep))


@pytest.mark.parametrize("k", [1, 10, 100])
def test_rank_shift_between_real_heads(real, k):
    for a, b in ((0, 1), (2, 0), (1, 1)):
        for given in ("Dungeness crab", "n02012849", 999):
            found = real.ask(call("rank_shift", given, REAL[a], REAL[b], k=k))
            assert_rows(found, naive_shift(real[REAL[a]], real[REAL[b]], given, k))


@pytest.mark.parametrize("b", ["alpha", "beta", "gamma", "zeta", "delta", "iota", "eta", "nobody"])
@pytest.mark.parametrize("a", ["alpha", "beta", "zeta", "epsilon"])
def test_rank_shift_ranks_the_classes_that_both_models_have(mixed, a, b):
    for k in (2, 1000):
        for given in ("c10", "species 12", "nothing"):
            found = mixed.ask(call("rank_shift", given, a, b, k=k))
            expected = naive_shift(mixed[a], mixed[b], given, k) if b != "nobody" else []
            assert_rows(found, expected)
