"""Made-up records of a sensitivity study: five methods, a base setting and two factors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmark.files import write_json
from benchmark.schema import Schema
from benchmark.sealing import write_sealed
from benchmark.studies import Sensitivity, StudyParams, Workspace
from helpers import fake_runs

STUDY = "storm"
PLAIN, BIASED, TWIN, LATE, FRAIL = METHODS = ["m0", "m1", "m2", "m3", "m4"]
SENSITIVITY = {
    "dataset": fake_runs.ORACLE,
    "baselines": [PLAIN],
    "factors": {"wind": [0, 2], "rain": [0.5, 3]},
    "meanings": {"wind": "How hard it <blows>."},
}
OPTIONS = {"wind": 1.0, "rain": 1}
SEEDS = [0, 1, 2]
AUCS = {PLAIN: 0.70, BIASED: 0.72, TWIN: 0.72, LATE: 0.74, FRAIL: 0.60}
BIASES = {PLAIN: 0.02, BIASED: -0.05, TWIN: -0.01, LATE: 0.01, FRAIL: 0.4}
DIVERGED = "predicts values that are not numbers"


def write_study(root: Path) -> Path:
    """Write the params of the benchmark and of a study, and all of the latter's records."""
    content = fake_runs.params(len(SEEDS), len(METHODS))
    own = {
        "methods": METHODS,
        "sensitivity": SENSITIVITY,
        "protocol": {"tuning": {"trials": 0}},
        "leaderboard": {
            "headline": ["cvr_auc_oracle", "cvr_bias_oracle"],
            "columns": ["cvr_auc_oracle", "cvr_bias_oracle", "cvr_pcoc_oracle"],
            "reference": PLAIN,
        },
    }
    folder = root / "studies" / STUDY
    folder.mkdir(parents=True)
    (root / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (folder / "params.yaml").write_text(yaml.safe_dump(own, sort_keys=False), encoding="utf-8")
    params = StudyParams.read(root / "params.yaml", folder / "params.yaml")
    protocol = params.protocol.identity
    for setting, changed in Sensitivity.model_validate(SENSITIVITY).settings().items():
        _write_setting(root, setting, changed, protocol)
    return root


def _write_setting(
    root: Path, setting: str, changed: Mapping[str, float], protocol: dict[str, Any]
) -> None:
    workspace = Workspace(STUDY)
    schema = _schema(setting, changed)
    write_json(root / workspace.processed / setting / "schema.json", schema.model_dump())
    for method in METHODS:
        folder = root / workspace.runs / setting / method
        task = fake_runs.task(setting, method, protocol) | {"data": schema.fingerprint}
        write_sealed(folder / "task.json", task)
        if method == LATE and "rain" not in changed:
            write_sealed(folder / "skipped.json", {"reason": "needs rain, which this log lacks"})
            continue
        for seed in SEEDS:
            record = _record(method, changed, seed) | {"data": schema.fingerprint}
            write_sealed(folder / "default" / f"{seed}.json", record)
        if method == FRAIL and changed.get("wind") == 2:
            reason = {"reason": f"replicate 0: {DIVERGED}", "lasting": True}
            write_sealed(folder / "failed.json", reason)
        else:
            fake_runs.write_best(folder)


def _schema(setting: str, changed: Mapping[str, float]) -> Schema:
    window = 2.0 if "rain" in changed else None
    update = {"dataset": setting, "options": OPTIONS | changed, "attribution_window": window}
    return fake_runs.schema(fake_runs.ORACLE).model_copy(
        update=update | {"fingerprint": f"data-of-{setting}"}
    )


def _record(method: str, changed: Mapping[str, float], seed: int) -> dict[str, Any]:
    record = fake_runs.fit(method, np.random.default_rng(seed), seed)
    if method == FRAIL and changed.get("wind") == 2:
        return record | {"value": None, "diverged": DIVERGED}
    auc = AUCS[method] + 0.001 * (seed - 1)
    auc -= 0.02 * changed.get("wind", 0) * (method in {BIASED, TWIN})
    bias = BIASES[method] + (0.02 if method == PLAIN else 0.001) * (seed - 1)
    test = {"cvr_auc_oracle": auc, "cvr_bias_oracle": bias, "cvr_pcoc_oracle": 1 + 10 * bias}
    return record | {"test": test, "valid": test}
