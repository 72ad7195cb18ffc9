"""A known policy that decides which cells of a fully observed matrix are clicked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from benchmark.data.options import integer, number
from benchmark.data.simulation.generator import Array, LogOddsEffect, Past, calibrated, standardised

OPTIONS = {"click_rate": 0.2, "selection_strength": 1.0, "hidden": 0.5, "seed": 2021}
RULES = {
    "click_rate": number(0.001, 0.999),
    "selection_strength": number(0),
    "hidden": number(0),
    "seed": integer(0),
}


@dataclass(frozen=True)
class LoggingPolicy:
    r"""Click each cell with a known probability.

    With x what features tell (such as the item's popularity) and y what the user thought of it
    (such as the rating), both standardised over the cells, the log odds of a click are
    :math:`s x + h y + b`: s is ``selection_strength``, h ``hidden``, and b makes the mean
    probability ``click_rate``. With h above 0, ratings are missing not at random.
    """

    click_rate: float
    selection_strength: float
    hidden: float
    seed: int

    @classmethod
    def of(cls, chosen: Mapping[str, Any]) -> LoggingPolicy:
        """Return the policy that an adapter's options describe."""
        return cls(**{name: chosen[name] for name in OPTIONS})

    def logged(self, cells: pl.DataFrame) -> pl.DataFrame:
        """Return the cells as a log: ``conversion``, known everywhere, stays on clicks alone.

        The columns ``told`` and ``thought`` are x and y. The oracle's conversion is the observed
        one. Its probability given the features is unknown: the outcome itself stands for it.
        """
        ctr = self.propensity(*(cells[name].to_numpy() for name in ("told", "thought")))
        click = pl.Series(np.random.default_rng(self.seed).random(len(ctr)) < ctr)
        outcome = pl.col("conversion")
        return cells.with_columns(
            oracle_ctr=ctr,
            oracle_cvr=outcome.cast(pl.Float64),
            oracle_conversion=outcome,
            click=click.cast(pl.Int8),
            conversion=pl.when(click).then(outcome),
        )

    def propensity(self, told: Array, thought: Array) -> Array:
        """Return the probability of a click, (cells,)."""
        logit = self.selection_strength * standardised(told) + self.hidden * standardised(thought)
        everyone = Past(np.ones(len(logit)))
        step = calibrated(logit, LogOddsEffect(), everyone, everyone.previous, self.click_rate)
        return step.rate(everyone)
