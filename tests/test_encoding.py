"""Ids are places among the known values, whatever these are."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from benchmark.data.encoding import distinct, ids, scale


@pytest.mark.parametrize(
    ("values", "known", "expected"),
    [
        (["b", "z", None, "a", ""], ["a", "b"], [2, 0, 0, 1, 0]),
        ([5, -3, None, 7, 9], [-3, 7], [0, 1, 0, 2, 0]),
        ([7, 4], [-3, 5, 7], [3, 0]),
        ([2.5, -1.0, None, 0.0], [-1.0, 2.5], [2, 1, 0, 0]),
        ([True, None, False], [True], [1, 0, 0]),
        ([date(2020, 1, 2), date(2019, 1, 1)], [date(2020, 1, 2)], [1, 0]),
        ([1, None], [], [0, 0]),
        ([None, None], ["a"], [0, 0]),
    ],
)
def test_ids_count_from_1_and_0_is_unknown(
    values: list[Any], known: list[Any], expected: list[int]
) -> None:
    dtype = pl.Series(known or values).dtype
    frame = pl.LazyFrame({"x": pl.Series(values, dtype=dtype)})
    found = frame.select(ids(pl.col("x"), pl.Series(known, dtype=dtype))).collect().to_series()
    assert found.dtype == pl.UInt32
    assert (found if known else pl.Series([found[0]] * len(values))).to_list() == expected


@pytest.mark.parametrize(
    ("dtype", "least", "most"),
    [(pl.Int8, -128, 127), (pl.UInt32, 0, 2**32 - 1), (pl.Int64, -(2**63), 2**63 - 1)],
)
@pytest.mark.parametrize("end", [0, -1])
def test_ids_of_integers_at_the_ends_of_their_type(
    dtype: type[pl.DataType], least: int, most: int, end: int
) -> None:
    known = pl.Series([(least, least + 2), (most - 2, most)][end], dtype=dtype)
    values = pl.Series([least, least + 1, least + 2, None, most - 2, most - 1, most], dtype=dtype)
    found = pl.LazyFrame({"x": values}).select(ids(pl.col("x"), known)).collect().to_series()
    assert found.to_list() == [[1, 0, 2, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 2]][end]


@pytest.mark.parametrize("known", [[10, 13], [10, 10**15], [2.0, 3.5]])
def test_ids_do_not_follow_how_they_are_found(known: list[float]) -> None:
    known = [*known, *(known[0] + 3 * number for number in range(2, 50))]
    values = pl.Series([*known, None, *(value - 1 for value in known)])
    vocabulary = pl.Series(known, dtype=values.dtype).sort()
    place = {value: number for number, value in enumerate(vocabulary, 1)}
    found = pl.LazyFrame({"x": values}).select(ids(pl.col("x"), vocabulary)).collect()
    assert found["x"].to_list() == [place.get(value, 0) for value in values]


@pytest.mark.parametrize("known", [["a", "b"], [1, 2]])
def test_ids_in_lists_are_the_same(known: list[Any]) -> None:
    lists = pl.LazyFrame({"x": [[known[1], known[0]], [], None, [None, known[1]]]})
    found = lists.select(pl.col("x").list.eval(ids(pl.element(), pl.Series(known)))).collect()
    assert found["x"].to_list() == [[2, 1], [], None, [0, 2]]


def test_distinct_values_are_sorted_and_known() -> None:
    assert distinct(pl.LazyFrame({"x": ["b", None, "a", "b"]}), "x").to_list() == ["a", "b"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((3.5, 0.25), (3.5, 0.25)),
        ((-3.5, 3.6e-7), (-3.5, 3.6e-7)),
        ((0.1, 1.55e-17), (0.1, 1.0)),
        ((-5e12, 3.0), (-5e12, 5e5)),
        ((1.2e-17, 1.0), (0.0, 1.0)),
        ((-2e-9, 1.0), (-2e-9, 1.0)),
        ((0.0, 0.0), (0.0, 1.0)),
        ((None, None), (0.0, 1.0)),
        ((4.0, None), (4.0, 1.0)),
    ],
)
def test_what_only_rounding_left_of_a_moment_is_none(
    found: tuple[float | None, float | None], expected: tuple[float, float]
) -> None:
    assert scale(*found) == pytest.approx(expected, rel=1e-15)
