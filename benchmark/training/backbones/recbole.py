"""RecBole's context models as backbones. Only this module imports RecBole, and only when needed.

RecBole supplies the layers and their initialisation. Data, loss, optimiser and evaluation are
this benchmark's own, so RecBole's dataset, trainer and quick start are never imported.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import ModuleType
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from benchmark.config import BackboneParams
from benchmark.schema import Schema
from benchmark.training.backbones.interactions import FactorisationMachine, InnerProducts
from benchmark.training.batch import Features
from benchmark.training.blueprint import Backbone

# Per model, the layers that turn its last hidden representations into its logit. Left out are
# models without any (FM, FFM, FwFM, LR), with two phases (KD_DAGFM) or two towers (DSSM), and
# AFM, which copies its list of pairs to the device at each step.
HEADS: dict[str, Callable[[Any], tuple[nn.Module, ...]]] = {
    "AutoInt": lambda net: (net.attn_fc, net.deep_predict_layer),
    "DCN": lambda net: (net.predict_layer,),
    "DCNV2": lambda net: (net.predict_layer,),
    "DeepFM": lambda net: (net.deep_predict_layer,),
    "EulerNet": lambda net: (net.reg,),
    "FiGNN": lambda net: (net.mlp2,),
    "FNN": lambda net: (net.predict_layer,),
    "NFM": lambda net: (net.predict_layer,),
    "PNN": lambda net: (net.predict_layer,),
    "WideDeep": lambda net: (net.deep_predict_layer,),
    "xDeepFM": lambda net: (net.cin_linear, net.mlp_layers.mlp_layers[-2]),
}
DROPOUTS = ("dropout_prob", "hidden_dropout_prob", "attn_dropout_prob", "drop_ex", "drop_im")
REMOVED = {"float_": np.float64, "complex_": np.complex128, "unicode_": np.str_}


class RecBoleBackbone(Backbone):
    """Encode by a RecBole model: the encoding is its last hidden representations and its logit.

    The logit carries the terms that bypass the hidden layers (first-order and FM terms), so that
    every head sees them. ``hidden`` replaces the sizes of the model's MLP; if it is empty, the
    model keeps RecBole's sizes. All settings except embedding size, MLP and dropout are RecBole's
    defaults.

    Differs from RecBole: The weight decay of the protocol replaces the regularisers in RecBole's
    ``calculate_loss``.

    Raises:
        LookupError: RecBole is not installed.
        ValueError: The dataset has histories.
    """

    def __init__(self, schema: Schema, params: BackboneParams) -> None:
        super().__init__()
        if schema.sequences:
            raise ValueError(
                f"the backbone {params.name} of RecBole reads no histories, and {schema.dataset} "
                "has one: choose another backbone, or an option of the dataset that leaves it out"
            )
        self.categorical = [field.name for field in schema.categorical]
        self.numeric = [field.name for field in schema.numeric]
        self.net = _without_host_copies(_model(schema, params))
        self.seen: list[Tensor] = []
        for head in HEADS[params.name](self.net):
            head.register_forward_pre_hook(self._keep)
        with torch.enable_grad():
            _drop_unused(self.net, self._dry_run())
        with torch.no_grad():
            self.width = self._dry_run().shape[1]

    def forward(self, features: Features) -> Tensor:
        """Return the encodings (B, width)."""
        inputs = dict(zip(self.categorical, features.sparse.unbind(1), strict=True))
        inputs.update(zip(self.numeric, features.dense.unsqueeze(2).unbind(1), strict=True))
        with self._making_tensors_on(features.sparse.device):
            logit = self.net(inputs)
        vars(self.net).pop("graph", None)  # FiGNN keeps it, and could then not be copied
        hidden, self.seen = self.seen, []
        return torch.cat([*(part.flatten(1) for part in hidden), logit.unsqueeze(1)], 1)

    def separate_products(self) -> None:
        """Make a factorisation machine multiply each pair of fields instead of squaring sums."""
        if hasattr(self.net, "fm"):
            count, size = self.net.num_feature_field, self.net.embedding_size
            self.net.fm = FactorisationMachine(count, size, scalar=self.net.fm.reduce_sum)

    def _keep(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Keep the input of a head. As a method, the hook is copied with the backbone."""
        self.seen.append(inputs[0])

    def _making_tensors_on(self, device: torch.device) -> AbstractContextManager[Any]:
        """Make FiGNN create its masks on the device; this would slow down other models."""
        self.net.device = device
        return device if hasattr(self.net, "src_nodes") else nullcontext()

    def _dry_run(self) -> Tensor:
        ids = torch.zeros(1, len(self.categorical), dtype=torch.int32)
        self.eval()
        encoding = self(Features(ids, torch.zeros(1, len(self.numeric))))
        self.train()
        return encoding


