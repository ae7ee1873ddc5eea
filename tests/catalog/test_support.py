"""``similar`` with support: the columns, what competes, agreement of normalisations, bad input."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from oracle import REAL, SIMILAR_COLUMNS, assert_refused, cosine_matrix, json_of, nearest

import classrel_db
from classrel_db import maths
from classrel_db.errors import ArgumentError

COLUMNS = [*SIMILAR_COLUMNS, "support", "normalizations"]
CRAB = 118
NORMALIZATIONS = ("standardize", "center", "none")


def normalized(W, method):
    """Rows by the formulas, from a raw head, in float64."""
    W = np.asarray(W, dtype=np.float64)
    if method == "standardize":
        return (W - W.mean(axis=1, keepdims=True)) / W.std(axis=1, ddof=1, keepdims=True)
    if method == "center":
        centred = W - W.mean(axis=0)
        return centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return W


def agreement(W, direction, k, barred=(), allowed=None):
    """Of each class the share of normalisations in which it is near; ``direction`` of the rows."""
    out = set(barred) | (set() if allowed is None else set(range(len(W))) - set(allowed))
    counted = [0] * len(W)
    for method in NORMALIZATIONS:
        rows = normalized(W, method)
        cosines = cosine_matrix(np.vstack([rows, direction(rows)]))[-1, :-1]
        for i in nearest(np.round(cosines, 12).astype(np.float32), k, tuple(out)):
            counted[i] += 1
    return [Fraction(count, 3) for count in counted]


def indices(rows):
    return [int(row[3].removeprefix("species ")) for row in rows]


def assert_same_shares(rows, expected):
    assert [row[8] for row in rows] == [float(expected[i]) for i in indices(rows)]


@pytest.fixture(params=NORMALIZATIONS)
def method(request):
    return request.param


def skewed(n_classes=30, dim=8, seed=0):
    """Rows whose neighbours depend on the normalisation: with offsets by row and by column."""
    random = np.random.default_rng(seed)
    W = random.normal(size=(n_classes, dim))
    return (W + random.normal(size=(n_classes, 1)) + 2 * random.normal(size=dim)).astype(np.float32)


def test_the_columns_of_similar_come_first_and_unchanged_by_every_route(catalog, heads):
    name = REAL[0]
    for question in (
        {"query": "tench", "models": name},
        {"query": "tench"},
        {"query": "tench", "k": 500, "models": name},
        {"query": "tench", "models": name, "include_self": True},
        {"query": "tench", "models": name, "where": "label ILIKE '%fish%'", "k": 3},
        {"query": "tench + goldfish", "models": list(REAL[:2])},
        {"vector": heads[name].weight[0], "models": name},
    ):
        plain = catalog.similar(**question)
        rows = catalog.similar(**question, support=True, resamples=3)
        assert rows.columns == COLUMNS
        assert [str(kind) for kind in rows.types[7:]] == ["DOUBLE", "DOUBLE"]
        assert rows.types[:7] == plain.types
        assert [row[:7] for row in rows.fetchall()] == plain.fetchall()


@pytest.mark.parametrize("name", REAL)
def test_king_crab_is_a_robust_neighbor_of_dungeness_crab(catalog, name):
    rows = catalog.similar("Dungeness crab", models=name, k=10, support=True).fetchall()
    assert (rows[0][3], rows[0][7:]) == ("king crab", (1.0, 1.0))
    shares = [row[7] for row in rows]
    assert min(shares) < 0.6
    # the weaker the cosine, the weaker the support: not in each pair, but as a whole
    assert np.corrcoef(range(10), shares)[0, 1] < -0.8


def test_support_is_that_of_the_rows_as_they_were_read(catalog, heads):
    """The raw head, standardised in each resample, by numpy's own correlation."""
    rows = catalog.similar(CRAB, models=REAL[1], k=6, support=True, resamples=8, seed=5).fetchall()
    W = heads[REAL[1]].weight.astype(np.float64)
    labels = [row[2] for row in catalog.classes(REAL[1]).fetchall()]
    counted = dict.fromkeys(labels, 0)
    for weights in np.concatenate(list(maths.support.resample_weights(1280, 8, 5))).astype(int):
        drawn = np.repeat(np.arange(1280), weights)
        for i in nearest(np.corrcoef(W[:, drawn])[CRAB], 6, (CRAB,)):
            counted[labels[i]] += 1
    assert [row[7] for row in rows] == [counted[row[3]] / 8 for row in rows]
    assert min(row[7] for row in rows) < 1


