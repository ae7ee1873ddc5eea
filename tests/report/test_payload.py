"""What a report holds, against what the catalog says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

import classrel_db
from classrel_db.errors import ClassrelError
from classrel_db.report.document import _inlined
from classrel_db.report.payload import json_of
from tests.report.conftest import RESAMPLES, TWO, Stored

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def text(real: tuple[Path, Path]) -> str:
    return real[0].read_text("utf-8")


@pytest.fixture(scope="module")
def stored(text: str) -> Stored:
    return Stored(text)


def test_two_models_fit_into_two_thirds_of_the_size(text: str) -> None:
    assert len(text.encode()) < 8e6


def test_neighbours_and_their_support(stored: Stored, real: tuple[Path, Path]) -> None:
    with classrel_db.open(real[1]) as catalog:
        for model in stored.manifest["models"]:
            n, nearest, supported = model["classes"], model["nearest"], model["supported"]
            indices = stored.array(model["neighbors"]).reshape(n, nearest)
            cosines = stored.array(model["cosines"]).reshape(n, nearest)
            shares = stored.array(model["support"]).reshape(n, supported)
            labels = stored.json(stored.manifest["spaces"][model["space"]]["labels"])
            for index in (0, 118, 517):
                rows = catalog.similar(
                    index, models=model["name"], k=25, support=True, resamples=RESAMPLES
                )
                rows = rows.project("neighbor, cosine, support").fetchall()
                assert [labels[at] for at in indices[index, :25]] == [row[0] for row in rows]
                np.testing.assert_array_equal(
                    cosines[index, :25], np.float32([row[1] for row in rows])
                )
                np.testing.assert_array_equal(shares[index] / 1e4, [row[2] for row in rows])


def test_pairs_have_the_digits_of_a_table(stored: Stored, real: tuple[Path, Path]) -> None:
    with classrel_db.open(real[1]) as catalog:
        for number, model in enumerate(stored.manifest["models"]):
            pairs = catalog.sql(
                "SELECT cosine FROM pairs JOIN models USING (model_id) WHERE name = ? ORDER BY a, b",
                [TWO[number]],
            ).fetchnumpy()["cosine"]
            whole = stored.array(model["pairs"])
            some = slice(None, None, 997)
            assert [f"{v / 1e4:.4f}" for v in whole[some]] == [
                "0.0000" if f"{v:.4f}" == "-0.0000" else f"{v:.4f}" for v in pairs[some].tolist()
            ]


def test_trees_and_their_names(stored: Stored, real: tuple[Path, Path]) -> None:
    strings = stored.json(stored.manifest["strings"])
    with classrel_db.open(real[1]) as catalog:
        for model in stored.manifest["models"]:
            tree = model["tree"]
            Z = catalog.linkage(model["name"])
            for at, name in enumerate(("left", "right", "heights")):
                np.testing.assert_array_equal(stored.array(tree[name]), Z[:, at])
            np.testing.assert_array_equal(
                stored.array(tree["order"]), catalog.leaf_order(model["name"])
            )
            rows = catalog.tree(model["name"]).filter("size > 1").order("node")
            expected = rows.project("name, f1").fetchall()
            names = [None if at < 0 else strings[at] for at in stored.array(tree["names"])]
            assert names == [name for name, _ in expected]
            known = [at for at, (name, _) in enumerate(expected) if name is not None]
            np.testing.assert_allclose(
                stored.array(tree["f1"])[known], [expected[at][1] for at in known], rtol=1e-6
            )


def test_the_most_central_class_of_a_cluster_is_its_medoid(
    stored: Stored, real: tuple[Path, Path]
) -> None:
    model = stored.manifest["models"][0]
    labels = stored.json(stored.manifest["spaces"][model["space"]]["labels"])
    medoids = stored.array(model["tree"]["medoids"])
    with classrel_db.open(real[1]) as catalog:
        found = (
            catalog.cluster(model["name"], 30).filter("size > 1").project("node, medoid").distinct()
        )
        for node, medoid in found.fetchall():
            assert labels[medoids[node - model["classes"]]] == medoid


def test_labels_that_are_shared_are_stored_once(stored: Stored) -> None:
    assert len(stored.manifest["spaces"]) == 1
    assert [model["space"] for model in stored.manifest["models"]] == [0, 0]


def test_the_policy_names_the_scripts_that_are_there(text: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text).group(1)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = {
        base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts
    }
    assert len(digests) == 2
    assert set(re.findall(r"sha256-([^&]*)&#x27;", policy)) == digests
    assert policy.startswith("default-src &#x27;none&#x27;;")
    assert "http:" not in policy
    assert "unsafe-eval" not in policy


def test_json_that_stands_in_a_script_can_not_end_it() -> None:
    harmful = ["</script>", "<!--", "]]>", "&lt;", "\u2028", '"\\']
    text = json_of(harmful)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == harmful


def test_a_library_that_would_end_its_script_is_refused() -> None:
    assert _inlined("let a = 1 < 2;") == "let a = 1 < 2;"
    for script in ('"</script>"', '"</SCRIPT >"', "x <!-- y"):
        with pytest.raises(ClassrelError, match="Bokeh"):
            _inlined(script)
