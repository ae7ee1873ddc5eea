"""SQL, named queries and conditions from Python."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
from databases import kept_open
from oracle import REAL, SIMILAR_COLUMNS, cosine_matrix, nearest, standardized

import classrel_db
from classrel_db.errors import (
    AmbiguousClassError,
    ArgumentError,
    MissingDatabaseError,
    QueryFileError,
    StatementError,
    UnknownClassError,
    UnknownModelError,
)

DOGS = "label ILIKE '%dog%'"

# labels, models and texts that would be something else if they were pasted into SQL
PASTED = [
    "x' OR 1=1 --",
    "'; DROP TABLE models; --",
    "') OR ('1'='1",
    'a"b',
    "$class",
    "?",
    "%",
    "back\\slash",
    "🦀",
    "/* a */",
    "NULL'",
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A database of one model, ``m' --``, whose labels are the texts above; read it only."""
    folder = tmp_path_factory.mktemp("odd")
    weight = np.random.default_rng(3).normal(size=(len(PASTED), 5)).astype(np.float32)
    np.savez(folder / "odd.npz", weight=weight, labels=PASTED)
    with classrel_db.open(folder / "odd.duckdb") as catalog:
        catalog.ingest(folder / "odd.npz", name="m' --")
    with kept_open(folder / "odd.duckdb"):
        yield folder / "odd.duckdb"


@pytest.fixture
def own(odd, tmp_path):
    """A catalog of a copy, which may be changed."""
    with classrel_db.open(shutil.copy(odd, tmp_path)) as catalog:
        yield catalog


def state_of(path):
    return path.read_bytes(), sorted(path.parent.iterdir())


# sql


def test_sql_answers_with_a_relation(catalog):
    rows = catalog.sql(
        "SELECT label, class_idx FROM classes WHERE label = 'tench' ORDER BY model_id"
    )
    assert rows.columns == ["label", "class_idx"]
    assert rows.fetchall() == [("tench", 0)] * 3
    assert rows.aggregate("count(*) AS n").fetchall() == [(3,)]
    assert rows.to_arrow_table().column_names == ["label", "class_idx"]


def test_sql_sees_every_model_and_every_macro(catalog):
    named = catalog.sql("SELECT name FROM models ORDER BY model_id").fetchall()
    assert named == [(name,) for name in REAL]
    assert len(catalog.sql("FROM neighbors('efficientnet_lite0', 'tench', k := 3)").fetchall()) == 3


@pytest.mark.parametrize("text", PASTED)
def test_a_value_is_bound(odd, text):
    with classrel_db.open(odd) as catalog:
        rows = catalog.sql("SELECT class_idx FROM classes WHERE label = $label", {"label": text})
        assert rows.fetchall() == [(PASTED.index(text),)]
        rows = catalog.sql("SELECT count(*) FROM classes WHERE label = ?", [text])
        assert rows.fetchall() == [(1,)]


@pytest.mark.parametrize("statement", [None, 5, b"SELECT 1", ["SELECT 1"]])
def test_what_is_no_text_is_refused(catalog, statement):
    with pytest.raises(ArgumentError, match="a statement is SQL as text"):
        catalog.sql(statement)


def test_what_is_temporary_lasts_between_statements(catalog):
    catalog.sql("CREATE TEMP TABLE mine AS SELECT 42 AS x")
    catalog.sql("CREATE TEMP MACRO twice(n) AS 2 * n")
    catalog.sql("SET VARIABLE factor = 10")
    catalog.sql("INSERT INTO mine VALUES (1)")
    rows = catalog.sql("SELECT twice(x) * getvariable('factor') FROM mine ORDER BY x")
    assert rows.fetchall() == [(20,), (840,)]


def test_what_is_temporary_belongs_to_a_thread(catalog):
    catalog.sql("CREATE TEMP TABLE mine AS SELECT 42 AS x")
    found = []

    def other():
        try:
            catalog.sql("FROM mine").fetchall()
        except StatementError as error:
            found.append(str(error))
        found.append(catalog.sql("SELECT count(*) FROM models").fetchall())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert "mine does not exist" in found[0]
    assert found[1] == [(3,)]


def test_what_is_temporary_ends_with_the_next_write(own):
    own.sql("CREATE TEMP TABLE mine AS SELECT 1")
    own.sql("CREATE TABLE notes AS SELECT 1 AS x", write=True)
    with pytest.raises(StatementError, match="mine does not exist"):
        own.sql("FROM mine")
    assert own.sql("FROM notes").fetchall() == [(1,)]


