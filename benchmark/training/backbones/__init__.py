"""The backbones by name: shared embeddings, RecBole's context models, and a few of our own."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from benchmark.config import BackboneParams
from benchmark.schema import Schema
from benchmark.training.backbones.dhen import DHEN, DHENOptions
from benchmark.training.backbones.eta import ETA, ETAOptions
from benchmark.training.backbones.mirrn import MIRRN, MIRRNOptions
from benchmark.training.backbones.neumf import NeuMF, NeuMFOptions
from benchmark.training.backbones.options import Options, validated
from benchmark.training.backbones.recbole import HEADS, RecBoleBackbone
from benchmark.training.backbones.sfg import SFG, SFGOptions
from benchmark.training.blueprint import Backbone, Blueprint, Embeddings

OWN: dict[str, tuple[type[Options], Callable[..., Backbone]]] = {
    "DHEN": (DHENOptions, DHEN),
    "ETA": (ETAOptions, ETA),
    "MIRRN": (MIRRNOptions, MIRRN),
    "NeuMF": (NeuMFOptions, NeuMF),
}
NAMES = ("embeddings", *HEADS, *OWN, "SFG")
OPTIONS = {name: kind for name, (kind, _) in OWN.items()} | {"SFG": SFGOptions}

Make = Callable[[Schema], Backbone]


def blueprint(schema: Schema, params: BackboneParams) -> Blueprint:
    """Return the blueprint that ``params.yaml`` describes.

    Raises:
        LookupError: no backbone of that name.
        ValueError: an option that it does not have, or a value that it cannot have.
    """
    return Blueprint(schema, _maker(params), params.tower, params.dropout)


def _maker(params: BackboneParams) -> Make:
    """Return the function that makes the encoder of a dataset."""
    if params.name not in NAMES:
        raise LookupError(_unknown(params.name))
    if params.name == "SFG":
        sfg = validated(SFGOptions, params)
        base = {"name": sfg.base, "options": sfg.base_options}
        make = _maker(params.model_copy(update=base))
        return lambda schema: SFG(make(schema))
    size, hidden = params.embedding_size, params.hidden
    if params.name in OWN:
        kind, own = OWN[params.name]
        options = validated(kind, params)
        return lambda schema: own(schema, embedding_size=size, hidden=hidden, options=options)
    validated(Options, params)
    if params.name in HEADS:
        return lambda schema: RecBoleBackbone(schema, params)
    return lambda schema: Embeddings(schema, embedding_size=size, hidden=hidden)


def _unknown(name: str) -> str:
    folded = {known.casefold(): known for known in NAMES}
    close = difflib.get_close_matches(name.casefold(), folded, 1)
    hint = f"; did you mean {folded[close[0]]!r}?" if close else "."
    return f"no backbone {name!r}{hint} Known: {', '.join(NAMES)}"
