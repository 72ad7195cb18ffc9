"""Readers, spans, splits and files of the project's own, for any input that hypothesis finds."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from benchmark.data.dataset import DataError
from benchmark.data.reading.attribution import split_by_time
from benchmark.data.reading.readers import locate_read_errors, scan_table
from benchmark.data.reading.span import RARE, span
from benchmark.files import read_record
from benchmark.schema import SPLITS

COLUMNS = {"item": pl.Int64, "name": pl.String, "price": pl.Float64}
TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=["Cs"]), max_size=8
)
ROW = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | TEXT.filter(bool),
    st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
)
small = settings(max_examples=25, deadline=None)


def read(content: bytes) -> list[tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        path.write_bytes(content)
        with locate_read_errors("The log"):
            return scan_table(path, COLUMNS).collect().rows()


def written(rows: list[tuple[object, ...]], quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n", quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([tuple(COLUMNS), *rows])
    return stream.getvalue().encode()


@small
@given(st.lists(ROW, min_size=1, max_size=20), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_any_table_comes_back_as_it_was_written(
    rows: list[tuple[object, ...]], quoting: int
) -> None:
    assert read(written(rows, quoting)) == rows


@small
@given(st.lists(ROW, min_size=1, max_size=20), st.data())
def test_a_record_of_another_length_is_refused_wherever_it_stands(
    rows: list[tuple[object, ...]], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    more = data.draw(st.sampled_from([rows[place][:2], (*rows[place], None), (*rows[place], "x")]))
    content = written([*rows[:place], more, *rows[place + 1 :]])
    with pytest.raises(DataError, match=f"{len(more)} cells, expected 3"):
        read(content)


@small
@given(st.binary(max_size=200) | TEXT.map(str.encode) | st.text(",\n1x").map(str.encode))
@example(b'1,x"\n')
def test_anything_is_read_or_refused_in_one_sentence(content: bytes) -> None:
    assume(content.count(b'"') % 2 == 0 or content.endswith(b'x"\n'))  # polars may hang on others
    refused = ""
    try:
        read(b"item,name,price\n" + content)
    except DataError as error:
        refused = str(error)
    assert "\n" not in refused


@small
@given(st.lists(st.integers(0, 10**6), min_size=300, max_size=400), st.integers(1, 10**5))
def test_a_wild_time_moves_no_end_and_few_events_are_ever_outside(
    times: list[int], gap: int
) -> None:
    whole = span(pl.LazyFrame({"time": times}), gap)
    assert whole is not None
    inside = sum(whole.first <= time <= whole.last for time in times)
    assert inside >= (1 - 2 * RARE) * len(times)
    for wild in (10**12, -(10**12)):
        found = span(pl.LazyFrame({"time": [*times, wild]}), gap)
        assert found is not None
        assert min(times) <= found.first <= found.last <= max(times)


@small
@given(st.lists(st.integers(0, 50), min_size=10, max_size=200))
def test_splits_follow_each_other_and_part_no_moment(times: list[int]) -> None:
    rows = split_by_time(pl.LazyFrame({"time": times}), "time").collect()
    assert rows["time"].to_list() == times
    assert rows.group_by("time").agg(pl.col("split").n_unique())["split"].max() == 1
    order = [SPLITS.index(split) for split in rows.sort("time")["split"]]
    assert order == sorted(order)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


@small
@given(st.dictionaries(TEXT, JSON, min_size=1, max_size=3), st.data())
def test_a_record_cut_anywhere_counts_as_absent(
    value: dict[str, object], data: st.DataObject
) -> None:
    text = json.dumps(value).encode()
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        path.write_bytes(cut)
        assert read_record(path) is None
        path.write_bytes(text)
        assert read_record(path) == value
