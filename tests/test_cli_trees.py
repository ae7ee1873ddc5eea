"""`classrel tree`, `cluster` and `taxonomy`: what a user types, sees and is told."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import duckdb
import numpy as np
import pytest
from agreeing import add, dicts, made
from oracle import assert_refused, json_of, run_python

import classrel_db
from classrel_db.cli import app
from classrel_db.shell.session import Session

C = [f"c{i:02d}" for i in range(14)]
ALPHA = made("alpha", C[:12], dim=8, seed=1, noise=0.4)
BETA = made("beta", list(reversed(C[4:])), dim=6, seed=2, noise=0.4)
# names that are commands, too
COMPARE, SHOW = made("compare", C[:12], dim=5, seed=3), made("show", C[:5], dim=5, seed=4)
TWO, THREE = made("two", C[:2], dim=5, seed=5), made("three", C[:3], dim=5, seed=6)
PAIRS = made("pairs", C[:8], weight=np.kron(np.eye(4), [[1.0, 1, 1], [1, 1, -1]]))
LINEAGE = "kingdom,family,species\n" + "".join(
    f"life,{'abcd'[i // 3]},c{i:02d}\n" for i in range(11)
)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Small heads with a taxonomy of their own; each test that may write takes a copy."""
    folder = tmp_path_factory.mktemp("cli-trees")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, ALPHA, BETA, COMPARE, SHOW, TWO, THREE)
        add(catalog, folder, PAIRS, normalize="none")
        (folder / "life.csv").write_text(LINEAGE)
        catalog.add_taxonomy(folder / "life.csv", "life")
        for name in ("alpha", "beta"):
            catalog.tree(name, support=True, resamples=5)
    return folder / "small.duckdb"


@pytest.fixture
def path(made_once, tmp_path):
    return shutil.copy(made_once, tmp_path / "small.duckdb")


@pytest.fixture
def ask(classrel, path):
    return lambda *arguments: classrel(*arguments, "--db", path)


def csv_of(answer):
    assert answer.returncode == 0, answer.stderr
    return list(csv.DictReader(answer.stdout.splitlines()))


DRAWN = ["--permutations", "9"]
BOTH = [*DRAWN, "--resamples", "9"]
QUESTIONS = {
    "tree": (["tree", "alpha"], lambda c: c.tree("alpha")),
    "show": (["tree", "show", "alpha"], lambda c: c.tree("alpha")),
    "around": (["tree", "alpha", "--around", "the c05", "-k", "5", "--taxonomy", "life"],
               lambda c: c.tree("alpha", around="the c05", k=5, taxonomy="life")),
    "top": (["tree", "alpha", "-k", "4", "--method", "average", "--distance", "condensed"],
            lambda c: c.tree("alpha", k=4, method="average", distance="condensed")),
    "support": (["tree", "alpha", "--support", "--across", "--resamples", "6", "--seed", "2"],
                lambda c: c.tree("alpha", support=True, across=True, resamples=6, seed=2)),
    "whole": (["tree", "alpha", "--all"], lambda c: c.tree("alpha")),
    "compare": (["tree", "compare", "alpha", "beta", "compare", *DRAWN, "--seed", "3"],
                lambda c: c.compare_trees("alpha", "beta", "compare", permutations=9, seed=3)),
    "measures": (["tree", "compare", "alpha", "beta", "--measure", "triplets", "--measure", "fowlkes-mallows",
                  "-k", "3", "-k", "4", *DRAWN, "--method", "single"],
                 lambda c: c.compare_trees("alpha", "beta", measures=["triplets", "fowlkes-mallows"],
                                           ks=[3, 4], permutations=9, method="single")),
    "bk": (["tree", "compare", "alpha", "beta", "--bk", *DRAWN],
           lambda c: c.compare_trees("alpha", "beta", measures="fowlkes-mallows", ks="curve",
                                     permutations=9)),
    "consensus": (["tree", "consensus", "alpha", "beta", "compare", "--taxonomy", "life"],
                  lambda c: c.consensus_tree(["alpha", "beta", "compare"], taxonomy="life")),
    "cluster": (["cluster", "alpha", "-k", "4", "--taxonomy", "life"],
                lambda c: c.cluster("alpha", 4, taxonomy="life")),
    "silhouette": (["cluster", "alpha"], lambda c: c.cluster("alpha")),
    "height": (["cluster", "beta", "--height", "1.5", "--method", "average"],
               lambda c: c.cluster("beta", height=1.5, method="average")),
    "taxonomies": (["taxonomy", "list"], lambda c: c.taxonomies()),
    "match": (["taxonomy", "match", "alpha", "life"], lambda c: c.match_taxonomy("alpha", "life")),
    "missing": (["taxonomy", "match", "alpha", "life", "--missing"],
                lambda c: c.match_taxonomy("alpha", "life").filter("taxon IS NULL")),
    "models": (["taxonomy", "compare", "alpha", "beta", "life", *BOTH, "--seed", "2"],
               lambda c: c.compare_taxonomy(["alpha", "beta"], "life", permutations=9, resamples=9, seed=2)),
    "one measure": (["taxonomy", "compare", "alpha", "life", "--measure", "monophyly", *BOTH,
                     "--method", "single"],
                    lambda c: c.compare_taxonomy("alpha", "life", measures="monophyly", permutations=9,
                                                 resamples=9, method="single")),
    "clades": (["taxonomy", "compare", "alpha", "life", "--clades"],
               lambda c: c.taxonomy_clades("alpha", "life")),
    "purity": (["taxonomy", "compare", "alpha", "life", "--purity", "-k", "3", *DRAWN],
               lambda c: c.taxonomy_purity("alpha", "life", k=3, permutations=9)),
    "surprises": (["taxonomy", "surprises", "alpha", "life", "-k", "4"],
                  lambda c: c.taxonomy_surprises("alpha", "life", k=4)),
}  # fmt: skip


