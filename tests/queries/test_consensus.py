"""The Fisher consensus of models, against loops over the float64 cosines of the raw heads."""

from __future__ import annotations

import math
from collections import defaultdict

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import REAL

from .conftest import ingest, opened, small
from .naive import assert_rows_nearly_in_order, call, same

STANDARDIZED = ["alpha", "beta", "gamma", "zeta", "eta"]
CENTERED = ["delta", "epsilon", "iota"]
MIXED_CHOICES = [
    ["alpha", "gamma"],
    ["alpha", "beta"],
    ["zeta", "beta", "gamma"],
    ["eta", "alpha"],
    STANDARDIZED,
    CENTERED,
    ["theta"],
    [],
    ["nobody"],
]


def everything(model, i):
    return True


def fisher_z(cosine):
    return math.atanh(min(1 - 1e-7, max(-1 + 1e-7, cosine)))


def moments(cells):
    """The weighted mean and sample standard deviation of (weight, z), by the formulas as written."""
    total = sum(w for w, _ in cells)
    mean = sum(w * z for w, z in cells) / total
    if len(cells) == 1:
        return mean, None
    squares = sum(w * (z - mean) ** 2 for w, z in cells)
    return mean, math.sqrt(squares / (total - sum(w * w for w, _ in cells) / total))


def naive(library, asked, names=None, weights=None, least=1, keep=everything, same_as=None):
    """Every row of the consensus; ``same_as`` says which concept is read as which other."""
    same_as = same_as or {}
    spelled = {asked, same_as.get(asked), *(b for b, a in same_as.items() if a == asked)}
    cells, label = defaultdict(list), None
    for m in library.chosen(names):
        weight = 1 if weights is None else weights[names.index(m.name)]
        i = m.find(asked)
        if i is None:
            i = next((m.place[c] for c in m.concepts if c in spelled), None)
        if i is None or weight == 0:
            continue
        label = label or m.labels[i]
        for j in range(m.size):
            concept = m.concepts[j]
            read_as = same_as.get(concept, concept)
            doubled = read_as != concept and read_as in m.place
            own = same_as.get(m.concepts[i], m.concepts[i])
            if j == i or doubled or read_as == own or not keep(m, j):
                continue
            cells[read_as].append((weight, float(m.cosine[i, j]), m.name, m.labels[j]))
    found = []
    for concept, seen in cells.items():
        if len(seen) < least:
            continue
        mean, sd = moments([(w, fisher_z(cosine)) for w, cosine, _, _ in seen])
        low, high = min(seen, key=lambda c: c[1]), max(seen, key=lambda c: c[1])
        row = {"class": label, "neighbor": seen[0][3], "neighbor_concept": concept, "n": len(seen)}
        row |= {"cosine": math.tanh(mean), "sd": sd, "low": low[1], "high": high[1]}
        found.append(row | {"low_model": low[2], "high_model": high[2]})
    return sorted(found, key=lambda row: (-row["cosine"], row["neighbor_concept"]))


COLUMNS = ["class", "rank", "neighbor", "neighbor_concept", "n", "cosine", "sd", "low", "high",
           "low_model", "high_model"]  # fmt: skip


def assert_consensus(found, expected):
    assert [row["rank"] for row in found] == list(range(1, len(expected) + 1))
    assert all(list(row) == COLUMNS for row in found)
    unranked = [{name: row[name] for name in COLUMNS if name != "rank"} for row in found]
    assert_rows_nearly_in_order(unranked, expected, ("neighbor_concept",), by="cosine")


@pytest.mark.parametrize(
    ("models", "weights"),
    [
        (None, None),
        ([REAL[2]], None),
        ([REAL[2], REAL[0]], None),
        ([REAL[2], REAL[0]], [3, 1]),
        (list(REAL), [0.25, 7, 1e-3]),
        ([REAL[1], REAL[2], REAL[0]], [1, 0, 2]),
        (["nobody"], None),
    ],
    ids=str,
)
@pytest.mark.parametrize("asked", ["Dungeness crab", "n02012849", 999])
def test_the_consensus_of_real_heads(real, asked, models, weights):
    found = real.ask(call("consensus", asked, k=5000, models=models, weights=weights))
    assert len(found) == (0 if models == ["nobody"] else 999)
    assert_consensus(found, naive(real, asked, models, weights))


