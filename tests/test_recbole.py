"""RecBole as backbones: its layers, nothing else of it, and no trace in the process."""

from __future__ import annotations

import copy
import os
import random
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from helpers.watch import Watch
from torch import nn

from benchmark import registry
from benchmark.config import BackboneParams, Protocol
from benchmark.registry import ROOT
from benchmark.schema import Field, Schema
from benchmark.training.backbones import blueprint, recbole
from benchmark.training.backbones.recbole import HEADS, RecBoleBackbone, isolated
from benchmark.training.batch import Features
from benchmark.training.method import Method
from benchmark.training.trainer import Data, fit

CPU = torch.device("cpu")
SIZES = (7, 5, 4)
SCHEMA = Schema(
    dataset="fields",
    title="Fields",
    options={},
    stages=("impression", "click", "conversion"),
    fields=(
        *(Field(name=f"id{i}", kind="categorical", size=size) for i, size in enumerate(SIZES)),
        *(Field(name=f"number{i}", kind="numeric", size=1) for i in range(2)),
    ),
    rows={},
    has_oracle=False,
    has_groups=False,
    verified=True,
    licence="",
    citation="",
    claims="",
    fingerprint="",
)
every_model = pytest.mark.parametrize("name", HEADS)


def backbone_params(name: str, **changes: Any) -> BackboneParams:
    small = {"embedding_size": 4, "hidden": (16, 8), "tower": (6,), "dropout": 0.0}
    return BackboneParams(name=name, **{**small, **changes})


def encoder(name: str, **changes: Any) -> RecBoleBackbone:
    torch.manual_seed(1)
    backbone = blueprint(SCHEMA, backbone_params(name, **changes)).backbone()
    assert isinstance(backbone, RecBoleBackbone)
    return backbone


def features(rows: int = 32) -> Features:
    generator = torch.Generator().manual_seed(0)
    ids = [torch.randint(0, size, (rows,), generator=generator) for size in SIZES]
    return Features(torch.stack(ids, 1).int(), torch.randn(rows, 2, generator=generator))


@every_model
def test_two_heads_train_every_parameter(name: str) -> None:
    parts = blueprint(SCHEMA, backbone_params(name))
    torch.manual_seed(1)
    backbone = parts.backbone()
    towers = parts.towers(2, backbone.width)
    encoding = backbone(features())
    assert encoding.shape == (32, backbone.width)
    assert encoding.isfinite().all()
    sum(logit.sigmoid().log().mean() for logit in towers(encoding)).backward()
    for path, parameter in [*backbone.named_parameters(), *towers.named_parameters()]:
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path


def stock_model(name: str) -> Any:
    from recbole.config import Config  # noqa: PLC0415
    from recbole.utils import get_model  # noqa: PLC0415

    numbers = [field.name for field in SCHEMA.numeric]
    size = {"embedding_size": 4, "mlp_hidden_size": [16, 8]}
    settings = {"gpu_id": "", "numerical_features": numbers, **size}
    torch.manual_seed(1)
    with isolated():
        config = Config(name, "fields", config_dict=settings)
        return get_model(name)(config, recbole._Fields(SCHEMA)).eval()


@every_model
def test_the_last_column_is_the_logit_of_the_stock_model(name: str) -> None:
    inputs, backbone = features(), encoder(name).eval()
    pairs = torch.stack([inputs.dense, torch.ones_like(inputs.dense)], 2)
    interaction = {f"id{i}": ids for i, ids in enumerate(inputs.sparse.unbind(1))}
    interaction |= {f"number{i}": pair for i, pair in enumerate(pairs.unbind(1))}
    expected = stock_model(name).predict(interaction)
    torch.testing.assert_close(backbone(inputs)[:, -1].sigmoid(), expected)


@every_model
def test_ids_and_numbers_both_matter(name: str) -> None:
    inputs, backbone = features(4), encoder(name).eval()
    before = backbone(inputs)
    for column in range(len(SIZES)):
        ids = inputs.sparse.clone()
        ids[:, column] = (ids[:, column] + 1) % SIZES[column]
        assert (backbone(Features(ids, inputs.dense)) != before).any(1).all()
    for column in range(2):
        numbers = inputs.dense.clone()
        numbers[:, column] += 1
        assert (backbone(Features(inputs.sparse, numbers)) != before).any(1).all()


@every_model
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_step_takes_nothing_from_the_host(name: str, device: str) -> None:
    backbone = encoder(name).to(device)
    inputs = Features(features().sparse.to(device), features().dense.to(device))
    with Watch(device) as watch:
        backbone(inputs).sum().backward()
    assert not watch.from_host


@every_model
def test_a_copy_is_independent(name: str) -> None:
    backbone = encoder(name).eval()
    expected = backbone(features())
    copied = copy.deepcopy(backbone)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.zero_()
    torch.testing.assert_close(copied(features()), expected)
    assert not backbone.seen


