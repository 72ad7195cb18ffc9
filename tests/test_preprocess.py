"""The rules of the step from a table to processed splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from benchmark.data.dataset import DataError, Dataset
from benchmark.data.preprocess import preprocess
from benchmark.schema import ORACLE, SPLITS, Schema, Stage

Column = list[Any]


class Given(Dataset):
    """A dataset made of the columns that a test gives."""

    title = "Given"
    citation = "@misc{given, title = {Given}}"
    licence = "MIT"
    claims = "None."
    stages: ClassVar[tuple[Stage, ...]] = ("impression", "click", "conversion")
    categorical = ("city",)
    numeric = ("price",)

    def __init__(self, columns: dict[str, Column | pl.Series]) -> None:
        super().__init__()
        self.columns = columns

    def table(self, raw: Path) -> pl.LazyFrame:
        labels = {
            name: pl.Series(self.columns[name], dtype=pl.Int8)
            for name in ("click", "micro", "conversion")
            if isinstance(self.columns.get(name), list)
        }
        return pl.LazyFrame({**self.columns, **labels}, strict=False)


class Clicks(Given):
    """A log of clicks."""

    stages = ("click", "micro", "conversion")


class Rare(Given):
    """A log whose rare values are unknown."""

    min_count = 2


def columns(**changes: Column | pl.Series) -> dict[str, Column | pl.Series]:
    """Five rows for train, two for valid, two for test, with some columns replaced."""
    given: dict[str, Column | pl.Series] = {
        "split": ["train"] * 5 + ["valid"] * 2 + ["test"] * 2,
        "city": ["Rome", "Oslo", "Rome", None, "Bonn", "Oslo", "Kyiv", "Kyiv", None],
        "price": [1.0, 2.0, 3.0, 4.0, 5.0, 3.0, None, 103.0, 3.0],
        "click": [1, 0, 1, 0, 0, 1, 0, 1, 0],
        "conversion": [1, None, 0, None, None, 0, None, 1, None],
    }
    return given | changes


def split(processed: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(processed / f"{name}.parquet")


def run(dataset: Dataset, processed: Path) -> Schema:
    return preprocess(dataset, "given", processed.parent, processed, verified=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "processed"


def test_ids_are_those_of_train_and_0_is_unknown_or_missing(folder: Path) -> None:
    schema = run(Given(columns()), folder)
    assert split(folder, "train")["city"].to_list() == [3, 2, 3, 0, 1]  # Bonn, Oslo, Rome
    assert split(folder, "valid")["city"].to_list() == [2, 0]
    assert split(folder, "test")["city"].to_list() == [0, 0]
    assert [field.size for field in schema.categorical] == [4]


def test_ids_rare_in_train_are_unknown(folder: Path) -> None:
    schema = run(Rare(columns()), folder)
    assert split(folder, "train")["city"].to_list() == [1, 0, 1, 0, 0]
    assert split(folder, "valid")["city"].to_list() == [0, 0]
    assert [field.size for field in schema.categorical] == [2]


def test_a_field_that_train_never_has_is_unknown_everywhere(folder: Path) -> None:
    cities = columns(city=[None] * 5 + ["Oslo"] * 4)
    assert [field.size for field in run(Given(cities), folder).categorical] == [1]
    assert split(folder, "test")["city"].to_list() == [0, 0]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_numbers_are_scaled_by_train_and_missing_ones_become_its_mean(
    folder: Path, missing: float | None
) -> None:
    prices = columns(price=[1.0, 2.0, missing, 4.0, 5.0, 3.0, missing, 103.0, 3.0])
    run(Given(prices), folder)
    spread = (10 / 3) ** 0.5  # of 1, 2, 4, 5 around 3
    expected = [-2 / spread, -1 / spread, 0, 1 / spread, 2 / spread]
    assert split(folder, "train")["price"].to_list() == pytest.approx(expected, rel=1e-6)
    assert split(folder, "valid")["price"].to_list() == [0, 0]
    assert split(folder, "test")["price"].to_list() == pytest.approx([100 / spread, 0], rel=1e-6)


def test_numbers_in_single_precision_are_scaled_in_double(folder: Path) -> None:
    prices = [2.0**24 + step for step in (0, 2, 4, 6, 8, 4, 4, 4, 4)]  # exact in both
    for dtype in (pl.Float32, pl.Float64):
        run(Given(columns(price=pl.Series(prices, dtype=dtype))), folder)
        assert split(folder, "train")["price"].to_list() == pytest.approx(
            [step / 10**0.5 for step in (-4, -2, 0, 2, 4)], rel=1e-6
        )


@pytest.mark.parametrize("constant", [7, 0, 0.1, -1 / 3, 123456789.123, 1.7e12 + 0.3])
@pytest.mark.parametrize("rows", [1, 11_111])
def test_a_constant_number_becomes_0(folder: Path, constant: float, rows: int) -> None:
    long = {name: [*column] * rows for name, column in columns(price=[constant] * 9).items()}
    run(Given(long), folder)
    assert split(folder, "train")["price"].abs().max() == pytest.approx(0, abs=0.01)


def test_the_schema_says_what_is_stored(folder: Path) -> None:
    schema = run(Given(columns(group=["b", "a", "b", "c", "c", "z", "y", "y", "y"])), folder)
    assert Schema.read(folder) == schema
    assert schema.rows == {"train": 5, "valid": 2, "test": 2}
    assert schema.has_groups
    assert schema.verified
    assert not schema.has_oracle
    for name in SPLITS:
        stored = split(folder, name).columns
        assert stored == ["city", "price", "click", "conversion", "policy", "group"]
    assert split(folder, "train")["group"].to_list() == [2, 1, 2, 3, 3]
    assert split(folder, "train")["conversion"].to_list() == [1, None, 0, None, None]
    assert set(split(folder, "train")["policy"]) == {"log"}


def test_without_groups_there_is_one(folder: Path) -> None:
    assert not run(Given(columns()), folder).has_groups


def test_a_log_of_clicks_has_no_click_column(folder: Path) -> None:
    known: dict[str, Column] = {"micro": [0, 1] * 4 + [1], "conversion": [0] * 8 + [1]}
    schema = run(Clicks(columns(**known)), folder)
    assert not schema.has_impressions
    for name in SPLITS:
        stored = split(folder, name).columns
        assert stored == ["city", "price", "micro", "conversion", "policy", "group"]


def test_the_truth_is_stored_apart_and_not_for_train(folder: Path) -> None:
    truth = dict.fromkeys(ORACLE, [0.5] * 9)
    assert run(Given(columns(**truth)), folder).has_oracle
    assert not (folder / "train.oracle.parquet").exists()
    for name in ("valid", "test"):
        assert not set(ORACLE) & set(split(folder, name).columns)
        assert split(folder, f"{name}.oracle").columns == list(ORACLE)
        assert len(split(folder, f"{name}.oracle")) == 2


def test_random_rows_may_lack_the_click_and_have_the_conversion(folder: Path) -> None:
    rows = columns(
        policy=["log"] * 7 + ["random"] * 2,
        click=[1, 0, 1, 0, 0, 1, 0, None, None],
        conversion=[1, None, 0, None, None, 0, None, 1, 0],
    )
    run(Given(rows), folder)
    assert split(folder, "test").select("click", "conversion", "policy").rows() == [
        (None, 1, "random"),
        (None, 0, "random"),
    ]


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"click": [1, 0, 1, 0, 0, 1, 0, 1, 2]}, "click must be 0, 1 or missing; 1 rows"),
    (
        {"click": [1, 0, 1, 0, 0, 1, 0, 1, None]},
        "click must be known on logged rows and in train; 1 rows",
    ),
    (
        {"conversion": [None, None, 0, None, None, 0, None, 1, None]},
        "conversion must be known on clicked rows; 1 rows",
    ),
    (
        {"conversion": [1, 0, 0, 0, None, 0, None, 1, None]},
        "conversion must be missing on unclicked logged rows; 2 rows",
    ),
    (
        {"click": [None, *[0, 1, 0, 0, 1, 0, 1, 0]], "policy": ["random"] * 9},
        "click must be known on logged rows and in train; 1 rows",
    ),
    ({"policy": ["log"] * 8 + ["lucky"]}, "policy must be one of log, random; 1 rows"),
    ({"policy": ["log"] * 8 + [None]}, "policy must be one of log, random; 1 rows"),
    ({"split": ["train"] * 7 + ["test", "dev"]}, "split must be one of train, valid, test; 1 rows"),
    ({"split": ["train"] * 7 + ["test", None]}, "split must be one of train, valid, test; 1 rows"),
    ({"split": ["train"] * 7 + ["test"] * 2}, "no rows in split valid"),
    ({"price": [1.0] * 8 + [float("inf")]}, "price must be finite or missing; 1 rows"),
    ({"price": ["1"] * 8 + ["cheap"]}, "Given: the files in .* cannot be read: .*cheap"),
    ({"oracle_cvr": [0.5] * 9}, "lacks the columns oracle_ctr, oracle_conversion"),
    (dict.fromkeys(ORACLE, [0.5] * 8 + [1.5]), r"oracle_ctr must be in \[0, 1\]; 1 rows"),
    ({"click": pl.Series([0.0] * 9)}, "click is Float64, it must be Int8"),
]


@pytest.mark.parametrize(("changes", "says"), BROKEN)
def test_a_broken_rule_is_one_sentence_and_leaves_the_old_splits(
    folder: Path, changes: dict[str, Any], says: str
) -> None:
    before = run(Given(columns()), folder)
    with pytest.raises(DataError, match=says) as error:
        run(Given(columns(**changes)), folder)
    assert "\n" not in str(error.value)
    assert Schema.read(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["processed"]


@pytest.mark.parametrize("missing", ["city", "split"])
def test_a_missing_column_is_named(folder: Path, missing: str) -> None:
    incomplete = columns()
    del incomplete[missing]
    with pytest.raises(DataError, match=f"the table of Given lacks the columns {missing}"):
        run(Given(incomplete), folder)
    assert not folder.exists()


def test_a_crash_leaves_the_old_splits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run(Given(columns()), folder)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("benchmark.data.preprocess.write_json", full)
    with pytest.raises(OSError, match="no space left"):
        run(Given(columns(price=[1.0] * 9)), folder)
    assert Schema.read(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["processed"]


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows | {"price": [2.0] * 9},
        lambda rows: rows | {"city": ["Rome"] * 9},
        lambda rows: rows | {"conversion": [0, None, 0, None, None, 0, None, 1, None]},
    ],
)
def test_the_fingerprint_follows_the_content(
    folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    first, again = run(Given(columns()), folder), run(Given(columns()), folder)
    assert first == again
    assert run(Given(change(columns())), folder).fingerprint != first.fingerprint
