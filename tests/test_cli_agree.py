"""`classrel compare`, `disagree`, `counterpart`, `tag` and `map`: what a user types, sees and is told."""

from __future__ import annotations

import csv
import re
import shutil

import duckdb
import numpy as np
import pytest
from agreeing import COLUMNS, MEASURES, add, made
from oracle import assert_refused, json_of, run_python

import classrel_db

C = [f"c{i:02d}" for i in range(14)]
HEADS = [
    made("alpha", C[:12], dim=8, seed=1, noise=0.4),
    made("beta", list(reversed(C[4:])), dim=6, seed=2, noise=0.4),
    made("gamma", C[:12], dim=5, seed=3, noise=0.4),
    made("delta", C[:12], dim=7, seed=4, noise=0.4),
    made("few", [*C[:3], "y0", "y1"], seed=5),
    made("far", [f"x{i}" for i in range(6)], seed=6),
]
CENTRED = made("centred", C[:12], dim=9, seed=7)
FLATS = [
    made(name, C[:7], weight=np.diag(np.arange(1.0, 8.0) + i))
    for i, name in enumerate(("p", "q", "r"))
]
DRAWN = ["--permutations", "9", "--resamples", "9"]
QUICK = ["--permutations", "0", "--resamples", "0"]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Small heads in one database; read it only."""
    folder = tmp_path_factory.mktemp("agree")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, *HEADS)
        add(catalog, folder, CENTRED, normalize="center")
        for name in ("alpha", "gamma"):
            catalog.tag(name, family="tree")
        catalog.tag("beta", family="bush")
    return folder / "small.duckdb"


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """Three heads whose classes are all equally unlike; read it only."""
    folder = tmp_path_factory.mktemp("flat")
    with classrel_db.open(folder / "flat.duckdb") as catalog:
        add(catalog, folder, *FLATS)
    return folder / "flat.duckdb"


@pytest.fixture
def path(made_once, tmp_path):
    return shutil.copy(made_once, tmp_path / "small.duckdb")


@pytest.fixture
def ask(classrel, made_once):
    return lambda *arguments: classrel(*arguments, "--db", made_once)


@pytest.fixture
def own(classrel, path):
    return lambda *arguments: classrel(*arguments, "--db", path)


def stored(path, what="FROM comparisons ORDER BY ALL"):
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(what).fetchall()


def csv_of(answer):
    assert answer.returncode == 0, answer.stderr
    return list(csv.DictReader(answer.stdout.splitlines()))


# the rows are Python's

QUESTIONS = {
    "compare": (
        ["compare", "alpha", "beta", "gamma", *DRAWN, "--seed", "3"],
        lambda c: c.compare("alpha", "beta", "gamma", permutations=9, resamples=9, seed=3),
    ),
    "one measure": (
        ["compare", "alpha", "beta", "--measure", "cka", "--measure", "knn-jaccard", "-k", "3",
         "--normalize", "center", *QUICK],
        lambda c: c.compare("alpha", "beta", measures=["cka", "knn-jaccard"], k=3, normalize="center",
                            permutations=0, resamples=0),
    ),
    "ceiling": (
        ["compare", "--ceiling", "alpha", "gamma", "delta", "--measure", "rsa-pearson"],
        lambda c: c.noise_ceiling("alpha", "gamma", "delta", measures="rsa-pearson"),
    ),
    "disagree": (
        ["disagree", "alpha", "beta", "-k", "5", "--near", "3", "--permutations", "9", "--seed", "4"],
        lambda c: c.disagree("alpha", "beta", k=5, near=3, permutations=9, seed=4),
    ),
    "counterpart": (
        ["counterpart", "c02", "--from", "alpha", "--to", "beta", "-k", "4"],
        lambda c: c.counterpart("c02", "alpha", "beta", k=4),
    ),
    "tag": (["tag"], lambda c: c.tags()),
    "tags of one": (["tag", "alpha"], lambda c: c.tags("alpha")),
}  # fmt: skip


@pytest.fixture(params=QUESTIONS)
def question(request, made_once):
    command, answer = QUESTIONS[request.param]
    with classrel_db.open(made_once) as catalog:
        rows = answer(catalog)
        yield command, rows.columns, rows.fetchall()


def as_text(value):
    if value is None:
        return ""
    if isinstance(value, list):
        return "[" + ", ".join(f'"{each}"' for each in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_json_csv_and_markdown_are_what_python_answers(question, ask):
    command, columns, rows = question
    got = json_of(ask(*command, "-f", "json"))
    assert [list(row) for row in got] == [columns] * len(rows)
    assert [tuple(row.values()) for row in got] == rows
    listed = csv_of(ask(*command, "-f", "csv"))
    assert [list(row) for row in listed] == [columns] * len(rows)
    assert [list(row.values()) for row in listed] == [[as_text(v) for v in row] for row in rows]
    header, _, *body = ask(*command, "-f", "markdown").stdout.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (header, *body)]
    assert [[each.replace("\\", "") for each in line] for line in cells] == [
        columns, *[[as_text(v) for v in row] for row in rows],
    ]  # fmt: skip


def test_an_output_file_holds_what_would_be_printed(question, ask, tmp_path):
    command, _, rows = question
    for ending in ("csv", "parquet"):
        file = tmp_path / f"out.{ending}"
        answer = ask(*command, "-o", file)
        assert (answer.returncode, answer.stdout) == (0, "")
        if ending == "csv":
            assert file.read_text() == ask(*command, "-f", "csv").stdout
        else:
            assert duckdb.sql(f"FROM '{file}'").fetchall() == rows


def test_the_table_rounds_what_json_says(ask):
    command = ["compare", "alpha", "beta", *DRAWN]
    table = ask(*command).stdout
    for row in json_of(ask(*command, "-f", "json")):
        name = row["measure"] + (f" (k={row['k']})" if row["k"] else "")
        start = re.compile(rf" ?{re.escape(name)} +[-\d]")
        line = next(line.strip() for line in table.splitlines() if start.match(line))
        shown = line.removeprefix(name).split()
        # all values of this one are near 1
        digits = 6 if row["measure"] == "second-order-cosine" else 4
        estimate, low, high, null = (
            f"{row[each]:.{digits}f}" for each in ("estimate", "low", "high", "null_value")
        )
        assert shown == [estimate, low, "to", high, null, f"{row['p_value']:.3f}"]
    assert "alpha and beta: 8 shared classes, standardize" in table


def test_what_was_drawn_and_the_common_null_are_told_beside_the_data(ask):
    answer = ask("compare", "alpha", "beta", *DRAWN, "--seed", "8", "-f", "json")
    drawn, means = answer.stderr.splitlines()
    assert drawn.startswith("seed 8; 9 permutations and 9 bootstrap resamples of the classes; p: ")
    assert re.search(
        r"alpha [+-]0\.\d{4} \(limit -0\.0909\), beta [+-]0\.\d{4} \(limit -0\.1111\)", means
    )
    by_default = ask("compare", "alpha", "beta", "--measure", "rbo", "--measure", "procrustes")
    assert "999 permutations (99 for procrustes) and 1,000 bootstrap resamples" in by_default.stderr
    answer = ask("disagree", "alpha", "beta", "--permutations", "9")
    assert answer.stderr.startswith("seed 0, 9 permutations of the classes; a small p says that ")


def test_the_other_way_round_the_numbers_are_the_same(ask):
    there, back = (
        json_of(ask("compare", *two, *DRAWN, "-f", "json"))
        for two in (("alpha", "beta"), ("beta", "alpha"))
    )
    names = {"model_a": "alpha", "model_b": "beta"}
    assert [row | names for row in back] == there


def test_explain_needs_no_database(classrel, tmp_path):
    every = classrel("compare", "--explain", "--db", tmp_path / "none.duckdb")
    assert every.returncode == 0
    heads = [line.partition(":")[0] for line in every.stdout.splitlines() if line[:1].strip()]
    assert heads == MEASURES
    for word in ("formula", "range", "reading", "source"):
        assert every.stdout.count(f"\n  {word} ") == len(MEASURES)
    one = classrel("compare", "--explain", "--measure", "cka")
    assert one.stdout.startswith("cka: linear")
    assert one.stdout.count("formula") == 1
    assert_refused(classrel("compare", "--explain", "--measure", "ckaa"), 'did you mean "cka"')


# every two models


def test_all_shows_the_models_against_each_other_and_keeps_the_rows(own, path):
    answer = own("compare", "--all")
    assert answer.returncode == 0, answer.stderr
    assert "rsa-spearman of 4 models, 8 to 12 shared classes" in answer.stdout
    rows = csv_of(own("compare", "--all", "-f", "csv"))
    assert list(rows[0]) == COLUMNS
    assert len(rows) == len(stored(path)) == 6
    for row in rows:
        shown = f"{float(row['estimate']):.3f}".replace("0.", ".", 1)
        assert answer.stdout.count(f" {shown}") >= 2
    lines = [line.split() for line in answer.stdout.splitlines()]
    shown = [line[1] for line in lines if line and line[0].isdigit() and len(line) > 4]
    assert sorted(shown) == sorted({row[side] for row in rows for side in ("model_a", "model_b")})
    assert "null 0.0000" in answer.stdout
    assert json_of(own("compare", "--all", "-f", "json"))[0]["estimate"] == float(
        rows[0]["estimate"]
    )
    header = own("compare", "--all", "-f", "markdown").stdout.splitlines()[0]
    assert [cell.strip() for cell in header.strip("|").split("|")] == COLUMNS


def test_all_says_how_many_are_left_out(own):
    # 7 models are 21 pairs, of which the 6 of four models can be compared
    left = "15 of 21 comparisons are left out"
    answer = own("compare", "--all", "-f", "json")
    assert answer.stderr.startswith(
        f"{left}: the models share fewer than 4 classes, or are normalised"
    )
    assert len(json_of(answer)) == 6
    two = own("compare", "--all", "--measure", "cka", "--measure", "rbo", "-f", "json")
    assert two.stderr.startswith("30 of 42 comparisons are left out")
    assert own("compare", "--all", "alpha", "beta", "gamma", "-f", "json").stderr == ""
    under_one = own("compare", "--all", "--normalize", "center", "-f", "json")
    assert under_one.stderr.startswith("11 of 21 ")
    assert {row["normalization"] for row in json_of(under_one)} == {"center"}


def test_of_very_many_models_the_couples_are_listed(path):
    """A matrix of a thousand models is a million numbers."""
    said = "import sys, classrel_db.cli.agree as agree; agree._MOST_SIDE_BY_SIDE = 5\n"
    said += "from classrel_db.cli import main; sys.argv[0] = 'classrel'; main()"
    table = run_python(said, "compare", "--all", "--db", path).stdout
    assert re.search(r"^ *alpha +beta +rsa-spearman", table, re.MULTILINE)
    assert "of 4 models" not in table


def test_memory_bounds_the_blocks_and_too_little_says_the_least(own, path):
    bounded = own("compare", "--all", "--memory", "40MB", "-f", "csv")
    assert bounded.stdout == own("compare", "--all", "-f", "csv").stdout
    least = "memory is 10 bytes; .* takes at least [0-9.]+ [kM]B: give --memory that much"
    refused = own("compare", "--all", "--memory", "10 B", "--measure", "cka")
    assert refused.returncode == 1
    assert re.search(least, refused.stderr), refused.stderr
    assert_refused(own("compare", "--all", "--memory", "lots"), "an amount such as 4GB")


def test_one_model_alone_makes_an_empty_answer(own):
    answer = own("compare", "--all", "alpha")
    assert (answer.returncode, answer.stdout.strip()) == (0, "no two models can be compared")
    assert json_of(own("compare", "--all", "alpha", "-f", "json")) == []


@pytest.mark.parametrize("key", ["family", "dim"])
def test_groups(own, path, key):
    answer = own(
        "compare", "--all", "alpha", "beta", "gamma", "delta", "--by", "family", "-f", "json"
    )
    rows = json_of(answer)
    assert [row["part"] for row in rows] == ["within", "between", "difference", *["groups"] * 3]
    with classrel_db.open(path) as catalog:
        expected = catalog.group_agreement("family", ["alpha", "beta", "gamma", "delta"])
        assert [tuple(row.values()) for row in rows] == expected.fetchall()
    table = own("compare", "--all", "alpha", "beta", "gamma", "delta", "--by", "family").stdout
    assert "difference" in table


def test_groups_that_cannot_be_made_are_refused(own):
    assert_refused(own("compare", "--all", "--by", "famly"), 'did you mean "family"')
    assert_refused(own("compare", "--all", "--by", "n_class"), 'did you mean "n_classes"')
    assert_refused(own("compare", "--all", "alpha", "gamma", "--by", "family"), 'only "tree"')
    assert_refused(own("compare", "--all", "far", "few", "--by", "family"), "no group of 0 models")
    assert_refused(
        own("compare", "--all", "--by", "family", "--permutations", "0"), "permutations is 0"
    )


def test_the_ceiling_is_told_as_two_means(ask):
    answer = ask("compare", "--ceiling", "alpha", "gamma", "delta", "-f", "json")
    rows = json_of(answer)
    low, high = (np.mean([row[bound] for row in rows]) for bound in ("lower", "upper"))
    assert f"{low:.4f} to {high:.4f}, over 3 models" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert_refused(ask("compare", "--ceiling", "alpha", "gamma"), "2 models", "leaves one out")
    assert_refused(
        ask("compare", "--ceiling", "alpha", "gamma", "delta", "--measure", "rbo"),
        'ceiling for "rbo"',
    )


INTERRUPTED = """
import importlib, os, signal, sys
module, name, turn = importlib.import_module(sys.argv[1]), sys.argv[2], int(sys.argv[3])
original = getattr(module, name)
def interrupted(*arguments, **options):
    global turn
    answer = original(*arguments, **options)
    turn -= 1
    if turn == 0:
        os.kill(os.getpid(), signal.SIGINT)
    return answer