class _Fields:
    """Provide what a RecBole model requests from its dataset."""

    def __init__(self, schema: Schema) -> None:
        kinds = _recbole("utils").FeatureType
        kind = {"categorical": kinds.TOKEN, "numeric": kinds.FLOAT}
        self.field2type = {field.name: kind[field.kind] for field in schema.fields}
        # RecBole keeps two rows per number and reads the second one.
        self.sizes = {f.name: 2 if f.kind == "numeric" else f.size for f in schema.fields}

    def fields(self, source: Any) -> list[str]:
        """Return the fields of every source."""
        return list(self.field2type)

    def num(self, field: str) -> int:
        """Return the number of rows that a field needs in an embedding table."""
        return self.sizes[field]


class _Categorical(nn.Module):
    """Look up RecBole's table of categorical fields, with its offsets on the device."""

    offsets: Tensor

    def __init__(self, table: Any) -> None:
        super().__init__()
        self.embedding = table.embedding
        offsets = torch.from_numpy(table.offsets).to(torch.int32)
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings (B, fields, size) of ids (B, fields)."""
        return self.embedding(ids + self.offsets)


class _Numeric(nn.Module):
    """Read the second row of each numeric field in RecBole's table, without an index."""

    def __init__(self, table: Any) -> None:
        super().__init__()
        self.embedding = table.embedding

    def forward(self, numbers: Tensor) -> Tensor:
        """Return the embeddings (B, fields, size) of numbers (B, fields, 1)."""
        return numbers * self.embedding.weight[1::2]


def _model(schema: Schema, params: BackboneParams) -> Any:
    """Return RecBole's model, on the CPU, with a forward pass that ends in its logit."""
    settings: dict[str, Any] = {
        "gpu_id": "",
        "LABEL_FIELD": "",
        "numerical_features": [field.name for field in schema.numeric],
        "embedding_size": params.embedding_size,
        "dropout_probs": [params.dropout] * 3,
        **dict.fromkeys(DROPOUTS, params.dropout),
    }
    if params.hidden:
        settings["mlp_hidden_size"] = list(params.hidden)
    make_config, make = _recbole("config").Config, _recbole("utils").get_model(params.name)
    with isolated():
        net = make(make_config(params.name, "ready", config_dict=settings), _Fields(schema))
    net.sigmoid = nn.Identity()  # DCNV2's forward pass applies it
    return net


def _without_host_copies(net: Any) -> Any:
    """Replace the values that RecBole copies from host to device at each step by buffers."""
    for owner in (net, net.first_order_linear):
        if net.token_field_names:
            owner.token_embedding_table = _Categorical(owner.token_embedding_table)
        if net.float_field_names:
            owner.float_embedding_table = _Numeric(owner.float_embedding_table)
    if hasattr(net, "inner_product"):
        net.inner_product = InnerProducts(net.num_feature_field, net.embedding_size)
    for name in ("src_nodes", "dst_nodes"):
        if hasattr(net, name):
            nodes = torch.tensor(vars(net).pop(name))
            net.register_buffer(name, nodes, persistent=False)
    return net


def _drop_unused(net: nn.Module, encoding: Tensor) -> None:
    """Delete layers that RecBole builds but the model does not use, such as first-order tables."""
    parameters = list(net.parameters())
    gradients = torch.autograd.grad(encoding.sum(), parameters, allow_unused=True)
    used = {
        id(p) for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None
    }
    for module in list(net.modules()):
        for name, layer in list(module.named_children()):
            inside = {id(parameter) for parameter in layer.parameters()}
            if inside and not inside & used:
                delattr(module, name)


@contextmanager
def isolated() -> Iterator[None]:
    """Undo what RecBole's ``Config`` does to the process.

    ``Config`` reads the command line, overwrites ``CUDA_VISIBLE_DEVICES``, extends the loader of
    YAML, and defines aliases in numpy. Three names that it needs no longer exist in numpy 2, so
    they are defined until it is done.
    """
    arguments, visible = sys.argv, os.environ.get("CUDA_VISIBLE_DEVICES")
    saved = [(vars(module), dict(vars(module))) for module in (np, yaml)]
    sys.argv = [""]
    vars(yaml)["FullLoader"] = type("FencedLoader", (yaml.FullLoader,), {})
    vars(np).update({name: value for name, value in REMOVED.items() if name not in vars(np)})
    try:
        yield
    finally:
        sys.argv = arguments
        for now, before in saved:
            for name in now.keys() - before.keys():
                del now[name]
            now.update(before)
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        if visible is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible


def _recbole(module: str) -> ModuleType:
    try:
        return importlib.import_module(f"recbole.{module}")
    except ModuleNotFoundError as error:
        if error.name != "recbole":
            raise
        raise LookupError(
            "this backbone needs RecBole; run `pip install --no-deps recbole==1.2.1`"
        ) from None
