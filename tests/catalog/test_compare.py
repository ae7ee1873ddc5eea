"""`Catalog.compare`: the numbers, the classes they are over, and what is refused."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest
from agreeing import COLUMNS, MEASURES, add, agreement, aligned, dicts, made, numbers, shared
from oracle import REAL
from scipy.stats import false_discovery_control

import classrel_db
from classrel_db.errors import ArgumentError, UnknownModelError

LITE0, LITE1, LITE2 = REAL
QUICK = ["rsa-spearman", "rsa-pearson", "cka-debiased", "knn-jaccard"]
PLAIN = {"permutations": 0, "resamples": 0}

C = [f"c{i:02d}" for i in range(24)]
ALPHA = made("alpha", C[:14], dim=7, seed=1)
ALIKE = made("alike", C[:14], dim=9, seed=2)
# other classes, another order, another width; its labels are those that alpha has for other concepts
_ORDER = np.random.default_rng(4).permutation(C[4:20]).tolist()
BETA = made("beta", _ORDER, dim=5, seed=3, labels=[f"the {c}" for c in reversed(_ORDER)])
FAR = made("far", [f"x{i}" for i in range(9)], seed=5)
THREE = made("three", [*C[:3], "y0", "y1", "y2"], seed=6)
FOUR = made("four", [*C[:4], "y3", "y4"], seed=7)
CENTRED = made("centred", C[:14], dim=9, seed=2)  # alike's head, normalised in another way
# every cosine of two classes is 0 without normalisation
FLAT = made("flat", C[:8], weight=np.diag(np.arange(1.0, 9.0)))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Small heads in one database; read it only."""
    folder = tmp_path_factory.mktemp("compare")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, ALPHA, ALIKE, BETA, FAR, THREE, FOUR)
        add(catalog, folder, CENTRED, normalize="center")
        add(catalog, folder, FLAT, normalize="none")
    return folder / "small.duckdb"


@pytest.fixture(scope="module")
def small(path):
    with classrel_db.open(path) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def real(database):
    """The three real heads compared: few permutations, few resamples."""
    with classrel_db.open(database) as catalog:
        rows = catalog.compare(*REAL, measures=QUICK, permutations=9, resamples=9)
        return rows.columns, dicts(rows)


# three real heads


def test_three_models_are_three_pairs_and_each_measure_a_row(real):
    columns, rows = real
    assert columns == COLUMNS
    pairs = [(LITE0, LITE1), (LITE0, LITE2), (LITE1, LITE2)]
    assert [(row["model_a"], row["model_b"], row["measure"]) for row in rows] == [
        (*pair, measure) for pair in pairs for measure in QUICK
    ]
    for row in rows:
        assert (row["n"], row["normalization"]) == (1000, "standardize")
        assert (row["permutations"], row["resamples"], row["seed"]) == (9, 9, 0)
        assert row["k"] == (25 if row["measure"] == "knn-jaccard" else None)
        assert row["low"] < row["estimate"] < row["high"]
        assert row["p_value"] == 0.1  # no permutation of nine comes near
        assert row["null_value"] < row["estimate"]


def test_estimates_are_those_of_the_raw_heads(real, heads):
    for row in real[1]:
        if row["measure"] != "rsa-pearson" and row["model_b"] == LITE1:
            continue  # what is naive takes its time
        A, B = (heads[row[side]].standardized for side in ("model_a", "model_b"))
        expected = agreement(row["measure"], A, B, k=25)
        assert row["estimate"] == pytest.approx(expected, abs=2e-6), row["measure"]


def test_q_is_adjusted_over_the_pairs_of_models_of_one_measure(small):
    rows = dicts(small.compare("alpha", "alike", "beta", permutations=19, resamples=0))
    for measure in MEASURES:
        some = [row for row in rows if row["measure"] == measure]
        assert len(some) == 3
        expected = false_discovery_control([row["p_value"] for row in some])
        assert [row["q_value"] for row in some] == pytest.approx(expected.tolist())
    assert any(row["q_value"] > row["p_value"] for row in rows)


