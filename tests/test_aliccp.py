"""What can be wrong with files of features in one cell, and what is left out of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from helpers.layouts.aliccp import USER as FIELDS
from helpers.layouts.aliccp import line, read, write
from helpers.raw_logs import load, same

from benchmark.data.dataset import DataError
from benchmark.data.preprocess import preprocess

USER = ["101\x025\x031.0", "109_14\x027\x030.69315", "121\x023\x031.0"]
COMMON = {*FIELDS, "109_14", "110_14", "127_14", "150_14"}
ITEM = ["205\x028\x031.0", "210\x021\x031.0", "210\x022\x031.0", "301\x024\x031.0"]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder of raw files, each of lines that a test may change."""
    write(tmp_path / "raw")
    return tmp_path / "raw"


def changed(raw: Path, name: str, change: Callable[[list[str]], list[str]]) -> Path:
    path = next(raw.rglob(name))
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(change(lines)), encoding="utf-8")
    return path


def prepare(raw: Path) -> Path:
    processed = raw.parent / "processed"
    preprocess(load("aliccp")(), "aliccp", raw, processed, verified=False)
    return processed


def test_purchases_without_a_click_are_left_out_and_counted(raw: Path) -> None:
    lines = [text for path in raw.rglob("sample_skel*") for text in path.read_text().splitlines()]
    strange = sum(bool(re.match(r"\d+,0,1,", text)) for text in lines)
    assert strange > 0
    report = json.loads((prepare(raw) / "report.json").read_text(encoding="utf-8"))
    assert report["dropped"] == {"purchase without click": strange}
    assert sum(report[split]["rows"] for split in ("train", "valid", "test")) == 800 - strange


def test_samples_of_an_unknown_user_are_left_out_and_counted(raw: Path) -> None:
    lost = line("800,1,0,no_such_state", ITEM)
    changed(raw, "sample_skeleton_train.csv", lambda lines: [*lines, lost])
    report = json.loads((prepare(raw) / "report.json").read_text(encoding="utf-8"))
    assert report["dropped"]["no common features"] == 1


@pytest.mark.parametrize("who", ["101", "common_feature_index"])
def test_a_user_is_in_train_or_in_valid(raw: Path, who: str) -> None:
    learned = load("aliccp")().table(raw).filter(pl.col("split") != "test").drop_nulls(who)
    splits = learned.group_by(who).agg(pl.col("split").n_unique()).collect()["split"]
    assert splits.unique().to_list() == [1]
    assert len(splits) > 5


def test_ids_that_train_has_more_than_ten_times_are_known(raw: Path) -> None:
    often, rare = (line(f"{i},0,0,{{}}", [f"205\x02{i}\x031.0"]) for i in (700001, 700002))

    def more(lines: list[str]) -> list[str]:
        learned = load("aliccp")().table(raw).filter(split="train").collect()
        state = learned["common_feature_index"][0]
        return [*lines, *[often.format(state)] * 11, *[rare.format(state)] * 10]

    changed(raw, "sample_skeleton_train.csv", more)
    train = pl.read_parquet(prepare(raw) / "train.parquet")
    assert train["205"].tail(21).to_list() == [train["205"].max()] * 11 + [0] * 10


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (["999\x021\x031.0"], "feature is '999\\\\x021\\\\x031.0'; a feature must be field"),
        (["205\x02x\x031.0"], "feature is '205\\\\x02x\\\\x031.0'; a feature must be field"),
        (["205\x021\x03one"], "feature is '205\\\\x021\\\\x03one'; a feature must be field"),
        (["205\x021"], "feature is '205\\\\x021'; a feature must be field"),
    ],
)
@pytest.mark.parametrize(
    ("name", "key"),
    [("sample_skeleton_test.csv", "9,1,0,{}"), ("common_features_train.csv", "new_state")],
)
def test_a_strange_feature_is_shown(
    raw: Path, name: str, key: str, bad: list[str], says: str
) -> None:
    path = changed(raw, name, lambda lines: [*lines, line(key, USER, bad)])
    count = len(path.read_text().splitlines())
    with pytest.raises(DataError, match=f"{re.escape(str(path))}, line {count}: {says}") as error:
        prepare(raw)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("sample_skeleton_test.csv", "9,2,0,s,1,205\x021\x031.0\n", "click is 2; click must be"),
        ("sample_skeleton_test.csv", "9,1,,s,1,205\x021\x031.0\n", "conversion is None; conv"),
        ("sample_skeleton_test.csv", "9,yes,0,s,1,205\x021\x031.0\n", "click is 'yes'; it must"),
        ("sample_skeleton_test.csv", "9,1,0,s,2,205\x021\x031.0\n", "feature_num is 2, found is 1"),
        ("common_features_test.csv", "s,2,101\x021\x031.0\n", "feature_num is 2, found is 1"),
        ("sample_skeleton_test.csv", "9,1,0,s,1\n", "5 cells, expected 6"),
        ("sample_skeleton_test.csv", "9,1,0,s,1,,\n", "7 cells, expected 6"),
    ],
)
def test_a_bad_line_is_shown(raw: Path, name: str, text: str, says: str) -> None:
    path = changed(raw, name, lambda lines: [*lines, text])
    with pytest.raises(DataError, match=f"{re.escape(str(path))}, .*line.*: {says}"):
        prepare(raw)


def test_broken_text_is_shown(raw: Path) -> None:
    path = next(raw.rglob("sample_skeleton_train.csv"))
    path.write_bytes(path.read_bytes() + b"9,1,0,s,1,205\x02\xff\x031.0\n")
    with pytest.raises(DataError, match="line 401: byte 15 is 0xff, which is not UTF-8"):
        prepare(raw)