def test_a_resample_is_normalised_as_the_head_is(stored, method):
    """Of a class, a sum and a vector, from the raw head: the drawn dimensions, and their cosines."""
    W = skewed(40, 25)
    vector = np.random.default_rng(8).normal(size=25)
    # the column means are those of the whole head; a row's scale does not matter to a cosine
    rows = normalized(W, method)
    center = W.astype(np.float64).mean(axis=0) if method == "center" else 0
    asked = {
        "class": ({"query": 5}, rows[5], (5,)),
        "sum": ({"query": "species 01 - species 02"}, rows[1] - rows[2], (1, 2)),
        "whole": (
            {"query": "species 01 + species 02", "include_self": True},
            rows[1] + rows[2],
            (),
        ),
        "vector": ({"vector": vector}, vector - center, ()),
    }
    with classrel_db.open(stored(weight=W, normalize=method)) as catalog:
        for question, direction, barred in asked.values():
            found = catalog.similar(**question, k=6, support=True, resamples=40, seed=2).fetchall()
            counted = dict.fromkeys(indices(found), 0)
            for weights in np.concatenate(list(maths.support.resample_weights(25, 40, 2))):
                drawn = np.repeat(np.arange(25), weights.astype(int))
                both = np.vstack([rows, direction])[:, drawn]
                cosines = np.corrcoef(both) if method == "standardize" else cosine_matrix(both)
                for i in nearest(cosines[-1, :-1], 6, barred):
                    if i in counted:
                        counted[i] += 1
            assert [row[7] for row in found] == [counted[i] / 40 for i in indices(found)]
            assert min(row[7] for row in found) < 1


@pytest.mark.parametrize(("name", "contested"), list(zip(REAL, (69, 338, 33), strict=True)))
def test_normalizations_agree_as_the_raw_head_says(catalog, heads, name, contested):
    labels = [row[2] for row in catalog.classes(name).fetchall()]
    shares = set()
    for focal in (CRAB, contested):
        rows = catalog.similar(focal, models=name, k=8, support=True, resamples=1).fetchall()
        expected = agreement(heads[name].weight, lambda rows, i=focal: rows[i], 8, (focal,))
        assert [row[8] for row in rows] == [float(expected[labels.index(row[3])]) for row in rows]
        shares |= {row[8] for row in rows}
    assert len(shares) > 1


def test_agreement_is_counted_from_every_normalisation_a_head_is_stored_by(stored, method):
    W = skewed()
    with classrel_db.open(stored(weight=W, normalize=method)) as catalog:
        seen = set()
        for focal in range(8):
            rows = catalog.similar(focal, k=5, support=True, resamples=2).fetchall()
            assert_same_shares(rows, agreement(W, lambda rows, i=focal: rows[i], 5, (focal,)))
            seen |= {row[8] for row in rows}
        assert seen == {1 / 3, 2 / 3, 1.0}
        rows = catalog.similar(
            "species 03 + species 04 - species 05", k=6, support=True, resamples=2
        )
        expected = agreement(W, lambda rows: rows[3] + rows[4] - rows[5], 6, (3, 4, 5))
        assert_same_shares(rows.fetchall(), expected)


def test_the_three_ingests_of_a_head_are_what_agreement_speaks_of(tmp_path, make_head):
    head = make_head(weight=skewed(seed=4))
    with classrel_db.open(tmp_path / "three.duckdb") as catalog:
        for method in NORMALIZATIONS:
            catalog.ingest(str(head.path), name=method, labels=head.labels_path, normalize=method)
        for focal in range(6):
            near = {
                method: {row[3] for row in catalog.similar(focal, models=method, k=4).fetchall()}
                for method in NORMALIZATIONS
            }
            for row in catalog.similar(focal, k=4, support=True, resamples=1).fetchall():
                assert row[8] == sum(row[3] in each for each in near.values()) / 3


def test_a_vector_is_normalised_as_the_rows_are(stored, method):
    W = skewed(seed=2)
    vector = np.random.default_rng(9).normal(size=8) + 1
    with classrel_db.open(stored(weight=W, normalize=method)) as catalog:
        rows = catalog.similar(vector=vector, k=5, support=True, resamples=40).fetchall()
        own = catalog.similar(vector=W[3], k=5, support=True, resamples=40).fetchall()
        stored_class = catalog.similar(3, k=4, support=True, resamples=40).fetchall()

    def direction(rows):
        if rows.shape != W.shape or np.array_equal(rows, W.astype(np.float64)):
            return vector  # none
        if np.allclose(rows.mean(axis=1), 0):
            return (vector - vector.mean()) / vector.std(ddof=1)
        return vector - W.astype(np.float64).mean(axis=0)

    assert_same_shares(rows, agreement(W, direction, 5))
    assert own[0][3:] == ("species 03", "species 03", 1.0, pytest.approx(0, abs=1e-3), 1.0, 1.0)
    assert [row[7:] for row in own[1:]] == [row[7:] for row in stored_class]


