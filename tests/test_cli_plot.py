"""``classrel plot``: files, the numbers behind them, drawings in the terminal, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pexpect
import pytest
from oracle import assert_refused

import classrel_db

SVG = "{http://www.w3.org/2000/svg}"
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
FILES = {
    "neighbors": ["species 01", "-m", "twelve"],
    "ranks": ["species 01"],
    "heatmap": ["twelve"],
    "dendrogram": ["twelve"],
    "agreement": [],
    "tanglegram": ["twelve", "nine"],
    "map": ["twelve"],
    "support": ["twelve", "--resamples", "10"],
    "bk": ["twelve", "nine", "--permutations", "9"],
    "histogram": ["twelve"],
}
IN_TERMINAL = {"neighbors", "heatmap", "histogram"}


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Two heads that share nine classes; one of two classes."""
    folder = tmp_path_factory.mktemp("plot")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        for name, n in (("twelve", 12), ("nine", 9), ("two", 2)):
            weight = np.random.default_rng(n).normal(size=(n, 7)).astype(np.float32)
            labels = [f"species {i:02d}" for i in range(n)]
            np.savez(folder / f"{name}.npz", weight=weight, labels=labels)
            catalog.ingest(folder / f"{name}.npz", name=name)
    return folder / "small.duckdb"


@pytest.fixture
def folder(made_once, tmp_path, monkeypatch):
    """An empty folder to write to, with the database outside it."""
    (tmp_path / "db").mkdir()
    shutil.copy(made_once, tmp_path / "db" / "small.duckdb")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def plot(classrel, folder):
    return lambda *arguments: classrel(
        "plot", *arguments, "--db", folder.parent / "db" / "small.duckdb"
    )


def written(folder):
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("command", FILES)
def test_each_draws_a_picture_and_its_numbers(plot, folder, command):
    answer = plot(command, *FILES[command], "-o", "x.svg", "--data", "x.csv")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == ""
    assert answer.stderr.splitlines()[-2:] == ["wrote x.svg", "wrote x.csv"]
    assert written(folder) == ["x.csv", "x.svg"]
    texts = ["".join(t.itertext()) for t in ET.parse(folder / "x.svg").getroot().iter(f"{SVG}text")]
    assert len(texts) > 3
    rows = list(csv.DictReader((folder / "x.csv").read_text().splitlines()))
    assert rows
    assert "model" in rows[0] or "model_a" in rows[0]


@pytest.mark.parametrize("command", FILES)
def test_the_numbers_alone_need_no_picture(plot, folder, command):
    answer = plot(command, *FILES[command], "--data", "x.json")
    assert answer.returncode == 0, answer.stderr
    assert written(folder) == ["x.json"]
    assert json.loads((folder / "x.json").read_text())


def test_the_numbers_are_those_of_the_bars(plot, folder, classrel):
    assert plot("neighbors", "species 01", "-m", "twelve", "--data", "x.json").returncode == 0
    asked = classrel(
        "similar", "species 01", "-m", "twelve", "-f", "json",
        "--db", folder.parent / "db" / "small.duckdb",
    )  # fmt: skip
    assert json.loads((folder / "x.json").read_text()) == json.loads(asked.stdout)


@pytest.mark.parametrize("command", sorted(set(FILES) - IN_TERMINAL))
def test_what_reads_ill_in_a_terminal_asks_for_a_file(plot, folder, command):
    answer = plot(command, *FILES[command])
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "--output" in answer.stderr
    assert "--data" in answer.stderr
    assert written(folder) == []


def test_neighbors_in_the_terminal_are_those_of_similar(plot, folder, classrel):
    answer = plot("neighbors", "species 01", "-m", "twelve")
    asked = classrel(
        "similar", "species 01", "-m", "twelve", "--db", folder.parent / "db" / "small.duckdb"
    )
    assert answer.returncode == 0
    assert answer.stdout == asked.stdout
    assert "█" in answer.stdout


def test_a_histogram_in_the_terminal_counts_all_pairs(plot):
    answer = plot("histogram", "twelve")
    assert answer.returncode == 0, answer.stderr
    lines = re.findall(r"^\s+-?\d\.\d\d to\s+-?\d\.\d\d\s+([\d,]+)", answer.stdout, re.MULTILINE)
    assert sum(int(count.replace(",", "")) for count in lines) == 66
    assert "66 pairs" in answer.stdout
    assert "\x1b" not in answer.stdout


@pytest.mark.parametrize("order", ["leaf", "class"])
def test_a_heatmap_in_the_terminal_has_a_column_a_class(plot, order):
    answer = plot("heatmap", "twelve", "--order", order)
    assert answer.returncode == 0, answer.stderr
    lines = re.findall(r"^([ .:\-=+*#%@]{12})  ", answer.stdout, re.MULTILINE)
    assert len(lines) == 6
    assert "\x1b" not in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80


