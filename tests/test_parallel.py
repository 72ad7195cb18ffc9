"""Several processes that train one model: the numbers of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as group

from benchmark import registry
from benchmark.params import Protocol
from benchmark.registry import ROOT
from benchmark.training.backbones import blueprint
from benchmark.training.method import Method
from benchmark.training.trainer import Data, fit, predict

HYPER = {"learning_rate": 0.01, "weight_decay": 1e-3}
PROCESSES = 2


def trained(ready: Path, protocol: Protocol, name: str) -> dict[str, Any]:
    """Return what a training found, in double precision: Adam makes steps of rounding errors."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    data = Data.read(ready, torch.device("cpu"))
    method = registry.load("methods", name, Method)(
        blueprint(data.schema, protocol.backbone)
    ).double()
    try:
        outcome = fit(method, data, protocol, HYPER, seed=5)
    except ValueError as error:
        return {"error": str(error)}
    scores = predict(method, data.test.table)
    return {"history": outcome.history, "cvr": scores.cvr.tolist()}


def main(ready: str, protocol: str, name: str, folder: str, rank: str) -> None:
    """Be one of the processes."""
    meeting = f"file://{folder}/meeting"
    group.init_process_group("gloo", meeting, rank=int(rank), world_size=PROCESSES)
    found = trained(Path(ready), Protocol.model_validate_json(protocol), name)
    Path(folder, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    group.destroy_process_group()


def trained_in_parallel(
    ready: Path, protocol: Protocol, name: str, folder: Path
) -> list[dict[str, Any]]:
    """Return what each of the processes found."""
    command = [sys.executable, __file__, str(ready), protocol.model_dump_json(), name, str(folder)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    started = [
        subprocess.Popen([*command, str(rank)], env=os.environ | {"PYTHONPATH": paths})
        for rank in range(PROCESSES)
    ]
    assert [process.wait(120) for process in started] == [0] * PROCESSES
    return [json.loads((folder / f"{rank}.json").read_bytes()) for rank in range(PROCESSES)]


@pytest.mark.parametrize("rows", [10, 10**9], ids=["row-sparse", "dense"])
def test_the_numbers_are_those_of_one_process(
    rows: int, ready: Path, protocol: Protocol, tmp_path: Path
) -> None:
    own = protocol.model_copy(update={"row_sparse_from": rows, "batch_size": 255})
    alone = trained(ready, own, "hm3")
    found = trained_in_parallel(ready, own, "hm3", tmp_path)
    assert found[0] == found[1], "all processes end with the same model"
    assert found[0]["history"] == pytest.approx(alone["history"], abs=1e-6)
    assert found[0]["cvr"] == pytest.approx(alone["cvr"], abs=1e-6)
    assert alone["cvr"] != pytest.approx([0.5] * len(alone["cvr"]), abs=0.05), "it has learned"


def test_a_loss_that_is_no_mean_over_rows_is_refused(
    ready: Path, protocol: Protocol, tmp_path: Path
) -> None:
    for found in trained_in_parallel(ready, protocol, "naive", tmp_path):
        assert "cannot be trained by several processes: its loss is no mean" in found["error"]


if __name__ == "__main__":
    main(*sys.argv[1:])