# label spaces


@pytest.mark.parametrize(
    ("a", "b"), [(ALPHA, ALIKE), (ALPHA, BETA), (BETA, ALPHA), (ALPHA, FOUR)], ids=lambda m: m.name
)
def test_every_measure_is_the_naive_one_on_the_shared_classes(small, a, b):
    rows = dicts(small.compare(a.name, b.name, **PLAIN))
    assert [row["measure"] for row in rows] == MEASURES
    assert {row["n"] for row in rows} == {len(shared(a, b))}
    A, B = aligned(a, b)
    for row in rows:
        expected = agreement(row["measure"], A, B)
        assert row["estimate"] == pytest.approx(expected, abs=1e-5), row["measure"]


def test_classes_are_matched_by_their_ids_and_not_by_their_labels(small):
    by_label = [c for c in shared(ALPHA, BETA) if BETA.labels[BETA.at([c])[0]] != f"the {c}"]
    assert len(by_label) > 5  # a match by label would be another
    (row,) = dicts(small.compare("alpha", "beta", measures="rsa-pearson", **PLAIN))
    labelled = [c for c in ALPHA.concepts if f"the {c}" in BETA.labels]
    A = aligned(ALPHA, ALPHA, concepts=labelled)[0]
    B = aligned(
        BETA, BETA, concepts=[BETA.concepts[BETA.labels.index(f"the {c}")] for c in labelled]
    )[0]
    wrong = agreement("rsa-pearson", A, B)
    assert abs(row["estimate"] - wrong) > 0.05


def test_k_is_for_the_measures_that_count_neighbors(small):
    rows = dicts(small.compare("alpha", "beta", k=3, **PLAIN))
    assert {row["measure"]: row["k"] for row in rows} == {
        m: 3 if m == "knn-jaccard" else None for m in MEASURES
    }
    (found,) = [row["estimate"] for row in rows if row["k"]]
    assert found == pytest.approx(agreement("knn-jaccard", *aligned(ALPHA, BETA), k=3))
    assert found != pytest.approx(agreement("knn-jaccard", *aligned(ALPHA, BETA)), abs=1e-3)


# the same again


def test_the_order_of_the_models_changes_nothing_but_their_names(small):
    given = {"permutations": 9, "resamples": 9}
    there = dicts(small.compare("alpha", "beta", **given))
    back = dicts(small.compare("beta", "alpha", **given))
    assert numbers(there) == numbers(back)
    assert {(row["model_a"], row["model_b"]) for row in there} == {("alpha", "beta")}
    assert {(row["model_a"], row["model_b"]) for row in back} == {("beta", "alpha")}
    three = small.compare("beta", "alpha", "alike", measures="cka", **PLAIN).fetchall()
    assert [row[:2] for row in three] == [
        ("beta", "alpha"), ("beta", "alike"), ("alpha", "alike"),
    ]  # fmt: skip


def test_a_seed_says_what_is_drawn_and_nothing_else(small, path):
    given = {"permutations": 19, "resamples": 19}
    first = small.compare("alpha", "beta", **given, seed=3).fetchall()
    with classrel_db.open(path) as again:
        assert again.compare("alpha", "beta", **given, seed=3).fetchall() == first
    here, other = (dicts(small.compare("alpha", "beta", **given, seed=s)) for s in (3, 4))
    for one, two in zip(here, other, strict=True):
        assert one["estimate"] == two["estimate"]
        assert (one["low"], one["high"]) != (two["low"], two["high"])
        assert (one["seed"], two["seed"]) == (3, 4)
    assert [row["p_value"] for row in here] != [row["p_value"] for row in other]


def test_a_pair_is_the_same_whichever_others_stand_beside_it(small):
    given = {"permutations": 9, "resamples": 9, "measures": ["rsa-spearman", "cka"]}
    alone = dicts(small.compare("alpha", "beta", **given))
    among = dicts(small.compare("alpha", "alike", "beta", **given))
    kept = [row for row in among if {row["model_a"], row["model_b"]} == {"alpha", "beta"}]
    for row in (*alone, *kept):
        row.pop("q_value")  # which is over the pairs shown
    assert kept == alone


