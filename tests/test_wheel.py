"""The wheel, installed where nothing else is: no torch, no checkout, another folder."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from typing import TYPE_CHECKING

import numpy as np
import pytest
from oracle import REPOSITORY, cosine_matrix, nearest, standardized
from packaging.requirements import Requirement
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from pathlib import Path

# 5.5 GB that a .safetensors head must not need
LEFT_OUT = {"torch", "torchvision"}


def run(*command, cwd=None):
    answer = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=300,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd or "/"), **pip_settings()},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer


def pip_settings():
    import os

    return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, REPOSITORY, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory) -> Path:
    """The bin folder of an environment with the wheel and what it declares, but for torch."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    declared = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    wanted = [str(r) for r in declared if r.marker is None and r.name not in LEFT_OUT]
    assert len(wanted) >= 7
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / "venv")
    python = folder / "venv" / "bin" / "python"
    # our pip, not one of its own; and what is imported is compiled then
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-compile",
    ]
    run(*install, *wanted, cwd=folder)
    run(*install, "--no-deps", wheel, cwd=folder)
    return python.parent


def test_the_queries_and_the_data_are_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for query in (REPOSITORY / "queries").glob("*.sql"):
            assert archive.read(f"classrel_db/queries/{query.name}") == query.read_bytes()
    for needed in (
        "classrel_db/data/imagenet1k_classes.csv",
        "classrel_db/storage/views.sql",
        "classrel_db/storage/migrations/0001_initial.sql",
        "classrel_db/py.typed",
    ):
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("WORDNET-LICENSE.txt") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "queries/"))]


def test_help_works_in_the_bare_environment(bare, tmp_path):
    assert "Usage: classrel" in run(bare / "classrel", "--help", cwd=tmp_path).stdout


def test_a_head_is_ingested_and_asked_from_another_folder(bare, tmp_path):
    W = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    save_file({"fc.weight": W, "fc.bias": W[:, 0].copy()}, tmp_path / "head.safetensors")
    with open(tmp_path / "species.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [["label", "concept"], *[[f"moth {i}", f"t{i}"] for i in range(40)]]
        )
    labels = ["--labels", "species.csv"]
    said = run(bare / "classrel", "ingest", "head.safetensors", *labels, cwd=tmp_path).stderr
    assert said.startswith("head: added, 40 classes × 12, 780 pairs")
    assert (tmp_path / "classrel.duckdb").is_file()
    answers = {
        text: json.loads(
            run(bare / "classrel", "similar", text, "-k", k, "-f", "json", cwd=tmp_path).stdout
        )
        for text, k in (("moth 7", 39), ("moth 7 + moth 9", 38))
    }
    rows = standardized(W)
    cosines = cosine_matrix(np.vstack([rows, rows[7] + rows[9]])).astype(np.float32)
    assert [r["neighbor_concept"] for r in answers["moth 7"]] == [
        f"t{i}" for i in nearest(cosines[7, :40], 39, (7,))
    ]
    assert [r["neighbor_concept"] for r in answers["moth 7 + moth 9"]] == [
        f"t{i}" for i in nearest(cosines[40, :40], 38, (7, 9))
    ]
    run(bare / "classrel", "check", cwd=tmp_path)


def test_the_bare_environment_has_no_torch_and_says_what_is_missing(bare, tmp_path):
    answer = subprocess.run(
        [bare / "classrel", "ingest", "efficientnet_lite0"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert 'pip install "classrel-db[zoo]"' in answer.stderr
    assert not (tmp_path / "classrel.duckdb").exists()
