"""`Catalog.export`: files read back by other readers than their writer, and compared with the heads."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest
from agreeing import add, dicts, made
from oracle import REAL, standardized
from pyarrow import parquet
from scipy.spatial.distance import pdist

import classrel_db
from classrel_db.errors import (
    ArgumentError,
    DatabaseError,
    UnknownModelError,
)
from classrel_db.records import EXPORT_FORMATS
from classrel_db.targets import archive, projector, tables

TABLE = [
    "model", "class_idx", "class", "concept", "bias", "mean", "std", "norm", "scale", "normalization",
]  # fmt: skip
ATLAS = [
    "class", "model", "x", "y", "cluster", "nearest", "nearest_cosine", "kept", "concept", "bias",
    "raw_norm", "taxa", "neighbors", "vector",
]  # fmt: skip
HOSTILE = [
    "<b>bold</b>", "<script>alert('x')</script>", 'say "hi"', "it's; a, list", "=1+1", "@SUM(A1)", "-2",
    "1", "nan", "None", "🦀 crab", "עברית", "e\u0301", "\\t \\n", "'", '"', "$(rm)", "x" * 500,
]  # fmt: skip
BREAKS = "a\tb\nc\r\nd\x85e\u2028f"  # what no label that is ingested holds, but a database may


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Heads of several widths and normalisations, one without pairs, one with labels to stumble over."""
    folder = tmp_path_factory.mktemp("exports")
    concepts = [f"c{i:02d}" for i in range(14)]
    head = made("wide", concepts, dim=9, seed=1)
    np.savez(folder / "biased.npz", weight=head.weight, bias=head.weight[:, 0] / 3, labels=concepts)
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, made("narrow", concepts[:12], dim=6, seed=2))
        catalog.ingest(folder / "biased.npz", name="wide", normalize="center", pairs="none")
        add(catalog, folder, made("two", concepts[:2], dim=4, seed=3), normalize="none")
        rows = made("", HOSTILE, dim=5, seed=4).weight
        np.savez(folder / "hostile.npz", weight=rows, labels=HOSTILE, concepts=HOSTILE)
        catalog.ingest(folder / "hostile.npz", name="Name: of/a model")
        catalog.sql(
            "UPDATE classes SET label = $label WHERE concept = '=1+1'",
            {"label": BREAKS},
            write=True,
        )
        yield catalog


def vectors(catalog, model):
    """What is stored, by SQL: the rows and the facts of the classes."""
    rows = catalog.sql(
        "FROM class_weights WHERE model = $model ORDER BY class_idx", {"model": model}
    )
    return matrix(rows.to_arrow_table()["vector"]), rows.project("* EXCLUDE (vector)").fetchnumpy()


def matrix(lists):
    """Lists of Arrow of one length as rows."""
    return lists.combine_chunks().flatten().to_numpy().reshape(len(lists), -1)


def recovered(catalog, model):
    """The raw rows by the README's formula."""
    rows, facts = vectors(catalog, model)
    way, center = catalog.sql(
        "SELECT normalization, center FROM models WHERE name = $m", {"m": model}
    ).fetchall()[0]
    shift = {
        "standardize": facts["mean"][:, None],
        "center": None if center is None else np.asarray(center)[None],
        "none": 0.0,
    }[way]
    return (rows.astype(np.float64) * facts["scale"][:, None] + shift).astype(np.float32)


def rows_of(path):
    """A csv as (header, rows of text)."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def tsv_of(path):
    """Lines that end in a line feed, cells between tabs, nothing quoted: the projector's own rules."""
    text = path.read_bytes().decode()
    assert text.endswith("\n")
    return [line.split("\t") for line in text[:-1].split("\n")]


# Parquet and csv


