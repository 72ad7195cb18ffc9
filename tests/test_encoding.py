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