def test_a_state_given_twice_is_shown(raw: Path) -> None:
    path = changed(raw, "common_features_test.csv", lambda lines: [*lines, lines[3]])
    with pytest.raises(DataError, match=f"{re.escape(str(path))}, line 41: common_feature_index"):
        prepare(raw)


@pytest.mark.parametrize("name", ["sample_skeleton_train.csv", "common_features_test.csv"])
def test_an_empty_or_missing_file_is_named(raw: Path, name: str) -> None:
    path = changed(raw, name, lambda _: [])
    with pytest.raises(DataError, match=f"{name} is empty"):
        prepare(raw)
    path.unlink()
    with pytest.raises(DataError, match=f"0 files named {name}"):
        prepare(raw)


def test_the_table_is_what_a_slow_reader_reads(raw: Path) -> None:
    table = same(load("aliccp")(), raw, read)
    assert set(table["split"]) == {"train", "valid", "test"}


def test_histories_and_intentions_are_read_if_asked_for(raw: Path) -> None:
    dataset = load("aliccp")(histories=2, intentions=1)
    table = same(dataset, raw, lambda folder: read(folder, histories=2, intentions=1))
    assert table["109_14_all"].list.len().max() == 2
    assert table["210_all"].list.len().max() == 1
    preprocess(dataset, "aliccp", raw, raw.parent / "processed", verified=False)


def restore(folder: Path, part: str, rows: list[tuple[str, str, list[str]]]) -> None:
    """Write labels and features of joined rows as the two raw files, a user's state per row."""
    states = [f"state_{number}" for number in range(len(rows))]
    of_users = [[x for x in found if x.split("\x02")[0] in COMMON] for *_, found in rows]
    of_items = [[x for x in found if x.split("\x02")[0] not in COMMON] for *_, found in rows]
    users = [line(state, known) for state, known in zip(states, of_users, strict=True)]
    samples = [
        line(f"{number},{click},{bought},{state}", known)
        for number, ((click, bought, _), state, known) in enumerate(
            zip(rows, states, of_items, strict=True)
        )
    ]
    for name, lines in {"common_features": users, "sample_skeleton": samples}.items():
        (folder / f"{name}_{part}.csv").write_text("".join(lines), encoding="utf-8")


def labels_of(table: pl.DataFrame) -> dict[tuple[int, int | None], int]:
    return Counter(table.select("click", "conversion").iter_rows())


def test_real_samples_come_back_from_raw_files(real: Path, tmp_path: Path) -> None:
    """The sample is joined, single-valued and renumbered: write it as raw files, read it again."""
    frames = {}
    for part in ("train", "val", "test"):
        path = real / "aliccp_processed_sample" / f"ali_ccp_{part}_sample.csv"
        frames[part] = pl.read_csv(path, infer_schema=False)
    frames["train"] = pl.concat([frames["train"], frames.pop("val")])
    fields = [name for name in frames["train"].columns[2:] if not name.startswith("D")]
    for part, frame in frames.items():
        features = [
            [f"{field}\x02{value}\x031.0" for field, value in row.items()]
            for row in frame.select(fields).iter_rows(named=True)
        ]
        restore(tmp_path, part, list(zip(frame["click"], frame["purchase"], features, strict=True)))
    dataset = load("aliccp")()
    table = dataset.table(tmp_path).collect()
    ids = table.select(dataset.categorical)
    assert ids.equals(pl.concat(frames.values()).select(dataset.categorical).cast(ids.schema))
    test = table["split"] == "test"
    assert labels_of(table.filter(~test)) == {(0, None): 93 + 47, (1, 0): 6 + 2, (1, 1): 1 + 1}
    assert labels_of(table.filter(test)) == {(0, None): 48, (1, 0): 1, (1, 1): 1}


def test_real_samples_of_many_values_come_back_from_raw_files(real: Path, tmp_path: Path) -> None:
    text = (real / "aliccp_slots_sample/train_small.txt").read_text(encoding="utf-8")
    cells = [row.split(",") for row in text.splitlines()]
    rows = [
        (click, bought, [x.replace(":", "\x02") + "\x031.0" for x in features])
        for _, click, bought, *features in cells
    ]
    for part in ("train", "test"):
        restore(tmp_path, part, rows)
    dataset = load("aliccp")()
    table = dataset.table(tmp_path).filter(split="test").collect()
    assert labels_of(table) == {(0, None): 8, (1, 0): 1, (1, 1): 1}
    for (*_, features), row in zip(rows, table.iter_rows(named=True), strict=True):
        first = dict(reversed([x.split("\x03")[0].split("\x02") for x in features]))
        known = {field: int(first[field]) for field in dataset.categorical if field in first}
        assert len(known) > 10
        assert {field: row[field] for field in known} == known


def test_real_raw_lines_are_read(real: Path, raw: Path) -> None:
    """Two lines in the publisher's own layout, of 343 and 811 features, beside samples of hand."""
    path = real / "aliccp_raw_lines/common_features_train.csv"
    text = path.read_text(encoding="utf-8").splitlines(keepends=True)
    users = [user.strip().split(",") for user in text]
    changed(raw, "common_features_train.csv", lambda lines: [*lines, *text])
    samples = [line(f"9{n},1,{n},{state}", ITEM) for n, (state, *_) in enumerate(users)]
    changed(raw, "sample_skeleton_train.csv", lambda lines: [*lines, *samples])
    table = load("aliccp")().table(raw).filter(split="train").tail(len(users)).collect()
    found = table.select(*FIELDS, "click", "conversion").rows(named=True)
    for number, ((*_, features), row) in enumerate(zip(users, found, strict=True)):
        ids = dict(x.split("\x03")[0].split("\x02") for x in features.split("\x01"))
        known = {field: int(ids[field]) for field in FIELDS}
        assert row == known | {"click": 1, "conversion": number}
