"""The page: a template, our style and script, BokehJS and the data, put into one text."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from classrel_db.errors import ClassrelError
from classrel_db.report.payload import json_of
from classrel_db.text import printable

if TYPE_CHECKING:
    from classrel_db.report.payload import Payload

# in the order in which they stand in the one script of the page; the last starts it
_SCRIPTS = (
    "text",
    "data",
    "state",
    "theme",
    "chart",
    "downloads",
    "combobox",
    "bars",
    "neighbors",
    "clades",
    "layout",
    "labelling",
    "branches",
    "treefigure",
    "tree",
    "grid",
    "matrixfigure",
    "matrix",
    "models",
    "about",
    "explorer",
)
_LIBRARY = ("bokeh.min.js", "bokeh-api.min.js")


def document(payload: Payload, title: str) -> str:
    """The whole document. Nothing in it is read from elsewhere, and its own policy forbids that it be."""
    library, script = _library(), _script()
    title = _readable(title)
    parts = {
        "title": escape(printable(title)),
        "policy": escape(_policy(library, script)),
        "style": _ours("explorer.css"),
        "data": "\n".join(
            [
                _block(
                    "manifest", "application/json", json_of({**payload.manifest, "title": title})
                ),
                *(_block(name, "application/json", text) for name, text in payload.texts.items()),
                *(_block(name, "text/plain", text) for name, text in payload.arrays.items()),
            ]
        ),
        "library": f"<script>{library}</script>",
        "script": f"<script>{script}</script>",
    }
    pieces = _ours("page.html").split("%%")  # text and the names of parts in turns
    return "".join(parts[piece] if place % 2 else piece for place, piece in enumerate(pieces))


def _readable(title: str) -> str:
    """``title`` with bytes that the locale could not read, surrogates here, as UTF-8, or else written out."""
    try:
        known = title.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        known = title.encode("utf-8", "backslashreplace")
    return known.decode("utf-8", "backslashreplace")


def _block(name: str, kind: str, text: str) -> str:
    return f'<script type="{kind}" id="{name}">{text}</script>'


def _policy(*scripts: str) -> str:
    """What the browser lets the page do: run these scripts, style itself, show what it drew itself."""
    digests = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'"
        for each in scripts
    )
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _library() -> str:
    """BokehJS, as its package ships it."""
    found = files("bokeh").joinpath("server", "static", "js")
    return _inlined("\n".join(found.joinpath(name).read_text("utf-8") for name in _LIBRARY))


@cache
def _script() -> str:
    parts = "\n".join(_ours(f"{name}.js") for name in _SCRIPTS)
    return _inlined(f'(() => {{\n"use strict";\n{parts}\n}})();')


def _ours(name: str) -> str:
    return files("classrel_db.report").joinpath("page", name).read_text("utf-8")


def _inlined(script: str) -> str:
    """A script that can stand in a script element. Raises ClassrelError where it would end it."""
    if "</script" in script.lower() or "<!--" in script:
        raise ClassrelError(
            "this version of Bokeh can't be put into a page: its script would end there; install another, "
            "as in `pip install 'bokeh<4'`"
        )
    return script