def test_parquet_holds_the_rows_and_facts_of_all_models(catalog, heads, tmp_path):
    answer = catalog.export(tmp_path / "heads.parquet")
    assert (answer.to, answer.models, answer.rows) == ("parquet", REAL, 3000)
    with duckdb.connect() as other:
        found = other.sql(f"FROM '{tmp_path}/heads.parquet'")
        assert found.columns == [*TABLE, "vector"]
        assert str(found.types[-1]) == "FLOAT[]"
        for name in REAL:
            own = found.filter(f"model = '{name}'")
            rows = matrix(own.to_arrow_table()["vector"])
            before, facts = vectors(catalog, name)
            assert np.array_equal(rows, before)
            assert np.abs(rows - heads[name].standardized).max() < 1e-5
            described = own.project("* EXCLUDE (vector)").fetchnumpy()
            assert np.array_equal(described["bias"], heads[name].bias)
            for column in TABLE[:-1]:
                assert np.array_equal(described[column], facts[column]), column
            assert set(described["normalization"]) == {"standardize"}


def test_raw_rows_are_those_of_the_checkpoint_but_for_rounding(catalog, heads, tmp_path):
    name = REAL[0]
    catalog.export(tmp_path / "raw.parquet", models=name, raw=True)
    found = parquet.read_table(tmp_path / "raw.parquet")
    assert found.column_names == [*TABLE, "weight"]
    rows = matrix(found["weight"])
    # half a unit in the last place of the stored row, times its scale, and of the sum
    bound = 2**-23 * np.abs(heads[name].weight).max(axis=1, keepdims=True)
    assert (np.abs(rows - heads[name].weight) <= bound).all()


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("model", ["narrow", "wide", "two"])
def test_rows_are_normalised_or_raw_whatever_the_normalisation(small, tmp_path, model, raw):
    small.export(tmp_path / "rows.parquet", models=model, raw=raw)
    found = matrix(parquet.read_table(tmp_path / "rows.parquet").columns[-1])
    assert np.array_equal(found, recovered(small, model) if raw else vectors(small, model)[0])


@pytest.mark.parametrize("raw", [False, True])
def test_csv_reads_back_as_the_same_float32(small, tmp_path, raw):
    small.export(tmp_path / "heads.csv", raw=raw)
    header, rows = rows_of(tmp_path / "heads.csv")
    assert header == [*TABLE, *(f"{'w' if raw else 'd'}{i}" for i in range(9))]
    assert {len(row) for row in rows} == {len(header)}
    for (name,) in small.models().project("model").fetchall():
        own = [row for row in rows if row[0] == name]
        wanted = recovered(small, name) if raw else vectors(small, name)[0]
        dim = wanted.shape[1]
        numbers = np.array([row[10 : 10 + dim] for row in own], dtype=np.float32)
        assert np.array_equal(numbers, wanted)
        assert {cell for row in own for cell in row[10 + dim :]} <= {""}
        _, facts = vectors(small, name)
        assert [row[2] for row in own] == facts["class"].tolist()
        assert [float(row[5]) for row in own] == facts["mean"].tolist()
        biases = [np.float32(row[4]) if row[4] else None for row in own]
        assert biases == ([None] * len(own) if name != "wide" else facts["bias"].tolist())
    assert len(rows) == 14 + 12 + 2 + len(HOSTILE)


def test_duckdb_reads_the_csv_as_it_is(small, tmp_path):
    small.export(tmp_path / "heads.csv", models="Name: of/a model")
    with duckdb.connect() as other:
        found = other.sql(f"SELECT class FROM read_csv('{tmp_path}/heads.csv', all_varchar = true)")
        labels = [label for (label,) in found.fetchall()]
    assert labels == [BREAKS if label == "=1+1" else label for label in HOSTILE]


def test_large_heads_are_spelled_out_in_parts(small, tmp_path, monkeypatch):
    def written(name):
        small.export(tmp_path / f"{name}.csv")
        small.export(tmp_path / name, "projector", models="wide", clusters=0)
        files = (tmp_path / f"{name}.csv", tmp_path / name / "wide.tensors.tsv")
        return [file.read_bytes() for file in files]

    whole = written("whole")
    monkeypatch.setattr(tables, "_NUMBERS", 20)
    assert written("parts") == whole


