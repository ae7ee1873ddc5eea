"""What an ingest stores, what it refuses, and that the same head again changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import cosine_matrix, nearest, standardized
from storage.conftest import content_of

import classrel_db
from classrel_db.errors import (
    ArgumentError,
    ClassrelError,
    LabelError,
    ModelExistsError,
    SourceError,
    UnknownModelError,
    WeightsError,
)
from classrel_db.storage.index import folder_of

if TYPE_CHECKING:
    from classrel_db.records import Step


@pytest.fixture
def path(tmp_path):
    return tmp_path / "small.duckdb"


def ingest(path, head, **options):
    with classrel_db.open(path) as catalog:
        (answer,) = catalog.ingest(str(head.path), labels=head.labels_path, **options)
    return answer


def assert_refused(path, head, error, *parts, **options):
    before = content_of(path) if path.exists() else None
    with pytest.raises(error) as caught:
        ingest(path, head, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    if before is None:
        assert not path.exists()
        assert not folder_of(path).exists()
    else:
        assert content_of(path) == before


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_a_file_is_stored_under_its_stem_with_what_was_read(path, make_head, ending):
    head = make_head(name="beetles", n_classes=30, dim=7, ending=ending)
    answer = ingest(path, head)
    assert (answer.model, answer.status) == ("beetles", "added")
    assert (answer.n_classes, answer.dim, answer.n_pairs) == (30, 7, 435)
    assert 30 * 7 * 4 <= answer.bytes_read <= answer.bytes_total == head.path.stat().st_size


@pytest.mark.parametrize("normalize", ["standardize", "center", "none"])
def test_a_normalisation_is_stored_as_its_formula_says(path, make_head, normalize):
    head = make_head(n_classes=30, dim=7)
    ingest(path, head, normalize=normalize)
    W = head.weight.astype(np.float64)
    rows = {
        "standardize": standardized(W),
        "center": (W - W.mean(axis=0)) / np.linalg.norm(W - W.mean(axis=0), axis=1, keepdims=True),
        "none": W,
    }[normalize]
    cosine = cosine_matrix(rows)
    with classrel_db.open(path) as catalog:
        assert catalog.models().fetchall()[0][4] == normalize
        for i in range(30):
            found = catalog.similar(i, k=29).fetchall()
            order = nearest(cosine[i].astype(np.float32), 29, (i,))
            assert [int(row[3][-2:]) for row in found] == order
            np.testing.assert_allclose([row[5] for row in found], cosine[i][order], atol=2e-7)
            distances = np.linalg.norm(rows[order] - rows[i], axis=1)
            np.testing.assert_allclose([row[6] for row in found], distances, rtol=1e-4)
        near = catalog.similar(vector=head.weight[3], models="small", k=30).fetchall()
        assert near[0][3] == "species 03"
        assert near[0][5:] == pytest.approx((1.0, 0.0), abs=1e-3)
        assert [row[3] for row in near[1:]] == [
            row[3] for row in catalog.similar(3, k=29).fetchall()
        ]
        assert all(row[2] for row in catalog.check().fetchall())
    with duckdb.connect(str(path), read_only=True) as connection:
        stored = connection.execute(
            "SELECT vector, scale, mean, center FROM weights JOIN classes USING (model_id, class_idx)"
            " JOIN models USING (model_id) ORDER BY class_idx"
        ).fetchall()
    for i, (vector, scale, mean, center) in enumerate(stored):
        shift = {"standardize": mean, "center": np.array(center or 0.0), "none": 0.0}[normalize]
        np.testing.assert_allclose(np.array(vector) * scale + shift, head.weight[i], atol=1e-6)


@given(st.integers(2, 30), st.integers(2, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_the_two_routes_agree_on_any_head(tmp_path_factory, n_classes, dim, seed):
    folder = tmp_path_factory.mktemp("any")
    W = np.random.default_rng(seed).normal(size=(n_classes, dim)).astype(np.float32)
    labels = np.array([f"c{i}" for i in range(n_classes)])
    np.savez(folder / "any.npz", weight=W, labels=labels)
    with classrel_db.open(folder / "any.duckdb") as catalog:
        catalog.ingest(str(folder / "any.npz"))
        for i in range(n_classes):
            stored = catalog.similar(i, k=n_classes - 1).fetchall()
            cosines = cosine_matrix(standardized(W))[i]
            np.testing.assert_allclose(
                [row[5] for row in stored], sorted(np.delete(cosines, i))[::-1], atol=3e-7
            )
            macro = catalog.similar(i, k=n_classes - 1)
            assert macro.fetchall() == stored


def test_the_same_head_again_changes_nothing_and_says_so(path, make_head):
    head = make_head()
    ingest(path, head)
    before = content_of(path)
    again = ingest(path, head)
    assert again.status == "unchanged"
    assert content_of(path) == before
    assert ingest(path, head, pairs="all").status == "unchanged"


def test_the_same_head_under_another_name_is_another_model(path, make_head):
    head = make_head()
    ingest(path, head)
    assert ingest(path, head, name="twin").status == "added"
    with classrel_db.open(path) as catalog:
        small, twin = (catalog.similar(3, models=m).fetchall() for m in ("small", "twin"))
        assert [row[1:] for row in small] == [row[1:] for row in twin]
        catalog.remove("small")  # the twin shares the index file by its content
        assert catalog.similar(vector=head.weight[0], models="twin", k=1).fetchall()
        assert all(row[2] for row in catalog.check().fetchall())


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"seed": 1}, "weights"),
        ({"labels": [f"kind {i}" for i in range(12)]}, "labels"),
        ({"concepts": [f"taxon {i}" for i in range(12)]}, "labels"),
        ({"n_classes": 13}, "weights"),
    ],
)
def test_another_head_under_the_name_needs_replace(path, make_head, changed, word):
    ingest(path, make_head())
    other = make_head(**changed)
    assert_refused(path, other, ModelExistsError, '"small"', word, "--replace", "--name")
    assert ingest(path, other, replace=True).status == "replaced"
    with classrel_db.open(path) as catalog:
        assert [row[2] for row in catalog.classes("small").fetchall()] == other.labels
        assert all(row[2] for row in catalog.check().fetchall())
    assert ingest(path, other).status == "unchanged"


def test_another_normalisation_or_pair_policy_needs_replace(path, make_head):
    head = make_head()
    ingest(path, head)
    assert_refused(path, head, ModelExistsError, "normalisation", normalize="none")
    assert_refused(path, head, ModelExistsError, "pairs", pairs="none")


def test_without_pairs_the_neighbors_are_the_same(path, make_head):
    head = make_head(n_classes=150)
    ingest(path, head)
    with classrel_db.open(path) as catalog:
        with_pairs = [catalog.similar(5, k=k).fetchall() for k in (25, 149)]
    assert ingest(path, head, pairs="none", replace=True).n_pairs == 0
    with classrel_db.open(path) as catalog:
        assert [catalog.similar(5, k=k).fetchall() for k in (25, 149)] == with_pairs
        assert catalog.models().fetchall()[0][5] == 0
        assert all(row[2] for row in catalog.check().fetchall())


def test_several_models_are_one_transaction_each(path, make_head):
    good, bad = make_head(name="good"), make_head(name="bad", weight=np.zeros((12, 6)))
    with classrel_db.open(path) as catalog, pytest.raises(WeightsError, match="bad"):
        catalog.ingest(str(good.path), str(bad.path), labels=good.labels_path)
    with classrel_db.open(path) as catalog:
        assert [row[0] for row in catalog.models().fetchall()] == ["good"]


def test_two_models_of_one_name_in_a_batch_are_refused_before_anything_is_read(path, make_head):
    head = make_head()
    (folder := path.parent / "other").mkdir()
    namesake = folder / head.path.name
    namesake.write_bytes(head.path.read_bytes())
    with pytest.raises(ArgumentError, match='named "small"'):
        classrel_db.open(path).ingest(str(head.path), str(namesake), labels=head.labels_path)
    assert not path.exists()


def test_a_model_that_is_meant_twice_is_ingested_once(path, make_head):
    head = make_head()
    specs = (head.path, f"file:{head.path}", str(head.path))
    answers = classrel_db.open(path).ingest(*specs, labels=head.labels_path)
    assert [answer.model for answer in answers] == ["small"]


def test_a_misspelt_name_in_a_batch_is_refused_before_anything_is_read(path, make_head):
    head = make_head()
    with pytest.raises(UnknownModelError, match=r"did you mean.*efficientnet_lite0"):
        classrel_db.open(path).ingest(str(head.path), "eficientnet_lite0", labels=head.labels_path)
    assert not path.exists()


def test_one_name_for_two_models_and_no_model_at_all_are_refused(path, make_head):
    head = make_head()
    with pytest.raises(ArgumentError, match="one name"):
        classrel_db.open(path).ingest(str(head.path), "efficientnet_lite0", name="x")
    with pytest.raises(ArgumentError, match="no model to ingest"):
        classrel_db.open(path).ingest()


@pytest.mark.parametrize("name", ["", " ", "-x", "a\nb", "x" * 201, "\x1b[31m", "a\u202eb"])
def test_a_name_that_could_not_be_typed_or_shown_is_refused(path, make_head, name):
    assert_refused(path, make_head(), ArgumentError, "can't name a model", name=name)


@pytest.mark.parametrize(
    "name", ["x'; DROP TABLE models; --", "../../etc", "[bold]", "模型", "a b"]
)
def test_an_odd_but_printable_name_is_only_a_name(path, make_head, name):
    head = make_head()
    ingest(path, head, name=name)
    with classrel_db.open(path) as catalog:
        assert catalog.similar(3, models=name, k=11).fetchall()[0][0] == name
        assert catalog.similar("species 01 + species 02", models=name).fetchall()
        catalog.remove(name)
        assert catalog.models().fetchall() == []


def test_an_unknown_normalisation_or_policy_is_refused(path, make_head):
    assert_refused(path, make_head(), ArgumentError, "standardize", normalize="zscore")
    assert_refused(path, make_head(), ArgumentError, "auto", pairs="some")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([1, np.nan, 2], "holds NaN"),
        ([1, np.inf, 2], "holds Inf"),
        ([1, -np.inf, 2], "holds Inf"),
        ([0, 0, 0], "is all zero"),
        ([4, 4, 4], "is constant"),
    ],
)
@pytest.mark.parametrize("normalize", ["standardize", "center", "none"])
def test_a_row_without_direction_is_refused_with_its_class(path, make_head, row, reason, normalize):
    W = np.random.default_rng(0).normal(size=(5, 3))
    W[3] = row
    head = make_head(weight=W)
    assert_refused(path, head, WeightsError, '"species 03" (row 3)', reason, normalize=normalize)


def test_a_refused_head_leaves_an_existing_database_alone(path, make_head):
    ingest(path, make_head())
    bad = make_head(name="bad", weight=np.full((12, 6), np.nan))
    assert_refused(path, bad, WeightsError, "species 00", "and 7 rows more")


def test_a_row_that_equals_the_class_mean_has_no_direction_under_center(path, make_head):
    W = np.array([[1, 0, 3], [3, 4, 1], [2, 2, 3.5], [2, 2, 1.5]])
    W = np.vstack([W, W.mean(axis=0)])
    assert_refused(
        path, make_head(weight=W), WeightsError, "species 04", "center", normalize="center"
    )


@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1)])
def test_one_class_or_one_dimension_is_refused(path, make_head, shape):
    W = np.random.default_rng(0).normal(size=shape)
    assert_refused(path, make_head(weight=W), WeightsError, f"{shape[0]}×{shape[1]}", "at least 2")


def test_two_classes_and_two_dimensions_are_enough(path, make_head):
    ingest(path, make_head(weight=np.array([[1.0, 2], [2, 1]])))
    with classrel_db.open(path) as catalog:
        ((*_, cosine, euclidean),) = catalog.similar(0).fetchall()
        assert cosine == -1
        assert euclidean == pytest.approx(2)
        assert all(row[2] for row in catalog.check().fetchall())


@pytest.mark.parametrize("n_labels", [11, 13, 1])
def test_fewer_or_more_labels_than_rows_are_refused(path, make_head, n_labels):
    head = make_head()
    head.labels_path.write_text("label\n" + "".join(f"l{i}\n" for i in range(n_labels)))
    assert_refused(path, head, LabelError, f"{n_labels} labels", "12 rows")


@pytest.mark.parametrize(
    "label", ["", "a\nb", "a\x00b", "a\x1b[31mb", "a\u202eb", "x" * 10_000, "species 00"]
)
def test_a_label_that_cannot_stand_is_refused(path, make_head, label):
    labels = [f"species {i:02d}" for i in range(11)] + [label]
    assert_refused(path, make_head(labels=labels), LabelError)


ODD_LABELS = [
    "[bold]x[/bold]",
    "🦀 crab",
    "سرطان",
    "x" * 1000,
    "a|b,c",
    'say "hi"',
    "e\u0301",
    "👩‍🔬",
]


def test_odd_but_sound_labels_come_back_as_they_went_in(path, make_head):
    ingest(path, make_head(n_classes=8, labels=ODD_LABELS))
    with classrel_db.open(path) as catalog:
        assert [row[2] for row in catalog.classes("small").fetchall()] == ODD_LABELS
        for label in ODD_LABELS:
            rows = catalog.similar(label).fetchall()
            assert {row[1] for row in rows} == {label}
            assert {row[3] for row in rows} == set(ODD_LABELS) - {label}


def test_a_missing_file_is_named(path, tmp_path):
    with pytest.raises(SourceError, match=r"no file.*gone\.npz"):
        classrel_db.open(path).ingest(str(tmp_path / "gone.npz"))
    assert not path.exists()


def test_head_and_labels_are_refused_for_a_model_that_brings_its_own(path, make_head):
    with pytest.raises(ArgumentError, match="brings its own"):
        classrel_db.open(path).ingest("efficientnet_lite0", labels=make_head().labels_path)


def test_progress_tells_each_stage_to_its_end_and_never_runs_back(path, make_head):
    steps: list[Step] = []
    answers = []
    ingest(path, make_head(n_classes=90, dim=40), progress=steps.append, done=answers.append)
    assert [answer.status for answer in answers] == ["added"]
    for stage, total in (("read", None), ("neighbors", 90), ("pairs", 90 * 89 // 2)):
        of_stage = [step for step in steps if step.stage == stage]
        done = [step.done for step in of_stage]
        assert done == sorted(done)
        assert of_stage[-1].done == of_stage[-1].total
        assert total in (None, of_stage[-1].total)
        assert {step.model for step in of_stage} == {"small"}


def test_every_refusal_is_one_of_ours():
    for error in (LabelError, ModelExistsError, SourceError, UnknownModelError, WeightsError):
        assert issubclass(error, ClassrelError)
