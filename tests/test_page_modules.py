"""A log of clicks within pages: which modules tell, what follows a visit, what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from helpers.event_logs import attributed
from helpers.layouts import jdata2016
from helpers.raw_logs import load

from benchmark.data.dataset import DataError, kept
from benchmark.data.preprocess import preprocess
from benchmark.data.reading.readers import locate_read_errors
from benchmark.errors import ConfigError

JDATA = load("jdata2016")


def write(folder: Path, actions: list[str]) -> Path:
    folder.mkdir()
    lines = "\n".join([jdata2016.HEADER, *actions]) + "\n"
    (folder / "JData_Action_201602.csv").write_text(lines, encoding="utf-8")
    (folder / "JData_User.csv").write_text("user_id,age,sex\n1,-1,2\n", encoding="gbk")
    (folder / "JData_Product.csv").write_text("sku_id,a1,a2,a3\n7,1,2,-1\n", encoding="utf-8")
    return folder


def modules(raw: Path, **options: object) -> str:
    dataset = JDATA(**options)
    dataset.table(raw)
    return dataset.notes(raw).removeprefix("The modules here: ")


def visits(day: str, orders: dict[int, float], pairs: int = 100) -> Iterator[str]:
    """Yield pairs of user and product per module, and a share of orders a minute later."""
    for module, share in orders.items():
        for number in range(pairs):
            base = f"{1000 * module + number}.0,7,2016-{day} 10:0"
            yield f"{base}0:00,,1,8,7"
            yield f"{base}1:00,{module},6,8,7"
            if number < share * pairs:
                yield f"{base}2:00,,4,8,7"


def test_modules_are_chosen_that_go_with_orders_in_train(tmp_path: Path) -> None:
    shares = {216: 0.1, 217: 0.12, 21: 0.5}
    raw = write(tmp_path / "raw", [*visits("03-01", shares), *visits("04-02", {217: 1.0})])
    assert modules(raw) == "21."
    assert modules(raw, micro_modules=[217, 216]) == "217, 216."


def test_a_module_clicked_after_the_order_does_not_tell(tmp_path: Path) -> None:
    late = [
        f"{number}.0,7,2016-03-02 10:0{step}:00,{module},{kind},8,7"
        for number in range(100)
        for step, (kind, module) in enumerate([(1, ""), (4, ""), (6, 24)])
    ]
    raw = write(tmp_path / "raw", [*visits("03-01", {216: 0.1, 21: 0.5}), *late])
    with pytest.raises(DataError, match="no module goes with orders before April"):
        modules(raw)


def test_a_button_is_no_micro_behaviour(tmp_path: Path) -> None:
    carts = [
        f"{21_000 + number}.0,7,2016-03-01 10:01:00,,2,8,7" for number in range(40)
    ]  # 40 of 100 clicks on module 21
    shares = {216: 0.1, 21: 0.5, 22: 0.5}
    raw = write(tmp_path / "raw", [*visits("03-01", shares), *carts])
    assert modules(raw) == "22."


def test_few_pairs_tell_nothing(tmp_path: Path) -> None:
    few = visits("03-02", {22: 0.5}, pairs=2)
    raw = write(tmp_path / "raw", [*visits("03-01", {216: 0.2}), *few])
    with pytest.raises(DataError, match="no module goes with orders before April"):
        modules(raw)


def test_what_follows_a_visit_within_five_days_counts(tmp_path: Path) -> None:
    def act(day: str, kind: int, module: object = "") -> str:
        return f"1.0,7,2016-{day} 12:00:00,{module},{kind},8,7"

    raw = write(
        tmp_path / "raw",
        [
            act("02-01", 1), act("02-01", 6, 21), act("02-02", 1), act("02-06", 4),
            act("02-08", 2), act("02-10", 1), act("02-10", 2), act("02-11", 3), act("02-11", 6, 0),
            act("03-01", 1), act("03-01", 5), act("03-07", 4), act("04-15", 6, 0),
            act("04-10", 1), act("04-11", 1),
        ],
    )  # fmt: skip
    rows = kept(JDATA(micro_modules=[21]).table(raw)).collect()
    found = rows.select("click_time", "micro", "macro", "conversion", "conversion_delay", "split")
    noon = [
        datetime(2016, *day, 4, tzinfo=UTC).timestamp()
        for day in ((2, 1), (2, 10), (3, 1), (4, 10))
    ]
    assert found.rows() == [
        (noon[0], 1, 0, 1, 5 * 86400.0, "train"),
        (noon[1], 0, 0, 0, None, "train"),
        (noon[2], 0, 1, 0, None, "train"),
        (noon[3], 0, 0, 0, None, "test"),
    ]
    assert rows.select("age", "sex", "a1", "a2", "a3").rows() == [(None, "2", 1, 2, None)] * 4
    assert rows["recent_item_id"].list.len().to_list() == [0, 2, 3, 4]


BAD = [
    ("JData_Action_201602.csv", b"\n1.0,", b"\nBob,", "line 2: user_id is 'Bob'"),
    ("JData_Action_201602.csv", b",1,8,7", b",9,8,7", "line 2: type is 9; .* from 1 to 6"),
    ("JData_Action_201602.csv", b"2016-03-01", b"yesterday", "line 2: time is 'yesterday 1"),
    ("JData_Action_201602.csv", b"sku_id", b"product", "line 1: the header lacks sku_id"),
    ("JData_User.csv", b"-1,2", b"-1,2,9", "line 2: 4 cells, expected 3: user_id, age, sex"),
    ("JData_User.csv", b"-1,2", b"-1", "line 2: 2 cells, expected 3: user_id, age, sex"),
    ("JData_User.csv", b"\n1,", b"\nAnn,", "line 2: user_id 'Ann' is not a number"),
    ("JData_User.csv", b"\n1,", b"\n1,-1,2\n1,", "line 3: user_id 1 is there already"),
    ("JData_User.csv", b"-1", b"\xff\xff", "is not text in GBK"),
    ("JData_User.csv", b"age", b"years", "line 1: the header lacks age"),
    ("JData_Product.csv", b"\n7,", b"\n7,1,1,1\n7,", "line 3: sku_id 7 is in line 2 already"),
]


@pytest.mark.parametrize(("file", "old", "new", "says"), BAD)
def test_bad_input_is_one_sentence(
    tmp_path: Path, file: str, old: bytes, new: bytes, says: str
) -> None:
    raw = write(tmp_path / "raw", ["1.0,7,2016-03-01 10:00:00,,1,8,7"])
    path = raw / file
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(DataError, match=says) as error, locate_read_errors("JDATA"):
        JDATA().table(raw).collect()
    assert str(path) in str(error.value)


def test_an_option_must_be_a_list_of_modules() -> None:
    with pytest.raises(ConfigError, match=r"micro_modules\[0\] is '21'; it must be a whole number"):
        JDATA(micro_modules=["21"])


def test_the_modules_are_in_the_schema(tmp_path: Path) -> None:
    jdata2016.write(tmp_path / "raw")
    processed = preprocess(
        JDATA(), "jdata", tmp_path / "raw", tmp_path / "processed", verified=False
    )
    assert processed.claims.endswith("The modules here: 21, 24.")
    assert processed.attribution_window == 5 * 86400


@pytest.fixture(scope="module")
def sample(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slices of a few hours; what lies between them is missing."""
    folder = tmp_path_factory.mktemp("jdata2016")
    for path in (real / "jdata2016").glob("JData_*.csv"):
        (folder / path.name).symlink_to(path)
    return folder