# npz


@pytest.mark.parametrize("model", ["narrow", "wide", "two", "Name: of/a model"])
def test_npz_opens_without_pickles_and_holds_both_rows(small, tmp_path, model):
    small.export(tmp_path / "head.npz", models=model)
    rows, facts = vectors(small, model)
    with np.load(tmp_path / "head.npz", allow_pickle=False) as found:
        assert np.array_equal(found["vector"], rows)
        assert np.array_equal(found["weight"], recovered(small, model))
        assert found["labels"].tolist() == facts["class"].tolist()
        assert found["concepts"].tolist() == facts["concept"].tolist()
        for name in ("mean", "std", "norm", "scale"):
            assert np.array_equal(found[name], facts[name])
        way = small.normalizations(model)[model]
        assert (found["model"].item(), found["normalization"].item()) == (model, way)
        assert ("bias" in found, "center" in found) == (model == "wide", way == "center")
        if model == "wide":
            assert np.array_equal(found["bias"], facts["bias"])


@pytest.mark.parametrize("model", ["narrow", "wide", "two"])
def test_ingest_reads_an_npz_again(small, tmp_path, model):
    note = small.export(tmp_path / "again.npz", models=model).notes[-1]
    way = small.normalizations(model)[model]
    assert note.startswith(f"`classrel ingest {tmp_path}/again.npz --normalize {way}`")
    with classrel_db.open(tmp_path / "again.duckdb") as other:
        other.ingest(tmp_path / "again.npz", normalize=way)
        rows, facts = vectors(other, "again")
        before, known = vectors(small, model)
        # two roundings to float32, of the raw row and of the row again
        bound = 2**-23 * np.abs(before).max(axis=1, keepdims=True) * 4
        assert (np.abs(rows - before) <= (0 if way == "none" else bound)).all()
        for name in ("class", "concept", "bias"):
            assert facts[name].tolist() == known[name].tolist()


def test_the_real_head_comes_back_within_its_rounding(catalog, heads, tmp_path):
    name = REAL[1]
    catalog.export(tmp_path / "again.npz", models=name)
    with classrel_db.open(tmp_path / "again.duckdb") as other:
        other.ingest(tmp_path / "again.npz", pairs="none")
        rows, facts = vectors(other, "again")
        space = other.models().project("label_space").fetchall()
    assert np.abs(rows - vectors(catalog, name)[0]).max() < 2e-6
    assert np.array_equal(facts["bias"], heads[name].bias)
    assert space == [("imagenet1k",)]


# embedding-atlas


@pytest.fixture(scope="module")
def atlas(database, tmp_path_factory):
    """The table for embedding-atlas of the three real heads, with the catalog that it is from."""
    folder = tmp_path_factory.mktemp("atlas")
    path = shutil.copyfile(database, folder / "classrel.duckdb")
    with classrel_db.open(path) as catalog:
        answer = catalog.export(folder / "atlas.parquet", "embedding-atlas", k=7, clusters=9)
        yield catalog, answer, parquet.read_table(folder / "atlas.parquet")


