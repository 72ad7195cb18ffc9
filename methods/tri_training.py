from collections.abc import Iterator
from dataclasses import replace

from benchmark.method import (
    Batch,
    Blueprint,
    Features,
    Method,
    Phase,
    Prediction,
    Probability,
    Tensor,
    Update,
    losses,
    tuned,
)
from benchmark.training.modules.doubly_robust import Network, PropensityModel


class TriTraining(Method):
    r"""Tri-Training learns the CVR from pseudo-labels where two weighted predictions agree.

    With click :math:`o`, conversion :math:`r`, propensity :math:`p` with a floor, the CVRs
    :math:`\hat r_1, \hat r_2` of two labelling networks and :math:`\hat r` of the predicting one,
    cross entropy :math:`e` and :math:`u = o / p`, the three networks first descend

    .. math:: \sum u \, e(r, \hat r_1) / \sum u, \quad \sum u \, e(r, \hat r_2) / \sum u, \quad
              \sum o \, e(r, \hat r) / \sum o

    and then the third and the second in turn, on the impressions :math:`A` of a batch where
    :math:`|\hat r_1 - \hat r_2| \le \epsilon`,

    .. math:: \mathrm{mean}_A \, e(\hat r_1, \hat r), \quad \mathrm{mean}_A \, e(\hat r_1, \hat r_2)

    The pseudo-label :math:`\hat r_1` is without gradient (stop-gradient): the first network and the
    propensities are frozen by then. The method assumes that two predictions of independent starts
    are right where they agree, and that :math:`A` is like all impressions.

    Evidence: we read the authors' code, in which the first network also steps towards its own
    predictions: without weight decay, that gradient is 0. Of the paper we read the abstract.

    Differs from the paper: impressions play the part of all user-item pairs, cross entropy replaces
    the squared error, and neural networks replace matrix factorisations. Propensities are learned
    and have a floor; the code counts ratings per user, item or value. The three networks see the
    same batches and differ in their starts only, where the code draws rows anew for each.

    Origin of the defaults: ``agreement``, :math:`\epsilon`, is the code's for Coat and four of six
    kinds of propensities, 0.16 on a scale of ratings from 1 to 5, hence 0.04 on one from 0 to 1.
    ``labelling_epochs``, ``propensity_epochs`` and ``propensity_floor`` are ours; the code labels
    after 150 steps of 1,024 ratings, some 22 passes over Coat.
    """

    name = "Tri-Training"
    cite = "saito2020asymmetric"
    requires = frozenset({"impression", "click"})

    agreement: float = tuned(0.04, low=2.5e-4, high=0.25)
    labelling_epochs: int = tuned(2, low=1, high=4, log=False)
    propensity_epochs: int = tuned(2, low=1, high=3, log=False)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def build(self, blueprint: Blueprint) -> None:
        self.predictor = Network(self.backbone, blueprint)
        self.first = Network(blueprint.backbone(), blueprint)
        self.second = Network(blueprint.backbone(), blueprint)
        self.propensity = PropensityModel(blueprint)

    def warm_up(self) -> tuple[Phase, ...]:
        weighing = Phase(self.propensity_epochs, self.learn_propensities)
        return (weighing, Phase(self.labelling_epochs, self.learn_from_clicks))

    def learn_propensities(self, batch: Batch) -> Iterator[Update]:
        """Yield a step of the propensity model."""
        yield Update(self.propensity.loss(batch), self.propensity)

    def learn_from_clicks(self, batch: Batch) -> Iterator[Update]:
        """Yield a step of each network: two on weighted clicks, the predicting one on clicks."""
        propensity = self.propensity.eval()(batch.features)
        for network in (self.first, self.second):
            prediction = Prediction(cvr=cvr_of(network, batch.features), ctr=propensity)
            weighted = losses.snips_loss(prediction, batch, self.propensity_floor)
            yield Update(weighted, network)
        prediction = Prediction(cvr=cvr_of(self.predictor, batch.features))
        yield Update(losses.click_cvr_loss(prediction, batch), self.predictor)

    def forward(self, features: Features) -> Prediction:
        """Predict the CVR, and as CTR the propensity."""
        return Prediction(cvr=cvr_of(self.predictor, features), ctr=self.propensity(features))

    def loss(self, batch: Batch) -> Tensor:
        return self.agreed_loss(self.predictor, batch)

    def updates(self, batch: Batch) -> Iterator[Update]:
        for network in (self.predictor, self.second):
            yield Update(self.agreed_loss(network, batch), network)

    def agreed_loss(self, network: Network, batch: Batch) -> Tensor:
        """Return the mean error of a network on the pseudo-labels of A, 0 where A is empty."""
        label = cvr_of(self.first.eval(), batch.features).value().detach()
        other = cvr_of(self.second, batch.features).value().detach()
        agreed = ((label - other).abs() <= self.agreement).to(label)
        errors = cvr_of(network, batch.features).cross_entropy(label)
        return losses.over_clicks(errors, replace(batch, click=agreed))


def cvr_of(network: Network, features: Features) -> Probability:
    """Return the CVR, (B,), that a network predicts."""
    return Probability.from_logit(network(features))
