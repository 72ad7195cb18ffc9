"""GMCM-style: behaviours as nodes of a graph, whose pooled nodes predict the CVR."""

from __future__ import annotations

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctr_loss, ips_loss, over_clicks
from benchmark.training.method import Method
from benchmark.training.modules.behaviour_graph import BehaviourGraph


class GMCM(Method):
    r"""Embed each behaviour, let these exchange what they know, and predict from all of them.

    With labels b of the nodes micro and macro, cross entropy e, means over impressions D or clicks
    O, and :math:`p = \max(\hat o, \tau)` without gradient:

    .. math:: L = e_D(o, \hat o) + w \sum_k e_O(b_k, \hat b_k) + \mathrm{mean}_D(o e(r, \hat r) / p)

    Evidence: a re-creation from the abstract, with equations of our own; no code was found.

    Differs from the paper: its nodes are many micro behaviours. Ours are a log's two labels, so
    that the graph is one edge, counted on training clicks, and a convolution a fixed average.
    """

    name = "GMCM-style"
    citation = """
    @inproceedings{bao2020gmcm,
      title     = {{GMCM}: Graph-based Micro-behavior Conversion Model for Post-click Conversion
                   Rate Estimation},
      author    = {Bao, Wentian and Wen, Hong and Li, Sha and Liu, Xiao-Yang and Lin, Quan
                   and Yang, Keping},
      booktitle = {SIGIR},
      year      = {2020},
      url       = {https://acemap.info/paper/500016789},
    }
    """
    requires = frozenset({"impression", "click", "micro", "macro"})
    search_space = {
        "node_weight": FloatDistribution(0.1, 10, log=True),
        "propensity_floor": FloatDistribution(0.01, 0.2, log=True),
    }

    def __init__(
        self, blueprint: Blueprint, *, node_weight: float = 1.0, propensity_floor: float = 0.05
    ) -> None:
        super().__init__(blueprint)
        self.nodes, width = blueprint.experts(2, self.backbone.width)
        self.graph = BehaviourGraph(2, width)
        self.node_towers = blueprint.towers(2, width)
        self.cvr_tower = blueprint.towers(1, width)
        self.ctr_tower = blueprint.towers(1, self.backbone.width)
        self.node_weight = node_weight
        self.propensity_floor = propensity_floor

    def forward(self, features: Features) -> Prediction:
        encoding = self.backbone(features)
        nodes = self.nodes(encoding)
        logits = (
            *self.ctr_tower(encoding),
            *self.cvr_tower(self.graph(nodes)),
            *self.node_towers(nodes),
        )
        ctr, cvr, micro, macro = map(Probability.from_logit, logits)
        return Prediction(ctr=ctr, cvr=cvr, micro=micro, macro=macro)

    def loss(self, batch: Batch) -> Tensor:
        assert batch.micro is not None
        assert batch.macro is not None
        self.graph.observe(torch.stack([batch.micro, batch.macro]))
        p = self(batch.features)
        node_errors = p.micro.cross_entropy(batch.micro) + p.macro.cross_entropy(batch.macro)
        node_loss = self.node_weight * over_clicks(node_errors, batch)
        return ctr_loss(p, batch) + node_loss + ips_loss(p, batch, self.propensity_floor)