def test_25_are_given_when_no_number_is_asked_for(real):
    rows = real.ask("consensus('Dungeness crab', k := 1000)")
    assert nearly(real.ask("consensus('Dungeness crab')"), rows[:25])


@pytest.mark.parametrize("models", MIXED_CHOICES, ids=str)
@pytest.mark.parametrize("asked", ["c10", "c01", "species 07", "c33"])
def test_the_consensus_over_unlike_label_spaces(mixed, asked, models):
    for weights in (None, [1, 2.5, 0.3, 4, 9][: len(models)]):
        if weights == []:
            continue
        for least in (1, 2, 4):
            found = mixed.ask(
                call("consensus", asked, k=500, models=models, weights=weights, least=least)
            )
            assert_consensus(found, naive(mixed, asked, models, weights, least))


def test_models_that_do_not_know_the_class_may_be_normalised_as_they_like(mixed):
    found = mixed.ask("consensus('c33', k := 100)")
    assert len(found) == 29
    assert_consensus(found, naive(mixed, "c33"))


KEEP = {
    "class_idx BETWEEN 5 AND 120": lambda m, i: 5 <= i <= 120,
    "concept > 'c14' AND bias > 0": lambda m, i: m.concepts[i] > "c14" and m.bias[i] > 0,
    "mean > 0 OR std > 1e9": lambda m, i: m.weight[i].astype(float).mean() > 0,
    "norm < 0": lambda m, i: False,
    "class_idx < NULL": lambda m, i: False,
    "NULL": everything,
}


@pytest.mark.parametrize("condition", KEEP)
def test_a_condition_is_asked_of_the_classes_of_each_model(mixed, condition):
    models = ["zeta", "alpha", "beta"]
    found = mixed.ask(call("consensus", "c10", k=500, models=models, keep=condition))
    assert_consensus(found, naive(mixed, "c10", models, keep=KEEP[condition]))


def nearly(found, expected):
    """The same rows but for the last digits of sums in another order."""
    return len(found) == len(expected) and all(
        same(row[name], wanted[name])
        for row, wanted in zip(found, expected, strict=True)
        for name in COLUMNS
    )


some = settings(max_examples=15)
concepts = st.integers(0, 35).map(lambda i: f"c{i:02d}")
several = st.lists(st.sampled_from(STANDARDIZED), min_size=1, unique=True)
weights_above_0 = st.floats(1e-3, 1e3)


@some
@given(concept=concepts, name=st.sampled_from([*STANDARDIZED, *CENTERED, "theta"]))
def test_the_consensus_of_one_model_is_its_own_ranking(mixed, concept, name):
    own = mixed.ask(call("neighbors", name, concept, k=1000))
    found = mixed.ask(call("consensus", concept, k=1000, models=[name]))
    assert [(r["rank"], r["neighbor_concept"], r["cosine"]) for r in found] == [
        (r["rank"], r["neighbor_concept"], r["cosine"]) for r in own
    ]
    for row in found:
        assert (row["n"], row["sd"], row["low_model"], row["high_model"]) == (1, None, name, name)
        assert row["low"] == row["high"] == row["cosine"]


@some
@given(concept=concepts, models=several, weight=weights_above_0, data=st.data())
def test_neither_equal_weights_nor_the_order_of_models_matter(mixed, concept, models, weight, data):
    plain = mixed.ask(call("consensus", concept, k=1000, models=models))
    equal = call("consensus", concept, k=1000, models=models, weights=[weight] * len(models))
    assert nearly(mixed.ask(equal), plain)
    weights = data.draw(st.lists(weights_above_0, min_size=len(models), max_size=len(models)))
    order = data.draw(st.permutations(range(len(models))))
    weighed = mixed.ask(call("consensus", concept, k=1000, models=models, weights=weights))
    turned = {"models": [models[i] for i in order], "weights": [weights[i] * 64 for i in order]}
    assert nearly(mixed.ask(call("consensus", concept, k=1000, **turned)), weighed)
    for row in weighed:
        assert row["low"] <= row["cosine"] <= row["high"]


