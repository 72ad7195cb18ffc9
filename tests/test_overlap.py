"""Overlap on cards: formulas by hand, estimates beside a known truth, and where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import TinyFunnel

from benchmark.documentation.cards import facts
from benchmark.documentation.cards.card import card
from benchmark.documentation.cards.listing import Folders, Item
from benchmark.documentation.cards.overlap import described, overlap
from benchmark.documentation.cards.records import Clipped, Overlap
from benchmark.schema import Field, Schema

NOWHERE = Folders(Path("nowhere"), Path("nowhere"), Path("nowhere"))


def test_shares_weights_and_sample_size_are_those_of_the_formulas() -> None:
    found = described(np.array([0.1, 0.4, 0.02, 0.5]), np.array([1.0, 1.0, 0.0, 0.0]))
    assert (found.rows, found.clicks, found.auc) == (4, 2, 0.5)
    by_floor = {clip.floor: clip for clip in found.floors}
    plain = (10 + 2.5) ** 2 / (10**2 + 2.5**2)
    assert by_floor[0.0] == Clipped(
        floor=0, impressions=0, clicks=0, effective_clicks=round(plain, 3), mass=12.5 / 4
    )
    assert by_floor[0.2] == Clipped(
        floor=0.2, impressions=0.5, clicks=0.5,
        effective_clicks=round((5 + 2.5) ** 2 / (25 + 6.25), 3), mass=7.5 / 4,
    )  # fmt: skip


def schema(
    *fields: Field, stages: tuple[str, ...] = ("impression", "click", "conversion")
) -> Schema:
    return Schema.model_construct(stages=stages, fields=fields)


def test_estimates_come_close_to_a_known_truth() -> None:
    rng = np.random.default_rng(3)
    item, taste = rng.integers(1, 9, 20_000), rng.normal(size=20_000)
    truth = 1 / (1 + np.exp(2.5 - taste - 0.2 * item))
    click = (rng.random(20_000) < truth).astype(np.int8)
    train = pl.LazyFrame({"item": item, "taste": taste, "click": click, "policy": "log"})
    features = (
        Field(name="item", kind="categorical", size=9),
        Field(name="taste", kind="numeric", size=1),
    )
    found, known = overlap(schema(*features), train), described(truth, click.astype(float))
    assert found is not None
    assert found.auc == pytest.approx(known.auc, abs=0.01)
    for level in ("5%", "50%", "95%"):
        assert found.quantiles[level] == pytest.approx(known.quantiles[level], rel=0.15)
    for mine, true in zip(found.floors[3:], known.floors[3:], strict=True):  # below, tails decide
        assert mine.effective_clicks == pytest.approx(true.effective_clicks, rel=0.1)
        assert mine.mass == pytest.approx(true.mass, rel=0.1)


@pytest.mark.parametrize(
    ("stages", "clicks"),
    [(("click", "conversion"), 100), (("impression", "click", "conversion"), 5)],
    ids=["no impressions", "too few clicks"],
)
def test_without_impressions_or_clicks_there_is_no_overlap(
    stages: tuple[str, ...], clicks: int
) -> None:
    flags = pl.Series([1] * clicks + [0] * 200, dtype=pl.Int8)
    train = pl.LazyFrame({"x": flags * 0.1, "click": flags, "policy": "log"})
    assert overlap(schema(Field(name="x", kind="numeric", size=1), stages=stages), train) is None


def test_rows_shown_at_random_are_no_part_of_it() -> None:
    flags = pl.Series([0, 1] * 150, dtype=pl.Int8)
    train = pl.DataFrame(
        {"x": flags * 0.1, "click": flags, "policy": ["log", "log", "random"] * 100}
    )
    found = overlap(schema(Field(name="x", kind="numeric", size=1)), train.lazy())
    assert found is not None
    assert (found.rows, found.clicks) == (200, 100)


def test_the_card_prints_it_with_the_floors(processed: Path) -> None:
    tiny = facts.measure(processed, Path("nowhere"))
    assert isinstance(tiny.overlap, Overlap)
    text = card(Item("tiny", TinyFunnel(), tiny, NOWHERE))
    clip = tiny.overlap.floors[-1]
    line = next(line for line in text.splitlines() if line.startswith("| 0.2 |"))
    assert f"{clip.effective_clicks:,.0f}" in line
    assert f"{100 * clip.clicks:.3g} %" in line
    none = tiny.model_copy(update={"overlap": None})
    assert "## Overlap" not in card(Item("tiny", TinyFunnel(), none, NOWHERE))