@pytest.mark.parametrize("text", ["SET VARIABLE a = 1", "CREATE TEMP VIEW v AS SELECT 1"])
def test_a_statement_without_rows_says_that_it_is_done(catalog, text):
    rows = catalog.sql(text)
    assert (rows.columns, rows.fetchall()) == (["done"], [(True,)])


def test_write_changes_the_file_and_the_rows_outlive_it(own):
    own.sql("CREATE TABLE notes AS SELECT $text AS text", {"text": "x' --"}, write=True)
    rows = own.sql("INSERT INTO notes VALUES ('b') RETURNING upper(text) AS said", write=True)
    assert own.models().shape[0] == 1
    assert (rows.columns, rows.fetchall()) == (["said"], [("B",)])
    with classrel_db.open(own.path) as again:
        assert again.sql("FROM notes ORDER BY text").fetchall() == [("b",), ("x' --",)]


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM clases",
        "UPDATE classes SET label = error('stop')",
        "INSERT INTO models SELECT * FROM models",
        "DELETE FROM classes; DELETE FROM models",
        "DELETE FROM",
        "",
    ],
)
def test_write_that_fails_changes_nothing(own, text):
    before = own.sql("FROM classes").fetchall()
    with pytest.raises(StatementError):
        own.sql(text, write=True)
    assert own.sql("FROM classes").fetchall() == before
    assert own.sql("SELECT count(*) FROM models").fetchall() == [(1,)]


@pytest.mark.parametrize("write", [False, True])
def test_without_a_database_nothing_is_made(tmp_path, write):
    catalog = classrel_db.open(tmp_path / "x.duckdb")
    with pytest.raises(MissingDatabaseError, match="classrel ingest"):
        catalog.sql("CREATE TABLE notes AS SELECT 1", write=write)
    assert list(tmp_path.iterdir()) == []


def test_reading_leaves_the_file_as_it_is(own):
    before = state_of(own.path)
    own.sql("CREATE TEMP TABLE mine AS FROM classes")
    own.query("label_search", "x", k=2).fetchall()
    for text in ("DELETE FROM classes", "COPY classes TO 'x.csv'", "ATTACH 'y.duckdb'"):
        with pytest.raises(StatementError):
            own.sql(text)
    own.close()
    assert state_of(own.path) == before


# named queries


def test_a_query_is_its_macro(catalog):
    asked = catalog.query("neighbors", "efficientnet_lite1", "Dungeness crab", k=7)
    macro = catalog.sql("FROM neighbors('efficientnet_lite1', 'Dungeness crab', k := 7)")
    assert (asked.columns, asked.fetchall()) == (macro.columns, macro.fetchall())
    assert len(asked.fetchall()) == 7


@pytest.mark.parametrize(
    ("positional", "by_name"),
    [
        (("efficientnet_lite0", "tench", 4), {}),
        (("efficientnet_lite0", "tench"), {"k": "4"}),
        (("efficientnet_lite0",), {"class": "tench", "k": 4.0}),
        (("tench", 4), {"model": "efficientnet_lite0"}),
        ((), {"k": " 4", "class": "n01440764", "model": "efficientnet_lite0"}),
        (("efficientnet_lite0", 0, 4), {}),
        (("efficientnet_lite0", "0", "4", "NULL"), {}),
        (("efficientnet_lite0", "TENCH", 4), {"keep": "true"}),
        (("efficientnet_lite0", "tenc", 4), {}),
    ],
)
def test_arguments_go_by_place_or_name(catalog, positional, by_name):
    expected = catalog.sql("FROM neighbors('efficientnet_lite0', 'tench', k := 4)").fetchall()
    assert catalog.query("neighbors", *positional, **by_name).fetchall() == expected


@pytest.mark.parametrize(
    "models",
    [
        "efficientnet_lite0,efficientnet_lite2",
        " efficientnet_lite0 , efficientnet_lite2 ",
        "['efficientnet_lite0', 'efficientnet_lite2']",
        ["efficientnet_lite0", "efficientnet_lite2"],
        ("efficientnet_lite0", "efficientnet_lite2"),
    ],
)
def test_a_list_is_given_with_commas_or_as_a_list(catalog, models):
    got = catalog.query("model_summary", models=models).fetchall()
    assert [row[0] for row in got] == ["efficientnet_lite0", "efficientnet_lite2"]