def test_the_table_for_embedding_atlas_has_its_columns(atlas):
    _, answer, table = atlas
    assert table.column_names == ATLAS
    kinds = dict(zip(table.column_names, map(str, table.schema.types), strict=True))
    assert kinds["neighbors"].startswith("struct<ids: list<")
    assert "int64" in kinds["neighbors"]
    assert "distances: list<" in kinds["neighbors"]
    assert kinds["x"] == kinds["y"] == "double"
    assert answer.notes[-1] == (
        f"open it with `embedding-atlas {answer.path} --text class --x x --y y --neighbors neighbors`"
    )
    assert [re.match(r"map of (\S+) by mds, \d\.\d \+", note)[1] for note in answer.notes[:-1]] == [
        *REAL
    ]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_neighbours_are_rows_of_the_table_and_those_of_similar(atlas, number):
    catalog, _, table = atlas
    labels = table["class"].to_pylist()
    for index in (0, 118, 999):
        row = table.slice(1000 * number + index, 1).to_pylist()[0]
        found = dicts(catalog.similar(index, models=REAL[number], k=7))
        assert [labels[each] for each in row["neighbors"]["ids"]] == [o["neighbor"] for o in found]
        assert {each // 1000 for each in row["neighbors"]["ids"]} == {number}
        cosines = [each["cosine"] for each in found]
        assert row["neighbors"]["distances"] == pytest.approx([1 - c for c in cosines], abs=1e-6)
        assert (row["nearest"], row["nearest_cosine"]) == (found[0]["neighbor"], cosines[0])
        assert row["model"] == REAL[number]


def test_maps_lie_on_that_of_the_first_model_and_keep_their_distances(atlas):
    catalog, _, table = atlas
    found = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1).reshape(3, 1000, 2)
    for number, name in enumerate(REAL):
        own = catalog.project(name).fetchnumpy()
        alone = np.stack([own["x"], own["y"]], axis=1)
        assert np.allclose(pdist(found[number]), pdist(alone), rtol=0, atol=1e-12)
        kept = table["kept"].to_numpy()[1000 * number : 1000 * (number + 1)]
        assert np.array_equal(kept, own["kept"])
        if number == 0:
            assert np.array_equal(found[0], alone)
            continue
        # no rotation, with or without a mirror, brings the same classes nearer
        off = ((found[number] - found[0]) ** 2).sum()
        for angle in np.linspace(0, 2 * np.pi, 60):
            R = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            for mirror in (1, -1):
                assert off <= ((alone @ R * [1, mirror] - found[0]) ** 2).sum() + 1e-9


def test_clusters_and_taxa_are_those_of_the_catalog(atlas):
    catalog, _, table = atlas
    for number, name in enumerate(REAL):
        own = table.slice(1000 * number, 1000).to_pydict()
        clusters = dicts(catalog.cluster(name, 9))
        by_concept = {row["concept"]: row["cluster"] for row in clusters}
        numbers = [by_concept[concept] for concept in own["concept"]]
        # a name for each cluster, and each cluster by one name
        assert len(set(zip(numbers, own["cluster"], strict=True))) == len(set(own["cluster"])) == 9
        names = {row["cluster"]: row["name"] for row in clusters}
        for cluster, shown in set(zip(numbers, own["cluster"], strict=True)):
            assert shown == names[cluster]
    for index in (0, 118, 500):
        above = dicts(catalog.query("ancestors", own["concept"][index]))[1:]
        assert sorted(own["taxa"][index]) == sorted(row["ancestor_label"] for row in above)
        depths = {row["ancestor_label"]: row["depth"] for row in above}
        assert [depths[t] for t in own["taxa"][index]] == sorted(depths.values(), reverse=True)


def test_the_length_of_the_raw_row_is_told(atlas, heads):
    _, _, table = atlas
    wanted = np.concatenate([np.linalg.norm(heads[n].weight.astype(float), axis=1) for n in REAL])
    assert table["raw_norm"].to_numpy() == pytest.approx(wanted, rel=1e-6)
    assert np.array_equal(
        table["bias"].to_numpy().astype(np.float32), np.concatenate([heads[n].bias for n in REAL])
    )


def test_models_that_share_nothing_and_two_classes_fit_into_one_atlas(small, tmp_path):
    path = tmp_path / "atlas.parquet"
    answer = small.export(path, "embedding-atlas")
    table = parquet.read_table(path)
    assert table.column_names == [name for name in ATLAS if name != "taxa"]  # none is in WordNet
    rows = table.to_pylist()
    assert {row["model"] for row in rows if row["kept"] is None} == {"two"}
    sizes = {row["model"]: len(row["neighbors"]["ids"]) for row in rows}
    assert sizes == {"narrow": 11, "wide": 13, "two": 1, "Name: of/a model": 17}
    for number, row in enumerate(rows):
        assert number not in row["neighbors"]["ids"]
        assert {rows[other]["model"] for other in row["neighbors"]["ids"]} == {row["model"]}
    assert len([note for note in answer.notes if note.startswith("map of ")]) == 4
    alone = small.project("Name: of/a model").fetchnumpy()
    assert [row["x"] for row in rows[-len(HOSTILE) :]] == alone["x"].tolist()