def on_a_terminal(*arguments, columns=80, env=None):
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "classrel_db", *map(str, arguments)],
        dimensions=(40, columns),
        env={**inherited, "TERM": "xterm-256color", "COLUMNS": str(columns), **(env or {})},
        encoding="utf-8",
        timeout=60,
    )
    child.expect(pexpect.EOF)
    child.close()
    return child.before, child.exitstatus


@pytest.mark.parametrize("command", sorted(IN_TERMINAL))
def test_on_a_terminal_it_is_coloured_and_within_the_edge(folder, command):
    asked = ["plot", command, *FILES[command], "--db", folder.parent / "db" / "small.duckdb"]
    text, code = on_a_terminal(*asked)
    assert code == 0, text
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", text) or command == "histogram"
    lines = ANSI.sub("", text).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if re.search("[▀▄█]", line)]


def test_a_real_heatmap_fits_80_columns(database_copy):
    text, code = on_a_terminal("plot", "heatmap", "efficientnet_lite0", "--db", database_copy)
    assert code == 0, text
    lines = ANSI.sub("", text).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    assert sum(line.count("▀") > 20 for line in lines) > 10


REFUSED = {
    "an unknown ending": (["-o", "x.gif"], ['".gif"', ".png, .svg or .pdf"]),
    "no ending": (["-o", "x"], ['""', ".png, .svg or .pdf"]),
    "no folder": (["-o", "no/x.png"], ["there is no folder", "make it first"]),
    "a file as a folder": (["-o", "file/x.png"], ["can't write file/x.png"]),
    "a folder": (["-o", "folder.png"], ["folder.png", "is a folder"]),
    "no width": (["-o", "x.png", "--width", "huge"], ['"huge"', "column (89 mm)"]),
    "too narrow": (["-o", "x.png", "--width", "3"], ['"3"', "20 to 5000"]),
    "not a number": (["-o", "x.png", "--width", "nan"], ['"nan"']),
    "an unknown ending of data": (["-o", "x.png", "--data", "x.gif"], ["x.gif", ".csv"]),
    "no folder for data": (["-o", "x.png", "--data", "no/x.csv"], ["no/x.csv"]),
    "a folder as data": (["-o", "x.png", "--data", "folder.csv"], ["folder.csv", "is a folder"]),
    "a picture as data": (["-o", "x.png", "--data", "x.png"], ["x.png"]),
}


