"""Every adapter keeps the contract, and reads what a slow reader reads from the same files."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import polars as pl
import pytest
from helpers.layouts import coat, jd_micro
from helpers.raw_logs import comparable, laid_out, layout, load, same

from benchmark import bibliography, registry
from benchmark.config import Params
from benchmark.data.dataset import DataError
from benchmark.data.options import SimulatedOptions
from benchmark.data.preprocess import preprocess
from benchmark.errors import ConfigError
from benchmark.registry import ROOT
from benchmark.schema import LABELS, ORACLE, SPLITS, Stage

NAMES = registry.names("datasets")
RESERVED = {*LABELS, *ORACLE, "split", "policy", "group"}


def test_the_walk_finds_the_adapters_and_params_names_some_of_them() -> None:
    names = laid_out()
    assert {*names, "oracle_funnel"} <= set(NAMES)
    assert len(names) > 3
    assert set(Params.read(ROOT / "params.yaml").datasets) <= set(NAMES)


SIMULATED = [n for n in NAMES if issubclass(load(n).options_model(), SimulatedOptions)]


@pytest.mark.parametrize("name", SIMULATED)
def test_an_old_name_of_an_option_gets_one_sentence_with_the_new_one(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(name)(hidden=1.0)
    assert str(error.value) == (
        f"params.yaml: options.{name}.hidden is an old name; write `unobserved_confounding`"
    )


def test_every_reference_is_cited() -> None:
    assert set(bibliography.known("datasets")) == {load(name)().cite for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_it_says_what_it_is(self, name: str) -> None:
        dataset = load(name)()
        assert dataset.title.strip()
        assert dataset.licence.strip()
        assert len(dataset.claims) > 100
        assert inspect.getdoc(load(name))
        citation = dataset.citation.strip()
        assert re.match(r"@\w+\{[\w-]+,\s", citation)
        assert re.search(r"\btitle\s*=\s*\{", citation)
        assert re.search(r"\b(doi|url|eprint|note)\s*=\s*\{", citation)
        assert citation.count("{") == citation.count("}")

    def test_an_unknown_citation_is_one_clear_sentence(self, name: str) -> None:
        dataset = load(name)()
        dataset.cite = dataset.cite[:-1] + "x"
        file = registry.shown(registry.path_of("datasets", name))
        with pytest.raises(
            LookupError,
            match=rf"^{file} cites '{dataset.cite}', which is not in "
            r"datasets/references\.bib( or .*)?; .*add the entry there$",
        ):
            _ = dataset.citation

    def test_its_stages_are_a_funnel_in_order(self, name: str) -> None:
        stages = load(name)().stages
        assert list(stages) == [stage for stage in get_args(Stage) if stage in stages]
        assert "click" in stages
        if "conversion" not in stages:
            assert "every method of this benchmark is skipped" in load(name)().claims
            assert "clicks only" in load(name)().title

    def test_its_features_are_distinct_and_no_labels(self, name: str) -> None:
        dataset = load(name)()
        features = [*dataset.categorical, *dataset.numeric]
        assert dataset.categorical
        assert len(features) == len(set(features))
        assert not RESERVED & set(features)

    def test_its_sources_tell_where_to_get_them(self, name: str) -> None:
        for source in load(name)().sources:
            assert source.page.startswith("https://")
            assert source.file == Path(source.file).name
            assert source.url is None or source.url.startswith("https://")
            assert source.sha256 is None or re.fullmatch("[0-9a-f]{64}", source.sha256)

    def test_it_refuses_unknown_options_and_needs_none(self, name: str) -> None:
        kind = load(name)
        assert kind().options == kind.options_model()()
        where = rf"^params\.yaml: options\.{name}\.colour is no key; "
        with pytest.raises(ConfigError, match=f"{where}(known: |did you mean )"):
            kind(colour="red")

    def test_it_says_what_each_option_is_and_must_be(self, name: str) -> None:
        kind = load(name)
        given = kind().options.model_dump()
        assert kind(**given).options.model_dump() == given
        for option, field in kind.options_model().model_fields.items():
            assert (field.description or "").endswith("."), option
            where = rf"^params\.yaml: options\.{name}\.{option}"
            with pytest.raises(ConfigError, match=f"{where} is 'nonsense'; it must be "):
                kind(**{option: "nonsense"})

    def test_it_redraws_itself_if_it_has_a_seed(self, name: str) -> None:
        assert load(name).redraws == ("seed" in load(name).options_model().model_fields)

    def test_its_splits_are_ready_and_the_same_every_time(self, name: str, tmp_path: Path) -> None:
        kind = load(name)
        dataset = kind(**({"rows": 2000} if "rows" in kind.options_model().model_fields else {}))
        if dataset.sources:
            layout(name).write(tmp_path / name)
        schemas = [
            preprocess(dataset, name, tmp_path / name, tmp_path / f"ready{i}", verified=False)
            for i in range(2)
        ]
        assert schemas[0] == schemas[1]
        assert all(schemas[0].rows[split] > 0 for split in SPLITS)

    def test_its_raw_files_are_missed_in_one_sentence(self, name: str, tmp_path: Path) -> None:
        dataset = load(name)()
        (tmp_path / name).mkdir()
        if dataset.sources:
            with pytest.raises(DataError, match=name):
                dataset.table(tmp_path / name)


@pytest.mark.parametrize("name", comparable())
def test_an_adapter_reads_what_a_slow_reader_reads(name: str, tmp_path: Path) -> None:
    layout(name).write(tmp_path / name)
    same(load(name)(), tmp_path / name, layout(name).read)


# Products of sessions, by which of (micro, macro, conversion) they show, as counted at the source.
# One product of the second file is read about (micro) once, just before its first arrival: it
# counts as micro there (6934 and 11780), and not here.
REAL_SESSIONS = {
    "JD_Micro_Behaviors_Datasets_sample/JD_Applicances_sample": (
        10706, 3, 937, 22, 7915, 14, 1958, 114
    ),
    "JD_Micro_Behaviors_Datasets_sample/JD_Computers_sample": (
        11780 + 1, 6, 1293, 19, 6934 - 1, 7, 1171, 63
    ),
    "HUP_Data/Applicances/JD_Applicances_sample": (6183, 2, 560, 19, 4245, 12, 964, 83),
    "HUP_Data/Computers/JD_Computers_sample": (9572, 3, 877, 15, 4812, 4, 608, 25),
}  # fmt: skip
REAL_TOTALS = {
    "JD_Micro_Behaviors_Datasets_sample/JD_Applicances_sample": (21669, 10001, 3031, 153),
    "JD_Micro_Behaviors_Datasets_sample/JD_Computers_sample": (21273, 8175 - 1, 2546, 95),
    "HUP_Data/Applicances/JD_Applicances_sample": (12068, 5304, 1626, 116),
    "HUP_Data/Computers/JD_Computers_sample": (15916, 5449, 1525, 47),
}


@pytest.mark.parametrize("file", REAL_SESSIONS)
def test_real_sessions_are_counted_as_at_their_source(
    real: Path, tmp_path: Path, file: str
) -> None:
    (tmp_path / "JD_sample").symlink_to(real / "jd_micro_hup" / file)
    table = load("jd_micro")().table(tmp_path).collect()
    labels = table.select("micro", "macro", "conversion")
    assert table["group"].n_unique() == 1000
    assert (len(table), *labels.sum().row(0)) == REAL_TOTALS[file]
    cells = Counter(int(f"{a}{b}{c}", 2) for a, b, c in labels.rows())
    assert tuple(cells[cell] for cell in range(8)) == REAL_SESSIONS[file]


def test_real_sessions_are_counted_once_and_read_as_the_slow_reader_does(real: Path) -> None:
    table = same(load("jd_micro")(), real / "jd_micro_hup", jd_micro.read)
    assert table["group"].n_unique() == 3805
    assert len(table) == 66_626
    sessions = table.group_by("group").agg(
        pl.col("split").n_unique(), first=pl.col("split").first()
    )
    assert sessions["split"].max() == 1
    shares = dict(sessions["first"].value_counts(normalize=True).rows())
    assert shares == pytest.approx({"train": 0.7, "valid": 0.1, "test": 0.2}, abs=0.02)


def test_real_ratings_are_counted_as_at_their_source(real: Path) -> None:
    table = same(load("coat")(), real / "coat", coat.read)
    drawn = pl.col("policy") == "random"
    assert len(table) == 290 * 300
    assert table.filter(drawn)["conversion"].value_counts().sort("conversion").rows() == [
        (0, 1879 + 899 + 1002), (1, 641 + 219),
    ]  # fmt: skip
    raw = load("coat")().table(real / "coat").collect()
    chosen = raw.filter(pl.col("chosen") > 0)
    assert dict(chosen["chosen"].value_counts().rows()) == {
        1: 1901, 2: 1437, 3: 1717, 4: 1275, 5: 630
    }  # fmt: skip
    both = chosen.filter(drawn)
    assert len(both) == 366  # would be clicks of train, and would give the test's answers away
    assert both["chosen"].equals(both["drawn"])
    assert table["click"].sum() == 6960 - 366
    assert set(table.filter(drawn)["split"]) == {"test"} == set(table.filter(split="test")["split"])


def test_real_searches_come_back_from_raw_files(real: Path, tmp_path: Path) -> None:
    """The sample is joined, its columns in a published order: undo that, and read it again."""
    codes = (19, 34, 35, 36, 40, 41, 42)
    users = [f"user_{i}" for i in (*range(1, 9), 32, 33, *range(9, 32))]
    items = [f"item_{i}" for i in (*codes, *(i for i in range(2, 49) if i not in codes))]
    names = [*users[:10], *items[:7], *users[10:], *items[7:], "click", "conversion"]
    parts = {}
    for part in ("train", "test"):
        sample = real / "aliexpress_sample" / f"aliexpress_{part}_sample.csv"
        rows = parts[part] = pl.read_csv(sample, infer_schema=False, new_columns=names)
        label = pl.sum_horizontal(pl.col("click", "conversion").cast(pl.Int8))
        raw = rows.with_columns(item_1="user_1", item_49=label)
        searches = raw.select(f"user_{i}" for i in range(1, 34)).unique(maintain_order=True)
        assert searches["user_1"].is_unique().all()
        searches.write_csv(tmp_path / f"nl_user_{part}.csv", include_header=False)
        shown = raw.select(f"item_{i}" for i in range(1, 50))
        shown.write_csv(tmp_path / f"nl_item_{part}.csv", include_header=False)
    dataset = load("aliexpress")()
    table = dataset.table(tmp_path).collect()
    features = [*dataset.categorical, *dataset.numeric]
    types = table.select(features).schema
    assert table.select(features).equals(pl.concat(parts.values()).select(features).cast(types))
    test = pl.col("split") == "test"
    for split, counts in ((~test, (100, 60, 2)), (test, (20, 10, 2))):
        found = table.filter(split)
        assert (len(found), found["click"].sum(), found["conversion"].sum()) == counts
        assert found["conversion"].null_count() == counts[0] - counts[1]
