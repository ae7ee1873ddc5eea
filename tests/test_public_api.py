"""What other people's code relies on: names, columns, and what importing costs."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from oracle import SIMILAR_COLUMNS, json_of, run_python

import classrel_db
from classrel_db import errors


def test_the_package_offers_these_names():
    assert set(classrel_db.__all__) == {"Catalog", "ClassrelError", "__version__", "open"}
    assert dir(classrel_db) == sorted(classrel_db.__all__)
    for name in classrel_db.__all__:
        assert getattr(classrel_db, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'neighbours'"):
        _ = classrel_db.neighbours


def test_a_catalog_has_these_methods():
    public = {name for name in dir(classrel_db.Catalog) if not name.startswith("_")}
    assert public == {
        "add_taxonomy", "check", "cite", "classes", "close", "cluster", "compare", "compare_all",
        "compare_taxonomy", "compare_trees", "consensus", "consensus_tree", "counterpart", "disagree",
        "export", "group_agreement", "histogram", "info", "ingest", "labels", "leaf_order", "linkage",
        "map_concepts", "mapped_concepts", "match_taxonomy", "models", "named_queries", "neighbor_ranks",
        "noise_ceiling", "normalizations", "plan", "project", "queries", "query", "remove", "remove_taxonomy",
        "report", "similar", "similarity_matrix", "sql", "sql_words", "tables", "tag", "tags",
        "tanglegram", "taxonomies", "taxonomy_clades", "taxonomy_purity", "taxonomy_surprises", "tree",
        "tree_node", "zoo",
    }  # fmt: skip


def test_every_error_is_a_classrel_error_and_says_what_it_means():
    raised = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert len(raised) > 10
    for kind in raised:
        assert issubclass(kind, classrel_db.ClassrelError | UserWarning)
        assert kind.__name__ in errors.__doc__
        assert kind.__doc__


COLUMNS = {
    "similar": SIMILAR_COLUMNS,
    "models": [
        "model", "classes", "dim", "label_space", "normalization", "pairs", "source", "ingested_at",
    ],
    "classes": ["model", "class_idx", "class", "concept", "bias", "mean", "std", "norm"],
    "check": ["model", "check", "ok", "detail"],
    "consensus": [
        "class", "rank", "neighbor", "neighbor_concept", "n", "cosine", "sd", "low", "high",
        "low_model", "high_model",
    ],
}  # fmt: skip
ARGUMENTS = {"consensus": ["118"], "similar": ["118"], "classes": ["efficientnet_lite0"]}


@pytest.mark.parametrize("method", COLUMNS)
def test_a_relation_has_its_columns_in_python_and_in_json(catalog, classrel, method):
    arguments = ARGUMENTS.get(method, [])
    assert getattr(catalog, method)(*arguments).columns == COLUMNS[method]
    answer = classrel(method, *arguments, "--db", catalog.path, "-f", "json")
    assert list(json_of(answer)[0]) == COLUMNS[method]


def test_info_has_every_column_of_models_that_the_design_fixes(catalog):
    fixed = {
        "model", "source", "uri", "head_key", "label_space", "normalization", "n_classes", "dim",
        "weights_sha256", "bytes_read", "bytes_total", "ingested_at", "classrel_version",
    }  # fmt: skip
    assert fixed <= set(catalog.info("efficientnet_lite0").columns)
    assert len(catalog.info("efficientnet_lite0").fetchall()) == 1


def test_similar_has_the_same_columns_by_every_route(catalog, heads):
    name = "efficientnet_lite0"
    routes = [
        catalog.similar("tench"),
        catalog.similar("tench", k=500),
        catalog.similar("tench", include_self=True),
        catalog.similar("tench + goldfish"),
        catalog.similar(vector=heads[name].weight[0], models=name),
    ]
    for rows in routes:
        assert rows.columns == SIMILAR_COLUMNS
        assert [str(kind) for kind in rows.types] == [
            "VARCHAR", "VARCHAR", "INTEGER", "VARCHAR", "VARCHAR", "FLOAT", "FLOAT",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "columns"),
    [
        ("neighbors('efficientnet_lite0', 'tench')", SIMILAR_COLUMNS),
        ("pairwise", ["model", "class_a", "class_b", "cosine", "euclidean"]),
    ],
)
def test_sql_has_the_columns_of_the_design(database, source, columns):
    import duckdb

    with duckdb.connect(str(database), read_only=True) as connection:
        assert connection.sql(f"FROM {source} LIMIT 1").columns[: len(columns)] == columns


def test_open_takes_the_path_then_the_environment_then_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("CLASSREL_DB", "/from/the/environment.duckdb")
    assert classrel_db.open("given.duckdb").path == Path("given.duckdb").absolute()
    assert str(classrel_db.open().path) == "/from/the/environment.duckdb"
    monkeypatch.delenv("CLASSREL_DB")
    assert classrel_db.open().path == Path("classrel.duckdb").absolute()


HEAVY = {"duckdb", "numpy", "scipy", "torch", "torchvision", "faiss", "pyarrow", "pandas", "rich"}
LOADED = "import json, sys; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"


def test_importing_the_package_imports_nothing_heavy():
    answer = run_python(f"import classrel_db; {LOADED}")
    assert "classrel_db" in json.loads(answer.stdout)
    assert not HEAVY & set(json.loads(answer.stdout))