def test_equal_ids_of_two_fields_have_rows_of_their_own() -> None:
    backbone = encoder("DeepFM")
    backbone(Features(torch.full((3, 3), 2, dtype=torch.int32), torch.zeros(3, 2))).sum().backward()
    table = backbone.net.token_embedding_table.embedding.weight
    assert table.shape == (sum(SIZES), 4)
    assert table.grad.any(1).nonzero().flatten().tolist() == [2, 7 + 2, 7 + 5 + 2]


def test_sizes_and_dropout_are_those_of_params() -> None:
    assert encoder("DeepFM").width == 8 + 1
    assert encoder("DeepFM", hidden=()).width == 128 + 1
    for name in HEADS:
        net = encoder(name, dropout=0.37).net
        layers = [layer for layer in net.modules() if isinstance(layer, nn.Dropout)]
        attention = [x for x in net.modules() if isinstance(x, nn.MultiheadAttention)]
        assert {layer.p for layer in layers} | {layer.dropout for layer in attention} == {0.37}


@pytest.mark.parametrize("kind", ["categorical", "numeric"])
def test_fields_of_one_kind_are_enough(kind: str) -> None:
    schema = SCHEMA.model_copy(
        update={"fields": tuple(field for field in SCHEMA.fields if field.kind == kind)}
    )
    backbone = blueprint(schema, backbone_params("DeepFM")).backbone()
    inputs = features()
    ids = inputs.sparse[:, : len(schema.categorical)]
    numbers = inputs.dense[:, : len(schema.numeric)]
    assert backbone(Features(ids, numbers)).shape == (32, backbone.width)


@pytest.mark.parametrize("devices", ["3", None])
def test_the_process_is_left_as_it_was(
    devices: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder("DeepFM")  # what importing does is not at issue
    arguments = ["program", "--embedding_size=99", "--gpu_id=7"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if devices is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    names, loader = dict(vars(np)), yaml.FullLoader
    resolvers = copy.deepcopy(loader.yaml_implicit_resolvers)
    draws = random.getstate(), str(np.random.get_state())  # noqa: NPY002
    backbone = encoder("DeepFM")
    assert backbone.net.embedding_size == 4
    assert sys.argv is arguments
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == devices
    assert vars(np) == names
    assert "float_" not in names
    assert yaml.FullLoader is loader
    assert loader.yaml_implicit_resolvers == resolvers
    assert draws == (random.getstate(), str(np.random.get_state()))  # noqa: NPY002


def test_only_the_weights_draw_from_the_seed() -> None:
    from recbole.config import Config  # noqa: PLC0415

    state = torch.get_rng_state()
    with isolated():
        Config("DeepFM", "ready", config_dict={"gpu_id": ""})
    assert torch.equal(torch.get_rng_state(), state)
    first, second = encoder("DeepFM").state_dict(), encoder("DeepFM").state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


class NoRecBole:
    def find_spec(self, name: str, *_: object) -> None:
        if name == "recbole":
            raise ModuleNotFoundError("No module named 'recbole'", name=name)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let RecBole be neither imported nor installed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "recbole"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoRecBole(), *sys.meta_path])


@pytest.mark.usefixtures("absent")
def test_recbole_is_imported_when_a_backbone_of_it_is_made() -> None:
    runpy.run_path(str(recbole.__file__))
    blueprint(SCHEMA, backbone_params("DeepFM"))
    code = (path.read_text(encoding="utf-8") for path in (ROOT / "benchmark").rglob("*.py"))
    assert not [text for text in code if re.search(r"^\s*(import|from) recbole", text, re.M)]


@pytest.mark.usefixtures("absent")
def test_without_recbole_one_sentence_says_what_to_run() -> None:
    with pytest.raises(LookupError, match=r"`pip install --no-deps recbole==1\.2\.1`$"):
        encoder("DeepFM")


def test_an_unknown_backbone_is_answered_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match=r"did you mean 'DeepFM'.* Known: embeddings, AutoInt"):
        blueprint(SCHEMA, backbone_params("deepfm"))


@pytest.mark.parametrize("name", ["esmm", "dr_jl", "es_dfm"])  # plain, in phases, with delays
def test_a_method_trains_on_a_backbone_of_recbole(
    name: str, processed: Path, protocol: Protocol
) -> None:
    data = Data.read(processed, CPU)
    torch.manual_seed(0)
    kind = registry.load("methods", name, Method)
    method = kind(blueprint(data.schema, backbone_params("DeepFM")))
    before = copy.deepcopy(method.backbone.state_dict())
    short = protocol.model_copy(update={"max_epochs": 1})
    fitted = fit(method, data, short, {"learning_rate": 0.01, "weight_decay": 0.0}, 0)
    assert np.isfinite(fitted.history).all()
    assert any((before[key] != value).any() for key, value in method.backbone.state_dict().items())