@pytest.mark.parametrize("command", ["histogram", "dendrogram"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_is_said_before_anything_is(plot, folder, case, command):
    (folder / "file").touch()
    (folder / "folder.png").mkdir()
    (folder / "folder.csv").mkdir()
    before = written(folder)
    given, parts = REFUSED[case]
    assert_refused(plot(command, *FILES[command], *given), *parts)
    assert written(folder) == before


@pytest.mark.parametrize("option", ["-o", "--data"])
def test_the_database_is_spared(plot, folder, classrel, option):
    ending = {"-o": "svg", "--data": "csv"}[option]
    named = folder / f"mine.{ending}"
    shutil.copy(folder.parent / "db" / "small.duckdb", named)
    before = named.read_bytes()
    others = [] if option == "-o" else ["-o", folder / "x.svg"]
    answer = classrel("plot", "histogram", "twelve", "--db", named, option, named, *others)
    assert_refused(answer, "is the database itself")
    assert named.read_bytes() == before
    assert written(folder) == [named.name]


@pytest.mark.parametrize("dpi", ["5", "2401", "many", "-1"])
def test_a_resolution_that_is_none_is_a_usage_error(plot, folder, dpi):
    answer = plot("histogram", "twelve", "-o", "x.png", "--dpi", dpi)
    assert answer.returncode == 2
    assert "--dpi" in answer.stderr
    assert written(folder) == []


ASKED = {
    "an unknown model": (["heatmap", "nobody"], ['no model "nobody"']),
    "an unknown class": (["neighbors", "nobody"], ['no class "nobody"']),
    "an unknown class of ranks": (["ranks", "nobody"], ['no class "nobody"']),
    "k of none": (["neighbors", "species 01", "-k", "0"], ["k is 0"]),
    "k of too many": (["neighbors", "species 01", "-m", "twelve", "-k", "12"], ["k is 12", "1 to 11"]),
    "ranks of none": (["ranks", "species 01", "-k", "0"], ["k is 0", "1 to 100"]),
    "ranks of too many": (["ranks", "species 01", "-k", "101"], ["k is 101", "1 to 100"]),
    "clusters of a tree": (["dendrogram", "twelve", "--clusters", "-1"], ["-1", "1 to 12"]),
    "too many of a tree": (["dendrogram", "twelve", "--clusters", "13"], ["13", "1 to 12"]),
    "clusters of a heatmap": (["heatmap", "twelve", "--clusters", "13"], ["13", "1 to 12"]),
    "clusters of a map": (["map", "twelve", "--clusters", "13"], ["13", "1 to 12"]),
    "clusters of two trees": (["tanglegram", "twelve", "nine", "--clusters", "10"], ["10", "0 to 9"]),
    "an unknown measure": (["agreement", "--measure", "likeness"], ['"likeness"', "rsa-spearman"]),
    "one model": (["agreement", "twelve"], ["two"]),
    "a model with itself": (["tanglegram", "twelve", "twelve"], ["named twice"]),
    "a model with itself in a curve": (["bk", "twelve", "twelve"], ["named twice"]),
    "too few shared classes": (["tanglegram", "twelve", "two"], ["share only 2 of the 4"]),
    "too few for a curve": (["bk", "twelve", "two"], ["share only 2 of the 4"]),
    "clusters without a tree": (
        ["heatmap", "twelve", "--order", "class", "--clusters", "3"], ["order of its leaves"],
    ),
    "clusters of a part": (
        ["dendrogram", "twelve", "--around", "species 01", "--clusters", "2"], ["whole tree"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ASKED)
def test_what_cannot_be_drawn_gets_one_line_and_leaves_nothing(plot, folder, case):
    arguments, parts = ASKED[case]
    assert_refused(plot(*arguments, "-o", "x.svg", "--data", "x.csv"), *parts)
    assert written(folder) == []


@pytest.mark.parametrize(
    "arguments",
    [["bk", "twelve", "-o", "x.svg"], ["tanglegram", "twelve", "-o", "x.svg"],
     ["tanglegram", "twelve", "nine", "-k", "4", "-o", "x.svg"],
     ["heatmap", "twelve", "--order", "size", "-o", "x.svg"],
     ["dendrogram", "twelve", "--orientation", "up", "-o", "x.svg"],
     ["map", "twelve", "--by", "tsne", "-o", "x.svg"],
     ["heatmap", "twelve", "--width", "page"]],
    ids=" ".join,
)  # fmt: skip
def test_usage_errors(plot, folder, arguments):
    answer = plot(*arguments)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr
    assert written(folder) == []


def test_without_a_database_there_is_none(classrel, folder):
    answer = classrel("plot", "map", "twelve", "-o", "x.svg", "--db", folder / "none.duckdb")
    assert_refused(answer, "none.duckdb")
    assert written(folder) == []


def test_a_script_without_a_font_is_noted_once(classrel, folder):
    labels = ["𒀀𒁀 an", "plain", "other", "more"]
    np.savez(
        folder.parent / "an.npz", weight=np.random.default_rng(1).normal(size=(4, 5)), labels=labels
    )
    db = folder.parent / "an.duckdb"
    assert classrel("ingest", folder.parent / "an.npz", "--db", db).returncode == 0
    answer = classrel("plot", "dendrogram", "an", "-o", "x.png", "--db", db)
    assert answer.returncode == 0
    notes = [line for line in answer.stderr.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1
    assert "U+12000" in notes[0]
    assert written(folder) == ["x.png"]


def test_a_head_without_stored_pairs(classrel, folder):
    np.savez(folder.parent / "bare.npz", weight=np.random.default_rng(1).normal(size=(20, 5)))
    (folder.parent / "bare.txt").write_text("\n".join(f"species {i}" for i in range(20)))
    db = folder.parent / "bare.duckdb"
    made = classrel("ingest", folder.parent / "bare.npz", "--labels", folder.parent / "bare.txt",
                    "--pairs", "none", "--db", db)  # fmt: skip
    assert made.returncode == 0
    for command in ("heatmap", "dendrogram", "map", "histogram", "support"):
        answer = classrel("plot", command, "bare", "-o", f"{command}.svg", "--db", db)
        assert answer.returncode == 0, answer.stderr
    assert classrel("plot", "neighbors", "species 3", "-o", "n.svg", "--db", db).returncode == 0
    assert len(written(folder)) == 6


@pytest.mark.parametrize("command", [[], *([name] for name in FILES)], ids=str)
def test_help_has_a_summary_and_an_example(classrel, command):
    answer = classrel("plot", *command, "--help")
    assert answer.returncode == 0
    assert "Example" in answer.stdout
    assert f"classrel plot {' '.join(command)}" in answer.stdout