@some
@given(concept=concepts, models=several, left_out=st.sampled_from(STANDARDIZED))
def test_to_exclude_a_model_is_to_leave_it_out_and_to_give_it_no_weight(
    mixed, concept, models, left_out
):
    rest = [name for name in models if name != left_out]
    expected = mixed.ask(call("consensus", concept, k=1000, models=rest))
    found = mixed.ask(call("consensus", concept, k=1000, models=models, exclude=[left_out]))
    assert nearly(found, expected)
    if rest:
        weights = [0 if name == left_out else 2 for name in models]
        found = mixed.ask(call("consensus", concept, k=1000, models=models, weights=weights))
        assert nearly(found, expected)


def test_a_model_may_be_excluded_from_all(mixed):
    found = mixed.ask(call("consensus", "c10", k=500, exclude=[*CENTERED, "theta", "beta"]))
    names = [name for name in STANDARDIZED if name != "beta"]
    assert_consensus(found, naive(mixed, "c10", names))


def test_equal_means_rank_by_concept_and_cosines_of_one_are_no_infinity(library):
    names = ["b", "d", "a", "c", "e"]
    one = small("one", names, names, seed=3)
    one.weight[[0, 1, 2]] = one.weight[0] * np.array([[1], [2], [4]], np.float32)
    one.weight[4] = -one.weight[0]
    two = small("two", names, names, seed=3)
    two.weight[:] = one.weight
    held = library(one, two)
    found = held.ask("consensus('b')")
    ranked = [(row["rank"], row["neighbor"]) for row in found]
    assert ranked == [(1, "a"), (2, "d"), (3, "c"), (4, "e")]
    assert [row["low"] for row in (found[0], found[1], found[3])] == [1, 1, -1]
    for row, sign in zip(found, (1, 1, 0, -1), strict=True):
        assert row["sd"] == pytest.approx(0, abs=1e-6)
        if sign:
            assert row["cosine"] == pytest.approx(sign * (1 - 1e-7), abs=3e-8)


TWO = {"models": ["alpha", "gamma"]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"least": 0}, "least is 0; it is a number of models, from 1 on"),
        ({"least": -1}, "least is -1"),
        ({**TWO, "least": None}, "least is NULL"),
        ({"weights": [1, 2]}, "weights without models"),
        ({**TWO, "weights": [1]}, "1 weights for 2 models"),
        ({**TWO, "weights": [1, 2, 3]}, "3 weights for 2 models"),
        ({**TWO, "weights": []}, "0 weights for 2 models"),
        ({**TWO, "weights": [1, None]}, "weights are [1, NULL]; a weight is a finite number"),
        ({**TWO, "weights": [None, None]}, "a weight is a finite number, 0 or above"),
        ({**TWO, "weights": [2, -1]}, "weights are [2, -1]; a weight is a finite number"),
        ({**TWO, "weights": [-2, -1]}, "a weight is a finite number, 0 or above"),
        ({**TWO, "weights": [0, 0]}, "the weights sum to 0"),
        ({"models": [], "weights": []}, "the weights sum to 0"),
        (
            {**TWO, "weights": [0, 1], "exclude": ["gamma"]},
            "the weights of the models that are not excluded sum to 0",
        ),
        ({"models": ["alpha", "alpha"], "weights": [1, 2]}, "named twice"),
        ({"models": ["alpha", None], "weights": [1, 2]}, "one is NULL or named twice"),
        ({}, "normalised in different ways (center, none, standardize)"),
        ({"models": ["alpha", "delta", "nobody"]}, "different ways (center, standardize)"),
        ({"exclude": STANDARDIZED}, "normalised in different ways (center, none)"),
    ],
    ids=str,
)
def test_what_has_no_consensus_is_refused_whatever_is_read_of_it(mixed, given, said):
    query = call("consensus", "c10", **given)
    assert said in mixed.refused(query)
    with pytest.raises(duckdb.Error) as raised:
        mixed.connection.execute(f"SELECT count(*) FROM {query}")
    assert said in str(raised.value)