@pytest.fixture(params=QUESTIONS, scope="module")
def question(request, made_once, tmp_path_factory):
    path = shutil.copy(made_once, tmp_path_factory.mktemp("question") / "small.duckdb")
    command, answer = QUESTIONS[request.param]
    with classrel_db.open(path) as catalog:
        rows = answer(catalog)
        yield command, rows.columns, rows.fetchall()


def as_text(value):
    if value is None:
        return ""
    if isinstance(value, list):
        return "[" + ", ".join(f'"{each}"' for each in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def plain(value):
    return value if value is None or isinstance(value, int | float | str | list) else str(value)


def test_every_format_is_what_python_answers(question, ask, tmp_path):
    command, columns, rows = question
    answer = ask(*command, "-f", "json")
    got = json_of(answer)
    assert [list(row) for row in got] == [columns] * len(rows)
    if command != ["taxonomy", "list"]:  # of which the times are spelled otherwise
        assert [tuple(row.values()) for row in got] == rows
        listed = csv_of(ask(*command, "-f", "csv"))
        assert [list(row.values()) for row in listed] == [[as_text(v) for v in row] for row in rows]
        lines = ask(*command, "-f", "jsonl").stdout.splitlines()
        assert [tuple(json.loads(line).values()) for line in lines] == rows
        header, _, *body = ask(*command, "-f", "markdown").stdout.splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (header, *body)]
        assert [[each.replace("\\", "") for each in line] for line in cells] == [
            columns, *[[as_text(v) for v in row] for row in rows],
        ]  # fmt: skip
    file = tmp_path / "out.parquet"
    answer = ask(*command, "-o", file)
    assert (answer.returncode, answer.stdout) == (0, "")
    assert f"wrote {file}" in answer.stderr
    assert duckdb.sql(f"FROM '{file}'").fetchall() == rows


def test_tables_are_whole_and_narration_is_apart(question, ask):
    command, _, _ = question
    answer = ask(*command)
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) > 1
    assert "\x1b" not in answer.stdout + answer.stderr
    assert not re.search(r"\bnan\b|None", answer.stdout + answer.stderr)
    for line in answer.stderr.splitlines():
        assert line not in answer.stdout
    if command[:2] not in (["taxonomy", "list"], ["taxonomy", "surprises"]):
        assert answer.stderr
    # a drawing may have more to tell
    assert answer.stderr.startswith(ask(*command, "-f", "csv").stderr)


def test_what_is_told_beside_the_rows(ask):
    assert ask("tree", "beta", "-f", "csv").stderr.startswith("ward linkage of chord distances")
    said = ask("tree", "alpha", "--support", "--resamples", "7", "--seed", "9", "-f", "csv").stderr
    assert (
        said
        == "ward linkage of chord distances; support of 7 resamples of the dimensions, seed 9\n"
    )
    assert ask("cluster", "alpha", "-k", "2", "--taxonomy", "life", "-f", "csv").stderr == (
        "ward linkage of chord distances, named by life\n"
    )
    assert "seed 4, " in ask("tree", "compare", "alpha", "beta", *DRAWN, "--seed", "4").stderr
    assert (
        ask("taxonomy", "match", "alpha", "life").stderr
        == "11 of 12 classes of alpha are in life\n"
    )
    clades = json_of(ask("taxonomy", "compare", "alpha", "life", "--clades", "-f", "json"))
    kept = sum(row["monophyletic"] for row in clades)
    assert ask("taxonomy", "compare", "alpha", "life", "--clades").stderr == (
        f"{kept} of {len(clades)} taxa are one clade of the ward tree of chord distances\n"
    )