def test_one_name_is_a_list_of_one(catalog):
    assert catalog.query("model_summary", models="efficientnet_lite1").shape[0] == 1


@pytest.mark.parametrize(
    ("name", "positional", "by_name", "error", "said"),
    [
        ("neighbour", (), {}, ArgumentError, 'did you mean "neighbors"'),
        ("Neighbors", (), {}, ArgumentError, 'did you mean "neighbors"'),
        ("neighbors; DROP TABLE models", (), {}, ArgumentError, "no query"),
        ("neighbors", (), {}, ArgumentError, "neighbors needs model and class: it is neighbors(model"),
        ("neighbors", ("efficientnet_lite0",), {}, ArgumentError, "needs class"),
        ("neighbors", (), {"clas": "tench"}, ArgumentError, 'did you mean "class"'),
        ("neighbors", (1, 2, 3, 4, 5), {}, ArgumentError, "5 arguments for neighbors(model, class"),
        ("neighbors", (1, 2, 3, 4), {"k": 5}, ArgumentError, "5 arguments"),
        ("neighbors", ("efficientnet_lite0", "tench", "many"), {}, ArgumentError, "takes an INTEGER"),
        ("neighbors", ("efficientnet_lite0", "tench", 2.5), {}, ArgumentError, "takes an INTEGER"),
        ("neighbors", ("efficientnet_lite0", "tench", "1; DROP"), {}, ArgumentError, "an INTEGER"),
        ("neighbors", ("efficientnet_lite0", "tench", True), {}, ArgumentError, "takes an INTEGER"),
        ("neighbors", ("efficientnet_lite0", "tench", 10**12), {}, ArgumentError, "takes an INTEGER"),
        ("neighbors", ("efficientnet_lite0", "tench", ""), {}, ArgumentError, "takes an INTEGER"),
        ("neighbors", ("efficientnet_lite0", True), {}, ArgumentError, "takes a VARCHAR"),
        ("near_duplicates", ("high",), {}, ArgumentError, "takes a DOUBLE"),
        ("near_duplicates", ("nan",), {}, ArgumentError, "takes a DOUBLE"),
        ("model_summary", (5,), {}, ArgumentError, "a list of names, as a,b"),
        ("neighbors", ("efficientnet_lite9", "tench"), {}, UnknownModelError, "efficientnet_lite0"),
        ("model_summary", ("efficientnet_lite0,x",), {}, UnknownModelError, 'no model "x"'),
        ("model_summary", ("",), {}, UnknownModelError, 'no model ""'),
        ("neighbors", ("efficientnet_lite0", "tensh"), {}, UnknownClassError, 'did you mean "tench"'),
        ("neighbors", ("efficientnet_lite0", "crab"), {}, AmbiguousClassError, '"king crab"'),
        ("neighbors", ("efficientnet_lite0", 5000), {}, UnknownClassError, "0 to 999"),
        ("distance", ("tench", "goldfsh"), {}, UnknownClassError, 'did you mean "goldfish"'),
        ("rank_shift", ("tench", REAL[0], "lite9"), {}, UnknownModelError, "efficientnet"),
    ],
)  # fmt: skip
def test_what_can_not_be_asked_is_refused_with_the_way_out(
    catalog, name, positional, by_name, error, said
):
    with pytest.raises(error) as caught:
        catalog.query(name, *positional, **by_name)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", [5, None, ["neighbors"]])
def test_a_name_that_is_no_text_is_refused(catalog, name):
    with pytest.raises(ArgumentError):
        catalog.query(name)


@pytest.mark.parametrize("text", PASTED)
def test_a_class_or_a_model_is_bound(odd, text):
    with classrel_db.open(odd) as catalog:
        rows = catalog.query("neighbors", "m' --", text, k=3).fetchall()
        assert [row[:2] for row in rows] == [("m' --", text)] * 3
        searched = catalog.query("label_search", text, k=1, models=["m' --"]).fetchall()
        assert searched[0][0] == text
        with pytest.raises(UnknownModelError):
            catalog.query("neighbors", text, "🦀")
        with pytest.raises(UnknownClassError):
            catalog.query("neighbors", "m' --", f"{text} {text}")
        assert catalog.sql("SELECT count(*) FROM models").fetchall() == [(1,)]


