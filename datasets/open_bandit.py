"""Open Bandit: fashion items that two policies showed, one of them at random, and their clicks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from benchmark.dataset import Dataset, Options, Source, find, scan_table, split_by_time, unique

POLICIES = {"bts": "log", "random": "random"}
USER = tuple(f"user_feature_{i}" for i in range(4))
ITEM = tuple(f"item_feature_{i}" for i in range(1, 4))
TYPES: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("timestamp", "item_id", "position", *USER), pl.String),
    "click": pl.Int8,
    "propensity_score": pl.Float64,
}
PRICE = "item_feature_0"
TIME = (
    pl.col("timestamp").str.head(19).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
)  # UTC; fractions of a second are left out
RULES = {
    "click must be 0 or 1": pl.col("click").is_in([0, 1]),
    "propensity_score must be above 0, at most 1": (pl.col("propensity_score") > 0)
    & (pl.col("propensity_score") <= 1),
    "timestamp must be like 2019-11-24 00:00:06": TIME.is_not_null(),
}
EARLY = "random impression from before the test period"


class OpenBanditOptions(Options):
    """The options of Open Bandit."""

    campaign: Literal["all", "men", "women"] = "all"
    """The campaign whose impressions are read."""


class OpenBandit(Dataset):
    """Each row is an item shown at a position; nothing after the click is logged.

    No CVR can be learned.

    Evidence: The documentation of the log lists the columns. Several people who unpacked the
    archive report its size and SHA-256. We had no copy of it, but all of the sample in the package
    obp 0.4.1: 10,000 impressions per policy and campaign in the same layout. Its wheel in
    data/manual/open_bandit/ is read in place of the archive.
    """

    title = "Open Bandit (clicks only)"
    cite = "saito2020open"
    licence = "CC BY 4.0, as users of the archive report"
    claims = (
        "Impressions and clicks with the probability with which the policy chose the item: a log "
        "for models of the CTR and for propensities. There is no conversion, so every method of "
        "this benchmark is skipped on it, and nothing about the CVR can be learned or claimed. "
        "The policy 'log' is Bernoulli Thompson sampling (bts), 'random' the uniform draw that ran "
        "beside it. Splits of the former follow each other in time (80/10/10); of the latter, the "
        "impressions of the test period are test rows, earlier ones are dropped and counted. "
        "One campaign per run (option campaign). Users are known by four hashed features only; "
        "user-item affinities are left out. The hashed item features differ between the policies' "
        "files, in the publisher's sample too, so all rows take those of bts; the hashes of users "
        "agree there. In that sample items are shown by the random policy as often as a uniform "
        "draw does; its rate, estimated from the log of bts by inverse propensities, is within "
        "the error of the one observed, which is large. The propensity is the published "
        "propensity_score, given the position."
    )
    stages = ("impression", "click")
    categorical = ("item_id", "position", *USER, *ITEM, "hour")
    numeric = (PRICE,)
    sources = (
        Source(
            file="open_bandit_dataset.zip",
            page="https://research.zozo.com/data.html",
            url="https://research.zozo.com/data_release/open_bandit_dataset.zip",
            sha256="e8ec18196582a5937381a1776382ca940689b90a18d2dcd1fb635be6df614d78",
            size=412_931_917,
        ),
    )
    options: OpenBanditOptions

    def table(self, raw: Path) -> pl.LazyFrame:
        items = dict.fromkeys(("item_id", *ITEM), pl.String) | {PRICE: pl.Float64}
        path = find(raw, f"bts/{self.options.campaign}/item_context.csv")
        context = unique(scan_table(path, items), "item_id", path)
        logged, drawn = (self._shown(raw, policy, context) for policy in POLICIES)
        parted = split_by_time(logged, "time")
        start = parted.filter(split="test").select(pl.col("time").min()).collect().item()
        early = pl.when(pl.col("time") < start).then(pl.lit(EARLY))
        drawn = drawn.with_columns(split=pl.lit("test"), dropped=early)
        return pl.concat([parted, drawn], how="diagonal")

    def _shown(self, raw: Path, policy: str, context: pl.LazyFrame) -> pl.LazyFrame:
        campaign = self.options.campaign
        log = scan_table(find(raw, f"{policy}/{campaign}/{campaign}.csv"), TYPES, rules=RULES)
        return log.join(context, on="item_id", how="left", maintain_order="left").select(
            *self.categorical[:-1], PRICE, "click",
            hour=TIME.dt.hour(),
            time=TIME,
            policy=pl.lit(POLICIES[policy]),
            propensity="propensity_score",
        )  # fmt: skip