def test_what_a_warning_says_is_a_note(ask):
    answer = ask("tree", "alpha", "--distance", "condensed", "-f", "csv")
    assert answer.returncode == 0
    assert answer.stderr.startswith("note: ward linkage takes its distances for Euclidean")
    assert ask("cluster", "pairs", "-k", "3", "-f", "csv").stderr.startswith(
        "note: pairs: merges of the same height"
    )
    assert (
        "note: profile: "
        in ask("tree", "compare", "alpha", "beta", "--distance", "profile", *DRAWN).stderr
    )
    assert (
        "note: ward"
        in ask("taxonomy", "compare", "alpha", "life", "--distance", "condensed", *BOTH).stderr
    )
    clades = ["taxonomy", "compare", "alpha", "life", "--clades", "--distance", "condensed"]
    assert "note: ward" in ask(*clades).stderr


def test_a_held_file_is_a_note_and_no_failure(ask, path):
    with duckdb.connect(str(path), read_only=True):
        answer = ask("tree", "show", "compare", "-f", "csv")
        assert len(csv_of(answer)) == 23
        assert "note: the tree is not kept in the database" in answer.stderr
    assert "note" not in ask("tree", "show", "compare", "-f", "csv").stderr


# drawings and files


def test_a_drawing_has_the_30_topmost_clades_and_all_on_demand(classrel, tmp_path):
    head = made("wide", [f"c{i}" for i in range(45)], seed=1)
    path = tmp_path / "wide.duckdb"
    with classrel_db.open(path) as catalog:
        add(catalog, tmp_path, head)

    def tips(*options):
        answer = classrel("tree", "wide", *options, "--db", path)
        assert answer.returncode == 0, answer.stderr
        return [
            line
            for line in answer.stdout.splitlines()
            if re.search(r"[─━] (the c\d|clade \d)", line)
        ]

    assert sum("the c" in line for line in tips("--all")) == 45
    assert len(tips()) == 30
    assert len(tips("-k", "7")) == 7
    for form in ("csv", "json", "newick"):
        text = classrel("tree", "wide", "-f", form, "--db", path).stdout
        assert (
            len(set(re.findall(r"the[ _]c\d+", text)) | set(re.findall(r"\bc\d+\b", text))) >= 45
        ), form
    drawn = tmp_path / "drawn.txt"
    assert classrel("tree", "wide", "-o", drawn, "--db", path).returncode == 0
    assert drawn.read_text() == classrel("tree", "wide", "--db", path).stdout
    assert classrel("tree", "wide", "-o", tmp_path / "x.nwk", "--db", path).returncode == 0
    assert (tmp_path / "x.nwk").read_text() == classrel(
        "tree", "wide", "-f", "newick", "--db", path
    ).stdout


@pytest.mark.parametrize("form", ["newick", "nexus", "graphml", "node-link"])
def test_trees_come_in_the_formats_of_trees(ask, form):
    for command in (
        ["tree", "alpha"],
        ["tree", "consensus", "alpha", "compare"],
        ["tree", "show", "alpha", "-k", "3"],
    ):
        answer = ask(*command, "-f", form)
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout.strip()
    for command in (
        ["cluster", "alpha"],
        ["tree", "compare", "alpha", "beta"],
        ["taxonomy", "compare", "alpha", "life"],
    ):
        answer = ask(*command, "-f", form)
        assert (answer.returncode, answer.stdout) == (2, "")
        assert f"'{form}' is not one of" in answer.stderr


def test_a_file_for_trees_is_none_for_rows(ask, tmp_path):
    assert_refused(ask("cluster", "alpha", "-o", tmp_path / "x.nwk"), ".nwk")
    assert not (tmp_path / "x.nwk").exists()


