"""``neighbors`` with and without a condition, against argsort of the float64 cosines."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import REAL

from .conftest import small
from .naive import NEAR, assert_rows, call

DUNGENESS = 118
FOLLOWED = [0, DUNGENESS, 487, 999]


def expected_rows(model, class_idx, order):
    return [
        {
            "model": model.name,
            "class": model.labels[class_idx],
            "rank": rank,
            "neighbor": model.labels[i],
            "neighbor_concept": model.concepts[i],
            "cosine": float(model.cosine[class_idx, i]),
            "euclidean": model.euclidean(class_idx, i),
        }
        for rank, i in enumerate(order, 1)
    ]


def assert_nearest(found, model, class_idx, order):
    """These classes in this order; those nearer to each other than single precision may be swapped."""
    places = [model.place[row["neighbor_concept"]] for row in found]
    assert len(set(places)) == len(places) == len(order)
    assert_rows(found, expected_rows(model, class_idx, places))
    cosine = model.cosine[class_idx]
    np.testing.assert_allclose(cosine[places], cosine[order], rtol=0, atol=NEAR)


# for each condition in SQL, the same one on a model and a class index
CONDITIONS = {
    "label ILIKE '%dog%'": lambda m, i: "dog" in m.labels[i].lower(),
    "label LIKE '%crab'": lambda m, i: m.labels[i].endswith("crab"),
    "concept > 'n02'": lambda m, i: m.concepts[i] > "n02",
    "concept = 'n01978287'": lambda m, i: m.concepts[i] == "n01978287",
    "class_idx < 20": lambda m, i: i < 20,
    "class_idx % 10 = 3 AND NOT label ILIKE 'a%'": lambda m, i: (
        i % 10 == 3 and not m.labels[i].lower().startswith("a")
    ),
    "class_idx < 0": lambda m, i: False,
    "class_idx <> 121": lambda m, i: i != 121,
    "bias > 0": lambda m, i: m.bias[i] > 0,
    "bias IS NOT NULL": lambda m, i: True,
    "true": lambda m, i: True,
    "false": lambda m, i: False,
    "NULL::BOOLEAN": lambda m, i: False,
    "class_idx < NULL": lambda m, i: False,
    "NULL": lambda m, i: True,
    "mean > 0": lambda m, i: m.weight[i].astype(float).mean() > 0,
    "std < 0.06": lambda m, i: m.weight[i].astype(float).std(ddof=1) < 0.06,
    "norm BETWEEN 35.7 AND 35.8": lambda m, i: True,  # sqrt(1279)
    "norm > 36": lambda m, i: False,
    "concept IN (SELECT c.concept FROM classes AS c WHERE c.label ILIKE '%crab%')": lambda m, i: (
        "crab" in m.labels[i].lower()
    ),
}


@pytest.mark.parametrize("k", [1, 2, 25, 99, 100, 101, 999, 5000])
@pytest.mark.parametrize("name", REAL)
def test_the_k_nearest_are_the_first_of_argsort(real, name, k):
    model = real[name]
    for class_idx in FOLLOWED:
        found = real.ask(call("neighbors", name, class_idx, k=k))
        assert_nearest(found, model, class_idx, model.order[class_idx][:k])


def test_25_are_given_when_no_number_is_asked_for(real):
    model = real["efficientnet_lite1"]
    found = real.ask("neighbors('efficientnet_lite1', 'Dungeness crab')")
    assert_nearest(found, model, DUNGENESS, model.order[DUNGENESS][:25])


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("k", [5, 100, 999])
def test_a_condition_leaves_the_k_nearest_of_those_that_it_keeps(real, condition, k):
    model = real["efficientnet_lite0"]
    kept = [i for i in model.order[DUNGENESS] if CONDITIONS[condition](model, i)]
    found = real.ask(call("neighbors", model.name, "Dungeness crab", k=k, keep=condition))
    assert len(found) == min(k, len(kept))
    assert_nearest(found, model, DUNGENESS, kept[:k])


def test_the_conditions_keep_none_few_many_and_all(real):
    model = real["efficientnet_lite0"]
    counts = {
        text: sum(bool(kept(model, i)) for i in range(1000)) for text, kept in CONDITIONS.items()
    }
    assert 5 < counts["label ILIKE '%dog%'"] < 25
    assert 100 < counts["bias > 0"] < 900
    assert 100 < counts["mean > 0"] < 900
    assert 100 < counts["std < 0.06"] < 900
    assert {0, 1, 20, 999, 1000} <= set(counts.values())


@pytest.mark.parametrize("name", REAL)
def test_a_condition_asks_for_as_many_in_every_model(real, name):
    model = real[name]
    for class_idx in FOLLOWED:
        kept = [i for i in model.order[class_idx] if "bird" in model.labels[i] or i > 600]
        condition = "label LIKE '%bird%' OR class_idx > 600"
        found = real.ask(call("neighbors", name, class_idx, k=30, keep=condition))
        assert_nearest(found, model, class_idx, kept[:30])


def test_a_condition_joins_with_what_stands_around_the_macro(real):
    crabs = "SELECT neighbor, rank FROM neighbors('efficientnet_lite0', 'Dungeness crab', k := 3, "
    found = real.connection.execute(
        f"{crabs}keep := concept IN ('n01978455', 'n01981276')) ORDER BY rank DESC"
    ).fetchall()
    assert found == [("rock crab", 2), ("king crab", 1)]


@pytest.mark.parametrize("name", ["alpha", "beta", "delta", "zeta", "eta", "theta", "iota"])
@pytest.mark.parametrize("k", [1, 3, 100, 101, 5000])
def test_every_class_of_a_small_head_ranks_all_others(mixed, name, k):
    model = mixed[name]
    for class_idx in range(2):
        order = model.order[class_idx]
        found = mixed.ask(call("neighbors", name, class_idx, k=k))
        assert_nearest(found, model, class_idx, order[:k])
        odd = mixed.ask(call("neighbors", name, class_idx, k=k, keep="class_idx % 2 = 1"))
        kept = [i for i in order if i % 2 == 1]
        assert_nearest(odd, model, class_idx, kept[:k])


def test_equal_cosines_rank_by_index_with_and_without_a_condition(library):
    same = small("same", [f"c{i:02d}" for i in range(9)], seed=4)
    same.weight[[1, 4, 7, 8]] = same.weight[4]
    held = library(same)
    for more in ("", ", k := 101", ", keep := true"):
        found = held.ask(f"neighbors('same', 7{more})")
        assert [row["neighbor"] for row in found[:3]] == ["species 01", "species 04", "species 08"]
        assert [row["cosine"] for row in found[:3]] == [1, 1, 1]
        np.testing.assert_allclose([row["euclidean"] for row in found[:3]], 0, atol=1e-3)
    for more in ("", ", keep := true"):
        found = held.ask(f"neighbors('same', 7, k := 2{more})")
        assert [row["neighbor"] for row in found] == ["species 01", "species 04"]


def test_the_stored_the_kept_and_the_computed_answers_are_equal(real):
    for name in REAL:
        stored = real.ask(call("neighbors", name, DUNGENESS, k=100))
        assert real.ask(call("neighbors", name, DUNGENESS, k=100, keep="true")) == stored
        assert real.ask(call("neighbors", name, DUNGENESS, k=999))[:100] == stored


def test_a_head_without_bias_has_none_to_set_a_condition_on(library):
    bare = small("bare", ["c00", "c01", "c02"])
    held = library(type(bare)("bare", bare.weight, None, bare.labels, bare.concepts))
    assert held.ask("neighbors('bare', 0, keep := bias > 0 OR bias <= 0)") == []
    assert len(held.ask("neighbors('bare', 0, keep := bias IS NULL)")) == 2


@pytest.mark.parametrize(
    "query", ["neighbors('nobody', 'tench')", "neighbors('nobody', 0, k := 101)"]
)
def test_a_model_that_is_not_there_has_no_rows(real, query):
    assert real.ask(query) == []
