"""``similar`` on small heads: k, ties, vectors, threads, and relations over time."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from oracle import cosine_matrix, nearest, standardized

import classrel_db
from classrel_db.errors import ArgumentError


@pytest.fixture
def catalog(stored):
    with classrel_db.open(stored(n_classes=10)) as opened:
        yield opened


def indices(rows):
    return [int(row[3].removeprefix("species ")) for row in rows]


def test_by_default_a_small_head_gives_all_there_are(catalog):
    assert len(catalog.similar(0).fetchall()) == 9
    assert len(catalog.similar(vector=np.arange(6.0), models="small").fetchall()) == 10
    assert len(catalog.similar("species 00 + species 01").fetchall()) == 8


def test_by_default_a_large_head_gives_25(database):
    with classrel_db.open(database) as opened:
        assert len(opened.similar("tench", models="efficientnet_lite0").fetchall()) == 25
        rows = opened.similar("tench + goldfish", models="efficientnet_lite0").fetchall()
        assert len(rows) == 25


@pytest.mark.parametrize("k", [0, -1, 10, 1_000_000_000_000])
def test_a_stored_class_has_from_one_to_all_other_neighbors(catalog, k):
    with pytest.raises(ArgumentError, match=rf"k is {k}; small has 10 classes.*from 1 to 9"):
        catalog.similar("species 00", k=k)


@pytest.mark.parametrize(("k", "most"), [(0, 10), (-5, 10), (11, 10)])
def test_a_vector_has_from_one_to_all_classes(catalog, k, most):
    with pytest.raises(ArgumentError, match=rf"k is {k};.*from 1 to {most}"):
        catalog.similar(vector=np.arange(6.0), models="small", k=k)


@pytest.mark.parametrize("k", [0, 9])
def test_a_sum_has_from_one_to_all_classes_outside_it(catalog, k):
    with pytest.raises(ArgumentError, match=r"from 1 to 8"):
        catalog.similar("species 00 + species 01", k=k)


def test_a_sum_of_every_class_leaves_none_to_answer(stored):
    with (
        classrel_db.open(stored(n_classes=2, dim=4)) as opened,
        pytest.raises(ArgumentError, match=r"k is None|no class|every class"),
    ):
        opened.similar("species 00 + species 01")


def test_a_small_model_beside_a_large_one_limits_k_by_name(stored, make_head):
    path = stored(n_classes=10)
    large = make_head(name="large", n_classes=40)
    with classrel_db.open(path) as opened:
        opened.ingest(str(large.path), labels=large.labels_path)
        with pytest.raises(ArgumentError, match="small has 10 classes"):
            opened.similar("species 00", k=20, models=["large", "small"])
        assert len(opened.similar("species 00", k=20).fetchall()) == 9 + 20
        by_model = [row[0] for row in opened.similar("species 00").fetchall()]
        assert by_model == ["small"] * 9 + ["large"] * 25


def test_the_class_itself_can_be_had_at_rank_zero(catalog):
    without = catalog.similar(4, k=5).fetchall()
    whole = catalog.similar(4, k=5, include_self=True).fetchall()
    assert whole[0] == ("small", "species 04", 0, "species 04", "species 04", 1.0, 0.0)
    assert whole[1:] == without


def test_identical_rows_rank_by_index_by_every_route(stored):
    W = np.random.default_rng(0).normal(size=(130, 5)).astype(np.float32)
    same = [3, 7, 50, 129]
    W[same] = W[3]
    labels = [f"species {i}" for i in range(130)]
    with classrel_db.open(stored(weight=W, labels=labels)) as opened:
        for k in (3, 100, 129):
            assert indices(opened.similar("species 50", k=k).fetchall())[:3] == [3, 7, 129]
        near = opened.similar(vector=W[3], models="small", k=4).fetchall()
        assert indices(near) == same
        assert [row[5] for row in near] == [1.0] * 4
        for row in opened.similar("species 50", k=3).fetchall():
            assert row[5] == 1.0
            assert row[6] == pytest.approx(0, abs=1e-3)


def test_a_scaled_copy_of_a_row_has_cosine_one_and_its_negative_minus_one(stored):
    W = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    W[1], W[2] = 4 * W[0], -2 * W[0]
    with classrel_db.open(stored(weight=W)) as opened:
        rows = opened.similar(0).fetchall()
    assert (indices(rows)[0], rows[0][5]) == (1, 1.0)
    assert (indices(rows)[-1], rows[-1][5]) == (2, -1.0)
    assert all(-1 <= row[5] <= 1 for row in rows)


def test_permuting_the_classes_permutes_the_answer(stored, make_head):
    W = np.random.default_rng(5).normal(size=(20, 6)).astype(np.float32)
    order = np.random.default_rng(6).permutation(20)
    path = stored(weight=W)
    shuffled = make_head(
        name="shuffled", weight=W[order], labels=[f"species {i:02d}" for i in order]
    )
    with classrel_db.open(path) as opened:
        opened.ingest(str(shuffled.path), labels=shuffled.labels_path)
        for i in range(20):
            label = f"species {i:02d}"
            straight, permuted = (
                opened.similar(label, models=m, k=19).fetchall() for m in ("small", "shuffled")
            )
            assert [row[3:] for row in straight] == [row[3:] for row in permuted]


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (np.ones(5), r"shape \(5,\); small takes \(6,\)"),
        (np.ones((1, 6)), r"shape \(1, 6\)"),
        (1.0, r"shape \(\)"),
        ([], r"shape \(0,\)"),
        (np.ones(6), "constant"),
        (np.zeros(6), "constant|zero"),
        ([1, 2, 3, np.nan, 5, 6], "NaN"),
        ([1, 2, 3, np.inf, 5, 6], "Inf"),
    ],
)
def test_a_vector_that_has_no_place_among_the_classes_is_refused(catalog, vector, reason):
    with pytest.raises(ArgumentError, match=reason):
        catalog.similar(vector=vector, models="small")


def test_a_vector_belongs_to_one_model(stored, make_head):
    path = stored()
    other = make_head(name="other", seed=3)
    with classrel_db.open(path) as opened:
        opened.ingest(str(other.path), labels=other.labels_path)
        with pytest.raises(ArgumentError, match="one model, not of 2"):
            opened.similar(vector=np.arange(6.0))


def test_any_vector_ranks_as_a_naive_search(stored, make_head):
    head = make_head(n_classes=50, dim=9)
    with classrel_db.open(stored(n_classes=50, dim=9)) as opened:
        for seed in range(10):
            vector = np.random.default_rng(seed).normal(size=9)
            z = (vector - vector.mean()) / vector.std(ddof=1)
            rows = standardized(head.weight)
            cosines = cosine_matrix(np.vstack([rows, z]))[-1, :-1]
            found = opened.similar(vector=vector.tolist(), models="small", k=50).fetchall()
            assert indices(found) == nearest(cosines.astype(np.float32), 50)
            distances = np.linalg.norm(rows - z, axis=1)[indices(found)]
            np.testing.assert_allclose([row[6] for row in found], distances, rtol=1e-4, atol=1e-6)


def test_one_catalog_answers_many_threads_as_it_answers_one(database):
    with classrel_db.open(database) as opened:
        asked = [("tench", 5), ("Dungeness", 100), ("king crab + crayfish", 7), ("n02113186", 200)]
        expected = {text: opened.similar(text, k=k).fetchall() for text, k in asked}
        opened.close()
        wrong: list[object] = []
        barrier = threading.Barrier(8)

        def ask(number):
            barrier.wait()
            for turn in range(6):
                text, k = asked[(number + turn) % len(asked)]
                try:
                    if opened.similar(text, k=k).fetchall() != expected[text]:
                        wrong.append(text)
                except Exception as error:  # noqa: BLE001
                    wrong.append(error)

        threads = [threading.Thread(target=ask, args=[n]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_after_an_ingest_the_next_question_sees_the_new_model(stored, make_head):
    path = stored()
    second = make_head(name="second", seed=2)
    with classrel_db.open(path) as opened:
        before = opened.similar(0).fetchall()
        opened.ingest(str(second.path), labels=second.labels_path)
        after = opened.similar(0).fetchall()
        assert [row for row in after if row[0] == "small"] == before
        assert {row[0] for row in after} == {"small", "second"}
        opened.remove("small")
        assert {row[0] for row in opened.similar(0).fetchall()} == {"second"}


def test_a_replaced_head_is_searched_by_its_new_rows(stored, make_head):
    path = stored(n_classes=30)
    with classrel_db.open(path) as opened:
        old = opened.similar("species 00 + species 01", k=28).fetchall()
        changed = make_head(n_classes=30, seed=77)
        opened.ingest(str(changed.path), labels=changed.labels_path, replace=True)
        new = opened.similar("species 00 + species 01", k=28).fetchall()
    rows = standardized(changed.weight)
    cosines = cosine_matrix(np.vstack([rows, rows[0] + rows[1]]))[-1, :-1]
    assert indices(new) == nearest(cosines.astype(np.float32), 28, (0, 1)) != indices(old)


def test_an_old_relation_ends_with_a_write_in_an_error_not_in_wrong_rows(stored, make_head):
    import duckdb

    path = stored()
    second = make_head(name="second", seed=2)
    with classrel_db.open(path) as opened:
        old = opened.similar(0)
        opened.ingest(str(second.path), labels=second.labels_path)
        with pytest.raises(duckdb.ConnectionException):
            old.fetchall()


def test_a_relation_takes_further_sql(catalog):
    rows = catalog.similar(0).filter("cosine > 0").order("neighbor").project("neighbor").fetchall()
    expected = sorted(row[3] for row in catalog.similar(0).fetchall() if row[5] > 0)
    assert [row[0] for row in rows] == expected


def test_two_relations_at_once_do_not_disturb_each_other(catalog):
    first = catalog.similar("species 00 + species 01")
    second = catalog.similar("species 02 + species 03")
    assert {row[1] for row in first.fetchall()} == {"species 00 + species 01"}
    assert {row[1] for row in second.fetchall()} == {"species 02 + species 03"}


def test_the_same_question_twice_gives_the_same_answer(database):
    answers = []
    for _ in range(2):
        with classrel_db.open(database) as opened:
            answers.append(opened.similar("king crab + American lobster - crayfish").fetchall())
    assert answers[0] == answers[1]