@pytest.mark.parametrize("weight", ["'nan'", "'inf'", "'-inf'"])
def test_a_weight_is_finite(mixed, weight):
    query = f"consensus('c10', models := ['alpha', 'gamma'], weights := [1, {weight}::DOUBLE])"
    assert "a weight is a finite number, 0 or above" in mixed.refused(query)


def test_weights_near_the_largest_double_do_not_overflow(mixed):
    huge = mixed.ask(call("consensus", "c10", **TWO, weights=[1e308, 1e308]))
    assert nearly(huge, mixed.ask(call("consensus", "c10", **TWO)))


# concepts that are declared the same


SAME_AS = {"t00": "c00", "t01": "c01", "t02": "c02", "t05": "c05"}


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """Two models that share only declared concepts, and one that has both names of some."""
    folder = tmp_path_factory.mktemp("mapped")
    one = small("one", [f"c{i:02d}" for i in range(6)], seed=1)
    other = small("other", [f"t{i:02d}" for i in (3, 2, 1, 0, 9)], seed=2)
    both = small("both", ["t02", "c02", "c01", "t00", "c03", "t05", "c05"], seed=3)
    models = [one, other, both]
    path = folder / "classrel.duckdb"
    ingest(path, folder, *models)
    with duckdb.connect(str(path)) as connection:
        rows = ", ".join(f"('{a}', '{b}')" for b, a in SAME_AS.items())
        connection.execute(f"INSERT INTO concept_map VALUES {rows}")
    with opened(path, models) as library:
        yield library


@pytest.mark.parametrize("least", [1, 2, 3])
@pytest.mark.parametrize("asked", ["c00", "t00", "c01", "t01", "c02", "t02", "c03", "c05", "t05"])
def test_concepts_that_are_declared_the_same_are_matched_as_one(mapped, asked, least):
    found = mapped.ask(call("consensus", asked, least=least))
    assert_consensus(found, naive(mapped, asked, least=least, same_as=SAME_AS))
    named = {row["neighbor_concept"] for row in found}
    assert not named & SAME_AS.keys()
    assert SAME_AS.get(asked, asked) not in named


def test_each_model_is_counted_once_for_two_concepts_that_are_one(mapped):
    rows = {row["neighbor_concept"]: row for row in mapped.ask("consensus('c01')")}
    assert {concept: row["n"] for concept, row in rows.items()} == {
        "c00": 3, "c02": 3, "c03": 2, "c04": 1, "c05": 2, "t03": 1, "t09": 1,
    }  # fmt: skip
    both = mapped["both"]
    (row,) = mapped.ask("consensus('c01', models := ['both'], keep := concept LIKE '_02')")
    assert row["neighbor_concept"] == "c02"
    assert same(row["cosine"], float(both.cosine[both.place["c01"], both.place["c02"]]))


def test_a_class_is_found_by_the_other_name_of_its_concept(mapped):
    (first, *_) = mapped.ask("neighbors('other', 'c00')")
    assert first["class"] == "species t00"
    assert mapped.ask("neighbors('both', 't02')")[0]["class"] == "species t02"
    assert mapped.ask("neighbors('both', 'c02')")[0]["class"] == "species 02"
    assert mapped.ask("neighbors('other', 'c05')") == mapped.ask("neighbors('other', 'c03')") == []
    # the map is of concepts: an index stays one
    assert mapped.ask("neighbors('other', 0)")[0]["class"] == "species t03"


