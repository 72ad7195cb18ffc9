"""Made-up records of ten methods on two logs, as ``run`` would write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmark.config import Params
from benchmark.files import read_json, write_json
from benchmark.registry import ROOT
from benchmark.reporting import records
from benchmark.reporting.table import Table, build
from benchmark.schema import Field, Schema
from benchmark.sealing import write_sealed
from benchmark.studies import Workspace

TRIED = {"learning_rate": 0.001, "weight_decay": 1e-6}
ORACLE, CLICKS = "oracle_log", "click_log"
TITLES = (
    "Plain", "Weighted²", "Robust & <Clipped>", "Multi_Task", "Two|Tower", "Entire 100%",
    "A Method With Quite A Long Name", "G", "H-net", "Imputed",
)  # fmt: skip
METHODS = [f"m{i}" for i in range(len(TITLES))]
HEADLINE = ["cvr_auc_oracle", "cvr_auc_random", "cvr_auc_clicked"]
COLUMNS = [
    "cvr_auc_oracle", "cvr_logloss_oracle", "cvr_bias_oracle", "cvr_auc_random", "cvr_auc_clicked",
    "cvr_gauc_clicked", "cvr_pcoc_clicked", "cvr_ece_clicked", "ctcvr_auc_impressions",
    "ctr_auc_impressions",
]  # fmt: skip
NEEDS = "needs micro, which this log lacks"


def params(replicates: int, count: int) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content |= {"datasets": [ORACLE, CLICKS], "methods": METHODS[:count], "options": {}}
    content["replicates"] = replicates
    content["protocol"] |= {"selection_metric": "cvr_auc_clicked"}
    content["protocol"]["tuning"] |= {"trials": 4}
    content["leaderboard"] = {"headline": HEADLINE, "columns": COLUMNS, "confidence": 0.95}
    return content


def schema(dataset: str) -> Schema:
    oracle = dataset == ORACLE
    return Schema(
        dataset=dataset,
        title="Funnel With An Oracle" if oracle else "Clicks <only> & more",
        options={"rates": "dense", "delay": None} if oracle else {},
        stages=("impression", "click", "conversion") if oracle else ("click", "conversion"),
        fields=(Field(name="user", kind="categorical", size=10),),
        rows={"train": 96000, "valid": 32000, "test": 32000},
        has_oracle=oracle,
        has_groups=not oracle,
        verified=oracle,
        licence="MIT",
        citation=bibtex(f"author2019{dataset.removesuffix('_log')}"),
        claims="The oracle is simulated: the order of methods on it is no claim about a shop. "
        "What holds is how far clicks mislead under the selection that was simulated.",
        fingerprint=f"data-of-{dataset}",
    )


def bibtex(key: str) -> str:
    return f"""
    @inproceedings{{{key},
      title = {{A {{Title}} <with> & Signs}},
      year  = {{2020}},
      doi   = {{10.0000/{key}}},
    }}
    """


def task(dataset: str, method: str, protocol: dict[str, Any]) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "method": method,
        "title": TITLES[METHODS.index(method)],
        "citation": bibtex(f"author2020{method}"),
        "protocol": protocol,
        "data": f"data-of-{dataset}",
        "code": f"code-of-{method}",
        "versions": {"torch": "2.13.0", "numpy": "2.2.0"},
        "python": "3.11.2",
        "device": "cpu (x86_64)",
        "key": f"key-of-{dataset}-{method}",
        "commit": "0123456789abcdef+",
    }


def fit(method: str, rng: np.random.Generator, seed: int, data: str = "") -> dict[str, Any]:
    return {
        "method": method,
        "hyperparameters": TRIED,
        "seed": seed,
        "data": data,
        "value": float(rng.uniform(0.6, 0.7)),
        "history": [0.6, 0.65, 0.64],
        "best_epoch": 1,
        "seconds": float(rng.uniform(5, 9)),
        "sample_gradients": 288000,
        "parameters": 123456,
    }


def outcome(rng: np.random.Generator, dataset: str, rank: int) -> dict[str, Any]:
    """Return metrics of a method that is the better the lower its rank, yet worse on clicks."""
    noise = rng.normal(0, 0.003, 12)
    metrics = {
        "cvr_auc_clicked": 0.68 + 0.004 * (rank % 4) + noise[0],
        "cvr_logloss_clicked": 0.31 + 0.002 * rank + noise[1],
        "cvr_pcoc_clicked": 1.0 + 0.02 * (rank - 4) + noise[2],
        "cvr_ece_clicked": 0.01 + 0.001 * rank + abs(noise[3]),
        "cvr_bias_clicked": 0.002 * (rank - 4) + noise[4],
    }
    spaces = {"cvr_clicked": 1.0}
    if dataset == ORACLE:
        metrics |= {
            "cvr_auc_oracle": 0.74 - 0.006 * rank + noise[5],
            "cvr_logloss_oracle": 0.25 + 0.003 * rank + noise[6],
            "cvr_bias_oracle": 0.004 * rank + noise[7],
            "ctr_auc_impressions": 0.77 + noise[8],
            "ctcvr_auc_impressions": 0.79 - 0.002 * rank + noise[9],
        }
        spaces["cvr_oracle"] = 1 / (1 + 0.2 * rank)
    else:
        metrics["cvr_gauc_clicked"] = 0.6 + noise[10]
    score = np.geomspace(0.004, 0.3, 10)
    return {
        "valid": metrics,
        "test": {name: float(value) for name, value in metrics.items()},
        "reliability": {
            name: [[3200, float(x), float(x * factor * rng.uniform(0.9, 1.1))] for x in score]
            for name, factor in spaces.items()
        },
    }


def write_task(
    root: Path, dataset: str, rank: int, protocol: dict[str, Any], replicates: int
) -> None:
    method = METHODS[rank]
    folder = root / "results" / "runs" / dataset / method
    write_sealed(folder / "task.json", task(dataset, method, protocol))
    if dataset == CLICKS and rank in (2, 5):
        write_sealed(folder / "skipped.json", {"reason": NEEDS})
        return
    rng = np.random.default_rng([rank, dataset == ORACLE])
    for number in range(4):
        write_sealed(folder / "trials" / f"{number:04d}-0.json", fit(method, rng, 2021))
    write_best(folder)
    for number in range(replicates):
        record = fit(method, rng, number, f"data-of-{dataset}") | outcome(rng, dataset, rank)
        write_sealed(folder / "default" / f"{number}.json", record)


def write_best(folder: Path) -> None:
    write_sealed(folder / "best.json", {"hyperparameters": TRIED, "part": "default"})


def write_project(root: Path, replicates: int, count: int = len(METHODS)) -> Path:
    """Write params, schemas and the runs of the first methods on two datasets."""
    content = params(replicates, count)
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    protocol = Params.model_validate(content).protocol.identity
    for dataset in (ORACLE, CLICKS):
        write_json(root / "data/processed" / dataset / "schema.json", schema(dataset).model_dump())
        for rank in range(count):
            write_task(root, dataset, rank, protocol, replicates)
    return root


def tables(root: Path) -> list[Table]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        workspace = Workspace()
        return [build(found, workspace.params) for found in records.read(workspace)]


def edit(path: Path, **changes: Any) -> None:
    """Change a record as the program would have written it."""
    record = read_json(path)
    if "digest" in record:
        del record["digest"]
        write_sealed(path, record | changes)
    else:
        write_json(path, record | changes)
