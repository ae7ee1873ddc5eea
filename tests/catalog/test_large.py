"""Heads beyond the exact search: what is stored of them, what they answer, and what memory they may take.

The limit is patched, so that a real head of 1,000 classes is beyond it.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pytest
from oracle import cosine_matrix, json_of
from safetensors.numpy import save_file
from storage.conftest import content_of

import classrel_db
from classrel_db import scratch, sources
from classrel_db.catalog import lookup, searching, vectors
from classrel_db.errors import ArgumentError, UnknownClassError
from classrel_db.sources.formats import dtypes
from classrel_db.storage.index import folder_of

NAME = "efficientnet_lite0"


@pytest.fixture
def beyond(monkeypatch):
    monkeypatch.setattr(vectors, "EXACT_LIMIT", 100)
    monkeypatch.setattr(searching, "_LITTLE_WORK", 0)


@pytest.fixture(scope="module")
def approximate(tmp_path_factory):
    """The head as if it were too large for an exact search."""
    path = tmp_path_factory.mktemp("approximate") / "a.duckdb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "EXACT_LIMIT", 100)
        patch.setattr(searching, "_LITTLE_WORK", 0)  # few enough lists that not all is found
        with classrel_db.open(path) as catalog:
            catalog.ingest(NAME, pairs="none")
    return path


@pytest.fixture(scope="module")
def cosines(request):
    return cosine_matrix(request.getfixturevalue("heads")[NAME].standardized)


def neighbors_in(path):
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute(
            "SELECT neighbor_idx, cosine FROM neighbors ORDER BY model_id, class_idx, rank"
        ).fetchnumpy()
    return found["neighbor_idx"].reshape(-1, 100), found["cosine"].reshape(-1, 100)


def test_stored_cosines_are_true_and_the_stored_recall_is_that_of_all_classes(approximate, cosines):
    indices, stored = neighbors_in(approximate)
    assert np.allclose(stored, np.take_along_axis(cosines, indices, axis=1), atol=1e-7)
    assert (np.diff(stored, axis=1) <= 0).all()
    assert (indices != np.arange(1000)[:, None]).all()
    np.fill_diagonal(cosines := cosines.copy(), -2)
    truth = np.argsort(-cosines, axis=1)[:, :10]
    recall = np.mean([np.isin(truth[i], indices[i, :10]).mean() for i in range(1000)])
    with classrel_db.open(approximate) as catalog:
        row = catalog.info(NAME).df().iloc[0]
    assert row["search"].startswith("ivf: 126 lists, ")
    assert row["recall_sample"] == 500
    of_all = np.argsort(-cosines, axis=1)[:, :100]
    recall_all = np.mean([np.isin(of_all[i], indices[i]).mean() for i in range(1000)])
    assert abs(row["recall_all"] - recall_all) < 0.03
    assert 0.5 < recall < 1  # or this would test nothing
    assert row["recall_low"] < row["recall"]
    assert row["recall_low"] - 0.01 <= recall <= row["recall"] + 0.03


@pytest.mark.parametrize("setting", [{"OMP_NUM_THREADS": "1"}, {"memory": "3GB"}, {}])
def test_the_same_head_gives_the_same_rows_with_any_threads_and_memory(
    approximate, tmp_path, monkeypatch, beyond, setting
):
    memory = setting.pop("memory", None)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "again.duckdb"
    with classrel_db.open(path) as catalog:
        catalog.ingest(NAME, pairs="none", memory=memory)
    for first, second in zip(neighbors_in(path), neighbors_in(approximate), strict=True):
        assert np.array_equal(first, second)


def test_exact_gives_the_rows_of_the_usual_search(database, tmp_path, beyond):
    path = tmp_path / "exact.duckdb"
    with classrel_db.open(path) as catalog:
        (answer,) = catalog.ingest(NAME, exact=True, pairs="all")
        assert (answer.search, answer.recall) == ("exact", 1)
        assert answer.n_pairs == 499_500
        assert catalog.check().filter("NOT ok").fetchall() == []
    with duckdb.connect(str(database), read_only=True) as connection:
        ((model_id,),) = connection.execute(
            "SELECT model_id FROM models WHERE name = ?", [NAME]
        ).fetchall()
        usual = [
            connection.execute(
                f"SELECT * EXCLUDE model_id FROM {table} WHERE model_id = {model_id} ORDER BY ALL"
            ).fetchall()
            for table in ("neighbors", "pairs", "weights", "classes")
        ]
    with duckdb.connect(str(path), read_only=True) as connection:
        exact = [
            connection.execute(f"SELECT * EXCLUDE model_id FROM {table} ORDER BY ALL").fetchall()
            for table in ("neighbors", "pairs", "weights", "classes")
        ]
    assert exact == usual


@pytest.mark.parametrize("exact", [True, False])
def test_what_was_read_of_rows_on_the_disk_is_given_back(tmp_path, monkeypatch, beyond, exact):
    rows = scratch.scratch_array((3_000, 16), "<f4", tmp_path)
    rows[:] = np.random.default_rng(0).normal(size=rows.shape)
    released = []
    monkeypatch.setattr(searching, "release", lambda *arrays: released.extend(map(id, arrays)))
    monkeypatch.setattr("classrel_db.maths.lists.CANDIDATES", 128)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    search = searching.LargeSearch(
        rows, norms, 10, memory=4_000_000_000, folder=tmp_path, exact=exact
    )
    search.run(lambda _done: None, lambda: None)
    assert released.count(id(rows)) > 3


QUESTIONS = {
    "a class": {"query": "Dungeness crab", "k": 20},
    "more than are stored": {"query": "Dungeness crab", "k": 150},
    "an index": {"query": 118, "k": 5},
    "a sum": {"query": "king crab + American lobster - crayfish", "k": 10},
    "a sum among some": {
        "query": "king crab + American lobster",
        "k": 5,
        "where": "label ILIKE '%crab%' OR label ILIKE '%lobster%'",
    },
    "a condition": {"query": "Dungeness crab", "k": 5, "where": "label ILIKE '%fish%'"},
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("with_index", [True, False])
def test_it_answers_as_a_head_that_was_searched_exactly(
    approximate, catalog, beyond, monkeypatch, tmp_path, question, with_index
):
    """No answer is made up: cosines are true, ranks are those of what was found, and most is found."""
    if not with_index:
        monkeypatch.setattr("classrel_db.storage.index.IndexCache.stored", lambda *_: None)
    expected = catalog.similar(**question, models=NAME).fetchall()
    everything = catalog.similar(**{**question, "k": 990, "where": None}, models=NAME).fetchall()
    with classrel_db.open(approximate) as opened:
        found = opened.similar(**question, models=NAME).fetchall()
    if question["k"] > 100 or "where" in question or (not with_index and "+" in str(question)):
        assert found == expected  # from all rows
        return
    assert [row[2] for row in found] == list(range(1, len(expected) + 1))
    assert {row[3:] for row in found} <= {row[3:] for row in everything}
    assert len({row[3] for row in found} & {row[3] for row in expected}) >= 0.4 * len(expected)


def test_a_vector_finds_its_own_class_first(approximate, heads, beyond):
    with classrel_db.open(approximate) as opened:
        for row in (0, 118, 999):
            (first,) = opened.similar(vector=heads[NAME].weight[row], models=NAME, k=1).fetchall()
            assert first[5] == pytest.approx(1)
            (own,) = opened.sql(
                "SELECT class FROM class_weights WHERE class_idx = $i", {"i": row}
            ).fetchall()
            assert first[3] == own[0]


def test_check_holds_it_against_its_rows(approximate, tmp_path, beyond):
    from databases import copy_database

    path = copy_database(approximate, tmp_path / "copy.duckdb")
    with classrel_db.open(path) as catalog:
        assert catalog.check().filter("NOT ok").fetchall() == []
    harm = {
        "neighbors": "UPDATE neighbors SET cosine = cosine - 0.001 WHERE class_idx = 999 AND rank = 100",
        "norms": "UPDATE classes SET norm = norm * 1.001 WHERE class_idx = 500",
        "weights": "UPDATE weights SET vector = (SELECT vector FROM weights WHERE class_idx = 4) "
        "WHERE class_idx = 3",
    }
    for check, statement in harm.items():
        path = copy_database(approximate, tmp_path / f"{check}.duckdb")
        with duckdb.connect(str(path)) as connection:
            connection.execute(statement)
        with classrel_db.open(path) as catalog:
            wrong = [row[1] for row in catalog.check().fetchall() if not row[2]]
        assert check in wrong, wrong


def test_check_finds_neighbours_that_are_far_from_the_nearest(approximate, tmp_path, beyond):
    from databases import copy_database

    path = copy_database(approximate, tmp_path / "far.duckdb")
    with duckdb.connect(str(path)) as connection:  # true cosines, of the wrong classes
        connection.execute(
            """
            CREATE TEMP TABLE far AS
            SELECT a.model_id, a.class_idx, b.class_idx AS other, cosine_of(a.vector, b.vector) AS cosine
            FROM weights AS a JOIN weights AS b ON b.class_idx <> a.class_idx
            WHERE a.class_idx IN (SELECT floor(x * 999 / 15)::INTEGER FROM range(16) AS r (x))
            """
        )
        connection.execute("DELETE FROM neighbors WHERE class_idx IN (SELECT class_idx FROM far)")
        connection.execute(
            """
            CREATE TEMP TABLE kept AS FROM neighbors;
            INSERT INTO kept SELECT model_id, class_idx,
                row_number() OVER (PARTITION BY class_idx ORDER BY cosine DESC, other) AS rank, other, cosine
            FROM (FROM far QUALIFY row_number() OVER (PARTITION BY class_idx ORDER BY cosine) <= 100);
            DELETE FROM neighbors;
            INSERT INTO neighbors FROM kept ORDER BY model_id, class_idx, rank;
            """
        )
    with classrel_db.open(path) as catalog:
        (finding,) = [row for row in catalog.check().fetchall() if row[1] == "neighbors"]
    assert not finding[2]
    assert "0.0% of their 10 nearest" in finding[3]


def test_too_little_memory_says_the_least_and_that_is_enough(tmp_path, beyond):
    path = tmp_path / "a.duckdb"
    with classrel_db.open(path) as catalog:
        with pytest.raises(ArgumentError) as caught:
            catalog.ingest(NAME, pairs="none", memory="100MB")
        message = str(caught.value)
        assert "1,000×1280" in message
        assert not path.exists()
        least = message.partition("at least ")[2].partition(":")[0]
        (answer,) = catalog.ingest(NAME, pairs="none", memory=least.replace(",", ""))
    assert answer.status == "added"


@pytest.mark.parametrize("memory", ["", "4 apples", "-1GB", "0", 0, -5, True, 1.5, "GB", "1e9"])
def test_what_is_no_amount_of_memory_is_refused(tmp_path, memory):
    with classrel_db.open(tmp_path / "a.duckdb") as catalog, pytest.raises(ArgumentError) as caught:
        catalog.ingest(NAME, memory=memory)
    assert "4GB" in str(caught.value)


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_head_read_onto_the_disk_is_the_head(tmp_path, monkeypatch, heads, ending, dtype):
    import torch
    from safetensors.torch import save_file as save_torch

    kind = {"F32": torch.float32, "BF16": torch.bfloat16}[dtype]
    weight = torch.from_numpy(heads[NAME].weight.copy()).to(kind)
    tensors = {"fc.weight": weight, "fc.bias": torch.from_numpy(heads[NAME].bias)}
    path = tmp_path / f"head{ending}"
    (save_torch if ending == ".safetensors" else torch.save)(tensors, path)

    def read():
        options = classrel_db.records.LoadOptions(labels="imagenet1k")
        return sources.load(sources.locate(str(path)), options, None)

    whole = read()
    monkeypatch.setattr(dtypes, "LARGE", 1_000)
    monkeypatch.setattr(dtypes, "_BLOCK", 100_000)
    parts = read()
    assert np.array_equal(parts.weight, whole.weight)
    assert np.array_equal(parts.weight, weight.float().numpy())
    assert (parts.bytes_read, parts.dtype) == (whole.bytes_read, dtype)
    assert np.array_equal(parts.bias, whole.bias)
    assert (parts.rounding is None) == (dtype == "F32")
    if dtype == "BF16":
        assert np.array_equal(parts.rounding, whole.rounding)


@pytest.mark.parametrize("normalize", ["standardize", "center", "none"])
def test_rows_on_the_disk_are_stored_as_those_in_memory(
    tmp_path, monkeypatch, large_head, normalize
):
    def stored(name):
        with classrel_db.open(tmp_path / name) as catalog:
            catalog.ingest(str(large_head), labels="imagenet1k", normalize=normalize, pairs="none")
        with duckdb.connect(str(tmp_path / name), read_only=True) as connection:
            columns = "* EXCLUDE (ingested_at, versions)"
            return [
                connection.execute(
                    f"SELECT {columns if table == 'models' else '*'} FROM {table} ORDER BY ALL"
                ).fetchall()
                for table in ("models", "classes", "weights", "neighbors")
            ]

    whole = stored("whole.duckdb")
    for module in (
        "classrel_db.catalog.ingest",
        "classrel_db.catalog.vectors",
        "classrel_db.sources.formats.dtypes",
    ):
        monkeypatch.setattr(f"{module}.LARGE", 1_000)
    assert stored("parts.duckdb") == whole


def test_the_command_says_what_it_did(classrel, tmp_path, beyond):
    db = tmp_path / "a.duckdb"
    answer = classrel("ingest", NAME, "--db", db, "--pairs", "none", "--memory", "4GB")
    assert answer.returncode == 0
    assert "no pairs" in answer.stderr
    assert "neighbours approximate: " in answer.stderr
    shown = classrel("info", NAME, "--db", db).stdout
    assert "126 lists" in shown
    assert "measured on 500 classes" in shown
    (row,) = json_of(classrel("info", NAME, "--db", db, "--format", "json"))
    assert 0 < row["recall_low"] < row["recall"] < 1
    again = classrel("ingest", NAME, "--db", db, "--pairs", "none", "--exact", "--replace")
    assert "approximate" not in again.stderr
    assert json_of(classrel("info", NAME, "--db", db, "--format", "json"))[0]["search"] == "exact"
    refused = classrel("ingest", NAME, "--db", db, "--replace", "--memory", "little")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "query",
    ["Dungeness crab", "dungeness CRAB", "n01978287", "N01978287", "118", 118, "999", "crane", "no such",
     "9" * 40, "stone crab", "shepherd"],
)  # fmt: skip
def test_a_class_of_a_large_model_is_found_as_in_a_small_one(catalog, monkeypatch, query):
    def asked(opened):
        try:
            return opened.similar(query, models=NAME, k=3).fetchall()
        except classrel_db.errors.ClassrelError as error:
            return type(error), str(error)

    expected = asked(catalog)
    monkeypatch.setattr(lookup, "_LARGE", 10)
    with classrel_db.open(catalog.path) as opened:
        # the names are gone through the second time only
        for warm in ("tench", "goldfish"):
            opened.similar(warm, models=NAME, k=1).fetchall()
        assert asked(opened) == expected


def test_all_lists_are_searched_where_that_is_little_work(tmp_path, monkeypatch, cosines):
    monkeypatch.setattr(vectors, "EXACT_LIMIT", 100)
    path = tmp_path / "a.duckdb"
    with classrel_db.open(path) as catalog:
        (answer,) = catalog.ingest(NAME, pairs="none")
    assert answer.recall >= 0.99
    indices, _ = neighbors_in(path)
    np.fill_diagonal(cosines := cosines.copy(), -2)
    truth = np.argsort(-cosines, axis=1)[:, :10]
    assert np.mean([np.isin(truth[i], indices[i, :10]).mean() for i in range(1000)]) >= 0.99
    of_all = np.argsort(-cosines, axis=1)[:, :100]
    assert np.mean([np.isin(of_all[i], indices[i]).mean() for i in range(1000)]) >= 0.97


def test_the_lists_that_are_searched_are_the_fewest_that_hold_enough():
    places = np.asarray([[0, 0, 1, 5], [0, 0, 0, 3]])
    assert searching._enough(places, 0.995, 100) == 6  # of 8, 99.5 % are all
    assert searching._enough(places, 0.995, 4) == 4
    assert searching._enough(np.zeros((50, 10), dtype=int), 0.995, 9) == 1
    many = np.zeros(1000, dtype=int)
    many[:5], many[5:10] = 50, 7
    assert searching._enough(many, 0.995, 100) == 8


def test_nothing_of_a_head_that_needs_more_memory_is_left(tmp_path, beyond):
    path = tmp_path / "a.duckdb"
    with classrel_db.open(path) as catalog:
        catalog.ingest(NAME, pairs="none")
        before = content_of(path)
        with pytest.raises(ArgumentError):
            catalog.ingest("efficientnet_lite1", memory="1MB")
    assert content_of(path) == before
    assert len(list(folder_of(path).iterdir())) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.duckdb", "a.faiss"]


def test_an_unknown_class_of_a_large_model_is_told_its_nearest_spelling(approximate, beyond):
    with (
        classrel_db.open(approximate) as opened,
        pytest.raises(UnknownClassError, match="Dungeness"),
    ):
        opened.similar("Dungenes crabb")


def test_a_head_whose_classes_are_all_alike_is_searched(tmp_path, beyond):
    """One list holds nearly all of them: its parts are still searched one after the other."""
    weight = np.random.default_rng(0).normal(size=(700, 12)).astype(np.float32)
    weight[10:] = weight[10] + 1e-3 * weight[10:]
    save_file({"fc.weight": weight}, tmp_path / "alike.safetensors")
    (tmp_path / "labels.txt").write_text("".join(f"c{i}\n" for i in range(700)))
    with classrel_db.open(tmp_path / "a.duckdb") as catalog:
        catalog.ingest(str(tmp_path / "alike.safetensors"), labels=tmp_path / "labels.txt")
        assert catalog.check().filter("NOT ok").fetchall() == []
        assert catalog.sql("SELECT count(*) FROM neighbors").fetchall() == [(70_000,)]