def test_without_clusters_there_is_no_such_column(small, tmp_path):
    small.export(
        tmp_path / "atlas.parquet", "embedding-atlas", clusters=0, models=["narrow", "two"]
    )
    assert "cluster" not in parquet.read_schema(tmp_path / "atlas.parquet").names


def test_clusters_named_alike_are_told_apart(stored, tmp_path):
    path = stored(
        labels=["crane", "crane", "heron"], concepts=["bird", "machine", "heron"], n_classes=3
    )
    with classrel_db.open(path) as catalog:
        catalog.export(tmp_path / "atlas.parquet", "embedding-atlas", clusters=3)
        number = dict(catalog.cluster("small", 3).project("concept, cluster").fetchall())
    found = parquet.read_table(tmp_path / "atlas.parquet")["cluster"].to_pylist()
    assert found == [f"crane ({number['bird']})", f"crane ({number['machine']})", "heron"]


def test_a_head_too_large_to_be_clustered_unasked_has_no_clusters(small, tmp_path, monkeypatch):
    monkeypatch.setattr("classrel_db.catalog.outgoing._MOST_CLUSTERED", 13)
    small.export(tmp_path / "atlas.parquet", "embedding-atlas")
    rows = parquet.read_table(tmp_path / "atlas.parquet").to_pylist()
    assert {row["model"] for row in rows if row["cluster"] == ""} == {"wide", "Name: of/a model"}


# the projector


def test_the_projectors_folder_is_read_by_its_own_rules(small, tmp_path):
    folder = tmp_path / "projector"
    answer = small.export(folder, "projector", clusters=2)
    described = json.loads((folder / "projector_config.json").read_text("utf-8"))["embeddings"]
    names = [name for (name,) in small.models().project("model").fetchall()]
    assert [each["tensorName"] for each in described] == names
    begun = ["narrow", "wide", "two", "Name_of_a_model"]
    for name, start, each in zip(names, begun, described, strict=True):
        rows, facts = vectors(small, name)
        assert each["tensorShape"] == list(rows.shape)
        assert each["tensorPath"] == f"{start}.tensors.bytes"
        assert np.array_equal(np.fromfile(folder / each["tensorPath"], "<f4"), rows.reshape(-1))
        spelled = np.array(tsv_of(folder / f"{start}.tensors.tsv"), dtype=np.float32)
        assert np.array_equal(spelled, rows)
        header, *cells = tsv_of(folder / each["metadataPath"])
        assert header == ["class", "concept", "class_idx", "bias", "cluster"]
        assert {len(row) for row in cells} == {5}
        plain = [label.replace(BREAKS, "a b c d e f") for label in facts["class"].tolist()]
        assert [row[0] for row in cells] == plain
        assert [int(row[2]) for row in cells] == list(range(len(rows)))
        assert len({row[4] for row in cells}) == 2
    assert answer.notes[-1].startswith(f"open it with `tensorboard --logdir {folder}`")
    text = (folder / "projector_config.pbtxt").read_text("utf-8")
    for name, start in zip(names, begun, strict=True):
        (message,) = (part for part in text.split("embeddings {\n") if f'"{name}"' in part)
        rows = vectors(small, name)[0]
        fields = re.findall(r"^  (\w+): (.*)$", message, re.MULTILINE)
        assert fields == [
            ("tensor_name", f'"{name}"'),
            *(("tensor_shape", str(size)) for size in rows.shape),
            ("tensor_path", f'"{start}.tensors.tsv"'),
            ("metadata_path", f'"{start}.metadata.tsv"'),
        ]


