"""The worlds of a sweep: one dataset again and again, with one option changed each time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmark import registry
from benchmark.data.dataset import DataError, Dataset
from benchmark.data.fetching.download import is_verified
from benchmark.data.preprocess import preprocess
from benchmark.errors import did_you_mean
from benchmark.studies import Sweep


def write(sweep: Sweep, options: Mapping[str, Any], raw: Path, processed: Path) -> None:
    """Write the ready splits of every world into a folder of its name; delete other folders.

    Raises:
        DataError: a knob is no option of the dataset, a level is the base's, or data are wrong.
    """
    kind = registry.load("datasets", sweep.dataset, Dataset)
    base = kind(**options)
    _check(sweep, base)
    worlds = sweep.worlds()
    for name, changed in tqdm(worlds.items(), desc="worlds", unit="world"):
        world = kind(**{**options, **changed})
        preprocess(world, name, raw, processed / name, verified=is_verified(raw))
    for folder in processed.iterdir():
        if folder.name not in worlds:
            shutil.rmtree(folder)


def _check(sweep: Sweep, base: Dataset) -> None:
    options = base.options.model_dump()
    for knob, levels in sweep.knobs.items():
        if knob not in options:
            present = base.options.renamed.get(knob)
            hint = f"an old name; {present}" if present else did_you_mean(knob, options)
            raise DataError(f"sweep: knob {knob!r} is no option of {sweep.dataset}: {hint}")
        if options[knob] in levels:
            raise DataError(
                f"sweep: level {options[knob]!r} of {knob} is that of the base world, which is "
                "compared anyway; leave it out"
            )