def test_without_permutations_and_resamples_there_is_no_p_and_no_interval(small):
    for row in dicts(small.compare("alpha", "beta", permutations=0, resamples=0)):
        assert [row[c] for c in ("low", "high", "p_value", "q_value")] == [None] * 4
        assert (row["permutations"], row["resamples"]) == (0, 0)
        assert row["estimate"] is not None
        assert row["null_value"] is not None
    for row in dicts(small.compare("alpha", "beta", permutations=4, resamples=0)):
        assert row["low"] is None
        assert row["p_value"] >= 0.2
    for row in dicts(small.compare("alpha", "beta", permutations=0, resamples=9)):
        assert row["p_value"] is None
        assert row["low"] <= row["estimate"] <= row["high"]


def test_by_default_there_are_999_permutations_and_1000_resamples_but_99_for_procrustes(small):
    rows = dicts(small.compare("alpha", "beta", measures=["rsa-pearson", "procrustes"]))
    assert [(row["permutations"], row["resamples"]) for row in rows] == [(999, 1000), (99, 1000)]


def test_measures_come_in_the_order_asked_and_once(small):
    asked = ["rbo", "cka", "rbo"]
    rows = dicts(small.compare("alpha", "beta", measures=asked, **PLAIN))
    assert [row["measure"] for row in rows] == ["rbo", "cka"]
    one = dicts(small.compare("alpha", "beta", measures="cka", **PLAIN))
    assert one == rows[1:]


def test_progress_is_told_up_to_the_end(small):
    steps = []
    small.compare(
        "alpha", "beta", measures=["rsa-pearson", "rbo"], permutations=60, resamples=70,
        progress=steps.append,
    )  # fmt: skip
    assert {(step.model, step.stage) for step in steps} == {
        ("rsa-pearson", "compare"),
        ("rbo", "compare"),
    }
    for measure in ("rsa-pearson", "rbo"):
        told = [step for step in steps if step.model == measure]
        assert [step.done for step in told] == sorted(step.done for step in told)
        assert told[0].done == 0
        assert told[-1].done == told[-1].total == 60 + 2 * 70


def test_a_comparison_writes_nothing(small, path):
    before = path.read_bytes()
    small.compare("alpha", "beta", **PLAIN).fetchall()
    small.close()
    assert path.read_bytes() == before


# normalisations


@pytest.mark.parametrize("normalization", ["standardize", "center", "none"])
def test_raw_heads_are_compared_under_one_normalisation(small, normalization):
    rows = dicts(small.compare("alpha", "centred", normalize=normalization, **PLAIN))
    A, B = aligned(ALPHA, CENTRED, normalization)
    for row in rows:
        assert row["normalization"] == normalization
        expected = agreement(row["measure"], A, B)
        tolerance = 0.02 if row["measure"] in {"knn-jaccard", "rbo", "rsa-kendall"} else 2e-5
        assert row["estimate"] == pytest.approx(expected, abs=tolerance), row["measure"]


def test_centring_stored_heads_is_as_ingesting_them_centred(small, tmp_path):
    with classrel_db.open(tmp_path / "centred.duckdb") as catalog:
        add(catalog, tmp_path, ALPHA, BETA, normalize="center")
        stored = dicts(catalog.compare("alpha", "beta", **PLAIN))
    again = dicts(small.compare("alpha", "beta", normalize="center", **PLAIN))
    as_stored = dicts(small.compare("alpha", "beta", **PLAIN))
    for one, two in zip(stored, again, strict=True):
        assert one["normalization"] == two["normalization"] == "center"
        assert two["estimate"] == pytest.approx(one["estimate"], abs=1e-5)
        assert two["null_value"] == one["null_value"]
    assert any(
        abs(a["estimate"] - b["estimate"]) > 1e-3 for a, b in zip(again, as_stored, strict=True)
    )


