"""Several processes that train one model: the numbers of one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as group

from benchmark import registry
from benchmark.config import Pretraining, Protocol
from benchmark.registry import ROOT
from benchmark.training import trainer
from benchmark.training.backbones import blueprint
from benchmark.training.distributed import obstacle
from benchmark.training.method import Method
from benchmark.training.trainer import Data, fit, predict

HYPER = {"learning_rate": 0.01, "weight_decay": 1e-3}
PROCESSES = 2
CPU = torch.device("cpu")


def trained(processed: Path, protocol: Protocol, name: str) -> dict[str, Any]:
    """Return what a training found, in double precision: Adam makes steps of rounding errors."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    data = Data.read(processed, CPU)
    method = registry.load("methods", name, Method)(
        blueprint(data.schema, protocol.backbone)
    ).double()
    try:
        outcome = fit(method, data, protocol, HYPER, seed=5)
    except ValueError as error:
        return {"error": str(error)}
    scores = predict(method, data.test.table)
    work = outcome.sample_gradients
    return {"history": outcome.history, "work": work, "cvr": scores.cvr.tolist()}


def main(processed: str, folder: str, rank: str) -> None:
    """Be one of the processes, with devices as GPUs are: they differ, and sum no sparse tensor.

    It finds its cases, a protocol and a method each, in the folder and leaves there what it found.
    """
    meeting = f"file://{folder}/meeting"
    judged, summed = trainer.evaluate_one, group.all_reduce

    def all_reduce(part: Tensor) -> None:
        assert not part.is_sparse
        summed(part)

    trainer.evaluate_one = lambda *given: judged(*given) + int(rank)
    group.all_reduce = all_reduce
    group.init_process_group("gloo", meeting, rank=int(rank), world_size=PROCESSES)
    cases = json.loads(Path(folder, "cases.json").read_bytes())
    found = {
        case: trained(Path(processed), Protocol.model_validate_json(own), name)
        for case, (own, name) in cases.items()
    }
    Path(folder, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    group.destroy_process_group()


CASES: dict[str, tuple[str, dict[str, int]]] = {
    "row-sparse": ("hm3", {"row_sparse_from": 10, "batch_size": 255}),
    "dense": ("hm3", {"row_sparse_from": 10**9, "batch_size": 255}),
    "no mean": ("naive", {}),
}


@pytest.fixture(scope="module")
def found(
    processed: Path, protocol: Protocol, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, dict[str, Any]]]:
    """Return what each of the processes, which are started once, found in each case."""
    folder = tmp_path_factory.mktemp("processes")
    cases = {
        case: (protocol.model_copy(update=changes).model_dump_json(), name)
        for case, (name, changes) in CASES.items()
    }
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    command = [sys.executable, __file__, str(processed), str(folder)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    started = [
        subprocess.Popen([*command, str(rank)], env=os.environ | {"PYTHONPATH": paths})
        for rank in range(PROCESSES)
    ]
    assert [process.wait(600) for process in started] == [0] * PROCESSES
    return [json.loads((folder / f"{rank}.json").read_bytes()) for rank in range(PROCESSES)]


@pytest.mark.parametrize("case", ["row-sparse", "dense"])
def test_the_numbers_are_those_of_one_process(
    case: str, processed: Path, protocol: Protocol, found: list[dict[str, Any]]
) -> None:
    name, changes = CASES[case]
    alone = trained(processed, protocol.model_copy(update=changes), name)
    one, other = (of_process[case] for of_process in found)
    assert one == other, "all processes end with the same model"
    assert one["history"] == pytest.approx(alone["history"], abs=1e-6)
    assert one["cvr"] == pytest.approx(alone["cvr"], abs=1e-6)
    assert one["work"] == alone["work"]
    assert alone["cvr"] != pytest.approx([0.5] * len(alone["cvr"]), abs=0.05), "it has learned"


def test_a_loss_that_is_no_mean_over_rows_is_refused(found: list[dict[str, Any]]) -> None:
    for of_process in found:
        error = of_process["no mean"]["error"]
        assert "cannot be trained by several processes: its loss is no mean" in error


@pytest.mark.parametrize("size", [256, 2048])
def test_the_methods_that_the_page_names_pass(
    size: int, processed: Path, protocol: Protocol
) -> None:
    data, own = Data.read(processed, CPU), protocol.model_copy(update={"batch_size": size})
    kinds = [registry.load("methods", name, Method) for name in registry.names("methods")]
    page = (ROOT / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    sentence = re.search(r"if they differ\. ([^.]*) pass\.", " ".join(page.split()))
    assert sentence is not None
    named = set(re.split(", | and ", sentence[1]))
    assert named < {kind.name for kind in kinds}
    for kind in kinds:
        if kind.name in named:
            assert obstacle(made(kind, data, own), data.train, own) is None, kind.name


def made(kind: type[Method], data: Data, protocol: Protocol) -> Method:
    torch.manual_seed(3)
    return kind(blueprint(data.schema, protocol.backbone))


class Counting(nn.Module):
    """A part of an encoder that keeps in mind how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("times", torch.zeros(()))

    def forward(self, encoding: Tensor) -> Tensor:
        self.times += 1
        return encoding


@pytest.mark.parametrize(
    ("part", "task", "reason"),
    [
        (Counting(), "none", None),
        (nn.Dropout(0.0), "none", None),
        (nn.Dropout(0.1), "none", "its dropout draws other numbers"),
        (nn.BatchNorm1d(17), "none", "its batch normalisation would see a share"),
        (Counting(), "masked", "it takes other steps than the descent of its loss, in pre-train"),
    ],
)
def test_what_shares_cannot_make_up_is_named_and_nothing_is_moved(
    part: nn.Module, task: Any, reason: str | None, processed: Path, protocol: Protocol
) -> None:
    own = protocol.model_copy(update={"pretraining": Pretraining(task=task)})
    data = Data.read(processed, CPU)
    method = made(registry.load("methods", "esmm", Method), data, own)
    method.backbone.mlp.append(part)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    found = obstacle(method, data.train, own)
    assert found == reason if reason is None else str(found).startswith(reason)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


if __name__ == "__main__":
    main(*sys.argv[1:])