def test_a_normalisation_that_leaves_nothing_of_a_vector_does_not_agree(stored):
    W = skewed(seed=3)
    with classrel_db.open(stored(weight=W, normalize="none")) as catalog:
        rows = catalog.similar(vector=np.ones(8), k=20, support=True, resamples=2).fetchall()
    centred = normalized(W, "center")
    towards = np.ones(8) - W.astype(np.float64).mean(axis=0)
    near = nearest(cosine_matrix(np.vstack([centred, towards]))[-1, :-1], 20)
    assert [row[8] for row in rows] == [(1 + (i in near)) / 3 for i in indices(rows)]
    assert len({row[8] for row in rows}) == 2


def test_only_the_classes_that_may_answer_compete(stored):
    W = skewed(seed=1)
    with classrel_db.open(stored(weight=W)) as catalog:
        where = "class_idx % 3 = 0"
        allowed = range(0, 30, 3)
        rows = catalog.similar(6, k=4, where=where, support=True, resamples=60).fetchall()
        assert_same_shares(rows, agreement(W, lambda rows: rows[6], 4, (6,), allowed))
        free = {row[3]: row[7] for row in catalog.similar(
            6, k=29, support=True, resamples=60).fetchall()}  # fmt: skip
        assert set(free.values()) == {1.0}
        # the fewer compete, the longer a class stays
        among_all = {row[3]: row[7] for row in catalog.similar(
            6, k=4, support=True, resamples=60).fetchall()}  # fmt: skip
        both = [row for row in rows if row[3] in among_all]
        assert both
        assert all(row[7] >= among_all[row[3]] for row in both)
        everyone = catalog.similar(6, k=9, where=where, support=True, resamples=60).fetchall()
        assert {row[7:] for row in everyone} == {(1.0, 1.0)}


def test_the_class_itself_has_no_support_and_takes_no_place(stored):
    with classrel_db.open(stored(weight=skewed())) as catalog:
        without = catalog.similar(4, k=5, support=True, resamples=50).fetchall()
        whole = catalog.similar(4, k=5, include_self=True, support=True, resamples=50).fetchall()
        assert whole[0][2:] == (0, "species 04", "species 04", 1.0, 0.0, None, None)
        assert whole[1:] == without


def test_the_classes_of_a_sum_compete_only_where_they_may_answer(stored):
    with classrel_db.open(stored(weight=skewed())) as catalog:
        asked = "species 01 + species 02"
        kept = catalog.similar(asked, k=30, include_self=True, support=True, resamples=5)
        assert {row[7] for row in kept.fetchall()} == {1.0}
        left_out = catalog.similar(asked, k=28, support=True, resamples=5).fetchall()
        assert {row[7] for row in left_out} == {1.0}
        assert not {1, 2} & set(indices(left_out))


def test_each_model_is_answered_as_it_is_alone(catalog):
    options = {"k": 6, "support": True, "resamples": 10}
    together = catalog.similar("tench", models=list(REAL[::-1]), **options).fetchall()
    alone = [catalog.similar("tench", models=name, **options).fetchall() for name in REAL[::-1]]
    assert together == [row for rows in alone for row in rows]


def test_identical_rows_keep_their_places_by_index(stored):
    W = np.random.default_rng(0).normal(size=(20, 40)).astype(np.float32)
    W[[3, 7, 11, 19]] = W[3]
    with classrel_db.open(stored(weight=W)) as catalog:
        rows = catalog.similar(11, k=2, support=True, resamples=200).fetchall()
        assert [(i, *row[7:]) for i, row in zip(indices(rows), rows, strict=True)] == [
            (3, 1.0, 1.0), (7, 1.0, 1.0),
        ]  # fmt: skip


def test_a_seed_repeats_the_answer(catalog):
    def shares(**options):
        asked = {"models": REAL[0], "k": 8, "support": True, "resamples": 50, **options}
        return [row[7] for row in catalog.similar("tench", **asked).fetchall()]

    assert shares(seed=1) == shares(seed=1) != shares(seed=2)
    assert shares() == shares(seed=0)


def test_progress_is_told_of_every_model(catalog):
    told = []
    catalog.similar("tench", k=3, support=True, resamples=20, progress=told.append)
    assert list(dict.fromkeys(step.model for step in told)) == list(REAL)
    assert {(step.stage, step.total) for step in told} == {("support", 20)}
    for name in REAL:
        assert [step.done for step in told if step.model == name][-1] == 20


