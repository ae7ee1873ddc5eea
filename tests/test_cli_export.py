"""`classrel export`: what is told, and what embedding-atlas itself makes of the file."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pytest
from agreeing import dicts
from oracle import REAL, assert_refused

import classrel_db
from classrel_db.cli import app
from classrel_db.shell.session import Session

HOSTILE = [
    '<img src=x onerror="window.hit = 1">', "<script>window.hit = 1</script>", "a; b, 'c' \"d\"", "🦀",
    "x" * 500, "${window.hit = 1}",
]  # fmt: skip
MODELS = ["hostile", REAL[0]]


@pytest.fixture(scope="module")
def path(database, tmp_path_factory):
    """A real head and one with labels to stumble over."""
    folder = tmp_path_factory.mktemp("cli-export")
    rows = np.random.default_rng(0).normal(size=(len(HOSTILE), 8)).astype(np.float32)
    np.savez(folder / "hostile.npz", weight=rows, labels=HOSTILE)
    copy = shutil.copyfile(database, folder / "classrel.duckdb")
    with classrel_db.open(copy) as catalog:
        catalog.ingest(folder / "hostile.npz", normalize="center")
        catalog.remove(REAL[1])
        catalog.remove(REAL[2])
    return copy


def test_the_ending_names_the_format_and_all_models_go(classrel, path, tmp_path):
    answer = classrel("export", tmp_path / "heads.parquet", "--db", path)
    assert answer.returncode == 0
    assert answer.stdout == ""
    first, last = answer.stderr.splitlines()
    assert first == (
        f"wrote {tmp_path}/heads.parquet: 1,006 classes of 2 models, rows normalised by standardize and "
        "center"
    )
    assert last.startswith(
        f"note: normalised in different ways ({REAL[0]} standardize, hostile center)"
    )
    with duckdb.connect() as other:
        counted = other.sql(
            f"SELECT model, count(*) FROM '{tmp_path}/*.parquet' GROUP BY 1 ORDER BY 1"
        )
        assert counted.fetchall() == [(REAL[0], 1000), ("hostile", 6)]


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("x.csv", ["--raw"], "6 classes of 1 model, rows raw"),
        ("x.npz", [], "6 classes of 1 model, rows raw, and normalised by center"),
        ("x", ["--to", "projector", "--clusters", "2"], "6 classes of 1 model, rows normalised by center"),
    ],
)  # fmt: skip
def test_options_reach_the_catalog(classrel, path, tmp_path, name, given, told):
    answer = classrel("export", tmp_path / name, *given, "-m", "hostile", "--db", path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.startswith(f"wrote {tmp_path / name}: {told}\n")
    with classrel_db.open(path) as catalog:
        clusters = {"clusters": 2} if name == "x" else {}
        catalog.export(
            tmp_path / f"again{name[1:]}",
            "projector" if name == "x" else None,
            models="hostile",
            raw="--raw" in given,
            **clusters,
        )
    ours, theirs = (
        sorted(place.rglob("*.metadata.tsv")) if place.is_dir() else [place]
        for place in (tmp_path / name, tmp_path / f"again{name[1:]}")
    )
    if name != "x.npz":  # where zip notes the time
        assert [each.read_bytes() for each in ours] == [each.read_bytes() for each in theirs]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["x"], ["can't tell what to write", "--to", "embedding-atlas"]),
        (["x.csv", "-m", "efficientnet"], ["no model", REAL[0]]),
        (["x.npz"], ["2 models", "-m"]),
        (["x.csv", "--seed", "1"], ["seed is for embedding-atlas"]),
        (["no/x.csv"], ["can't write no/x.csv: No such file or directory"]),
        (["."], ["can't tell"]),
        ([".", "--to", "csv"], ["it is a folder"]),
    ],
)
def test_bad_requests_are_refused(classrel, path, tmp_path, monkeypatch, given, words):
    monkeypatch.chdir(tmp_path)
    assert_refused(classrel("export", *given, "--db", path), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given", [[], ["x.csv", "--to", "excel"], ["x.csv", "--by", "tsne"], ["x.csv", "-k", "few"]]
)
def test_what_is_no_request_exits_with_2(classrel, path, tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    answer = classrel("export", *given, "--db", path)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_written_is_told(classrel, path, tmp_path):
    if os.geteuid() == 0:
        folder = Path("/proc")  # where root can make no file either
    else:
        folder = tmp_path / "shut"
        folder.mkdir(mode=0o500)
    for given in (["x.csv"], ["x", "--to", "projector"]):
        answer = classrel("export", folder / given[0], *given[1:], "-m", "hostile", "--db", path)
        assert_refused(answer, f"can't write {folder / given[0]}: ")


def test_without_a_database_the_message_says_how_to_make_one(classrel, tmp_path):
    answer = classrel("export", tmp_path / "x.csv", "--db", tmp_path / "none.duckdb")
    assert_refused(answer, "classrel ingest")


def test_the_shell_exports_too(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with classrel_db.open(path) as catalog:
        session = Session(app, catalog)
        session.handle("use hostile")
        result = session.handle("export x.csv")
    assert not result.error, result
    header, *lines = (tmp_path / "x.csv").read_text("utf-8").splitlines()
    assert header.startswith("model,class_idx,class,concept,")
    assert len(lines) == len(HOSTILE)


# embedding-atlas


class Served:
    """embedding-atlas, as it was told to start, and what it answers."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def get(self, place: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}{place}", timeout=30) as answer:
            return answer.read()

    def ask(self, sql: str) -> list[dict]:
        question = json.dumps({"type": "json", "sql": sql}).encode()
        request = urllib.request.Request(f"{self.url}/data/query", data=question)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())