def test_heads_of_one_normalisation_may_be_asked_for_it_by_name(small):
    plain = small.compare("alpha", "beta", **PLAIN).fetchall()
    assert small.compare("alpha", "beta", normalize="standardize", **PLAIN).fetchall() == plain


def test_what_is_not_defined_is_null(small):
    rows = dicts(small.compare("flat", "alpha", normalize="none", permutations=9, resamples=9))
    defined = {"second-order-cosine", "cka", "procrustes"}
    for row in rows:
        values = [row[c] for c in ("estimate", "low", "high", "p_value", "q_value", "null_value")]
        assert all(value is None or np.isfinite(value) for value in values), row
        if row["measure"] not in defined:
            assert values[:5] == [None] * 5
            assert (row["permutations"], row["resamples"]) == (0, 0)
        else:
            assert row["estimate"] is not None


# what is refused


@pytest.mark.parametrize(
    ("models", "given", "said"),
    [
        ((), {}, "0 model.* two or more"),
        (("alpha",), {}, "1 model is named; a comparison needs two or more"),
        (("alpha", "alpha"), {}, '"alpha" is named twice'),
        (("alpha", "beta", "alpha"), {}, '"alpha" is named twice'),
        (("alpha", "far"), {}, r"share no class.*`classrel map FILE`.*--ancestors"),
        (("alpha", "beta", "far"), {}, "share no class"),
        (("alpha", "three"), {}, r"share only 3 of the 4 classes needed; three classes have three"),
        (("alpha", "centred"), {}, r"alpha by standardize and centred by center.*--normalize"),
        (("alpha", "beta"), {"k": 9}, r"k is 9; alpha and beta share 10 classes.*from 1 to 8"),
        (("alpha", "beta"), {"k": 0}, "k is 0; it is a whole number from 1 on"),
        (("alpha", "beta"), {"k": 2.5}, "k is 2.5"),
        (("alpha", "beta"), {"measures": "rsa-sperman"}, 'did you mean "rsa-spearman"'),
        (("alpha", "beta"), {"measures": ["cka", "nonsense"]}, r'no measure "nonsense".*measures are rsa'),
        (("alpha", "beta"), {"measures": []}, "no measure is named"),
        (("alpha", "beta"), {"permutations": -1}, r"permutations is -1; .* from 0 to 100,000"),
        (("alpha", "beta"), {"permutations": 9.5}, "permutations is 9.5"),
        (("alpha", "beta"), {"permutations": True}, "permutations is True"),
        (("alpha", "beta"), {"resamples": -1}, r"resamples is -1; .* from 0 to 100,000"),
        (("alpha", "beta"), {"resamples": 0.5}, "resamples is 0.5"),
        (("alpha", "beta"), {"seed": -1}, "seed is -1"),
        (("alpha", "beta"), {"seed": 1.0}, "seed is 1.0"),
        (("alpha", "beta"), {"seed": 2**63}, "seed is 9223372036854775808"),
        (("alpha", "beta"), {"normalize": "zscore"}, 'normalize is "zscore"; accepted: standardize'),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(small, models, given, said):
    with pytest.raises(ArgumentError, match=said):
        small.compare(*models, **given)


def test_an_unknown_model_gets_the_nearest_name(small):
    with pytest.raises(UnknownModelError, match='did you mean "beta"'):
        small.compare("alpha", "betta")


def test_what_is_refused_names_k_only_up_to_what_it_can_be(small):
    for model, most in (("beta", 8), ("four", 2)):
        rows = dicts(small.compare("alpha", model, measures="knn-jaccard", k=most, **PLAIN))
        assert rows[0]["k"] == most


def test_four_shared_classes_are_enough(small):
    rows = dicts(small.compare("alpha", "four", permutations=9, resamples=9))
    assert {row["n"] for row in rows} == {4}
    assert all(row["estimate"] is not None for row in rows)


def test_rows_are_a_relation_that_takes_further_sql(small):
    rows = small.compare("alpha", "beta", **PLAIN).filter("measure = 'cka'").project("estimate")
    assert isinstance(rows, duckdb.DuckDBPyRelation)
    assert len(rows.fetchall()) == 1