def test_where_no_resample_can_tell_support_is_null(stored):
    # two dimensions: standardised anew, the one resample of this seed draws one of them twice
    seeds = range(20)
    with classrel_db.open(stored(weight=skewed(6, 2))) as catalog:
        shares = [
            {
                row[7]
                for row in catalog.similar(0, k=2, support=True, resamples=1, seed=seed).fetchall()
            }
            for seed in seeds
        ]
    for seed, found in zip(seeds, shares, strict=True):
        (weights,) = maths.support.resample_weights(2, 1, seed)
        assert (found == {None}) == (2 in weights)
    assert {None} in shares
    assert not all(found == {None} for found in shares)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resamples": 0}, "resamples is 0; it is a whole number from 1 on"),
        ({"resamples": -5}, "resamples is -5"),
        ({"resamples": 10.0}, r"resamples is 10\.0"),
        ({"resamples": True}, "resamples is True"),
        ({"resamples": "many"}, "resamples is 'many'"),
        ({"resamples": None}, "resamples is None"),
        ({"seed": -1}, "seed is -1; it is a whole number from 0 on"),
        ({"seed": 0.5}, r"seed is 0\.5"),
        ({"seed": None}, "seed is None"),
        ({"k": 1000}, "from 1 to 999"),
        ({"k": 0}, "k is 0"),
    ],
)
def test_what_is_no_number_of_resamples_seed_or_neighbors_is_refused(catalog, options, message):
    with pytest.raises(ArgumentError, match=message):
        catalog.similar("tench", models=REAL[0], support=True, **options)


@pytest.mark.parametrize(
    "options", [["--resamples", "0"], ["--resamples", "-1"], ["--seed", "-1"], ["-k", "1000"]]
)
def test_the_command_line_refuses_them_with_one_line(database, classrel, options):
    asked = ["similar", "tench", "-m", REAL[0], "--support", *options]
    assert_refused(classrel(*asked, "--db", database), options[1])


@pytest.mark.parametrize(
    "options",
    [["--seed", "1"], ["--resamples", "9"], ["--support", "--resamples", "few"],
     ["--support", "--seed", "1.5"]],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2(database, classrel, options):
    answer = classrel("similar", "tench", *options, "--db", database)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "Usage: " in answer.stderr


def test_the_command_line_answers_as_python_and_says_what_was_drawn(catalog, classrel):
    asked = ["similar", "tench", "-k", 4, "--self", "--support", "--db", catalog.path, "-f", "json"]
    answer = classrel(*asked, "--resamples", 70, "--seed", 3)
    rows = catalog.similar(
        "tench", k=4, include_self=True, support=True, resamples=70, seed=3
    )  # fmt: skip
    got = json_of(answer)
    assert [list(item) for item in got] == [COLUMNS] * 15
    assert [(item["neighbor"], item["support"], item["normalizations"]) for item in got] == [
        (row[3], *row[7:]) for row in rows.fetchall()
    ]
    assert "70 bootstrap resamples" in answer.stderr
    assert "seed 3" in answer.stderr
    asked += ["-m", REAL[0]]
    assert "1,000 bootstrap resamples of the dimensions (seed 0)" in classrel(*asked).stderr


def test_the_numbers_of_the_table_of_one_model_are_those_of_json_rounded(stored, classrel):
    path = stored(weight=skewed())
    asked = ["similar", "4", "-k", 6, "--self", "--support", "--resamples", 57, "--db", path]
    lines = [line.split() for line in classrel(*asked).stdout.splitlines()]
    header = next(line for line in lines if line[:1] == ["rank"])
    assert header[-2:] == ["support", "normalizations"]
    shown = {line[0]: line for line in lines if line and line[0].isdigit()}
    rows = json.loads(classrel(*asked, "-f", "json").stdout)
    assert len({row["normalizations"] for row in rows}) > 2
    for row in rows:
        line = shown[str(row["rank"])]
        if row["rank"]:
            assert line[-2:] == [f"{row['support']:.0%}", f"{row['normalizations'] * 3:.0f}/3"]
        assert f"{row['cosine']:.4f}" in line


def test_several_models_show_support_beside_rank_and_cosine(database, classrel):
    asked = ["similar", "Dungeness crab", "-k", 6, "--self", "--support", "--resamples", 60]
    asked += ["--db", database]
    answer = classrel(*asked)
    rows = json.loads(classrel(*asked, "-f", "json").stdout)
    assert "rank, cosine and support" in answer.stdout
    assert "several models leaves it out" in answer.stderr
    for label in ("king crab", "rock crab", "American lobster"):
        (line,) = [line for line in answer.stdout.splitlines() if line.startswith(f" {label}")]
        expected = [
            part
            for row in rows
            if row["neighbor"] == label
            for part in (str(row["rank"]), f"{row['cosine']:.3f}", f"{row['support']:.0%}")
        ]
        assert line.removeprefix(f" {label}").split()[1:] == expected