NO_CONDITIONS = [
    "true) OR (true",
    "true), k := (99",
    "1; DROP TABLE models",
    "true) UNION SELECT 1 --",
    "true /* open",
    "label =",
    "rank = 1",
    "label = $model",
    "count(*) > 1",
]


@pytest.mark.parametrize("condition", NO_CONDITIONS)
def test_a_condition_can_be_nothing_else(catalog, condition):
    for ask in (
        lambda: catalog.query("neighbors", "efficientnet_lite0", "tench", k=3, keep=condition),
        lambda: catalog.query("rank_shift", "tench", REAL[0], REAL[1], keep=condition),
        lambda: catalog.similar("tench", k=3, where=condition),
        lambda: catalog.similar("tench + goldfish", k=3, where=condition),
    ):
        with pytest.raises(StatementError, match="is no condition on classes"):
            ask()
    assert catalog.sql("SELECT count(*) FROM models").fetchall() == [(3,)]


@pytest.mark.parametrize(
    "condition", [f"{DOGS} -- a comment", f"{DOGS} /* a comment */", f"({DOGS})"]
)
def test_a_condition_may_have_comments_and_brackets(catalog, condition):
    expected = catalog.similar("tench", k=5, where=DOGS).fetchall()
    assert catalog.similar("tench", k=5, where=condition).fetchall() == expected
    asked = catalog.query("neighbors", REAL[0], "tench", k=5, keep=condition).fetchall()
    assert asked == expected[:5]


def test_no_condition_is_none(catalog):
    expected = catalog.query("neighbors", REAL[0], "tench").fetchall()
    assert catalog.query("neighbors", REAL[0], "tench", keep=None).fetchall() == expected


@pytest.mark.parametrize("condition", ["", "  ", True, 1, ["true"]])
def test_a_condition_is_text(catalog, condition):
    with pytest.raises((ArgumentError, StatementError)):
        catalog.query("neighbors", REAL[0], "tench", keep=condition)
    with pytest.raises((ArgumentError, StatementError)):
        catalog.similar("tench", where=condition)


def test_the_queries_are_listed(catalog):
    rows = catalog.queries()
    assert rows.columns == ["query", "parameters", "help"]
    listed = {name: parameters for name, parameters, _ in rows.fetchall()}
    assert listed["neighbors"] == "model, class, k := 25, keep := NULL"
    assert list(listed) == sorted(listed)


@pytest.mark.parametrize(
    "query", [query.name for query in classrel_db.catalog.query_files.shipped()]
)
def test_every_example_of_a_shipped_query_runs(catalog, query):
    for example in catalog.named_queries[query].examples:
        rows = catalog.sql(example)
        assert len(set(rows.columns)) == len(rows.columns)
        assert rows.limit(3).fetchall()


# a folder of one's own

MINE = """\
-- What comes first.
--
-- model  VARCHAR       one
-- k      INTEGER := 3  how many
-- keep   CONDITION := NULL  which
--
-- Example: FROM mine('efficientnet_lite0')
CREATE OR REPLACE MACRO mine(model, k := 3, keep := NULL) AS TABLE
SELECT n.neighbor, n.rank FROM neighbors(model, 'tench', k := k, keep := keep) AS n;
"""


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "own"
    path.mkdir()
    (path / "mine.sql").write_text(MINE)
    return path


@pytest.mark.parametrize("by_environment", [False, True])
def test_own_queries_stand_beside_the_others(database, folder, monkeypatch, by_environment):
    if by_environment:
        monkeypatch.setenv("CLASSREL_QUERIES", str(folder))
    with classrel_db.open(database, queries=None if by_environment else folder) as catalog:
        expected = [("barracouta", 1), ("coho", 2)]
        assert catalog.query("mine", "efficientnet_lite0", k=2).fetchall() == expected
        assert catalog.sql("FROM mine('efficientnet_lite0', k := 2)").fetchall() == expected
        kept = catalog.query("mine", "efficientnet_lite0", k="1", keep=DOGS).fetchall()
        assert kept == [("hotdog", 1)]
        assert ("mine", "model, k := 3, keep := NULL") in [
            r[:2] for r in catalog.queries().fetchall()
        ]
        with pytest.raises(UnknownModelError):
            catalog.query("mine", "lite9")
        catalog.close()
        assert catalog.query("mine", "efficientnet_lite0", k=2).fetchall() == expected
        assert catalog.sql("SELECT count(*) FROM models").fetchall() == [(3,)]