def test_what_is_too_much_as_text_is_in_bytes_alone(small, tmp_path, monkeypatch):
    monkeypatch.setattr(projector, "MOST_SPELLED", 14 * 9 - 1)
    folder = tmp_path / "projector"
    answer = small.export(folder, "projector", models=["wide", "two"], clusters=0)
    assert {path.name for path in folder.glob("*.tensors.*")} == {
        "wide.tensors.bytes", "two.tensors.bytes", "two.tensors.tsv",
    }  # fmt: skip
    assert 'tensor_path: "wide.tensors.bytes"' in (folder / "projector_config.pbtxt").read_text()
    assert answer.notes[0].startswith("the vectors of wide are in wide.tensors.bytes alone")
    assert "load two.tensors.tsv and two.metadata.tsv" in answer.notes[-1]


def test_names_that_are_one_file_name_are_told_apart(tmp_path):
    rows = np.eye(3, dtype=np.float32)
    named = [
        projector.Embedding(name, rows, {"class": ["a"] * 3, "concept": ["b"] * 3})
        for name in ("A b", "a/b", "A:b", "..", "ü")
    ]
    written = projector.write_projector(tmp_path, named)
    assert [each.start for each in written] == ["A_b", "a_b_2", "A_b_3", "model", "ü"]
    assert len(list(tmp_path.iterdir())) == 5 * 3 + 2


# what can't be


@pytest.mark.parametrize(
    ("path", "given", "kind", "message"),
    [
        ("x", {}, ArgumentError, r"by its ending; use .parquet, .npz, .csv or give --to"),
        ("x.arrow", {}, ArgumentError, r"can't tell what to write to .*x\.arrow"),
        ("x.csv", {"to": "excel"}, ArgumentError, 'to is "excel"; accepted: embedding-atlas'),
        ("x.csv", {"to": "parquet"}, ArgumentError, "parquet is asked for and .* ends in .csv"),
        ("x.npz", {"to": "projector"}, ArgumentError, "or name another projector folder"),
        ("x", {"to": "embedding-atlas"}, ArgumentError, "end it in .parquet"),
        ("x.csv", {"to": "embedding-atlas"}, ArgumentError, "end it in .parquet"),
        ("x.csv", {"models": "nosuch"}, UnknownModelError, "nosuch"),
        ("x.csv", {"models": []}, ArgumentError, "no model is named"),
        ("x.npz", {}, ArgumentError, "4 models, and an .npz file holds one head"),
        ("x.npz", {"models": "two", "raw": True}, ArgumentError, "npz has both rows"),
        ("x.csv", {"k": 3}, ArgumentError, "k is for embedding-atlas; csv has no use for it"),
        ("x.csv", {"clusters": 3}, ArgumentError, "clusters is for embedding-atlas, projector"),
        ("x", {"to": "projector", "by": "umap"}, ArgumentError, "by is for embedding-atlas"),
        ("x", {"to": "projector", "clusters": 13, "models": "narrow"}, ArgumentError,
         r"clusters is 13; .* from 0 to 12 \(12 classes of narrow\)"),
        ("x", {"to": "projector", "taxonomy": "birds"}, ArgumentError, 'no taxonomy "birds"'),
        ("x.parquet", {"to": "embedding-atlas", "taxonomy": "birds"}, ArgumentError, "birds"),
        ("x.parquet", {"to": "embedding-atlas", "k": 2}, ArgumentError,
         r"k is 2; .* \(1 other classes of two\)"),
        ("x.parquet", {"to": "embedding-atlas", "seed": 1}, ArgumentError, "seed is for a map by umap"),
        ("x.parquet", {"to": "embedding-atlas", "by": "tsne"}, ArgumentError, 'by is "tsne"'),
        ("nosuch/x.csv", {}, ArgumentError, "can't write .*nosuch/x.csv: No such file or directory"),
        ("nosuch/x", {"to": "projector"}, ArgumentError, "can't write .*: No such file or directory"),
        (".", {"to": "csv"}, ArgumentError, "it is a folder"),
    ],
)  # fmt: skip
def test_a_refused_export_says_why_and_leaves_nothing(small, tmp_path, path, given, kind, message):
    with pytest.raises(kind, match=message):
        small.export(tmp_path / path, **given)
    assert list(tmp_path.iterdir()) == []


