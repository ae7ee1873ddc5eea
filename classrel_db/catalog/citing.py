"""How to cite the weights of a model: a paragraph for a paper, and BibTeX."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from classrel_db.text import printable, rounded_to

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS = (
    "model", "source", "uri", "revision", "etag", "reference", "license", "weights_sha256", "accessed",
    "classrel_version",
)  # fmt: skip

# by the name of the source; whoever reads a paper does not know classrel's
_SOURCES = {
    "file": "a file",
    "hf": "Hugging Face Hub",
    "packaged": "Python package",
    "url": "a file on the web",
}

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# of a repository of the Hub; its first ones have none
_OWNER = re.compile(r"\w+://[^/]+/(?:.*/)?([^/]+)/[^/]+/resolve/")

# BibTeX counts the braces of a value, escaped or not, so none of them may be alone.
_LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "#$%&_"},
        "\\": r"{\textbackslash}",
        "{": r"{\textbraceleft}",
        "}": r"{\textbraceright}",
        "~": r"{\textasciitilde}",
        "^": r"{\textasciicircum}",
        "<": r"{\textless}",
        ">": r"{\textgreater}",
        "|": r"{\textbar}",
    }
)


def citation(info: Mapping[str, Any]) -> dict[str, str | None]:
    """The columns of :meth:`Catalog.cite` from those of :meth:`Catalog.info`."""
    row = {**info, "accessed": f"{info['ingested_at']:%Y-%m-%d}", "place": _place(info)}
    return {
        **{name: row[name] for name in _FIELDS},
        "text": _paragraph(row),
        "bibtex": _bibtex(row),
    }


def _paragraph(row: Mapping[str, Any]) -> str:
    parts = [
        f"{row['model']}: the classification head {row['head_key']} ({row['n_classes']:,} classes × "
        f"{row['dim']:,}{_stored_as(row)}) of {row['place']} ({_source(row)}{_state(row)})",
        f"read on {row['accessed']} with classrel {row['classrel_version']}",
        f"SHA-256 of the head {row['weights_sha256']}",
    ]
    sentences = [", ".join(parts), f"Licence of the weights: {_license(row)}"]
    if row["reference"]:
        sentences.append(f"Reference: {row['reference']}")
    return _one_line(". ".join(sentences) + ".")


def _bibtex(row: Mapping[str, Any]) -> str:
    place, reference = row["place"], row["reference"]
    address = next((a for a in (place, reference) if a and _ADDRESS.match(a)), None)
    where = _source(row) if address == place else f"{_source(row)}: {place}"
    note = [
        f"Tensor {row['head_key']}, {row['n_classes']} classes × {row['dim']}{_stored_as(row)}",
        f"SHA-256 of the head: {row['weights_sha256']}",
        f"licence of the weights: {_license(row)}",
        f"read with classrel {row['classrel_version']}, accessed {row['accessed']}",
    ]
    if reference and reference != address:
        note.append(f"reference: {reference}")
    author = _author(row)
    weights = {
        "author": author and f"{{{_latex(author)}}}",
        "key": None if author else _latex(row["model"]),
        "title": f"{{{_latex('Classification head of ' + row['model'])}}}",
        "year": row["accessed"][:4],  # of the weights themselves no source tells one
        "howpublished": _latex(f"{where}{_state(row)}"),
        "url": address and quote(_one_line(address), safe="%/:?#[]@!$&'()*+,;=~"),
        "urldate": row["accessed"],
        "note": _latex("; ".join(note)),
    }
    classrel = {
        "title": "{classrel: embedding database and query shell for classification heads}",
        "author": "{The classrel developers}",
        "note": f"Version {_latex(row['classrel_version'])}",
    }
    name = re.sub(r"[^A-Za-z0-9]+", "-", row["model"]).strip("-") or "head"
    key = f"{name}-{row['weights_sha256'][:8]}"
    return "\n\n".join([_entry(key, weights), _entry("classrel", classrel)])


def _entry(key: str, fields: Mapping[str, str | None]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def _place(info: Mapping[str, Any]) -> str:
    """Where the weights lie; of a file on this machine the name, which is all that others know."""
    uri, revision = str(info["uri"]), info["revision"]
    if info["source"] == "file":
        return PurePath(uri).name
    if revision and info["source"] != "packaged":  # a branch moves on, a commit does not
        return re.sub(r"(?<=/resolve/)[^/]+(?=/)", lambda _: quote(revision), uri, count=1)
    return uri


def _source(row: Mapping[str, Any]) -> str:
    return _SOURCES.get(row["source"], str(row["source"]))


def _author(row: Mapping[str, Any]) -> str | None:
    """Who published the weights, as far as their place tells."""
    if row["source"] == "packaged":
        return str(row["uri"]).partition("/")[0]
    if row["source"] in {"hf", "timm"} and "/resolve/" in row["uri"]:
        owner = _OWNER.match(row["uri"])
        return unquote(owner[1]) if owner else None
    return f"{row['source']} contributors" if row["source"] in {"timm", "torchvision"} else None


def _stored_as(row: Mapping[str, Any]) -> str:
    return f", {rounded_to(row['dtype'], row['cosine_error'])}" if row["dtype"] else ""


def _state(row: Mapping[str, Any]) -> str:
    """Which state of the file was read, where its source tells one that is not in its address."""
    if row["source"] == "packaged" and row["revision"]:
        return f", version {row['revision']}"
    if row["revision"]:
        return "" if quote(row["revision"]) in row["place"] else f", revision {row['revision']}"
    return f", ETag {row['etag']}" if row["etag"] else ""


def _license(row: Mapping[str, Any]) -> str:
    if row["license"]:
        return str(row["license"])
    # a model of before schema 4 was not asked for one
    return "not stated by the source" if row["dtype"] else "not recorded"


def _latex(text: str) -> str:
    return _one_line(text).translate(_LATEX)


def _one_line(text: str) -> str:
    return " ".join(printable(" ".join(text.split())).split())
