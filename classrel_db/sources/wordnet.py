"""WordNet's hypernyms of the ImageNet classes, which ship with the package."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources


@cache
def hypernyms() -> dict[str, tuple[str, ...]]:
    """The direct hypernyms of each synset, by WordNet id (``n01978287``); a synset may have several."""
    found: dict[str, tuple[str, ...]] = {}
    table = resources.files("classrel_db") / "data" / "wordnet_hypernyms.csv"
    with table.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found[row["child"]] = (*found.get(row["child"], ()), row["parent"])
    return found
