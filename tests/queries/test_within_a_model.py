"""Who is near whom inside one model: hubs, mutual neighbours, bridges, isolated classes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from oracle import REAL
from scipy.stats import skew

from .conftest import small
from .naive import NEAR, Model, assert_rows, assert_rows_nearly_in_order, call

CHOICES = [None, [REAL[1]], [REAL[2], REAL[0]], ["nobody"], []]
PAIR = ("class_a", "class_b", "rank_a", "rank_b")
SMALL = ["alpha", "beta", "delta", "zeta", "eta", "theta", "iota"]


def naive_hubs(library, k, names):
    found = []
    for m in library.chosen(names):
        times = Counter(j for order in m.order for j in order[:k])
        counts = [times[i] for i in range(m.size)]
        skewness = float(skew(counts, bias=True)) if len(set(counts)) > 1 else None
        for i in sorted(range(m.size), key=lambda i: (-counts[i], i)):
            row = {"model": m.name, "class": m.labels[i], "concept": m.concepts[i]}
            row |= {"occurrences": counts[i], "share": counts[i] / (m.size - 1)}
            found.append(row | {"skewness": skewness})
    return found


@pytest.mark.parametrize("models", CHOICES, ids=str)
@pytest.mark.parametrize("k", [1, 10, 100])
def test_hubs_of_real_heads_with_the_skewness_that_scipy_finds(real, k, models):
    found = real.ask(call("hubs", k=k, models=models))
    assert_rows(found, naive_hubs(real, k, models))
    for m in real.chosen(models):
        assert sum(row["occurrences"] for row in found if row["model"] == m.name) == m.size * k


@pytest.mark.parametrize("models", [None, ["zeta"], ["eta", "alpha"], ["iota", "theta"]], ids=str)
@pytest.mark.parametrize("k", [1, 4, 100])
def test_hubs_of_small_heads_count_all_there_are(mixed, k, models):
    found = mixed.ask(call("hubs", k=k, models=models))
    assert_rows(found, naive_hubs(mixed, k, models))
    for m in mixed.chosen(models):
        total = sum(row["occurrences"] for row in found if row["model"] == m.name)
        assert total == m.size * min(k, m.size - 1)


def test_ten_neighbors_are_counted_when_no_number_is_asked_for(real):
    assert_rows(real.ask("hubs()"), real.ask("hubs(k := 10)"))
    for query in ("mutual_neighbors", "bridges"):
        default = real.ask(f"{query}('{REAL[0]}')")
        assert_rows(default, real.ask(f"{query}('{REAL[0]}', k := 10)"))
        assert default != real.ask(f"{query}('{REAL[0]}', k := 9)")


def test_a_hub_and_an_antihub_are_told_apart(library):
    # a star: every ray is nearest to the middle, the middle to the first ray
    W = np.vstack([np.eye(9)[8], 3 * np.eye(9)[:6] + 8 * np.eye(9)[8]])
    names = [f"c{i}" for i in range(7)]
    held = library(Model("star", W.astype(np.float32), None, names, names, "none"))
    first, second, *rest = held.ask("hubs(k := 1)")
    assert (first["class"], first["occurrences"], first["share"]) == ("c0", 6, 1)
    assert (second["class"], second["occurrences"]) == ("c1", 1)
    assert {(row["occurrences"], row["share"]) for row in rest} == {(0, 0)}
    assert first["skewness"] == pytest.approx(skew([6, 1, 0, 0, 0, 0, 0]))


def naive_mutual(m, k):
    found = []
    near = [set(order[:k]) for order in m.order]
    for i in range(m.size):
        for j in near[i]:
            if i < j and i in near[j]:
                row = {"model": m.name, "class_a": m.labels[i], "class_b": m.labels[j]}
                row["rank_a"] = m.order[i].index(j) + 1
                row["rank_b"] = m.order[j].index(i) + 1
                cosine = float(m.cosine[i, j])
                found.append(row | {"cosine": cosine, "euclidean": m.euclidean(i, j)})
    return sorted(found, key=lambda r: -r["cosine"])


@pytest.mark.parametrize("name", REAL)
def test_mutual_neighbors_of_a_real_head(real, name):
    for k in (1, 5, 30):
        found = real.ask(call("mutual_neighbors", name, k=k))
        assert_rows_nearly_in_order(found, naive_mutual(real[name], k), PAIR, by="cosine")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("k", [1, 3, 100])
def test_mutual_neighbors_of_a_small_head(mixed, name, k):
    found = mixed.ask(call("mutual_neighbors", name, k=k))
    assert_rows_nearly_in_order(found, naive_mutual(mixed[name], k), PAIR, by="cosine")


def test_in_a_small_head_all_pairs_are_mutual_at_a_hundred(mixed):
    found = mixed.ask("mutual_neighbors('alpha', k := 100)")
    assert len(found) == 30 * 29 / 2


def naive_bridges(m, k):
    found = []
    for i, order in enumerate(m.order):
        best = None
        for place, a in enumerate(order[:k]):
            for b in order[place + 1 : k]:
                gap = float(min(m.cosine[i, a], m.cosine[i, b]) - m.cosine[a, b])
                if best is None or gap > best[0]:
                    best = (gap, a, b)
        if best is not None:
            gap, a, b = best
            found.append(
                {
                    "model": m.name,
                    "class": m.labels[i],
                    "side_a": m.labels[a],
                    "side_b": m.labels[b],
                    "cosine_a": float(m.cosine[i, a]),
                    "cosine_b": float(m.cosine[i, b]),
                    "cosine_between": float(m.cosine[a, b]),
                    "gap": gap,
                }
            )
    return sorted(found, key=lambda r: -r["gap"])


@pytest.mark.parametrize("name", REAL)
def test_bridges_of_a_real_head(real, name):
    for k in (2, 10):
        found = real.ask(call("bridges", name, k=k))
        expected = naive_bridges(real[name], k)
        assert_rows_nearly_in_order(found, expected, ("class", "side_a", "side_b"), by="gap")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("k", [1, 2, 5, 100])
def test_bridges_of_a_small_head_with_and_without_stored_pairs(mixed, name, k):
    found = mixed.ask(call("bridges", name, k=min(k, 20) if name == "zeta" else k))
    expected = naive_bridges(mixed[name], min(k, 20) if name == "zeta" else k)
    assert_rows_nearly_in_order(found, expected, ("class", "side_a", "side_b"), by="gap")
    assert len(found) == (0 if k == 1 or name == "eta" else mixed[name].size)


def naive_isolated(library, k, names):
    found = []
    for m in library.chosen(names):
        nearest = [float(m.cosine[i, order[0]]) for i, order in enumerate(m.order)]
        ranked = sorted(range(m.size), key=lambda i: (nearest[i], i))
        for rank, i in enumerate(ranked[:k], 1):
            row = {"model": m.name, "class": m.labels[i], "concept": m.concepts[i], "rank": rank}
            row |= {"neighbor": m.labels[m.order[i][0]], "cosine": nearest[i]}
            row["mean_cosine"] = float(np.mean([m.cosine[i, j] for j in m.order[i][:10]]))
            found.append(row)
    return found


@pytest.mark.parametrize("models", CHOICES, ids=str)
@pytest.mark.parametrize("k", [1, 60])
def test_isolated_classes_of_real_heads(real, k, models):
    found = real.ask(call("isolated_classes", k=k, models=models))
    assert_rows(found, naive_isolated(real, k, models))


def test_all_classes_are_isolated_in_some_degree(real):
    found = real.ask(call("isolated_classes", k=10_000, models=[REAL[0]]))
    assert len(found) == 1000
    model = real[REAL[0]]
    nearest = np.sort([model.cosine[i, order[0]] for i, order in enumerate(model.order)])
    np.testing.assert_allclose([row["cosine"] for row in found], nearest, atol=NEAR)


def test_25_isolated_classes_are_given_when_no_number_is_asked_for(real):
    assert real.ask("isolated_classes()") == real.ask("isolated_classes(k := 25)")
    assert len(real.ask("isolated_classes()")) == 75


@pytest.mark.parametrize("models", [["zeta"], ["beta", "delta"], ["theta", "iota"]], ids=str)
@pytest.mark.parametrize("k", [1, 7, 200])
def test_isolated_classes_of_small_heads(mixed, k, models):
    # of a mutual nearest pair both are as far away, and the first by index stands first
    found = mixed.ask(call("isolated_classes", k=k, models=models))
    assert_rows(found, naive_isolated(mixed, k, models))


@pytest.mark.parametrize("k", [0, -1, 101, 5000, "NULL"])
@pytest.mark.parametrize(
    "query", ["hubs(", f"mutual_neighbors('{REAL[0]}', ", f"bridges('{REAL[0]}', "]
)
def test_beyond_the_stored_neighbors_there_is_no_answer(real, query, k):
    assert f"k is {k}; it is from 1 to 100" in real.refused(f"{query}k := {k})")


@pytest.mark.parametrize("query", ["mutual_neighbors('nobody')", "bridges('nobody', k := 100)"])
def test_a_model_that_is_not_there_has_no_rows(real, query):
    assert real.ask(query) == []


def test_two_classes_are_each_others_only_neighbor(library):
    two = small("two", ["c00", "c01"], seed=5)
    held = library(two)
    (row,) = held.ask("mutual_neighbors('two')")
    assert (row["class_a"], row["class_b"], row["rank_a"], row["rank_b"]) == (
        "species 00",
        "species 01",
        1,
        1,
    )
    assert [r["occurrences"] for r in held.ask("hubs()")] == [1, 1]
    assert [r["skewness"] for r in held.ask("hubs()")] == [None, None]
    assert [r["neighbor"] for r in held.ask("isolated_classes()")] == ["species 01", "species 00"]
    assert held.ask("bridges('two', k := 100)") == []


@pytest.mark.parametrize("bins", ["0", "-3", "NULL"])
def test_a_histogram_without_bins_is_refused(real, bins):
    said = real.refused(f"similarity_histogram(bins := {bins})")
    assert f"bins is {bins}; it is a whole number from 1 on" in said


@pytest.mark.parametrize("index", ["118.7", "'118.7'", "117.5"])
def test_an_index_is_not_rounded(real, index):
    assert real.ask(f"neighbors('efficientnet_lite0', {index})") == []