def test_the_folder_that_is_named_goes_before_the_environment(
    database, folder, monkeypatch, tmp_path
):
    monkeypatch.setenv("CLASSREL_QUERIES", str(tmp_path / "missing"))
    with classrel_db.open(database, queries=str(folder)) as catalog:
        assert "mine" in catalog.named_queries


def test_own_queries_are_not_stored(own, folder):
    with classrel_db.open(own.path, queries=folder) as catalog:
        catalog.sql("CREATE TABLE notes AS SELECT 1", write=True)
        assert "mine" in catalog.named_queries
    with pytest.raises(StatementError, match="mine does not exist"):
        own.sql("FROM mine('x')")


def test_a_folder_that_is_not_in_order_is_refused_before_anything_is_asked(tmp_path, folder):
    (folder / "mine.sql").write_text(MINE.replace(":= 3  how", ":= 4  how"))
    with pytest.raises(QueryFileError, match=r"mine\.sql:4: the header says `k := 4`"):
        classrel_db.open(tmp_path / "none.duckdb", queries=folder)


# similar with a condition


@pytest.fixture(scope="session")
def labels(database):
    with classrel_db.open(database) as catalog:
        return [row[2] for row in catalog.classes(REAL[0]).fetchall()]


def expected_rows(raw, rows_cosine, allowed, k, barred=()):
    """(rank, index, cosine) of the ``k`` nearest among ``allowed``."""
    cosines = np.where(np.isin(np.arange(len(rows_cosine)), allowed), rows_cosine, -2)
    return [(r, i, cosines[i]) for r, i in enumerate(nearest(cosines, k, barred), start=1)]


def assert_nearest(rows, expected, labels, dim=1280):
    assert [(row[2], row[3]) for row in rows] == [(rank, labels[i]) for rank, i, _ in expected]
    assert np.allclose([row[5] for row in rows], [cosine for _, _, cosine in expected], atol=1e-6)
    distances = [np.sqrt(2 * (dim - 1) * (1 - cosine)) for _, _, cosine in expected]
    assert np.allclose([row[6] for row in rows], distances, rtol=1e-5)


CONDITIONS = {
    DOGS: lambda label, i, head: "dog" in label.lower(),
    "class_idx % 7 = 3 AND label NOT LIKE '% %'": lambda label, i, _: (
        i % 7 == 3 and " " not in label
    ),
    "bias > 0": lambda label, i, head: head.bias[i] > 0,
    "std < 0.06 OR label = 'tench'": lambda label, i, head: (
        head.weight[i].astype(np.float64).std(ddof=1) < 0.06 or label == "tench"
    ),
    "NOT starts_with(label, 'a')": lambda label, i, head: not label.startswith("a"),
}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("query", ["African hunting dog", "tench"])
def test_exactly_k_classes_that_meet_a_condition_answer(catalog, heads, labels, condition, query):
    for name in REAL:
        head = heads[name]
        focal = labels.index(query)
        meets = [i for i, label in enumerate(labels) if CONDITIONS[condition](label, i, head)]
        most = len([i for i in meets if i != focal])
        for k in {1, min(150, most)}:
            rows = catalog.similar(query, models=name, k=k, where=condition).fetchall()
            wanted = expected_rows(head, head.cosine[focal], meets, k, (focal,))
            assert len(rows) == k
            assert_nearest(rows, wanted, labels)
        rows = catalog.similar(query, models=name, k=most, where=condition).fetchall()
        # far down, cosines lie too close together for a naive order
        assert {row[3] for row in rows} == {labels[i] for i in meets if i != focal}
        with pytest.raises(ArgumentError, match=rf"from 1 to {most:,};"):
            catalog.similar(query, models=name, k=most + 1, where=condition)


@pytest.mark.parametrize("keep", [False, True])
def test_a_condition_on_the_answers_to_a_sum(catalog, heads, labels, keep):
    head = heads[REAL[0]]
    terms = [labels.index("king crab"), labels.index("American lobster"), labels.index("crayfish")]
    total = head.standardized[terms[0]] + head.standardized[terms[1]] - head.standardized[terms[2]]
    cosines = cosine_matrix(np.vstack([head.standardized, total]))[-1, :-1]
    meets = [i for i, label in enumerate(labels) if "crab" in label or "lobster" in label]
    rows = catalog.similar(
        "king crab + American lobster - crayfish",
        models=REAL[0], k=4, where="label LIKE '%crab%' OR label LIKE '%lobster%'", include_self=keep,
    ).fetchall()  # fmt: skip
    wanted = expected_rows(head, cosines, meets, 4, () if keep else tuple(terms))
    assert [row[3] for row in rows] == [labels[i] for _, i, _ in wanted]
    assert np.allclose([row[5] for row in rows], [c for *_, c in wanted], atol=1e-6)


