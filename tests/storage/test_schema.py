"""The tables that DESIGN.md fixes, and that a DuckDB of years ago reads the file."""

from __future__ import annotations

import json
import re

import duckdb
import numpy as np
import pytest
from oracle import run_python

import classrel_db
from classrel_db.storage.schema import STORAGE_VERSION, query_files

COLUMNS = {
    "models": "model_id name source uri head_key label_space normalization n_classes dim "
    "weights_sha256 bytes_read bytes_total ingested_at classrel_version revision etag dtype weight_error "
    "cosine_error license reference versions",
    "classes": "model_id class_idx label concept bias mean std norm",
    "weights": "model_id class_idx vector",
    "pairs": "model_id a b cosine",
    "neighbors": "model_id class_idx rank neighbor_idx cosine",
}
# the views and macros of views.sql, on which the queries build
SHARED = """
    agreement class_cosines class_named class_taxa class_weights concept_numbers consensus_pairwise
    cosine_of euclidean fisher_z label_spaces mapped_classes nearest pair_statistics pairwise stored_rank
    tagged_models taxon_name unpaired_weights
"""


@pytest.fixture
def connection(database):
    with duckdb.connect(str(database), read_only=True) as opened:
        yield opened


@pytest.mark.parametrize("table", COLUMNS)
def test_a_table_has_the_columns_of_the_design(connection, table):
    stored = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
    assert set(COLUMNS[table].split()) <= set(stored)


def test_cosines_are_single_precision_and_vectors_are_lists_of_it(connection):
    kinds = dict(
        connection.execute(
            "SELECT table_name || '.' || column_name, data_type FROM duckdb_columns() "
            "WHERE column_name IN ('cosine', 'vector') AND table_name IN "
            "('pairs', 'neighbors', 'weights')"
        ).fetchall()
    )
    assert kinds == {
        "pairs.cosine": "FLOAT",
        "neighbors.cosine": "FLOAT",
        "weights.vector": "FLOAT[]",
    }


def test_pairs_are_stored_once_each_and_in_order(connection):
    stored = connection.execute("SELECT model_id, a, b FROM pairs").fetchnumpy()
    upper = np.triu_indices(1000, 1)
    np.testing.assert_array_equal(stored["model_id"], np.repeat([1, 2, 3], len(upper[0])))
    np.testing.assert_array_equal(stored["a"], np.tile(upper[0], 3))
    np.testing.assert_array_equal(stored["b"], np.tile(upper[1], 3))


def test_neighbors_are_the_hundred_of_each_class_in_order(connection):
    stored = connection.execute("SELECT model_id, class_idx, rank FROM neighbors").fetchnumpy()
    np.testing.assert_array_equal(stored["model_id"], np.repeat([1, 2, 3], 100_000))
    np.testing.assert_array_equal(stored["class_idx"], np.tile(np.repeat(np.arange(1000), 100), 3))
    np.testing.assert_array_equal(stored["rank"], np.tile(np.arange(1, 101), 3000))


def test_the_file_says_which_duckdb_it_is_made_for(connection):
    ((version,),) = connection.execute(
        "SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal"
    ).fetchall()
    assert version.startswith(STORAGE_VERSION.removesuffix(".0"))


def test_the_file_holds_no_view_or_macro_that_is_not_shipped(connection):
    made = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() "
        "WHERE NOT internal UNION SELECT view_name FROM duckdb_views() WHERE NOT internal"
    ).fetchall()
    shipped = {file.name.removesuffix(".sql") for file in query_files()}
    assert len(shipped) >= 16
    assert {name for (name,) in made} == {*SHARED.split(), *shipped}


OLD_CLIENT = """
import json, sys
import duckdb
assert duckdb.__version__ == "1.2.2", duckdb.__version__
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    connection.execute("SET enable_progress_bar = false")
    print(json.dumps([connection.execute(q).fetchall() for q in json.loads(sys.argv[2])]))
"""

QUERIES = {
    "default": "FROM neighbors('efficientnet_lite0', 'Dungeness crab')",
    "by_concept": "FROM neighbors('efficientnet_lite1', 'n01978287', k := 100)",
    "by_index": "FROM neighbors('efficientnet_lite2', 118, k := 3)",
    "from_weights": "FROM neighbors('efficientnet_lite0', 'dungeness CRAB', k := 999)",
    "kept": "FROM neighbors('efficientnet_lite0', 118, k := 101, keep := bias > 0)",
    "kept_none": "FROM neighbors('efficientnet_lite0', 118, keep := NULL::BOOLEAN)",
    "nearest": "SELECT model, class, rank, neighbor, neighbor_concept, cosine, euclidean FROM nearest"
    " WHERE concept = 'n01978287' ORDER BY ALL",
    "pairwise": "SELECT model, class_a, class_b, cosine, euclidean FROM pairwise"
    " WHERE class_a = 'Dungeness crab' ORDER BY ALL",
}
EXAMPLES = {
    f"{file.stem} {number}": example
    for file in query_files()
    for number, example in enumerate(
        re.findall(r"^-- Example: (.*)$", file.read_text("utf-8"), flags=re.MULTILINE)
    )
}


