"""Logs with a whole funnel or with randomised arms: options, rules, and what real files hold."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from helpers.layouts import criteo_uplift, google_analytics_sample, hillstrom
from helpers.raw_logs import load, same

from benchmark.data.dataset import DataError
from benchmark.data.preprocess import preprocess
from benchmark.files import read_json


def test_exposed_users_are_read_alone_and_nothing_is_random_among_them(tmp_path: Path) -> None:
    criteo_uplift.write(tmp_path)
    dataset = load("criteo_uplift")(users="exposed")
    table = same(dataset, tmp_path, lambda folder: criteo_uplift.read(folder, exposed=True))
    assert set(table["treatment"]) == {1}
    assert "propensity" not in dataset.table(tmp_path).collect_schema()


def test_the_checkout_counts_as_the_conversion_if_asked_for(tmp_path: Path) -> None:
    google_analytics_sample.write(tmp_path)
    dataset = load("google_analytics_sample")(conversion="checkout")
    assert dataset.proxy_label == "checkout"
    same(dataset, tmp_path, lambda folder: google_analytics_sample.read(folder, "5"))


def test_products_without_a_way_to_a_label_are_counted_by_rule(tmp_path: Path) -> None:
    google_analytics_sample.write(tmp_path / "raw")
    cells = list(google_analytics_sample.cells(tmp_path / "raw"))
    unseen = [cell["kinds"] for cell in cells if not cell["shown"]]
    expected = {
        "converted": sum("6" in kinds for kinds in unseen),
        "carted": sum("3" in kinds and "6" not in kinds for kinds in unseen),
        "clicked on": sum("click" in kinds and not {"3", "6"} & kinds for kinds in unseen),
    }
    dataset = load("google_analytics_sample")()
    preprocess(dataset, "x", tmp_path / "raw", tmp_path / "ready", verified=False)
    assert all(expected.values())
    assert read_json(tmp_path / "ready" / "report.json")["dropped"] == {
        **{
            f"product {what} in a session that had not shown it in a list before": count
            for what, count in expected.items()
        },
        "product that converted without a click in a list": sum(
            cell["shown"] and cell["ended"] and not cell["click"] for cell in cells
        ),
    }


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"visitStartTime": "soon"}, "visitStartTime must be seconds since 1970"),
        ({"visitStartTime": 1_470_000_000_000}, "visitStartTime must be seconds since 1970"),
        ({"hits": [{"hitNumber": 0}]}, "hitNumber must be a whole number from 1 up"),
        (
            {"hits": [{"hitNumber": 1, "eCommerceAction": {"action_type": "9"}}]},
            "action_type must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8",
        ),
        ({"hits": [{"hitNumber": 1, "product": [{}]}]}, "v2ProductName must be given"),
    ],
)
def test_a_session_that_breaks_a_rule_is_named(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    google_analytics_sample.write(tmp_path / "raw")
    file = tmp_path / "raw" / "ga_sessions_20160802.json"
    first, *rest = file.read_text(encoding="utf-8").splitlines()
    broken = json.dumps(json.loads(first) | changed)
    file.write_text("\n".join([first, broken, *rest]) + "\n", encoding="utf-8")
    dataset = load("google_analytics_sample")()
    with pytest.raises(DataError, match=rf"ga_sessions_20160802\.json, line 2: .*{words}"):
        preprocess(dataset, "x", tmp_path / "raw", tmp_path / "ready", verified=False)


@pytest.mark.parametrize("name", ["ga_sessions_20160802.json", "ga_sessions_all.jsonl"])
def test_a_packed_file_beside_its_content_is_not_read_again(tmp_path: Path, name: str) -> None:
    google_analytics_sample.write(tmp_path)
    once = load("google_analytics_sample")().table(tmp_path).collect()
    content = (tmp_path / "ga_sessions_20160802.json").read_bytes()
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
    assert load("google_analytics_sample")().table(tmp_path).collect().equals(once)


def test_a_session_of_two_files_is_refused_and_not_counted_twice(tmp_path: Path) -> None:
    google_analytics_sample.write(tmp_path)
    session, *_ = (tmp_path / "ga_sessions_20160802.json").read_bytes().splitlines()
    (tmp_path / "ga_sessions.jsonl").write_bytes(session + b"\n")
    with pytest.raises(DataError, match=r"02\.json has session \S+, which is in .*\.jsonl too"):
        load("google_analytics_sample")().table(tmp_path)


def test_a_real_funnel_is_counted_as_at_its_source(real: Path) -> None:
    folder = real / "google_analytics_sample"
    table = same(load("google_analytics_sample")(), folder, google_analytics_sample.read)
    assert len(table) == 58_822
    # The source counts 1,390 clicked: one session begins with a click, 12 hits before a list
    # shows the product, on another page and without a second click.
    assert table.select("click", "micro", "macro", "conversion").sum().row(0) == (
        1390 - 1, 1122, 335, 37
    )  # fmt: skip
    sessions = google_analytics_sample.sessions_in(folder).values()
    assert len(sessions) == 2738
    hits = [hit for session in sessions for hit in session["hits"]]
    products = [
        "shown" if product.get("isImpression") else hit["eCommerceAction"]["action_type"]
        for hit in hits
        for product in hit["product"]
    ]
    counts = {kind: products.count(kind) for kind in ("shown", *"123456")}
    assert counts == {
        "shown": 81_187, "1": 2495, "2": 1999, "3": 560, "4": 62, "5": 776, "6": 218
    }  # fmt: skip


def test_real_arms_are_counted_as_published(real: Path) -> None:
    table = same(load("hillstrom")(), real / "hillstrom", hillstrom.read)
    arms = table.group_by("segment").agg(pl.len(), pl.col("click", "conversion").sum())
    assert set(arms.rows()) == {
        ("No E-Mail", 21_306, 2262, 122),
        ("Mens E-Mail", 21_307, 3894, 267),
        ("Womens E-Mail", 21_387, 3238, 189),
    }
    assert table.group_by("split").len().sort("split")["len"].to_list() == pytest.approx(
        [0.35 * 64_000, 0.5 * 64_000, 0.15 * 64_000], rel=0.02
    )