setattr(module, name, interrupted)
sys.argv = ["classrel", *sys.argv[4:]]
from classrel_db.cli import main
main()
"""


@pytest.mark.parametrize(
    ("module", "name", "turn", "kept"),
    [
        ("classrel_db.catalog.comparing", "judge", 4, 3),
        ("classrel_db.catalog.comparing", "judge", 1, 0),
        ("classrel_db.storage.comparisons", "store_comparisons", 1, None),
    ],
)
def test_ctrl_c_keeps_what_is_finished(path, classrel, module, name, turn, kept):
    command = ["compare", "--all", "--measure", "cka", "--db", path, "-f", "csv"]
    answer = run_python(INTERRUPTED, module, name, turn, *command)
    assert answer.returncode == 130, answer.stderr
    assert answer.stdout == ""
    assert answer.stderr.strip() == (
        "interrupted: the comparisons that were finished are kept; run this again to go on"
    )
    rows = stored(path)
    assert len(rows) == kept if kept is not None else len(rows) in {0, 6}
    assert classrel("check", "--db", path).returncode == 0
    assert len(csv_of(classrel(*command))) == 6
    assert set(rows) <= set(stored(path))


# tags and the map


def test_a_tag_is_set_and_taken_back(own, path):
    answer = own("tag", "delta", "family=vine", "year=2020", "-f", "csv")
    assert csv_of(answer) == [
        {"model": "delta", "key": "family", "value": "vine"},
        {"model": "delta", "key": "year", "value": "2020"},
    ]
    assert csv_of(own("tag", "delta", "family=", "year=a=b", "-f", "csv")) == [
        {"model": "delta", "key": "year", "value": "a=b"},
    ]
    assert len(csv_of(own("tag", "-f", "csv"))) == 4
    assert own("tag", "delta", "model=x", "-f", "csv").returncode == 0
    assert ("delta", "model", "x") in stored(path, "FROM tagged_models")


def test_a_map_is_read_shown_and_cleared(own, tmp_path):
    file = tmp_path / "map.csv"
    file.write_text("concept_a,concept_b\nc00,x0\nc01,x1\nc02,x2\n")
    assert json_of(own("map", "-f", "json")) == []
    assert_refused(own("compare", "alpha", "far"), "share no class", "classrel map FILE")
    answer = own("map", file, "-f", "csv")
    assert answer.stderr == "3 pairs of concepts are the same\n"
    assert answer.stdout == file.read_text()
    assert_refused(own("compare", "alpha", "far"), "share only 3 of the 4 classes needed")
    file.write_text("concept_a,concept_b\n" + "".join(f"c0{i},x{i}\n" for i in range(5)))
    assert (
        own("map", file, "-f", "csv").stdout == file.read_text() == own("map", "-f", "csv").stdout
    )
    assert {row["n"] for row in json_of(own("compare", "alpha", "far", *QUICK, "-f", "json"))} == {
        5
    }
    answer = own("map", "--clear")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "no mapping any more\n")
    assert_refused(own("compare", "alpha", "far"), "share no class")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("concept_a,concept_b\nc00,zz\n", 'no model has the concept "zz" of concept_b'),
        ("concept_a,concept_b\nc00,x0\nc00,x1\n", '"c00" stands more than once in concept_a'),
        ("concept_a,concept_b\nc00,x0\nx0,c01\n", '"x0" stands in both columns'),
        ("concept_a,concept_b\nc00,c01\n", '"c00" and "c01" are two classes of alpha'),
        (
            "c00,x0\n",
            "a mapping is a csv file with a header and the columns concept_a and concept_b",
        ),
        ("", "has the columns (none)"),
        ("concept_a,concept_b\n", "has no pair of concepts"),
        (b"concept_a,concept_b\nc00,\xfe\n", "can't read"),
        (None, "can't read"),
    ],
)
def test_a_file_that_is_no_map_is_refused_and_the_old_one_stays(own, tmp_path, text, said):
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text("concept_a,concept_b\nc05,x5\n")
    assert own("map", old).returncode == 0
    if text is not None:
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert_refused(own("map", new), "new.csv", said)
    assert own("map", "-f", "csv").stdout == old.read_text()


# what is not defined


NOT_DEFINED = [
    ["compare", "p", "q", *DRAWN],
    ["compare", "--all", "--measure", "rsa-spearman", "--measure", "cka"],
    ["compare", "--ceiling"],
    ["disagree", "p", "q", "--permutations", "9"],
    ["counterpart", "c00", "--from", "p", "--to", "q"],
]


@pytest.mark.parametrize("command", NOT_DEFINED, ids=lambda c: " ".join(c[:2]))
@pytest.mark.parametrize("normalize", ["none", "standardize"])
def test_what_is_not_defined_is_empty_and_never_nan(classrel, flat, tmp_path, command, normalize):
    path = shutil.copy(flat, tmp_path / "flat.duckdb")
    for form in ("table", "csv", "json", "markdown"):
        answer = classrel(*command, "--normalize", normalize, "--db", path, "-f", form)
        assert answer.returncode == 0, answer.stderr
        assert not re.search(r"(?i:\bnan\b|\binf\b)|None", answer.stdout + answer.stderr)
        if form == "json" and command[0] != "counterpart":
            (row, *_) = json_of(answer)
            empty = {"disagree": "correlation", "--ceiling": "lower"}
            assert row[next((empty[w] for w in command if w in empty), "estimate")] is None
    assert stored(path, "FROM comparisons WHERE isnan(estimate) OR isnan(p_value)") == []


def test_a_table_says_what_a_dash_is(classrel, flat):
    answer = classrel("compare", "p", "q", *DRAWN, "--normalize", "none", "--db", flat)
    assert re.search(r"^ ?rsa-spearman +– ", answer.stdout, re.MULTILINE)
    assert "– is not defined: one head's cosines are all equal" in answer.stdout


def test_a_class_that_the_other_model_lacks_has_no_twin_to_find(ask):
    rows = json_of(ask("counterpart", "c02", "--from", "alpha", "--to", "beta", "-f", "json"))
    assert {row["same_concept"] for row in rows} == {None}
    table = ask("counterpart", "c02", "--from", "alpha", "--to", "beta").stdout
    assert "same concept" not in table
    assert "8 anchors. Left out" in table
    shared = ask("counterpart", "c06", "--from", "alpha", "--to", "beta", "-k", "10").stdout
    assert shared.count("same concept") == 1
    assert "7 anchors (the class itself is none)" in shared


# what is refused


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("compare alpha far", "share no class"),
        (
            "compare alpha few",
            "share only 3 of the 4 classes needed; three classes have three pairs",
        ),
        ("compare alpha alpha", '"alpha" is named twice'),
        ("compare alpha centred", "Give --normalize standardize, center or none"),
        ("compare alpha beta -k 7", "share 8 classes"),
        ("compare alpha beta -k 0", "k is 0"),
        ("compare alpha beta --measure rsa-sperman", 'did you mean "rsa-spearman"'),
        ("compare alpha beta --permutations -1", "permutations is -1"),
        ("compare alpha beta --resamples -1", "resamples is -1"),
        ("compare alpha beta --seed -1", "seed is -1"),
        ("compare alpha betta", 'did you mean "beta"'),
        ("compare --all --measure nonsense", "no measure"),
        ("compare --all --permutations -1", "permutations is -1"),
        ("compare --all alpha betta", 'did you mean "beta"'),
        ("compare --all --ancestors", "by concept and by the map alone"),
        ("disagree alpha alpha", '"alpha" is named twice'),
        ("disagree alpha far", "share no class"),
        ("disagree alpha few", "share only 3"),
        ("disagree alpha centred", "--normalize"),
        ("disagree alpha beta -k 9", "k is 9"),
        ("disagree alpha beta --near 7", "near is 7"),
        ("disagree alpha beta --permutations -1", "permutations is -1"),
        ("disagree alpha betta", 'did you mean "beta"'),
        ("counterpart c01 --from alpha --to alpha", "named twice"),
        ("counterpart c01 --from alpha --to far", "share no class"),
        ("counterpart c01 --from alpha --to centred", "--normalize"),
        ("counterpart c01 --from alpha --to betta", 'did you mean "beta"'),
        ("counterpart nonsense --from alpha --to beta", 'no class "nonsense"'),
        ("counterpart c13 --from alpha --to beta", 'no class "c13"'),
        ("counterpart the --from alpha --to beta", "could be 12 classes in alpha"),
        ("counterpart c01 --from alpha --to beta -k 11", "k is 11"),
        ("tag nosuch a=b", 'no model "nosuch"'),
        ("tag alpha dim=7", '"dim" is a column of models'),
        ("tag alpha bad-key=7", "a key is a word"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(own, path, command, said):
    before = path.read_bytes()
    assert_refused(own(*command.split()), said)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        "compare",
        "compare alpha",
        "compare alpha beta --permutations 1.5",
        "compare alpha beta --resamples many",
        "compare alpha beta --seed 0.5",
        "compare alpha beta -k 2.5",
        "compare alpha beta --normalize zscore",
        "compare alpha beta --by family",
        "compare alpha beta --memory 1GB",
        "compare --all --ceiling",
        "compare --all --by family --ceiling",
        "compare --all --by family --measure cka --measure rbo",
        "disagree alpha",
        "disagree alpha beta gamma",
        "disagree alpha beta --near 1.5",
        "counterpart c01 --from alpha",
        "counterpart c01 --to alpha",
        "counterpart --from alpha --to beta",
        "tag alpha family",
        "tag alpha =x",
        "tag alpha a=1 a=2",
        "map x.csv --clear",
    ],
)
def test_wrong_usage_is_exit_code_2(ask, command):
    answer = ask(*command.split())
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "Usage: " in answer.stderr


def test_normalize_makes_unlike_models_comparable(ask):
    for command in (
        ["compare", "alpha", "centred", *QUICK],
        ["disagree", "alpha", "centred", "--permutations", "0"],
        ["counterpart", "c01", "--from", "alpha", "--to", "centred"],
    ):
        for way in ("standardize", "center", "none"):
            assert json_of(ask(*command, "--normalize", way, "-f", "json"))


@pytest.mark.parametrize(
    "command",
    ["compare a b", "compare --all", "disagree a b", "counterpart c --from a --to b", "tag", "map"],
)
def test_without_a_database_there_is_nothing_to_compare(classrel, tmp_path, command):
    answer = classrel(*command.split(), "--db", tmp_path / "none.duckdb")
    assert_refused(answer, "no database at")
    assert list(tmp_path.iterdir()) == []


# in the shell

LINES = [
    "compare alpha beta --permutations 9 --resamples 9 -f csv",
    "disagree alpha beta --permutations 9 -f csv",
    "counterpart c06 --from alpha --to beta -f csv",
    "compare --ceiling alpha gamma delta -f csv",
    "tag -f csv",
]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("used", [[], ["-c", "use gamma"]], ids=["all", "use gamma"])
def test_the_shell_answers_as_the_command_line(ask, line, used):
    expected = ask(*line.split())
    answer = ask("shell", *used, "-c", line)
    assert (answer.returncode, answer.stdout) == (0, expected.stdout)
    assert expected.stdout.count("\n") > 2


def test_the_shell_compares_all_and_its_sql_sees_the_rows(own):
    answer = own(
        "shell", "-c", "use gamma", "-c", "compare --all -f csv", "-c", "\\format csv",
        "-c", "SELECT count(*) AS n FROM agreement",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.endswith("n\n6\n")
    assert own("shell", "-c", "compare alpha far").returncode == 1
