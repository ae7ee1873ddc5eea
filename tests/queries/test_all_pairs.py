"""All pairs of a model or of several at once: their extremes, their spread, their distribution."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import REAL

from .conftest import small
from .naive import Model, assert_rows, assert_rows_nearly_in_order, call

CHOICES = [None, [REAL[1]], [REAL[2], REAL[0]], ["nobody"], []]
MIXED_CHOICES = [
    None,
    ["alpha", "gamma"],
    ["alpha", "beta"],
    ["gamma", "beta", "zeta"],
    ["eta", "beta", "alpha"],
    ["delta", "epsilon"],
    ["delta", "iota"],
    ["zeta"],
    ["alpha", "delta"],
    ["theta", "delta", "gamma", "epsilon", "alpha"],
    [],
]


def statistics_of_pairs(library, names, least):
    """Each pair of concepts that ``least`` models store, under each normalisation."""
    found = []
    models = [m for m in library.chosen(names) if m.stores_pairs]
    for method in sorted({m.normalization for m in models}):
        alike = [m for m in models if m.normalization == method]
        concepts = sorted({c for m in alike for c in m.concepts})
        cosines = np.full((len(alike), len(concepts), len(concepts)), np.nan)
        for cosine, m in zip(cosines, alike, strict=True):
            at = [concepts.index(c) for c in m.concepts]
            cosine[np.ix_(at, at)] = m.cosine
        upper = np.triu_indices(len(concepts), 1)
        values = cosines[:, *upper]
        n = (~np.isnan(values)).sum(axis=0)
        used = n >= least
        values, n, upper = values[:, used], n[used], (upper[0][used], upper[1][used])
        mean = np.nansum(values, axis=0) / n
        squares = np.nansum((values - mean) ** 2, axis=0)
        sd = np.sqrt(squares / np.where(n > 1, n - 1, np.nan))
        found.append((method, alike, concepts, upper, n, mean, sd, values))
    return found


def first_pairs(library, names, k, by, least):
    """The ``k`` pairs of the highest mean or sd, with the names of their concepts."""
    rows = []
    for method, alike, concepts, upper, n, mean, sd, values in statistics_of_pairs(
        library, names, least
    ):
        for place in np.argsort(-{"mean": mean, "sd": sd}[by])[:k]:
            named = zip(alike, values[:, place].tolist(), strict=True)
            cells = {m.name: cosine for m, cosine in named if not np.isnan(cosine)}
            low, high = min(cells, key=cells.get), max(cells, key=cells.get)
            rows.append(
                {
                    "class_a": concepts[upper[0][place]],
                    "class_b": concepts[upper[1][place]],
                    "normalization": method,
                    "n": int(n[place]),
                    "mean": float(mean[place]),
                    "sd": float(sd[place]) if n[place] > 1 else None,
                    "low": cells[low],
                    "low_model": low,
                    "high": cells[high],
                    "high_model": high,
                }
            )
    return sorted(rows, key=lambda r: -r[by])[:k]


def assert_pairs(library, found, expected, *without):
    """These pairs in this order; which of the two comes first, and in whose words, is left open."""
    assert len(found) == len(expected)
    wanted = []
    for row, pair in zip(found, expected, strict=True):
        names = [
            {m.labels[m.place[c]] for m in library.models if c in m.place}
            for c in (pair["class_a"], pair["class_b"])
        ]
        assert any(
            row["class_a"] in one and row["class_b"] in other for one, other in (names, names[::-1])
        ), (row, pair)
        pair = pair | {"class_a": row["class_a"], "class_b": row["class_b"]}
        wanted.append({name: value for name, value in pair.items() if name not in without})
    assert_rows(found, wanted)


@pytest.mark.parametrize("models", CHOICES, ids=str)
@pytest.mark.parametrize(
    ("query", "by", "without"),
    [("contested_pairs", "sd", ()), ("consensus_pairs", "mean", ("low_model", "high_model"))],
)
def test_contested_and_consensus_pairs_of_real_heads(real, models, query, by, without):
    expected = first_pairs(real, models, 300, by, 2)
    for k in (1, 300):
        found = real.ask(call(query, k=k, models=models))
        assert len(found) == (0 if models is not None and len(models) < 2 else k)
        assert_pairs(real, found, expected[:k], *without)


@pytest.mark.parametrize("query", ["contested_pairs", "consensus_pairs"])
def test_25_pairs_are_given_when_no_number_is_asked_for(real, query):
    found = real.ask(f"{query}()")
    assert len(found) == 25
    assert_rows(found, real.ask(f"{query}(k := 25)"))


@pytest.mark.parametrize("models", MIXED_CHOICES, ids=str)
@pytest.mark.parametrize("k", [10, 5000])
def test_pairs_of_unlike_label_spaces_are_matched_by_concept(mixed, models, k):
    found = mixed.ask(call("contested_pairs", k=k, models=models))
    assert_pairs(mixed, found, first_pairs(mixed, models, k, "sd", 2))
    for least in (1, 2, 3):
        found = mixed.ask(call("consensus_pairs", k=k, models=models, min_models=least))
        expected = first_pairs(mixed, models, k, "mean", least)
        assert_pairs(mixed, found, expected, "low_model", "high_model")


def test_a_pair_that_most_models_store_counts_them_all(mixed):
    found = mixed.ask("consensus_pairs(k := 5000, min_models := 4)")
    assert [(row["n"], {row["class_a"][-2:], row["class_b"][-2:]}) for row in found] == [
        (4, {"00", "01"})
    ]


def alike_pairs(library, threshold, names):
    found = []
    for m in library.chosen(names):
        near = [set(order[:100]) for order in m.order]
        for i, j in zip(*np.nonzero(np.triu(m.cosine >= threshold, 1)), strict=True):
            if m.stores_pairs or j in near[i] or i in near[j]:
                row = {"model": m.name, "class_a": m.labels[i], "class_b": m.labels[j]}
                cosine = float(m.cosine[i, j])
                found.append(row | {"cosine": cosine, "euclidean": m.euclidean(i, j)})
    return sorted(found, key=lambda r: -r["cosine"])


def assert_alike(found, expected):
    assert_rows_nearly_in_order(found, expected, ("model", "class_a", "class_b"), by="cosine")


@pytest.mark.parametrize("models", CHOICES, ids=str)
def test_near_duplicates_of_real_heads(real, models):
    for threshold in (0.3, 0.7, 1.0):
        found = real.ask(call("near_duplicates", threshold=threshold, models=models))
        assert_alike(found, alike_pairs(real, threshold, models))
    found = real.ask(call("near_duplicates", models=models))
    assert_alike(found, alike_pairs(real, 0.5, models))


@pytest.mark.parametrize("threshold", [-1, 0.5, 2])
@pytest.mark.parametrize("models", MIXED_CHOICES, ids=str)
def test_near_duplicates_are_found_with_and_without_stored_pairs(mixed, models, threshold):
    found = mixed.ask(call("near_duplicates", threshold=threshold, models=models))
    assert_alike(found, alike_pairs(mixed, threshold, models))


def test_without_stored_pairs_only_the_hundred_nearest_of_either_class_are_seen(mixed):
    zeta = mixed["zeta"]
    seen = len(mixed.ask("near_duplicates(threshold := -1, models := ['zeta'])"))
    assert 100 * zeta.size / 2 < seen < zeta.size * (zeta.size - 1) / 2


def naive_histogram(library, bins, names):
    found = []
    edges = [(2 * i - bins) / bins for i in range(bins + 1)]
    for m in library.chosen(names):
        if m.stores_pairs:
            places = np.searchsorted(edges[:-1], m.off_diagonal, side="right") - 1
            for place in sorted(set(places.tolist())):
                n = int((places == place).sum())
                row = {"model": m.name, "low": edges[place], "high": edges[place + 1]}
                found.append(row | {"n": n, "share": n / len(places)})
    return found


@pytest.mark.parametrize("models", CHOICES, ids=str)
def test_the_histogram_of_real_heads(real, models):
    for bins in (1, 7, 40, 101):
        found = real.ask(call("similarity_histogram", bins=bins, models=models))
        assert_rows(found, naive_histogram(real, bins, models))
    found = real.ask(call("similarity_histogram", models=models))
    assert_rows(found, naive_histogram(real, 40, models))
    assert {row["low"] for row in found} <= {round(-1 + i / 20, 2) for i in range(40)}


@pytest.mark.parametrize("bins", [2, 5, 40])
@pytest.mark.parametrize("models", MIXED_CHOICES, ids=str)
def test_the_histogram_counts_stored_pairs_only(mixed, models, bins):
    found = mixed.ask(call("similarity_histogram", bins=bins, models=models))
    assert_rows(found, naive_histogram(mixed, bins, models))
    for m in mixed.chosen(models):
        own = [row for row in found if row["model"] == m.name]
        assert sum(row["n"] for row in own) == (len(m.off_diagonal) if m.stores_pairs else 0)


def test_a_cosine_on_an_edge_belongs_to_the_bin_above_it_and_one_to_the_last(library):
    # cosines of 1, -1, 0 and a half
    W = np.array([[1, 1, 0], [2, 2, 0], [-1, -1, 0], [0, 1, 1]], np.float32)
    names = [f"c{i}" for i in range(4)]
    held = library(Model("exact", W, np.zeros(4, np.float32), names, names, "none"))
    found = held.ask("similarity_histogram(bins := 4)")
    assert [(row["low"], row["high"], row["n"]) for row in found] == [
        (-1, -0.5, 2),
        (-0.5, 0, 1),
        (0.5, 1, 3),
    ]
    low, *_, high = held.ask("similarity_histogram(bins := 1000)")
    assert (low["low"], low["n"], high["high"], high["n"]) == (-1, 2, 1, 1)


def naive_summary(library, names):
    found = []
    for m in library.chosen(names):
        values = m.off_diagonal if m.stores_pairs else None
        nearest = [m.cosine[i, order[0]] for i, order in enumerate(m.order)]
        row = {"model": m.name, "classes": m.size, "dim": m.weight.shape[1]}
        row["label_space"] = "imagenet1k" if m.name in REAL else m.name
        row["normalization"] = m.normalization
        row["pairs"] = 0 if values is None else len(values)
        for name, of in {"mean": np.mean, "sd": np.std, "low": np.min, "high": np.max}.items():
            row[name] = None if values is None else float(of(values))
        row["null_mean"] = -1 / (m.size - 1)
        row["null_sd"] = (m.weight.shape[1] - 1) ** -0.5
        found.append(row | {"mean_nearest": float(np.mean(nearest))})
    return found


@pytest.mark.parametrize("models", CHOICES, ids=str)
def test_the_summary_of_real_heads(real, models):
    assert_rows(real.ask(call("model_summary", models=models)), naive_summary(real, models))


@pytest.mark.parametrize("models", MIXED_CHOICES, ids=str)
def test_the_summary_of_small_heads(mixed, models):
    assert_rows(mixed.ask(call("model_summary", models=models)), naive_summary(mixed, models))


def test_the_null_of_the_mean_is_met_by_centred_rows_of_many_directions(library):
    many = small("many", [f"c{i:02d}" for i in range(60)], dim=2000, normalization="center", seed=3)
    (row,) = library(many).ask("model_summary()")
    assert row["mean"] == pytest.approx(row["null_mean"], abs=1e-3)
    assert row["sd"] == pytest.approx(row["null_sd"], rel=0.05)
