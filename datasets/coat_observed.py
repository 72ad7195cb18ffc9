"""Coat's randomly drawn cells, clicked by a known policy: every outcome stays known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.simulation.derived import Derived
from benchmark.data.simulation.logging_policy import LoggingPolicy, PolicyOptions
from benchmark.dataset import Field, split_by_hash

SHARES = {"train": 0.6, "valid": 0.1, "test": 0.3}


class CoatObservedOptions(PolicyOptions):
    """The options of the cells and of the policy."""

    positive_rating: int = Field(4, ge=2, le=5)
    """The lowest rating that counts as a conversion."""


class CoatObserved(Derived):
    r"""Random cells are the impressions; a simulated click reveals the rating.

    The log odds of a click grow with the item's popularity, the number of users who chose to
    rate it (``selection_strength``), and with the rating itself
    (``unobserved_confounding``).
    """

    title = "Coat, random cells under a simulated policy"
    claims = (
        "Semi-synthetic on Coat Shopping: the 4,640 ratings of randomly drawn items are real, the "
        "clicks are simulated by a known policy, so that what unclicked impressions would have "
        "led to is known. 'Conversion' is a rating of at least 4 (option positive_rating); "
        "nothing was bought. Its probability is unknown: oracle metrics compare with the "
        "observed outcome itself. Results show how methods bear this policy, not how users "
        "choose. Unless option unobserved_confounding is 0, clicks depend on the rating beyond "
        "what features tell, and no propensity that is a function of features removes all of the "
        "bias. Splits are drawn by a hash of the cell (60/10/30). The test split has about 1,400 "
        "cells: "
        "differences need many seeds of the policy (option seed), not of the training alone."
    )
    stages = ("impression", "click", "conversion")
    options: CoatObservedOptions
    redraws = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.set_base("coat", {"positive_rating": self.options.positive_rating})

    def table(self, raw: Path) -> pl.LazyFrame:
        popularity = (pl.col("chosen") > 0).sum().over("item_id").cast(pl.Float64)
        cell = pl.format("coat cell {} {}", "user_id", "item_id")
        cells = (
            self.origin_rows(raw)
            .with_columns(
                covariate=popularity,
                confounder=pl.col("drawn").cast(pl.Float64),
                split=split_by_hash(cell, SHARES),
            )
            .filter(pl.col("policy") == "random")
            .drop("policy")
            .collect()
        )
        return LoggingPolicy(self.options).logged(cells).lazy()