@pytest.mark.parametrize(
    "command",
    [["tree", "alpha"], ["tree", "alpha", "-f", "newick"], ["tree", "consensus", "alpha", "compare"],
     ["cluster", "alpha", "-f", "csv"], ["taxonomy", "compare", "alpha", "life", *BOTH, "-f", "csv"]],
    ids=" ".join,
)  # fmt: skip
def test_the_database_is_not_written_over(ask, path, command):
    ask(*command)
    before = path.read_bytes()
    answer = (
        ask(*command, "-f", "csv", "-o", path) if "-f" not in command else ask(*command, "-o", path)
    )
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert "error: " in answer.stderr
    assert "Traceback" not in answer.stderr
    assert path.read_bytes() == before


# models called as commands


def test_a_model_with_the_name_of_a_command_is_reached_by_show(ask):
    assert len(json_of(ask("tree", "show", "compare", "-f", "json"))) == 23
    assert len(json_of(ask("tree", "show", "show", "-f", "json"))) == 9
    answer = ask("tree", "compare")
    assert answer.returncode == 2
    assert "MODEL" in answer.stderr
    assert (
        json_of(ask("tree", "compare", "compare", "alpha", *DRAWN, "-f", "json"))[0]["model_a"]
        == "compare"
    )


@pytest.mark.parametrize("place", [0, 1, 2])
def test_options_may_stand_before_the_model(classrel, path, place):
    words = ["tree", "-f", "csv", "--db", str(path), "-k", "2"]
    words.insert([1, 3, 5][place], "alpha")
    assert len(csv_of(classrel(*words))) == 3


# taxonomies by the command line


def test_a_taxonomy_is_added_listed_and_removed(ask, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("child,parent\nc00,a\nc01,a\nc02,b\nc03,b\na,top\nb,top\n")
    answer = ask("taxonomy", "add", file, "--name", "mine")
    assert (answer.returncode, answer.stdout) == (0, "")
    lines = answer.stderr.splitlines()
    assert "mine: 7 taxa, read as edges" in lines
    assert "alpha: 4 of 12 classes are in it" in lines
    assert "two: 2 of 2 classes are in it" in lines
    listed = csv_of(ask("taxonomy", "list", "-f", "csv"))
    assert {row["taxonomy"] for row in listed} == {"wordnet", "life", "mine"}
    assert_refused(
        ask("taxonomy", "add", file, "--name", "mine"), "there is a taxonomy", "--replace"
    )
    (tmp_path / "mine.nwk").write_text("((c00,c01)a,(c02,c05)b)top;")
    answer = ask("taxonomy", "add", tmp_path / "mine.nwk", "--name", "mine", "--replace")
    assert "mine: 7 taxa, read as newick" in answer.stderr
    answer = ask("taxonomy", "remove", "mine")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "mine: removed\n")
    assert_refused(ask("taxonomy", "remove", "mine"), 'no taxonomy "mine"', "life")


# what is refused

WRONG = {
    "tree alhpa": 'did you mean "alpha"',
    "tree alpha -k 0": "k is 0",
    "tree alpha -k -1": "k is -1",
    "tree alpha -k 13": "12 classes of alpha",
    "tree alpha --around nosuch": "nosuch",
    "tree alpha --around c0": "could be",
    "tree alpha --taxonomy wordnte": 'did you mean "wordnet"',
    "tree alpha --support --resamples 0": "resamples is 0",
    "tree alpha --support --seed -1": "seed is -1",
    "tree show alpah": 'did you mean "alpha"',
    "tree two --across": "no other model shares 4 classes with two",
    "tree compare alpha": "1 model is named",
    "tree compare alpha alpha": "named twice",
    "tree compare alpha beta --measure triplet": 'did you mean "triplets"',
    "tree compare alpha beta -k 1": "k is 1",
    "tree compare alpha beta -k 8": "2 to 7",
    "tree compare alpha three": "share only 3",
    "tree compare alpha beta --permutations -1": "permutations is -1",
    "tree consensus alpha": "1 model",
    "tree consensus alpha two": "share 2 classes",
    "cluster alhpa": 'did you mean "alpha"',
    "cluster alpha -k 0": "k is 0",
    "cluster alpha -k -5": "k is -5",
    "cluster alpha -k 13": "12 classes of alpha",
    "cluster alpha --height nan": "height is nan",
    "cluster alpha --height -1": "height is -1",
    "cluster alpha --taxonomy lief": 'did you mean "life"',
    "taxonomy match alpha lief": 'did you mean "life"',
    "taxonomy match alhpa": 'did you mean "alpha"',
    "taxonomy compare alpha lief": 'did you mean "life"',
    "taxonomy compare alpha wordnet": "0 of the 12 classes of alpha",
    "taxonomy compare alpha two life": "4",
    "taxonomy compare alpha life --measure paht": 'did you mean "path"',
    "taxonomy compare alpha life --purity -k 11": "10 other classes",
    "taxonomy compare alpha life --purity -k 0": "k is 0",
    "taxonomy compare alpha life --resamples -1": "resamples is -1",
    "taxonomy surprises alpha life -k 0": "k is 0",
    "taxonomy surprises alpha life -k 99": "55 pairs",
    "taxonomy surprises alpha": "0 of the 12 classes",
    "taxonomy remove wordnet": "comes with classrel",
    "taxonomy add missing.csv --name x": "missing.csv",
    "taxonomy add missing.csv --name wordnet": "comes with classrel",
}


