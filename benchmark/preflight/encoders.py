"""Which encoders a setting's data do not allow, asked without any training."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmark.config import BackboneParams
from benchmark.errors import sentence
from benchmark.execution.capacity import Uninitialized
from benchmark.preflight.footprint import shape
from benchmark.schema import Field, Schema
from benchmark.studies import Workspace
from benchmark.training.backbones import blueprint


def refused(workspace: Workspace) -> Iterator[tuple[str, str]]:
    """Yield the settings whose encoder cannot be made of their fields, and why."""
    known = dict[tuple[tuple[Field, ...], str], str | None]()
    for setting in workspace.settings():
        if (schema := shape(setting)) is None:
            continue
        backbone = workspace.params_of(setting).protocol.backbone
        fields = tuple(field.model_copy(update={"size": 1}) for field in schema.fields)
        case = fields, backbone.model_dump_json()
        if case not in known:
            known[case] = _refusal(schema.model_copy(update={"fields": fields}), backbone)
        if (reason := known[case]) is not None:
            yield setting.name, reason


def _refusal(schema: Schema, backbone: BackboneParams) -> str | None:
    """Return why an encoder refuses the fields or its options, None if it takes them."""
    try:
        with torch.random.fork_rng(devices=[]), Uninitialized():
            blueprint(schema, backbone).backbone()
    except (LookupError, ValueError) as error:
        return sentence(error)
    return None