@contextmanager
def running(command, folder):
    """A server process, killed whatever happens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder), "HF_HUB_OFFLINE": "1"}
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--no-auto-port"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **here},
        )
    try:
        served = Served(port)
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                served.get("/data/metadata.json")
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        yield served
    finally:
        process.kill()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def atlas(path, tmp_path_factory):
    """The command that `export` tells, run; the catalog that the file is from."""
    program = Path(sys.executable).parent / "embedding-atlas"
    if not program.exists():
        pytest.skip("needs embedding-atlas: pip install embedding-atlas")
    folder = tmp_path_factory.mktemp("atlas")
    named = [word for model in MODELS for word in ("-m", model)]
    asked = ["export", str(folder / "an atlas.parquet"), "--to", "embedding-atlas", "-k", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "classrel_db", *asked, *named, "--db", path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    command = re.search(r"^open it with `embedding-atlas (.*)`$", done.stderr, re.MULTILINE)[1]
    with (
        running([str(program), *shlex.split(command)], folder) as served,
        classrel_db.open(path) as catalog,
    ):
        yield served, catalog


def test_embedding_atlas_takes_the_columns_as_the_command_names_them(atlas):
    served, _ = atlas
    described = json.loads(served.get("/data/metadata.json"))["props"]["data"]
    assert described["projection"] == {"x": "x", "y": "y"}
    assert (described["text"], described["neighbors"]) == ("class", "neighbors")
    kinds = {row["column_name"]: row["column_type"] for row in served.ask("DESCRIBE dataset")}
    assert kinds["neighbors"] == "STRUCT(ids BIGINT[], distances FLOAT[])"
    assert (kinds["x"], kinds["class"], kinds["taxa"]) == ("DOUBLE", "VARCHAR", "VARCHAR[]")
    assert served.ask("SELECT model, count(*) AS n FROM dataset GROUP BY 1 ORDER BY 1") == [
        {"model": REAL[0], "n": 1000},
        {"model": "hostile", "n": 6},
    ]


def test_what_embedding_atlas_serves_are_the_numbers_of_the_catalog(atlas, tmp_path):
    served, catalog = atlas
    (tmp_path / "served.parquet").write_bytes(served.get("/data/dataset.parquet"))
    with duckdb.connect() as other:
        rows = dicts(other.sql(f"FROM '{tmp_path}/served.parquet' ORDER BY __row_index__"))
    assert [row["class"] for row in rows[:6]] == HOSTILE
    for model, start in (("hostile", 0), (REAL[0], 6)):
        points = dicts(catalog.project(model))
        for index in (0, 3, len(points) - 1):
            row = rows[start + index]
            found = dicts(catalog.similar(index, models=model, k=5))
            near = [rows[number]["class"] for number in row["neighbors"]["ids"]]
            assert near == [each["neighbor"] for each in found]
            assert row["neighbors"]["distances"] == pytest.approx(
                [1 - each["cosine"] for each in found], abs=1e-6
            )
            assert (row["x"], row["y"]) == (points[index]["x"], points[index]["y"])
            assert row["class"] == points[index]["class"]


def test_embedding_atlas_finds_neighbours_by_their_numbers(atlas):
    """The number of a row is its own, as ``id`` of the page's table has it."""
    served, catalog = atlas
    name = json.loads(served.get("/data/metadata.json"))["props"]["data"]["id"]
    near = served.ask(
        f"SELECT o.class FROM (SELECT unnest(neighbors.ids) AS id FROM dataset WHERE class = 'tench') "
        f"AS n JOIN dataset AS o ON o.{name} = n.id"
    )
    wanted = catalog.similar("tench", models=REAL[0], k=5).project("neighbor").fetchall()
    assert {row["class"] for row in near} == {label for (label,) in wanted}


def test_the_page_of_embedding_atlas_shows_the_classes_and_runs_no_label(atlas, browser):
    """All but the map itself: that is drawn by WebGPU with 16-bit floats, which no software has."""
    served, _ = atlas
    asked: list[str] = []
    told: list[str] = []
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    try:
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("console", lambda said: told.append(said.text) if said.type == "error" else None)
        page.goto(served.url)
        page.get_by_text("1,006 / 1,006 points").wait_for(timeout=60_000)
        page.get_by_text(HOSTILE[0], exact=True).first.wait_for(timeout=30_000)
        shown = page.inner_text("body")
        hit = page.evaluate("window.hit")
    finally:
        page.close()
    assert hit is None
    for text in ("hostile", REAL[0], *HOSTILE[1:4], "nearest_cosine", "cluster"):
        assert text in shown
    assert [url for url in asked if not url.startswith((served.url, "data:", "blob:"))] == []
    # it looks for notes of its own, which a new file has none of
    assert [text for text in told if "WebGPU" not in text and "404" not in text] == []
