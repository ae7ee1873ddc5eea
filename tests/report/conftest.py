"""A browser, and reports for it to open: of real heads, of a large one, of labels that mean harm."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import classrel_db
from classrel_db import report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

TWO = ("efficientnet_lite0", "efficientnet_lite2")
RESAMPLES = 20


@dataclass
class Visit:
    """A page that is open, and all that it has complained of or asked for."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def go(self, fragment: str = "") -> Page:
        """The same file at another fragment, from the start."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#{fragment}")
        self.settle()
        return self.page

    def settle(self) -> None:
        """Until two frames are drawn and nothing glides any more."""
        self.page.evaluate(
            "new Promise((done) => setTimeout(() => requestAnimationFrame(() => "
            "requestAnimationFrame(done)), 300))"
        )

    def sound(self) -> None:
        """Nothing is wrong, and nothing was asked for but the file itself."""
        assert self.complaints == []
        assert {each for each in self.requests if not each.startswith(("blob:", "data:"))} <= {
            self.url
        }


def visit(browser: Browser, file: Path, **context: Any) -> Visit:
    """Open a report in a browser without history, motion or network."""
    settings = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | context
    page = browser.new_context(**settings).new_page()
    opened = Visit(page, file.as_uri())
    page.on(
        "console",
        lambda said: (
            opened.complaints.append(said.text) if said.type in {"error", "warning"} else None
        ),
    )
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (opened.complaints.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda asked: opened.requests.append(asked.url.partition("#")[0]))
    page.goto(opened.url)
    opened.settle()
    return opened


@pytest.fixture(scope="session")
def real(database: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two of the real heads: (report, database)."""
    folder = tmp_path_factory.mktemp("report")
    copy = folder / "real.duckdb"
    shutil.copyfile(database, copy)
    with classrel_db.open(copy) as catalog:
        report.write(catalog, folder / "real.html", TWO, resamples=RESAMPLES)
    return folder / "real.html", copy


@pytest.fixture(scope="module")
def explorer(browser: Browser, real: tuple[Path, Path]) -> Iterator[Visit]:
    """The report of the real heads, in a page that the module's tests share."""
    opened = visit(browser, real[0])
    yield opened
    opened.sound()
    opened.page.context.close()


def ingested(
    folder: Path, heads: dict[str, tuple[np.ndarray, list[tuple[str, str]]]], **given: Any
) -> Path:
    """A database of such heads: by name, the weights and (label, concept) of each class."""
    path = folder / "made.duckdb"
    with classrel_db.open(path) as catalog:
        for name, (weight, classes) in heads.items():
            file = folder / f"{name}.npz"
            np.savez(file, weight=weight.astype(np.float32), bias=np.zeros(len(weight), np.float32))
            labels = folder / f"{name}.csv"
            with labels.open("w", encoding="utf-8", newline="") as rows:
                csv.writer(rows).writerows([("label", "concept"), *classes])
            catalog.ingest(file, labels=labels, name=name, **given)
    return path


def clustered(n: int, dim: int, groups: int, seed: int = 0) -> np.ndarray:
    """Rows about some centres."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(groups, dim))
    return centres[np.arange(n) % groups] + 0.6 * random.normal(size=(n, dim))


class Stored:
    """What a report holds, read from its text by other means than the page's."""

    def __init__(self, text: str) -> None:
        found = re.findall(r'<script type="[a-z/]+" id="(\w+)">(.*?)</script>', text, re.DOTALL)
        self.blocks = dict(found)
        self.manifest = self.json("manifest")

    def json(self, name: str) -> Any:
        return json.loads(self.blocks[name])

    def array(self, stored: dict[str, Any]) -> np.ndarray:
        kinds = {"u": "<u", "i": "<i", "f": "<f"}
        kind = kinds[stored["kind"][0]] + stored["kind"][1]
        values = np.frombuffer(base64.b64decode(self.blocks[stored["id"]]), dtype=kind)
        assert len(values) == stored["length"]
        return values