@pytest.mark.parametrize("command", WRONG)
def test_what_cannot_be_answered_is_one_line_and_writes_nothing(ask, path, command):
    before = path.read_bytes()
    assert_refused(ask(*command.split()), WRONG[command])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        "tree alpha -k abc", "tree alpha beta", "tree alpha --method wrad", "tree alpha --distance cosine",
        "tree alpha -f xml", "tree alpha --all -k 3", "tree alpha --all --around c05", "tree alpha --around",
        "tree show", "tree compare", "tree compare alpha beta --bk -k 3",
        "tree compare alpha beta --bk --measure triplets", "tree compare alpha beta -f newick",
        "cluster", "cluster alpha -k 3 --height 1", "cluster alpha -k abc", "cluster alpha --height high",
        "cluster alpha -f newick", "cluster alpha beta", "taxonomy nosuch", "taxonomy compare",
         "taxonomy compare alpha life --clades --purity",
        "taxonomy compare alpha life --clades --measure path",
        "taxonomy compare alpha life --purity --measure path",
        "taxonomy compare alpha beta life --clades", "taxonomy compare alpha life -k 3",
        "taxonomy add x.csv", "taxonomy add x.csv --name x --kind tree", "taxonomy remove",
        "taxonomy surprises", "taxonomy match", "tree --nosuch",
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2(ask, path, command):
    before = path.read_bytes()
    answer = ask(*command.split())
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "Usage: " in answer.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("group", ["tree", "taxonomy"])
def test_a_group_by_itself_explains_itself(classrel, group):
    answer = classrel(group)
    assert answer.returncode in {0, 2}
    assert f"classrel {group} [OPTIONS]" in answer.stdout + answer.stderr
    for name in app.commands[group].commands:
        assert f"\n  {name} " in answer.stdout + answer.stderr


@pytest.mark.parametrize(
    "command",
    ["tree alpha", "tree compare a b", "cluster a", "taxonomy list", "taxonomy compare a b"],
)
def test_without_a_database_there_is_nothing(classrel, tmp_path, command):
    assert_refused(classrel(*command.split(), "--db", tmp_path / "none.duckdb"), "no database at")
    assert list(tmp_path.iterdir()) == []


# help


INNER = [(group, name) for group in ("tree", "taxonomy") for name in app.commands[group].commands]


def test_help_lists_the_commands_and_not_those_inside_of_them(classrel):
    text = classrel("--help").stdout
    listed = re.findall(r"^  ([a-z-]+)  ", text, flags=re.MULTILINE)
    assert {"tree", "cluster", "taxonomy"} <= set(listed)
    assert not {"show", "add", "list", "match", "surprises"} & set(listed)
    assert not {"show", "add", "list", "match", "surprises", "show-tree"} & set(app.commands)
    assert set(INNER) == {
        *[("tree", name) for name in ("show", "compare", "consensus")],
        *[("taxonomy", name) for name in ("add", "list", "remove", "match", "compare", "surprises")],
    }  # fmt: skip
    # that of heads, and not of trees
    assert "models agree on which classes" in classrel("compare", "--help").stdout


@pytest.mark.parametrize(
    "words", [["tree"], ["cluster"], ["taxonomy"], *map(list, INNER)], ids=" ".join
)
def test_each_explains_itself(classrel, words):
    for option in ("--help", "-h"):
        answer = classrel(*words, option)
        assert answer.returncode == 0
        assert answer.stdout.startswith("Usage: ")
        assert f"classrel {' '.join(words)} [OPTIONS]" in answer.stdout.splitlines()[0]
        assert answer.stderr == ""
    if words not in (["tree"], ["taxonomy"]):
        assert "--db" in answer.stdout


