from benchmark.method import Batch, Blueprint, Features, Method, Prediction, Tensor, losses, tuned


class DDPO(Method):
    r"""DDPO labels unclicked impressions by a conversion propensity that it learns on clicks.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, conversion
    propensity :math:`\hat c` of a third tower, :math:`u = o / \max(\hat o, \tau)`,
    :math:`v = (1 - o) / \max(1 - \hat o, \tau)`, cross entropy :math:`e`, and sums and means over
    a batch of :math:`B` impressions, the loss is

    .. math:: L = \mathrm{mean}(e(o, \hat o) + e(or, \hat o \hat r) + o \, e(r, \hat c))
              + \frac{w}{B} \sum (\frac{u}{\sum u} + \frac{v}{\sum v})
                e(\min(1, or + \hat c), \hat r)

    The last :math:`\hat c` is without gradient (stop-gradient): it teaches and must not learn. On
    clicks its label exceeds :math:`r` on average, and so will the CVR.

    Evidence: we verified the losses in the authors' published code.

    Differs from the paper: parallel towers without its two attention modules replace its network.
    As in the authors' code, the last sum, whose weights already sum to 1, is divided once more by
    the size :math:`B` of the batch; the option ``as_released=False`` leaves out that division,
    which weights the term :math:`B` times as much.

    Origin of the defaults: ``cvr_weight``, :math:`w = 1`, ``propensity_floor``,
    :math:`\tau = 10^{-6}`, and the normalisation, ``as_released``, are those of the authors' code.
    """

    name = "DDPO"
    cite = "su2024ddpo"
    requires = frozenset({"impression", "click"})

    cvr_weight: float = tuned(1.0, low=0.1, high=10)
    propensity_floor: float = tuned(1e-6, low=1e-6, high=0.2)
    as_released: bool = tuned(True, choices=(True, False))

    def build(self, blueprint: Blueprint) -> None:
        self.towers = blueprint.towers(3, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        ctr, cvr, _ = self.towers.probabilities(self.backbone(features))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        floor, encoding = self.propensity_floor, self.backbone(batch.features)
        ctr, cvr, converts = self.towers.probabilities(encoding)
        prediction = Prediction(ctr=ctr, cvr=cvr)
        label = (batch.clicked * batch.conversion + converts.value().detach()).clamp_max(1)
        clicks = losses.self_normalised(losses.click_weights(prediction, batch, floor))
        others = losses.self_normalised(losses.no_click_weights(prediction, batch, floor))
        errors = (clicks + others) * cvr.cross_entropy(label)
        debiased = errors.mean() if self.as_released else errors.sum()
        propensity = (batch.clicked * converts.cross_entropy(batch.conversion)).mean()
        entire_space = losses.ctr_loss(prediction, batch) + losses.ctcvr_loss(prediction, batch)
        return entire_space + propensity + self.cvr_weight * debiased