def test_real_actions_are_counted_as_at_their_source(sample: Path) -> None:
    dataset = JDATA()
    events = dataset.events(sample).collect()
    files = sorted(sample.glob("JData_Action_*.csv"))
    counts = {"201602": (12023, 443, 175, 38, 80), "201603": (11403, 681, 210, 126, 64)}
    browsed, carts, removed, orders, follows = (
        sum(counts[path.stem[-6:]][i] for path in files) for i in range(5)
    )
    assert len(events) == 29_999 * len(files)
    assert events["click"].sum() == browsed
    assert events["conversion"].sum() == orders
    assert events["macro"].value_counts().sort("macro").rows() == [
        (-1, removed), (0, len(events) - carts - follows - removed), (1, carts + follows)
    ]  # fmt: skip
    assert dataset.notes(sample).startswith("The modules here: ")
    pairs = events.group_by("who", "item").agg(pl.col("micro").max())
    assert 0.05 < pairs["micro"].mean() < 0.4  # of all pairs; of any click it is 0.9


def test_real_visits_lead_to_what_a_slow_reader_says(sample: Path) -> None:
    dataset = JDATA()
    events = dataset.events(sample).unique().collect()
    end = events["time"].max() - 5 * 86_400_000
    slow = Counter(
        (click["who"], click["item"], click["time"] / 1000, *list(found.values())[:3])
        for click, found in attributed(
            events.to_dicts(), ("micro", "macro", "conversion"), 5 * 86_400_000
        )
        if click["time"] <= end
    )
    table = dataset.table(sample).collect()
    rows = table.filter(pl.col("dropped").is_null())
    keys = ("user_id", "item_id", "click_time", "micro", "macro", "conversion")
    assert Counter(rows.select(keys).rows()) == slow
    assert len(rows) > 3000
    late = datetime.fromtimestamp(rows["click_time"].max(), UTC) + timedelta(hours=8)
    assert f"{late:%m-%d}" == "02-01"
    assert rows["a1"].is_not_null().any()
    assert rows["age"].is_not_null().any()