def test_a_condition_on_the_answers_to_a_vector(catalog, heads, labels):
    head = heads[REAL[1]]
    vector = np.random.default_rng(5).normal(size=1280)
    cosines = cosine_matrix(np.vstack([head.standardized, standardized(vector[None])]))[-1, :-1]
    meets = [i for i, label in enumerate(labels) if "dog" in label.lower()]
    rows = catalog.similar(vector=vector, models=REAL[1], k=6, where=DOGS).fetchall()
    wanted = expected_rows(head, cosines, meets, 6)
    assert [row[3] for row in rows] == [labels[i] for _, i, _ in wanted]
    with pytest.raises(ArgumentError, match="classes of efficientnet_lite1 meet"):
        catalog.similar(vector=vector, models=REAL[1], k=600, where=DOGS)


def test_a_condition_holds_in_each_of_several_models(catalog, heads, labels):
    rows = catalog.similar("tench", k=4, where=DOGS)
    assert rows.columns == SIMILAR_COLUMNS
    rows = rows.fetchall()
    assert [(row[0], row[2]) for row in rows] == [(name, r) for name in REAL for r in (1, 2, 3, 4)]
    meets = [i for i, label in enumerate(labels) if "dog" in label.lower()]
    for number, name in enumerate(REAL):
        wanted = expected_rows(heads[name], heads[name].cosine[0], meets, 4, (0,))
        assert_nearest(rows[4 * number : 4 * number + 4], wanted, labels)


def test_the_class_itself_stands_at_rank_0_whatever_the_condition(catalog):
    rows = catalog.similar("tench", models=REAL[0], k=2, where=DOGS, include_self=True).fetchall()
    assert [(row[2], row[3]) for row in rows] == [
        (0, "tench"),
        (1, "hotdog"),
        (2, "Shetland sheepdog"),
    ]


def test_without_k_as_many_answer_as_there_are(catalog):
    assert catalog.similar("tench", models=REAL[0], where=DOGS).shape[0] == 10
    assert catalog.similar("tench", models=REAL[0], where="bias > 0").shape[0] == 25


@pytest.mark.parametrize("query", ["tench", "tench + goldfish"])
@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("models", [None, REAL[0]])
def test_a_condition_that_nothing_meets_is_told(catalog, query, k, models):
    said = "no other class of efficientnet_lite0 meets \"label = 'none'\""
    with pytest.raises(ArgumentError, match=said):
        catalog.similar(query, k=k, models=models, where="label = 'none'")


def test_a_model_with_fewer_answers_with_those_unless_it_is_named(tmp_path):
    labels = [f"c{i}" for i in range(8)]
    random = np.random.default_rng(0)
    with classrel_db.open(tmp_path / "x.duckdb") as catalog:
        for name, shift in (("low", -5), ("high", 5)):
            weight = random.normal(size=(8, 5)).astype(np.float32)
            bias = np.arange(8, dtype=np.float32) + shift
            np.savez(tmp_path / f"{name}.npz", weight=weight, bias=bias, labels=labels)
            catalog.ingest(tmp_path / f"{name}.npz")
        rows = catalog.similar("c0", k=5, where="bias > 0").fetchall()
        assert [row[0] for row in rows] == ["low"] * 2 + ["high"] * 5
        with pytest.raises(ArgumentError, match="2 classes of low meet"):
            catalog.similar("c0", k=5, models=["low", "high"], where="bias > 0")


def test_a_condition_in_a_model_without_stored_pairs(stored):
    path = stored(n_classes=20, pairs="none")
    with classrel_db.open(path) as catalog:
        rows = catalog.similar("species 03", k=4, where="class_idx >= 10").fetchall()
        everything = catalog.similar("species 03", k=19).fetchall()
    expected = [row[3] for row in everything if int(row[3][-2:]) >= 10][:4]
    assert [row[3] for row in rows] == expected