def test_an_index_gives_way_to_a_declared_concept(library, tmp_path):
    heads = [small("a", ["7", "x", "y"], seed=1), small("b", ["p", "q", "s", "r"], seed=2)]
    path = tmp_path / "classrel.duckdb"
    ingest(path, tmp_path, *heads)
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO concept_map VALUES ('2', 'r')")
        labels = connection.execute(
            "SELECT name, label, class_idx FROM class_named('2') UNION ALL "
            "SELECT name, label, class_idx FROM class_named('r')"
        ).fetchall()
    assert sorted(labels) == [("a", "species y", 2), *[("b", "species r", 3)] * 2]


# every pair


def naive_pairs(library):
    cells = defaultdict(list)
    for m in library.models:
        if not m.stores_pairs:
            continue
        for i in range(m.size):
            for j in range(m.size):
                if i != j:
                    cell = (m.concepts[i], m.concepts[j], m.normalization)
                    cells[cell].append((float(m.cosine[i, j]), m.labels[i], m.labels[j]))
    return cells


def test_every_stored_pair_of_small_heads_has_its_consensus_both_ways_round(mixed):
    cells = naive_pairs(mixed)
    found = mixed.ask("consensus_pairwise")
    assert len(found) == len(cells)
    labels = defaultdict(set)
    for m in mixed.models:
        for label, concept in zip(m.labels, m.concepts, strict=True):
            labels[concept].add(label)
    for row in found:
        seen = cells.pop((row["concept_a"], row["concept_b"], row["normalization"]))
        cosines = [cosine for cosine, _, _ in seen]
        mean, sd = moments([(1, fisher_z(cosine)) for cosine in cosines])
        expected = {"n": len(seen), "cosine": math.tanh(mean), "sd": sd}
        expected |= {"low": min(cosines), "high": max(cosines)}
        assert list(row)[5:] == list(expected)
        assert all(same(row[name], expected[name]) for name in expected), (row, expected)
        assert row["class_a"] in labels[row["concept_a"]]
        assert row["class_b"] in labels[row["concept_b"]]
    assert not cells


def test_every_stored_pair_of_real_heads_has_its_consensus(real):
    found = real.connection.execute(
        "SELECT * EXCLUDE (class_a, class_b, normalization) FROM consensus_pairwise"
    ).fetchnumpy()
    place = real.models[0].place
    at = tuple(np.array([place[c] for c in found[name]]) for name in ("concept_a", "concept_b"))
    assert len(set(zip(*at, strict=True))) == len(at[0]) == 999_000
    z = np.stack([np.arctanh(np.clip(m.cosine[at], -1 + 1e-7, 1 - 1e-7)) for m in real.models])
    np.testing.assert_allclose(found["cosine"], np.tanh(z.mean(axis=0)), atol=1e-7)
    np.testing.assert_allclose(found["sd"], z.std(axis=0, ddof=1), atol=2e-6)
    np.testing.assert_allclose(found["low"], np.tanh(z.min(axis=0)), atol=1e-7)
    np.testing.assert_allclose(found["high"], np.tanh(z.max(axis=0)), atol=1e-7)
    assert set(found["n"].tolist()) == {3}


def test_the_consensus_of_a_class_is_the_same_from_the_pairs(real):
    rows = real.connection.execute(
        "SELECT concept_b, cosine, sd FROM consensus_pairwise WHERE concept_a = 'n01978287' "
        "ORDER BY cosine DESC LIMIT 10"
    ).fetchall()
    found = real.ask("consensus('n01978287', k := 10)")
    for row, (concept, cosine, sd) in zip(found, rows, strict=True):
        assert (row["neighbor_concept"], row["cosine"]) == (concept, cosine)
        assert row["sd"] == pytest.approx(sd, abs=1e-9)


def test_what_no_query_names_of_the_pairs_is_not_computed(real):
    def plan(query):
        return real.connection.execute(f"EXPLAIN FROM {query}").fetchall()[0][1]

    assert "atanh" in plan("consensus_pairwise")
    assert "atanh" not in plan("contested_pairs()") + plan("consensus_pairs()")
