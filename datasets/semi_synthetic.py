"""Semi-synthetic: the rows of a real log, with outcomes of a teacher that was fitted on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from benchmark.data.options import Seed, SimulatedOptions, Strength
from benchmark.data.simulation.derived import Derived, sampled
from benchmark.data.simulation.generator import Columns, LogOddsEffect, Rows, funnel, standardised
from benchmark.data.simulation.teacher import TEACHERS, Inputs, cross_fitted
from benchmark.dataset import Field


class SemiSyntheticOptions(SimulatedOptions):
    """The options of a semi-synthetic dataset."""

    base: str = "coat"
    """The dataset whose rows are taken, by its file name in datasets/."""
    base_options: dict[str, Any] = {}
    """The options of that dataset."""
    teacher: Literal["trees", "deep"] = "trees"
    """The model that is fitted to the dataset's own labels."""
    selection_strength: Strength = 0.0
    """How much the log odds of a click grow per standard deviation of those of the conversion."""
    unobserved_confounding: Strength = 0.0
    """How much the log odds of both grow with a cause that no feature tells."""
    rows: int = Field(200_000, ge=1000)
    """About how many rows are taken, whole groups at a time; all if there are no more."""
    seed: Seed = 2021


class SemiSynthetic(Derived):
    r"""Draw clicks and conversions anew, from probabilities learned on the log of ``base``.

    With cross-fitted log odds :math:`z_o` of the click and :math:`z_r` of the conversion, the
    latter standardised as :math:`\bar z_r`, and normal u, drawn for each row and never shown,

    .. math:: o: \sigma(z_o + s \bar z_r + hu + b_o), \quad r: \sigma(z_r + hu + b_r)

    where s is ``selection_strength``, h ``unobserved_confounding``, and the intercepts b give the
    log's CTR and its CVR among clicks. At 0 and 0, selection is what the teacher learned of the
    log's own. The oracle's probabilities are those given u.
    """

    stages = ("impression", "click", "conversion")
    options: SemiSyntheticOptions
    redraws = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.set_base(self.options.base, self.options.base_options)
        name, teacher = self.origin.title, self.options.teacher
        self.title = f"Semi-synthetic {name} ({teacher})"
        self.claims = (
            f"Semi-synthetic: rows, features and splits are those of {name}; clicks and "
            f"conversions are drawn from a teacher ({teacher}) fitted on its log, with the log's "
            "CTR and its CVR among clicks. The truth is the teacher's, who learned conversion "
            "mostly from clicks and extrapolates to other rows as it does: results show how "
            "methods bear a bias of this shape, not which is best on the log. Methods built like "
            "the teacher are favoured. Each row's probability comes from one of five models, none "
            "of which saw the row, so that equal features may have slightly different truths. "
            "Above 0, the options selection_strength and unobserved_confounding plant more "
            "selection than the log has; no feature explains that of the latter."
        )

    def table(self, raw: Path) -> pl.LazyFrame:
        rows = sampled(self.origin_rows(raw), self.options.rows, self.options.seed)
        kept = [name for name in ("split", "group") if name in rows.columns]
        frame = rows.select(*self.categorical, *self.numeric, *kept).lazy()
        drawn = frame.with_columns(**self._outcomes(rows))
        conversion = pl.when(pl.col("click")).then(pl.col("conversion"))
        return drawn.with_columns(conversion).with_columns(pl.col(pl.Boolean).cast(pl.Int8))

    def _outcomes(self, rows: pl.DataFrame) -> Columns:
        """Fit the teacher, calibrate it and draw from it."""
        seed, strength = self.options.seed, self.options.selection_strength
        inputs = Inputs.of(rows, self.categorical, self.numeric)
        teacher = TEACHERS[self.options.teacher](inputs, seed)
        logits = {}
        for label in ("click", "conversion"):
            known = rows[label].cast(pl.Float64).fill_null(np.nan).to_numpy()
            logits[label] = cross_fitted(teacher, known)
        draws = Rows.seeded(seed, rows.height)
        unseen = self.options.unobserved_confounding * draws.normal()
        logits["click"] += strength * standardised(logits["conversion"]) + unseen
        logits["conversion"] += unseen
        return funnel(draws, logits, {"conversion": LogOddsEffect()}, _rates(rows))


def _rates(rows: pl.DataFrame) -> tuple[float, float]:
    """Return the log's CTR and its CVR among clicks; rows shown at random are no part of it."""
    logged = rows.filter(policy="log") if "policy" in rows.columns else rows
    clicks = logged.filter(click=1)
    return clicks.height / logged.height, clicks["conversion"].to_numpy().mean()
