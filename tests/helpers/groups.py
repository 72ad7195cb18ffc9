"""The files of a group that keeps a method and a dataset of its own."""

from __future__ import annotations

from pathlib import Path
from string import Template

from benchmark.scaffold.method import TEMPLATE

METHOD, DATASET = "of_a_group", "shop_of_a_group"
ENTRY = """@misc{group2026own,
  title = {Own},
  author = {Family, Given},
  year = {2026},
  doi = {10.1/2},
}
"""
ADAPTER = '''
from pathlib import Path

import polars as pl

from benchmark.dataset import Dataset


class ShopOfAGroup(Dataset):
    """Four rows, written by hand, in which every second impression is clicked."""

    title = "Shop of a group"
    cite = "group2026own"
    licence = "MIT"
    claims = """Nothing may be claimed: the rows are written by hand, without any model, and
    serve as an example of a dataset that a group keeps for itself."""
    stages = ("impression", "click", "conversion")
    categorical = ("item",)

    def table(self, raw: Path) -> pl.LazyFrame:
        return pl.LazyFrame(
            {
                "item": ["a", "b", "a", "b"] * 3,
                "click": [1, 0, 1, 0] * 3,
                "conversion": [1, None, 0, None] * 3,
                "split": ["train"] * 4 + ["valid"] * 4 + ["test"] * 4,
            },
            schema_overrides={"click": pl.Int8, "conversion": pl.Int8},
        )
'''

LAYOUT = """
from pathlib import Path


def write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
"""


def method_file(**changes: str) -> str:
    """Return the text of its method, as the scaffold makes it."""
    words = {"class_name": "OfAGroup", "title": "Of a group", "key": "group2026own"} | changes
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(words)


def written(folder: Path) -> Path:
    """Write a method, a dataset, their references and a layout, and return the folder."""
    for kind, name, text in (("methods", METHOD, method_file()), ("datasets", DATASET, ADAPTER)):
        (folder / kind).mkdir(parents=True)
        (folder / kind / f"{name}.py").write_text(text, encoding="utf-8")
        (folder / kind / "references.bib").write_text(ENTRY, encoding="utf-8")
    (folder / "layouts").mkdir()
    (folder / "layouts" / f"{DATASET}.py").write_text(LAYOUT, encoding="utf-8")
    return folder
