import torch

from benchmark.method import (
    Batch,
    Blueprint,
    Features,
    Method,
    Prediction,
    Probability,
    Tensor,
    losses,
    nn,
    tuned,
)


class GMCM(Method):
    r"""GMCM-style predicts the CVR from behaviours that exchange information along a graph.

    With the labels :math:`b_k` of the nodes micro and macro, click :math:`o`, conversion
    :math:`r`, cross entropy :math:`e`, means over the impressions :math:`D` or the clicks
    :math:`O`, and :math:`p = \max(\hat o, \tau)` without gradient, the loss is

    .. math:: L = e_D(o, \hat o) + w \sum_k e_O(b_k, \hat b_k) + \mathrm{mean}_D(o e(r, \hat r) / p)

    Each node embeds the impression, the graph averages the embeddings, and the CVR reads all of
    them. The last term is unbiased for the CVR loss over all impressions if :math:`\hat o` is the
    true propensity and lies above the floor.

    Evidence: the method is a re-creation from the abstract; its realisation, with equations of our
    own, is ours. No code was found.

    Differs from the paper: its nodes are many micro behaviours. Ours are the two labels of a
    dataset, so the graph has one edge, counted on training clicks, and a convolution is a fixed
    average.

    Origin of the defaults: ``node_weight`` and ``propensity_floor`` are ours; the values of the
    paper are not known to us.
    """

    name = "GMCM-style"
    cite = "bao2020gmcm"
    requires = frozenset({"impression", "click", "micro", "macro"})

    node_weight: float = tuned(1.0, low=0.1, high=10)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def build(self, blueprint: Blueprint) -> None:
        self.nodes, width = blueprint.experts(2, self.backbone.width)
        self.graph = BehaviourGraph(2, width)
        self.node_towers = blueprint.towers(2, width)
        self.cvr_tower = blueprint.towers(1, width)
        self.ctr_tower = blueprint.towers(1, self.backbone.width)

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
        node_loss = self.node_weight * losses.over_clicks(node_errors, batch)
        ips_loss = losses.ips_loss(p, batch, self.propensity_floor)
        return losses.ctr_loss(p, batch) + node_loss + ips_loss


class BehaviourGraph(nn.Module):
    r"""Average the nodes' embeddings along the edges, twice, and pool them by attention.

    With co-occurrences :math:`N_{kl}` of behaviours, counted by :meth:`observe` from 1:

    .. math:: A_{kl} = N_{kl} / \sum_j N_{kj}, \quad H \leftarrow \mathrm{ReLU}(A H W), \quad
              z = \sum_k \mathrm{softmax}_k(v \cdot H_k) H_k
    """

    cooccurrences: Tensor

    def __init__(self, nodes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("cooccurrences", torch.ones(nodes, nodes))
        self.convolutions = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.attention = nn.Linear(width, 1, bias=False)

    def observe(self, labels: Tensor) -> None:
        """Count labels (nodes, B), 0 where a behaviour did not follow; only in training mode."""
        if self.training:
            self.cooccurrences += labels @ labels.T

    def forward(self, nodes: Tensor) -> Tensor:
        """Return the pooled embedding (B, width) of nodes (nodes, B, width)."""
        adjacency = self.cooccurrences / self.cooccurrences.sum(1, keepdim=True)
        for convolution in self.convolutions:
            nodes = convolution(torch.einsum("kl,lbd->kbd", adjacency, nodes)).relu()
        return (self.attention(nodes).softmax(0) * nodes).sum(0)
