from collections.abc import Iterator

from benchmark.method import Batch, Blueprint, Probability, Tensor, Update
from benchmark.training.delays.correction import LabelCorrection
from benchmark.training.delays.feedback import Heads, matured, mean_over, times
from benchmark.training.delays.schedule import Schedule, at_the_end


class ULC(LabelCorrection):
    r"""ULC replaces the labels of clicks that may still convert by how likely they do.

    With the time :math:`e` elapsed since the click, :math:`s(e)` P(conversion | none by e), the
    label :math:`r` known when training data end and prediction :math:`\hat r`, the loss is the
    mean over all clicks of

    .. math:: - \tilde r \log \hat r - (1 - \tilde r) \log (1 - \hat r), \quad
              \tilde r = r + (1 - r) \, s(e)

    Before, :math:`s` is fitted by cross entropy to clicks whose attribution window has closed, as
    if training had ended one window earlier, and then frozen. If it is right, the loss is unbiased
    for that of final labels.

    Evidence: we read the corrected label, the loss and the fit of :math:`s` in the authors' code.

    Differs from the paper: the code fits :math:`s` and then the CVR twice, the second time from
    the embeddings of the first CVR; here each is fitted once. The earlier end is one attribution
    window before the real one, so that the labels that teach :math:`s` are final, and the elapsed
    time counts up to one window. Labels are not corrected once their window has closed. Towers on
    the shared embedding replace the networks of the code.

    Origin of the defaults: ``head_epochs`` is ours; the code has 5. The earlier end is 7 days
    before the real one there.
    """

    name = "ULC"
    cite = "wang2023unbiased"

    def build(self, blueprint: Blueprint) -> None:
        super().build(blueprint)
        self.heads = Heads(blueprint, 1, timed=True)

    def schedule(self) -> Schedule:
        return at_the_end

    def fit_heads(self, batch: Batch) -> Iterator[Update]:
        elapsed, delay = times(batch)
        (later,) = self.heads(batch.features, (elapsed - 1).clamp(0, 1))
        open_then = matured(batch) * (1 - batch.conversion * (delay <= elapsed - 1))
        yield Update(mean_over(open_then, later.cross_entropy(batch.conversion)), self.heads)

    def shares(self, cvr: Probability, batch: Batch) -> tuple[Tensor, Tensor]:
        (later,) = self.heads.eval()(batch.features, times(batch)[0].clamp(0, 1))
        missing = (1 - batch.conversion) * (1 - matured(batch)) * later.value()
        label = batch.conversion + missing
        return label, 1 - label
