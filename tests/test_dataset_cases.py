"""What one raw file at a time can get wrong, written by hand."""

from __future__ import annotations

import re
from math import log1p
from pathlib import Path

import polars as pl
import pytest
from helpers.layouts import aliexpress, coat
from helpers.raw_logs import load, same

from benchmark.data.dataset import DataError
from benchmark.data.preprocess import preprocess
from benchmark.data.reading.readers import locate_read_errors
from benchmark.data.split import split_by_hash


def test_hashed_splits_never_change_and_keep_equal_keys_together() -> None:
    shares = {"train": 0.7, "valid": 0.1, "test": 0.2}
    keys = [str(number) for number in range(10_000)]
    frame = pl.DataFrame({"key": [*keys, *keys, None]}).with_columns(
        split=split_by_hash(pl.col("key"), shares)
    )
    first = frame["split"][:12].to_list()
    assert "".join(split[1] for split in first) == "rerrrrrerree"  # tRain, tEst
    assert frame["split"][:10_000].equals(frame["split"][10_000:-1])
    assert frame["split"][-1] is None
    found = {split: count / 20_000 for split, count in frame["split"][:-1].value_counts().rows()}
    assert found == pytest.approx(shares, abs=0.015)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_behaviours_count_from_the_arrival_on(tmp_path: Path) -> None:
    session = "7+6+1+5+9 7+5+1+10+9 8+4+2+20+3 8+9+2+30+3 7+9+1+0+9 9+1+1+1+1 9+10+1+1+1 6+9+1+1+1"
    write(tmp_path / "JD_Computers", f"{session}\n{session}\n")
    table = load("jd_micro")().table(tmp_path).collect()
    labels = table.select("sku", "arrival", "micro", "macro", "conversion").rows()
    assert labels == [(7, 5, 0, 1, 0), (8, 4, 0, 1, 0), (9, 1, 0, 0, 1)]
    assert table["previous_category"].to_list() == [1, 1, 1]
    assert table["same_category_before"].to_list() == [1, 0, 1]
    assert table["carted_before"].to_list() == [0, 0, 1]
    assert table["visit"].to_list() == [1, 1, 2]
    assert table["log_seconds_before"].to_list() == pytest.approx([log1p(5), log1p(15), log1p(65)])


@pytest.mark.parametrize(
    ("token", "shown"),
    [("1+11+1+1+1", "'1\\+11\\+1\\+1\\+1'"), ("1+5+1+1", "'1\\+5\\+1\\+1'"), ("", "''")],
)
def test_a_malformed_behaviour_is_shown(tmp_path: Path, token: str, shown: str) -> None:
    write(tmp_path / "JD_A", "1+5+1+1+1\n")
    path = write(tmp_path / "JD_B", f"1+5+1+1+1\n2+5+1+1+1 {token} 3+5+1+1+1\n")
    says = rf"{re.escape(str(path))}, line 2: token is {shown}; a token must be sku\+"
    with pytest.raises(DataError, match=says), locate_read_errors("the log"):
        load("jd_micro")().table(tmp_path).collect()


def test_dwell_time_is_no_feature(tmp_path: Path) -> None:
    session = "7+5+1+10+{0} 7+6+1+5+{0} 8+5+1+1+1"
    tables = []
    for number, dwell in enumerate((9, 5000)):
        raw = tmp_path / str(number)
        write(raw / "JD_A", session.format(dwell))
        tables.append(load("jd_micro")().table(raw).collect().drop("split"))
    assert tables[0].equals(tables[1])


def test_a_lower_rating_may_count_as_liked(tmp_path: Path) -> None:
    coat.write(tmp_path)
    table = same(load("coat")(positive_rating=3), tmp_path, lambda raw: coat.read(raw, 3))
    assert table["conversion"].sum() > same(load("coat")(), tmp_path, coat.read)["conversion"].sum()


@pytest.mark.parametrize(
    ("file", "line", "says"),
    [
        ("train.ascii", "0 6" + " 0" * 38, "row 1, column 2: rating 6 is not one of 0"),
        ("test.ascii", "0 x" + " 0" * 38, "is not a matrix of integers"),
        ("user_features.ascii", "1 1 0" + " 1 0 0" * 3, "row 1: gender must have exactly one 1"),
        ("item_features_map.txt", "", "line 1: '' is not attribute:value"),
    ],
)
def test_damaged_ratings_are_shown(tmp_path: Path, file: str, line: str, says: str) -> None:
    coat.write(tmp_path)
    path = next(tmp_path.rglob(file))
    rest = path.read_text(encoding="utf-8").split("\n")[1:]
    path.write_text("\n".join([line, *rest]), encoding="utf-8")
    with pytest.raises(DataError, match=says) as error:
        load("coat")().table(tmp_path)
    assert file.removesuffix("_map.txt") in str(error.value)


def test_another_country_is_another_file(tmp_path: Path) -> None:
    aliexpress.write(tmp_path / "raw", "es")
    dataset = load("aliexpress")(country="ES")
    assert len(same(dataset, tmp_path / "raw", lambda raw: aliexpress.read(raw, "es"))) > 500
    with pytest.raises(DataError, match=r"0 files named nl_user_train\.csv"):
        load("aliexpress")().table(tmp_path / "raw")


@pytest.mark.parametrize(("label", "shown"), [("3", "3"), ("", "None")])
def test_an_unknown_label_is_shown(tmp_path: Path, label: str, shown: str) -> None:
    aliexpress.write(tmp_path / "raw")
    path = tmp_path / "raw" / "nl_item_test.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[4] = lines[4][:-1] + label
    path.write_text("\n".join(lines), encoding="utf-8")
    says = rf"nl_item_test\.csv, line 5: item_49 is {shown}; the label must be 0, 1 or 2"
    with pytest.raises(DataError, match=says):
        preprocess(
            load("aliexpress")(), "x", tmp_path / "raw", tmp_path / "processed", verified=False
        )


def test_a_table_of_other_width_is_one_sentence(tmp_path: Path) -> None:
    aliexpress.write(tmp_path / "raw")
    path = tmp_path / "raw" / "nl_user_train.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("\n", ",1\n"), encoding="utf-8")
    with pytest.raises(DataError, match=r"nl_user_train\.csv, line 1: 34 cells, expected 33: "):
        preprocess(
            load("aliexpress")(), "x", tmp_path / "raw", tmp_path / "processed", verified=False
        )