def test_standard_output_is_no_file(small):
    with pytest.raises(ArgumentError, match="not standard output"):
        small.export("-", "csv")


def test_the_database_is_never_replaced(small):
    before = small.path.read_bytes()
    for to in ("csv", "parquet", "projector"):
        with pytest.raises(ArgumentError, match="the database itself"):
            small.export(small.path, to)
    assert small.path.read_bytes() == before


@pytest.mark.parametrize("to", EXPORT_FORMATS)
def test_an_export_that_fails_leaves_what_was_there(small, tmp_path, monkeypatch, to):
    path = tmp_path / ("out" if to == "projector" else f"out.{_ending(to)}")
    small.export(path, to, models="narrow")
    before = _content(path)
    for module, name in ((tables, "write_csv"), (tables, "write_parquet"),
                         (archive, "write_npz"), (projector, "_write_configurations")):  # fmt: skip
        monkeypatch.setattr(module, name, _half_written)
    with pytest.raises(ArgumentError, match=r"can't write .*: No space left on device"):
        small.export(path, to, models="two")
    assert _content(path) == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def _ending(to):
    return {"embedding-atlas": "parquet"}.get(to, to)


def _content(path):
    if path.is_dir():
        return {each.name: each.read_bytes() for each in path.iterdir()}
    return path.read_bytes()


def _half_written(place, *_rest):
    (place / "half" if place.is_dir() else place).write_bytes(b"half")
    raise OSError(28, "No space left on device")


def test_a_folder_of_an_earlier_export_is_replaced_and_no_other(small, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    small.export(folder, "projector", models="narrow", clusters=0)
    small.export(folder, "projector", models="two", clusters=0)
    assert {each.name.split(".")[0] for each in folder.iterdir()} == {"two", "projector_config"}
    (folder / "thesis.tex").write_text("years")
    with pytest.raises(ArgumentError, match=r'the folder holds "thesis\.tex"'):
        small.export(folder, "projector", models="narrow", clusters=0)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ArgumentError, match="it is a file"):
        small.export(tmp_path / "file", "projector", models="narrow", clusters=0)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    assert (tmp_path / "file").read_text() == "a file"


