from benchmark.method import Batch, Blueprint, Tensor, losses, tuned
from benchmark.training.modules.paths import Path, PathMethod, compose, entire_space_loss


class HM3JointDR(PathMethod):
    r"""HM3-Joint-DR learns the paths of HM3-Joint by a doubly robust risk with imputed paths.

    With click :math:`o`, the labels :math:`\ell = (m, a, r)` after it, the six probabilities
    :math:`y_k` of HM3, the error of a path :math:`\delta = -\log P(\ell \mid o = 1)`, its
    expectation :math:`\hat\delta` if paths follow a second network :math:`\tilde y`,
    :math:`u = o / \max(y_1, \tau)`, cross entropy :math:`e` and means over all impressions:

    .. math:: L = \mathrm{mean}\, e(o, y_1) + v L_g + w \, (\mathrm{mean}\, \hat\delta
              + \sum u (\delta - \hat\delta) / \sum u) + \sum u \, \tilde\delta / \sum u

    The last term is the error of the same path under :math:`\tilde y`, which learns from it alone;
    as imputation, :math:`\tilde y` carries no gradient, nor does :math:`u`. :math:`L_g` is the sum
    of HM3's losses of micro, macro and conversion over all impressions. The third term is
    consistent for the likelihood of the paths of all impressions, had each been clicked, if the
    propensities or the imputed paths are right.

    Evidence: the method is ours: the doubly robust risk, which is public, of the likelihood of
    HM3-Joint. It is not published.

    Differs from the paper: the cited paper has neither the likelihood of paths nor propensities;
    the heads, their composition and :math:`L_g` are its own.

    Origin of the defaults: ``post_click_weight``, ``entire_space_weight`` and
    ``propensity_floor`` are those of HM3-Joint-IPS.
    """

    name = "HM3-Joint-DR"
    cite = "wen2021hm3"
    requires = PathMethod.requires | {"impression"}

    post_click_weight: float = tuned(1.0, low=0.01, high=10)
    entire_space_weight: float = tuned(0.1, low=0.01, high=10)
    propensity_floor: float = tuned(0.1, low=0.01, high=0.2)

    def build(self, blueprint: Blueprint) -> None:
        super().build(blueprint)
        self.imputing_backbone = blueprint.backbone()
        self.imputing_towers = blueprint.towers(5, self.imputing_backbone.width)

    def loss(self, batch: Batch) -> Tensor:
        steps = self.steps(batch.features)
        prediction, path = compose(steps), Path.observed(batch)
        inverse = losses.click_weights(prediction, batch, self.propensity_floor)
        imputing = self.imputing_towers.probabilities(self.imputing_backbone(batch.features))
        imputed = Path.imputed(imputing).errors(steps[1:])
        weights = losses.self_normalised(inverse)
        risk = imputed.mean() + (weights * (path.errors(steps[1:]) - imputed)).sum()
        everywhere = self.entire_space_weight * entire_space_loss(prediction, batch)
        imputation = (weights * path.errors(imputing)).sum()
        click = losses.ctr_loss(prediction, batch)
        return click + self.post_click_weight * risk + everywhere + imputation
