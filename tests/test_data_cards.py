"""Cards say what adapters declare and what was counted, today, and nothing that is unknown."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import get_args

import polars as pl
import pytest
from conftest import TinyFunnel
from helpers.layouts import coat

from benchmark import registry
from benchmark.data.dataset import Dataset, Reported
from benchmark.data.preprocess import preprocess
from benchmark.documentation.cards import facts, records
from benchmark.documentation.cards.card import card, index
from benchmark.documentation.cards.listing import Folders, Item, items
from benchmark.documentation.cards.picture import draw
from benchmark.documentation.cards.records import Facts
from benchmark.documentation.cards.write import write_all
from benchmark.files import write_json
from benchmark.registry import ROOT
from benchmark.schema import Stage

DOCS = Folders(Path("nowhere"), Path("nowhere"), ROOT / "docs" / "datasets")
ITEMS = items(DOCS)
STALE = "run `python -m benchmark cards`"


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
class TestPublished:
    def test_the_card_is_what_would_be_generated(self, item: Item) -> None:
        path = DOCS.cards / f"{item.name}.md"
        assert path.is_file(), STALE
        assert path.read_text(encoding="utf-8") == card(item), STALE

    def test_it_says_what_may_be_claimed_and_what_is_missing(self, item: Item) -> None:
        text = card(item)
        assert item.dataset.claims in text
        for stage in get_args(Stage):
            line = "Stages" if stage in item.dataset.stages else "Missing stages"
            assert re.search(rf"^\| {line} \| .*\b{stage}\b.* \|$", text, re.MULTILINE)
        for source in item.dataset.sources:
            assert source.page in text

    def test_what_was_counted_is_of_the_adapter_as_it_is(self, item: Item) -> None:
        words = set(ET.parse(DOCS.cards / f"{item.name}.svg").getroot().itertext())
        if item.facts is None:
            assert "No processed copy of this dataset" in card(item)
            logged = {stage: stage in item.dataset.stages for stage in get_args(Stage)}
            assert {s if there else f"{s}: not logged" for s, there in logged.items()} <= words
            return
        dataset = type(item.dataset)(**item.facts.options)
        declared = [*dataset.categorical, *dataset.numeric, *dataset.sequences]
        assert [feature.name for feature in item.facts.features] == declared, STALE
        assert item.facts.stages == dataset.stages, STALE
        assert {f"{found.rows:,}" for found in item.facts.populations} <= words, STALE


def test_the_index_is_what_would_be_generated_and_links_to_every_card() -> None:
    text = DOCS.cards.with_suffix(".md").read_text(encoding="utf-8")
    assert text == index(ITEMS), STALE
    links = re.findall(r"\]\(datasets/(\w+)\.md\)", text)
    assert links == [item.name for item in ITEMS] == registry.names("datasets")
    assert {path.stem for path in DOCS.cards.iterdir()} == set(links)


@pytest.fixture(scope="module")
def tiny(processed: Path) -> Facts:
    return facts.measure(processed, Path("nowhere"))


def item_of(dataset: Dataset, found: Facts | None) -> Item:
    return Item("tiny", dataset, found, DOCS)


def test_counts_are_those_of_the_rows(tiny: Facts, processed: Path) -> None:
    assert tiny.rows == 3000
    for population in tiny.populations:
        table = pl.read_parquet(processed / f"{population.split}.parquet")
        assert population.rows == len(table)
        for label, count in population.positive.items():
            assert count == sum(value == 1 for value in table[label])
            assert population.known[label] == sum(value is not None for value in table[label])
        assert tiny.groups[population.split] == table["group"].n_unique()
        assert tiny.click_times[population.split] == (
            table["click_time"].min(), table["click_time"].max()
        )  # fmt: skip
    unknown = {feature.name: feature.unknown_in_test for feature in tiny.features}
    assert unknown == {"user": 0, "item": 0, "price": None}


def test_rates_are_printed_with_their_denominators(tiny: Facts) -> None:
    text = card(item_of(TinyFunnel(), tiny))
    train = next(found for found in tiny.populations if found.split == "train")
    clicks, bought = train.positive["click"], train.positive["conversion"]
    row = next(line for line in text.splitlines() if line.startswith("| train | log | 2,000 |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    header = next(line for line in text.splitlines() if line.startswith("| split |"))
    named = dict(zip([cell.strip() for cell in header.strip("|").split("|")], cells, strict=True))
    assert named["CTR"] == f"{clicks / 20:.3g} %"
    assert named["CTCVR"] == f"{bought / 20:.3g} %"
    assert named["P(conversion given click)"] == f"{100 * bought / clicks:.3g} %"


def test_random_rows_have_no_click_rate(tmp_path: Path) -> None:
    coat.write(tmp_path / "coat")
    dataset = registry.load("datasets", "coat", Dataset)()
    preprocess(dataset, "coat", tmp_path / "coat", tmp_path / "processed", verified=False)
    files = [{"pin": "adapter"}, {"pin": "first use"}, {"pin": None}, {"pin": None}]
    write_json(tmp_path / "coat" / "manifest.json", {"files": files})
    found = facts.measure(tmp_path / "processed", tmp_path / "coat")
    text = card(item_of(dataset, found))
    test = next(line for line in text.splitlines() if line.startswith("| test | random |"))
    shown = found.populations[-1]
    assert shown.known["click"] == 0
    rate = f"{100 * shown.positive['conversion'] / shown.rows:.3g} %"
    assert test.split(" | ")[3:] == [
        "–",
        f"{shown.positive['conversion']:,}",
        "–",
        "–",
        "–",
        f"{rate} |",
    ]
    assert "**Unverified copy**" in text
    assert (
        "raw files: 1 pinned in the adapter, 1 pinned at first use, by this download, 2 not pinned."
    ) in text


def test_a_log_of_clicks_has_no_rates_of_impressions(tiny: Facts) -> None:
    clicked = [
        population.model_copy(
            update={"known": {"conversion": 10}, "positive": {"conversion": 1}, "rows": 10}
        )
        for population in tiny.populations
    ]
    found = tiny.model_copy(
        update={"populations": tuple(clicked), "stages": ("click", "conversion")}
    )
    text = card(item_of(TinyFunnel(), found))
    assert "| split | policy | click | conversion | P(conversion given click) |" in text
    assert "| train | log | 10 | 1 | 10 % |" in text


@pytest.mark.parametrize(
    ("ends", "says"),
    [((0.0, 86400.0), "train 0 to 86,400"), ((1.5e9, 1.5e9 + 60), "train 2017-07-14 02:40 UTC to")],
)
def test_times_are_dates_where_they_can_be(
    tiny: Facts, ends: tuple[float, float], says: str
) -> None:
    found = tiny.model_copy(update={"click_times": {"train": ends}})
    assert f"Times of clicks: {says}" in card(item_of(TinyFunnel(), found))


def test_what_was_left_out_is_told(tiny: Facts) -> None:
    found = tiny.model_copy(update={"dropped": {"conversion without click": 1234}})
    text = card(item_of(TinyFunnel(), found))
    assert "Left out: 1,234 rows (conversion without click)." in text


def test_values_of_others_are_listed_with_their_sources(tiny: Facts) -> None:
    dataset = TinyFunnel()
    assert "## Reported elsewhere" not in card(item_of(dataset, tiny))
    dataset.reported = (
        Reported(0.7, "B", "all | rows", "https://b.example/1"),
        Reported(0.61, "A", "clicks", "https://a.example/1"),
    )
    text = card(item_of(dataset, tiny))
    first, second = (
        text.index("| 0.61 | A | clicks | <https://a.example/1> |"),
        text.index("| 0.7 | B | all \\| rows | <https://b.example/1> |"),
    )
    assert first < second


def test_facts_come_back_as_they_were_written(tiny: Facts, tmp_path: Path) -> None:
    records.write(tiny, tmp_path / "tiny.json")
    assert records.read(tmp_path / "tiny.json") == tiny
    assert records.read(tmp_path / "other.json") is None


def test_a_picture_is_the_same_bytes_for_the_same_facts(tiny: Facts, tmp_path: Path) -> None:
    pictures = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        draw(tiny, tmp_path / folder / "tiny.svg")
        pictures.append((tmp_path / folder / "tiny.svg").read_bytes())
    assert pictures[0] == pictures[1]
    words = set(ET.fromstring(pictures[0]).itertext())
    assert {"impression", "click", "micro", "macro", "conversion", "train", "2,000"} <= words


def test_cards_of_others_stay_and_stale_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "names", lambda _: ["coat", "otto"])
    folders = Folders(tmp_path / "raw", tmp_path / "processed", tmp_path / "docs" / "datasets")
    coat.write(tmp_path / "raw" / "coat")
    dataset = registry.load("datasets", "coat", Dataset)()
    preprocess(
        dataset, "coat", tmp_path / "raw" / "coat", folders.processed / "coat", verified=False
    )
    folders.cards.mkdir(parents=True)
    (folders.cards / "gone.md").write_text("of a log that is no more")
    assert write_all(folders) == tmp_path / "docs" / "datasets.md"
    kept = {path.name: path.read_bytes() for path in folders.cards.iterdir()}
    assert set(kept) == {"coat.md", "coat.json", "coat.svg", "otto.md", "otto.svg"}
    write_all(Folders(tmp_path / "raw", tmp_path / "elsewhere", folders.cards))
    assert kept == {path.name: path.read_bytes() for path in folders.cards.iterdir()}