LOADED = """
import atexit, json, sys
def tell():
    print(json.dumps(sorted({m.partition(".")[0] for m in sys.modules})), file=sys.stderr)
atexit.register(tell)
sys.argv = ["classrel", *sys.argv[1:]]
from classrel_db.cli import main
main()
"""


@pytest.mark.parametrize("words", [[], ["tree", "show"], ["taxonomy", "compare"]], ids=" ".join)
def test_help_loads_nothing_heavy(words):
    answer = run_python(LOADED, *words, "--help")
    assert "Usage: " in answer.stdout
    loaded = set(json.loads(answer.stderr.splitlines()[-1]))
    assert (
        not {"skbio", "scipy", "networkx", "numpy", "duckdb", "pyarrow", "pandas", "rich"} & loaded
    )


def test_a_stored_tree_as_rows_loads_neither_skbio_nor_networkx(made_once):
    answer = run_python(LOADED, "tree", "alpha", "-f", "csv", "--db", made_once)
    assert answer.stdout.count("\n") == 24
    assert not {"skbio", "networkx", "torch", "pandas"} & set(
        json.loads(answer.stderr.splitlines()[-1])
    )


# in the shell

LINES = [
    "tree alpha -f csv", "tree show compare -f csv", "tree alpha --around 'the c05' -f newick",
    "tree compare alpha beta --permutations 9 -f csv", "tree consensus alpha compare -f csv",
    "cluster alpha -k 3 -f csv", "taxonomy compare alpha life --permutations 9 --resamples 9 -f csv",
    "taxonomy list -f csv", "taxonomy surprises alpha life -k 3 -f csv", "taxonomy match alpha life -f csv",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_the_shell_answers_as_the_command_line(ask, line):
    import shlex

    expected = ask(*shlex.split(line))
    assert expected.stdout
    answer = ask("shell", "-c", line)
    assert (answer.returncode, answer.stdout) == (0, expected.stdout)


@pytest.fixture
def session(path):
    with classrel_db.open(path) as catalog:
        yield Session(app, catalog)


def test_warnings_are_told_in_the_shell(session):
    result = session.handle("cluster pairs -k 3")
    assert (result.code, result.error) == (0, "")
    assert any(note.startswith("note: pairs: merges of the same height") for note in result.notes)
    result = session.handle("tree alpha --distance condensed")
    assert any(note.startswith("note: ward linkage takes") for note in result.notes)


def test_the_shell_goes_on_after_a_tree_was_kept(session):
    assert session.handle("tree").code == 2
    assert session.handle("use alpha").code == 0
    assert session.handle("tree compare compare show -k 2 --permutations 3").code == 0
    result = session.handle("SELECT getvariable('model') AS m, count(*) AS n FROM trees;")
    (answer,) = result.answers
    assert answer.rows.fetchall() == [("alpha", 4)]
    assert session.handle("tree alpha -k abc").code == 2
    assert session.handle("tree nosuch").code == 1
    assert session.handle("taxonomy compare alpha").code == 1  # with WordNet, which has none of it


def test_rows_have_the_whole_tree_in_the_shell_too(session, tmp_path):
    """Also where their format is the session's: as the command says, only a drawing has 30 clades."""
    weight = np.random.default_rng(3).normal(size=(40, 6))
    add(session.catalog, tmp_path, made("wide", [f"w{i}" for i in range(40)], weight=weight))
    whole = 79
    (answer,) = session.handle("tree wide -f csv").answers
    assert answer.rows.shape[0] == whole
    session.handle("\\format csv")
    (answer,) = session.handle("tree wide").answers
    assert answer.rows.shape[0] == whole
    session.handle("\\format table")
    session.handle(f"\\o {tmp_path}/out.csv")
    (answer,) = session.handle("tree wide").answers
    assert answer.rows.shape[0] == whole


def test_the_script_itself(made_once, tmp_path):
    """Once through a process of its own, as users run it."""
    script = os.path.join(os.path.dirname(sys.executable), "classrel")
    path = shutil.copy(made_once, tmp_path / "x.duckdb")
    answer = subprocess.run(
        [script, "tree", "alpha", "--around", "the c03", "--db", path, "-f", "newick"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip().endswith(";")
    with classrel_db.open(path) as catalog:
        labels = {
            r["name"] for r in dicts(catalog.tree("alpha", around="the c03")) if r["size"] == 1
        }
    assert all(label in answer.stdout for label in labels)
