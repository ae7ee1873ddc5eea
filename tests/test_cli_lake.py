"""Every reading command on a lake: what it prints is what it prints of the database."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from agreeing import add, made
from commands import run_here
from oracle import REAL, assert_refused, json_of
from stores import BUCKET, store
from test_startup import loaded_by

import classrel_db
from classrel_db.cli import app
from classrel_db.errors import DatabaseError
from classrel_db.shell.session import Session
from classrel_db.sources.buckets import Bucket
from classrel_db.storage import lake as lakes

pytestmark = pytest.mark.long  # each command twice, on the lake and on the database

ONE, TWO, THREE = REAL
FOCAL = "Dungeness crab"
READING = [
    ["models"],
    ["classes", ONE, "crab"],
    ["info", TWO],
    ["similar", FOCAL],
    ["similar", FOCAL, "-m", TWO, "-k", "300", "--self"],
    ["similar", "king crab + American lobster - crayfish", "-k", "3"],
    ["similar", FOCAL, "-k", "3", "--where", "label ILIKE '%lobster%'"],
    ["similar", "crane", "-k", "2"],
    ["similar", "dungenes crab"],
    ["consensus", FOCAL, "-k", "5"],
    pytest.param(["disagree", ONE, THREE, "-k", "5"], marks=pytest.mark.long),
    ["counterpart", FOCAL, ONE, TWO],
    ["compare", ONE, TWO, "--measure", "rsa-spearman", "--permutations", "9", "--resamples", "9"],
    ["compare", "--all", "--measure", "rsa-spearman"],
    ["tree", ONE, "--around", FOCAL],
    ["tree", ONE, "-f", "newick"],
    ["cluster", ONE, "-k", "20"],
    ["tag"],
    ["map"],
    ["taxonomy", "list"],
    ["taxonomy", "match", ONE],
    ["sql", "SELECT model, count(*) AS n, sum(cosine) AS s FROM pairwise GROUP BY ALL ORDER BY ALL"],
    ["sql", "SELECT model, sum(c.norm) FROM class_weights AS c GROUP BY 1 ORDER BY 1"],
    ["sql", "FROM agreement ORDER BY ALL"],
    ["sql", "FROM no_such_table"],
    ["sql", "DELETE FROM models"],
    ["query"],
    ["query", "neighbors", ONE, FOCAL, "k=3"],
    ["query", "contested_pairs", "k=3"],
    ["query", "model_summary"],
    ["query", "hubs", ONE, "k=3"],
    ["query", "taxon_purity", ONE, "wordnet", "carnivore"],
    ["query", "lca", "wordnet", FOCAL, "king crab"],
]  # fmt: skip
WRITING = [
    ["ingest", ONE, "--name", "again"],
    ["remove", ONE],
    ["tag", ONE, "family=crab"],
    ["map", "--clear"],
    ["compare", "--all", "--measure", "cka"],
    ["sql", "DELETE FROM models", "--write"],
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def original(database, tmp_path_factory):
    """The real heads with a tree, tags and comparisons."""
    path = tmp_path_factory.mktemp("cli-lake") / "classrel.duckdb"
    shutil.copyfile(database, path)
    with classrel_db.open(path) as catalog:
        catalog.tag(TWO, family="small")
        catalog.tree(ONE)
        catalog.compare_all(measures="rsa-spearman")
    return path


@pytest.fixture(scope="module")
def exported(original):
    """What an export of all says, to a folder."""
    return run_here("export", f"{original.parent}/lake/", "--to", "parquet", "--db", original)


@pytest.fixture(scope="module")
def lake(original, exported):
    assert exported.returncode == 0, exported.stderr
    return original.parent / "lake"


@pytest.fixture(scope="module")
def address():
    with store() as server:
        yield server


def test_an_export_says_what_it_did_and_how_to_read_it(exported, lake):
    assert exported.stdout == ""
    assert exported.stderr.splitlines() == [
        f"wrote {lake}: 3,000 classes of 3 models, rows normalised by standardize",
        "3 added",
        f"read it with `classrel --db {lake} models`",
    ]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_reading_command_prints_of_a_lake_what_it_prints_of_its_database(original, lake, command):
    expected = run_here(*command, "--db", original)
    found = run_here(*command, "--db", lake)
    assert (found.returncode, found.stdout) == (expected.returncode, expected.stdout)
    assert found.stderr == expected.stderr
    assert expected.stdout or expected.returncode


@pytest.mark.parametrize(
    "command",
    ["export", *(pytest.param(each, marks=pytest.mark.long) for each in ("plot", "report"))],
)
def test_files_that_are_made_of_a_lake_are_those_of_its_database(original, lake, tmp_path, command):
    given = {
        "plot": ["histogram", ONE, "-o", "{}.svg"],
        "report": ["{}.html", "-m", ONE],
        "export": ["{}.csv", "-m", ONE],
    }[command]
    made_of = []
    for name, place in (("database", original), ("lake", lake)):
        folder = tmp_path / name
        folder.mkdir()
        arguments = [each.format(folder / "made") for each in given]
        answer = run_here(command, *arguments, "--db", place)
        assert answer.returncode == 0, answer.stderr
        (file,) = folder.iterdir()
        made_of.append(
            re.sub(rb"classrel\.duckdb|lake|\d\d:\d\d:\d\d[.\d]*", b"", file.read_bytes())
        )
    assert made_of[0] == made_of[1]


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_what_writes_is_refused_in_one_line(lake, command):
    assert_refused(run_here(*command, "--db", lake), f"{lake} is a lake, which is only read")


def test_check_finds_a_lake_in_order_and_names_what_is_not(lake, tmp_path):
    found = json_of(run_here("check", "--db", lake, "-f", "json"))
    assert all(row["ok"] for row in found)
    assert [row["model"] for row in found if row["check"] == "files"] == list(REAL)
    copy = shutil.copytree(lake, tmp_path / "copy")
    (copy / "weights/model_id=2/data.parquet").write_bytes(b"PAR1 and no more")
    answer = run_here("check", "--db", copy, "-f", "json")
    assert answer.returncode == 1
    wrong = [row for row in json.loads(answer.stdout) if not row["ok"]]
    assert wrong == [
        {
            "model": TWO,
            "check": "files",
            "ok": False,
            "detail": "weights/model_id=2/data.parquet is cut short or changed; export the model again",
        }
    ]


@pytest.mark.parametrize(
    "place",
    [["--db", "{}", "models"], ["models", "--db", "{}"], ["--db", "{}/", "models"]],
    ids=" ".join,
)
def test_the_option_stands_before_the_command_or_after_it(original, lake, place):
    expected = run_here("models", "--db", original).stdout
    assert run_here(*(each.format(lake) for each in place)).stdout == expected


def test_a_file_stays_a_file(original, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("heads.parquet", "heads"):
        answer = run_here("export", name, "--to", "parquet", "-m", ONE, "--db", original)
        assert answer.stderr.startswith(f"wrote {name}: 1,000 classes of 1 model")
        assert (tmp_path / name).is_file()
    answer = run_here("export", ".", "--to", "parquet", "--db", original)
    assert_refused(answer, 'holds "heads', "not of a lake")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["x/", "--to", "parquet", "--raw"], ["raw is for a file"]),
        (["x/", "--to", "parquet", "--clusters", "3"], ["clusters is for"]),
        (["x/"], ["can't tell what to write", "--to"]),
        (["no/x/", "--to", "parquet"], ["there is no folder", "to hold x"]),
        (["s3://bucket/x.npz"], ["only a lake can be written"]),
        (["x/", "--to", "parquet", "-m", "efficientnet"], ["no model", ONE]),
    ],
)
def test_bad_requests_are_refused(original, tmp_path, monkeypatch, given, words):
    monkeypatch.chdir(tmp_path)
    assert_refused(run_here("export", *given, "--db", original), *words)
    assert list(tmp_path.iterdir()) == []


def test_an_address_is_taken_as_it_is(address, original, monkeypatch, tmp_path):
    place = f"s3://{BUCKET}/a lake"
    monkeypatch.chdir(tmp_path)
    answer = run_here("export", place, "--to", "parquet", "-m", ONE, "--db", original)
    assert answer.stderr.splitlines() == [
        f"wrote {place}: 1,000 classes of 1 model, rows normalised by standardize",
        "1 added",
        f"read it with `classrel --db '{place}' models`",
    ]
    expected = run_here("similar", FOCAL, "-k", "3", "-m", ONE, "--db", original).stdout
    for arguments in (
        ["--db", place, "similar", FOCAL, "-k", "3"],
        ["similar", FOCAL, "-k", "3", "--db", place],
    ):
        assert run_here(*arguments).stdout == expected
    monkeypatch.setenv("CLASSREL_DB", place)
    with classrel_db.open() as catalog:
        assert catalog.models().shape[0] == 1
    assert_refused(run_here("remove", ONE, "--db", place), f"{place} is a lake")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_fails_in_the_middle_is_told_in_one_line(address, original, monkeypatch):
    place = f"s3://{BUCKET}/failing"
    assert run_here("export", place, "--to", "parquet", "-m", ONE, "--db", original).returncode == 0

    def failing(*_):
        raise DatabaseError(f"can't read the lake {place}: it is gone: try again")

    monkeypatch.setattr(Bucket, "portion", failing)
    for question in (["sql", "SELECT sum(cosine) FROM pairs"], ["similar", FOCAL, "-k", "200"]):
        assert_refused(run_here(*question, "--db", place), f"{place}: it is gone: try again")


def test_a_lake_is_read_without_what_only_a_store_needs(lake):
    shown, modules = loaded_by("similar", FOCAL, "--db", lake, "-f", "json")
    assert len(json.loads(shown)) == 75
    assert not {"fsspec", "s3fs", "botocore", "aiobotocore", "pyarrow", "numpy"} & modules


def test_the_shell_sees_a_model_that_is_added(tmp_path, monkeypatch):
    monkeypatch.setattr(lakes, "_LOOK_EVERY", 0.0)
    concepts = [f"c{i:02d}" for i in range(9)]
    with classrel_db.open(tmp_path / "small.duckdb") as catalog:
        add(catalog, tmp_path, made("one", concepts, seed=1))
        catalog.export(f"{tmp_path}/lake/", "parquet")
        with classrel_db.open(tmp_path / "lake") as reader:
            session = Session(app, reader)
            for count in (1, 2):
                (answer,) = session.handle("models").answers
                assert answer.rows.shape[0] == count
                add(catalog, tmp_path, made("two", concepts, seed=2))
                catalog.export(f"{tmp_path}/lake/", "parquet")
            result = session.handle("remove one")
            assert "is a lake, which is only read" in result.error