def assert_the_older_answers_as_the_newer(older_duckdb, path, queries, empty=()):
    """The same rows in the same order, numbers nearly: they are summed in another order."""
    answer = run_python(
        OLD_CLIENT, path, json.dumps(list(queries.values())), env={"PYTHONPATH": str(older_duckdb)}
    )
    assert answer.returncode == 0, answer.stderr
    with duckdb.connect(str(path), read_only=True) as connection:
        for (name, query), old in zip(queries.items(), json.loads(answer.stdout), strict=True):
            new = connection.execute(query).fetchall()
            assert (len(new) == 0) == (name in empty), name
            assert len(new) == len(old), name
            for row, earlier in zip(new, old, strict=True):
                for value, former in zip(row, earlier, strict=True):
                    if isinstance(value, float) and isinstance(former, float):
                        assert former == pytest.approx(value, rel=1e-6, abs=1e-7), (name, row)
                    else:
                        assert former == value, (name, row)


def test_an_older_duckdb_gives_the_same_answers(older_duckdb, database):
    assert_the_older_answers_as_the_newer(older_duckdb, database, QUERIES, {"kept_none"})


def test_an_older_duckdb_runs_the_examples_of_all_queries(older_duckdb, database):
    assert {name.split()[0] for name in EXAMPLES} == {file.stem for file in query_files()}
    assert_the_older_answers_as_the_newer(older_duckdb, database, EXAMPLES)


# what the examples leave out: other label spaces, other normalisations, pairs that are not stored
UNLIKE = [
    "consensus_neighbors('c05', k := 40)",
    "consensus_neighbors('c05', keep := class_idx % 2 = 0 AND bias > 0)",
    "consensus('c05', k := 40, models := ['turned', 'unpaired'], weights := [1, 2.5])",
    "consensus('c05', exclude := ['centred', 'alike'], least := 2, keep := class_idx % 2 = 0)",
    "(FROM consensus_pairwise ORDER BY normalization, concept_a, concept_b)",
    "consensus_pairs(k := 500, min_models := 1)",
    "contested_pairs(k := 500)",
    "distance('c05', 'c06')",
    "pair_spread('c05')",
    "pair_spread('c05', class_b := 'c06', models := ['turned', 'unpaired'])",
    "outlier_models('c05')",
    "rank_shift('c05', 'turned', 'unpaired', keep := label <> 'species 11')",
    "bridges('unpaired')",
    "near_duplicates(threshold := 0)",
    "hubs(k := 3)",
    "mutual_neighbors('unpaired', k := 100)",
    "isolated_classes(models := ['unpaired', 'centred'])",
    "similarity_histogram(bins := 7)",
    "model_summary()",
    "label_search('spices 3')",
    "neighbors('unpaired', 'SPECIES 13', k := 101)",
]


def test_an_older_duckdb_matches_unlike_label_spaces_by_concept(older_duckdb, stored, make_head):
    names = [f"c{i:02d}" for i in range(20)]
    path = stored(n_classes=20, concepts=names)
    with classrel_db.open(path) as catalog:
        for name, concepts, options in (
            ("turned", names[15:2:-1], {}),
            ("unpaired", names[4:], {"pairs": "none"}),
            ("centred", names[::-1], {"normalize": "center"}),
            ("alike", names[::-1], {"normalize": "center"}),
        ):
            labels = [f"species {c.removeprefix('c')}" for c in concepts]
            head = make_head(
                name=name,
                n_classes=len(labels),
                seed=len(name),
                labels=labels,
                concepts=concepts,
                dim=9,
            )
            catalog.ingest(str(head.path), labels=head.labels_path, **options)
    queries = {query: f"FROM {query}" for query in UNLIKE}
    assert_the_older_answers_as_the_newer(older_duckdb, path, queries)


def test_an_older_duckdb_reads_a_file_that_was_written_twice(older_duckdb, stored, make_head):
    path = stored(n_classes=20)
    again = make_head(name="second", n_classes=9, seed=1)
    with classrel_db.open(path) as catalog:
        catalog.ingest(str(again.path), labels=again.labels_path)
        catalog.remove("small")
        expected = [list(row) for row in catalog.similar("species 03").fetchall()]
    answer = run_python(
        OLD_CLIENT,
        path,
        json.dumps(["FROM neighbors('second', 'species 03')", "SELECT name FROM models"]),
        env={"PYTHONPATH": str(older_duckdb)},
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == [expected, [["second"]]]


def test_what_a_users_statement_took_away_is_there_after_the_next_write(stored):
    with classrel_db.open(stored(name="first")) as catalog:
        catalog.tag("first", kind="small")  # the file is as this catalog's own write has left it
        catalog.sql("DROP MACRO TABLE neighbors", write=True)
        assert not all(ok for _, _, ok, _ in catalog.check().fetchall())
        catalog.tag("first", kind="tiny")
        assert all(ok for _, _, ok, _ in catalog.check().fetchall())