def test_files_have_the_permissions_of_any_other(small, tmp_path):
    (tmp_path / "plain").touch()
    (tmp_path / "folder").mkdir()
    small.export(tmp_path / "x.csv")
    small.export(tmp_path / "x", "projector", clusters=0)
    assert (tmp_path / "x.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "folder").stat().st_mode


def test_an_export_larger_than_the_machine_is_refused(small, tmp_path, monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda _name: 8)
    with pytest.raises(ArgumentError, match="exporting 12 rows of 6 numbers"):
        small.export(tmp_path / "x.csv", models="narrow")
    assert list(tmp_path.iterdir()) == []


def test_neighbours_that_are_damaged_are_an_error(small, tmp_path):
    copy = shutil.copyfile(small.path, tmp_path / "damaged.duckdb")
    with classrel_db.open(copy) as catalog:
        catalog.sql("DELETE FROM neighbors WHERE class_idx = 1", write=True)
        with pytest.raises(DatabaseError, match=r"neighbours of narrow: .* --replace"):
            catalog.export(tmp_path / "x.parquet", "embedding-atlas", clusters=0)
    assert not (tmp_path / "x.parquet").exists()


def test_what_is_stored_is_the_standardised_head(small):
    """Which the other tests of this file rest on."""
    with np.load(small.path.parent / "narrow.npz") as head:
        assert vectors(small, "narrow")[0] == pytest.approx(standardized(head["weight"]), abs=1e-6)


def test_a_users_own_files_are_never_replaced(small, tmp_path):
    mine = tmp_path / "mine"
    (mine / "sub.tsv").mkdir(parents=True)
    (mine / "results.tsv").write_text("x")
    (mine / "notes.json").write_text("{}")
    (mine / "sub.tsv" / "thesis.docx").write_text("x")
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    with pytest.raises(ArgumentError, match="is not of an export"):
        small.export(mine, "projector", models="narrow")
    shutil.rmtree(mine / "sub.tsv")
    with pytest.raises(ArgumentError, match="is not of an export"):
        small.export(mine, "projector", models="narrow")
    # files that an export could have written, but none that says so
    for name in ("results.tsv", "notes.json"):
        (mine / name).rename(mine / f"{name}.metadata.tsv")
    with pytest.raises(ArgumentError, match="is not of an export"):
        small.export(mine, "projector", models="narrow")
    assert len(before) == 3
    assert sorted(path.read_text() for path in mine.iterdir()) == ["x", "{}"]


def test_a_folder_that_is_there_stays_the_same_folder(small, tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    number = folder.stat().st_ino
    small.export(folder, "projector", models=["narrow", "two"], clusters=0)
    assert (folder / "two.metadata.tsv").exists()
    small.export(folder, "projector", models="narrow", clusters=0)
    assert folder.stat().st_ino == number
    assert sorted(path.name for path in folder.iterdir()) == [
        "narrow.metadata.tsv", "narrow.tensors.bytes", "narrow.tensors.tsv",
        "projector_config.json", "projector_config.pbtxt",
    ]  # fmt: skip


def test_names_are_utf8_in_both_configurations_and_short_enough_for_files(tmp_path):
    rows = np.eye(3, dtype=np.float32)
    names = ["crab 🦀", "鮨" * 100]
    columns = {"class": ["a", "b", "c"], "concept": ["a", "b", "c"]}
    projector.write_projector(
        tmp_path, [projector.Embedding(name, rows, columns) for name in names]
    )
    said = (tmp_path / "projector_config.pbtxt").read_text("utf-8")
    assert re.findall(r'tensor_name: "(.*)"', said) == names
    assert max(len(path.name.encode()) for path in tmp_path.iterdir()) < 140
    assert len(list(tmp_path.glob("鮨*"))) == 3


def test_a_file_keeps_its_permissions_when_it_is_replaced(small, tmp_path):
    path = tmp_path / "private.csv"
    path.write_text("")
    path.chmod(0o600)
    small.export(path, models="narrow")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_under_dev_is_written_whole_or_not_at_all(small, monkeypatch):
    shared = Path("/dev/shm")
    if not shared.is_dir():
        pytest.skip("this system has no /dev/shm to write to")
    path = shared / "classrel-test-half.csv"
    monkeypatch.setattr(tables, "write_csv", _half_written)
    try:
        with pytest.raises(ArgumentError, match="No space left"):
            small.export(path, models="narrow")
        assert not list(shared.glob("*classrel-test-half*"))
    finally:
        path.unlink(missing_ok=True)


def test_maps_are_laid_upon_one_another_by_the_concept_map(tmp_path):
    random = np.random.default_rng(0)
    rows = random.normal(size=(12, 6))
    turned = np.linalg.qr(random.normal(size=(6, 6)))[0]
    with classrel_db.open(tmp_path / "mapped.duckdb") as catalog:
        add(
            catalog,
            tmp_path,
            made("one", [f"c{i}" for i in range(12)], weight=rows),
            normalize="none",
        )
        add(
            catalog, tmp_path, made("other", [f"d{i}" for i in range(12)], weight=rows @ turned),
            normalize="none",
        )  # fmt: skip
        catalog.map_concepts({f"c{i}": f"d{i}" for i in range(12)})
        catalog.export(tmp_path / "a.parquet", "embedding-atlas", clusters=0, k=3)
    table = parquet.read_table(tmp_path / "a.parquet")
    points = np.column_stack([table["x"].to_numpy(), table["y"].to_numpy()])
    assert points[12:] == pytest.approx(points[:12], abs=1e-5)
