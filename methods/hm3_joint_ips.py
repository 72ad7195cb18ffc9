from benchmark.method import Batch, Tensor, losses, tuned
from benchmark.training.modules.paths import Path, PathMethod, compose, entire_space_loss


class HM3JointIPS(PathMethod):
    r"""HM3-Joint-IPS weights the paths of HM3-Joint by the inverse propensity of their click.

    With click :math:`o`, micro :math:`m`, macro :math:`a`, conversion :math:`r`, the six
    probabilities :math:`y_k` of HM3, :math:`u = o / \max(y_1, \tau)`, cross entropy :math:`e` and
    means over all impressions:

    .. math:: L = \mathrm{mean}\, e(o, y_1) + v L_g + w \sum u \, (e(m, y_2) + m e(a, y_3)
              + (1 - m) e(a, y_5) + a e(r, y_4) + (1 - a) e(r, y_6)) / \sum u

    The weights :math:`u` carry no gradient. :math:`L_g` is the sum of HM3's losses of micro, macro
    and conversion over all impressions. The last term is consistent for the likelihood of the paths
    of all impressions, had each been clicked, if :math:`y_1` is the true propensity and lies above
    the floor everywhere. Without the division it would be unbiased, but grow as :math:`y_1` falls.

    Evidence: the method is ours: ESCM²-SNIPS with the likelihood of HM3-Joint in place of the CVR
    loss. It is not published.

    Differs from the paper: the cited paper has neither the likelihood of paths nor propensities;
    the heads, their composition and :math:`L_g` are its own.

    Origin of the defaults: ``post_click_weight`` is that of HM3-Joint. ``propensity_floor`` and
    ``entire_space_weight`` are ours.
    """

    name = "HM3-Joint-IPS"
    cite = "wen2021hm3"
    requires = PathMethod.requires | {"impression"}

    post_click_weight: float = tuned(1.0, low=0.01, high=10)
    entire_space_weight: float = tuned(0.1, low=0.01, high=10)
    propensity_floor: float = tuned(0.1, low=0.01, high=0.2)

    def loss(self, batch: Batch) -> Tensor:
        steps = self.steps(batch.features)
        prediction = compose(steps)
        inverse = losses.click_weights(prediction, batch, self.propensity_floor)
        errors = Path.observed(batch).errors(steps[1:])
        weighted = (losses.self_normalised(inverse) * errors).sum()
        everywhere = self.entire_space_weight * entire_space_loss(prediction, batch)
        click = losses.ctr_loss(prediction, batch)
        return click + self.post_click_weight * weighted + everywhere
