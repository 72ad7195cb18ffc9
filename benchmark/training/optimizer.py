"""The one optimiser: Adam, which for large embedding tables touches only the rows of the batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Adam over the parameters of a module, with L2 regularisation as part of the gradient.

    Embedding tables of at least ``large`` rows are trained row by row, so that a step costs what
    its batch needs, however large the table is. There, a row that is not in the batch keeps its
    value and its moments; dense Adam would move it on by its decaying first moment and regularise
    it. Where all rows are in every batch, both are the same. Bias correction counts steps, not
    visits of a row, as PyTorch's ``SparseAdam`` does, which has no regularisation.
    """

    def __init__(
        self, module: nn.Module, *, learning_rate: float, weight_decay: float, large: int
    ) -> None:
        self.tables = [_Rows(table.weight) for table in large_tables(module, large)]
        rowwise = {id(rows.weight) for rows in self.tables}
        others = [part for part in module.parameters() if id(part) not in rowwise]
        self.dense = _Dense(others)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in (*self.dense.parameters, *(rows.weight for rows in self.tables)):
            parameter.grad = None

    def step(self) -> None:
        """Take a step where there is a gradient."""
        self.dense.step(self.learning_rate, self.weight_decay)
        for rows in self.tables:
            if rows.weight.grad is not None:
                rows.step(rows.weight.grad, self.learning_rate, self.weight_decay)


class _Dense:
    """Parameters with their moments, which PyTorch's fused kernel moves.

    It is the step of ``torch.optim.Adam``, whose class imports PyTorch's compiler first: that
    would take every process that trains some seconds.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        self.states = dict[nn.Parameter, tuple[Tensor, Tensor, Tensor]]()

    @torch.no_grad()
    def step(self, learning_rate: float, weight_decay: float) -> None:
        """Move the parameters that have a gradient."""
        moved = [(part, part.grad) for part in self.parameters if part.grad is not None]
        if not moved:
            return
        means, squares, counts = map(
            list, zip(*(self._state(part) for part, _ in moved), strict=True)
        )
        adam(
            [part for part, _ in moved], [laid_out(gradient, part) for part, gradient in moved],
            means, squares, [], counts, fused=True, amsgrad=False, maximize=False,
            beta1=BETAS[0], beta2=BETAS[1], eps=EPSILON, lr=learning_rate,
            weight_decay=weight_decay,
        )  # fmt: skip

    def _state(self, part: nn.Parameter) -> tuple[Tensor, Tensor, Tensor]:
        """Return the two moments of a parameter and how many steps it has taken."""
        if part not in self.states:
            count = torch.zeros((), dtype=torch.float32, device=part.device)
            self.states[part] = torch.zeros_like(part), torch.zeros_like(part), count
        return self.states[part]


def laid_out(gradient: Tensor, parameter: Tensor) -> Tensor:
    """Return a gradient in the memory layout of its parameter.

    PyTorch's fused Adam reads both as they lie, whatever their strides: ``backward`` sees to it
    that they agree, ``autograd.grad``, which the trainer calls, does not.
    """
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def large_tables(module: nn.Module, large: int) -> list[nn.Embedding]:
    """Return the embedding tables of at least so many rows, set to give row-sparse gradients."""
    tables = [
        part
        for part in module.modules()
        if isinstance(part, nn.Embedding) and part.num_embeddings >= large
    ]
    for table in tables:
        table.sparse = True
    return tables


class _Rows:
    """One table with the moments of its rows."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.mean, self.square = torch.zeros_like(weight), torch.zeros_like(weight)
        self.steps = 0

    @torch.no_grad()
    def step(self, gradient: Tensor, learning_rate: float, weight_decay: float) -> None:
        """Move the rows that the gradient is about; all of them if it is dense."""
        self.steps += 1
        rows, summed = (by_row if gradient.is_cpu else by_entry)(gradient)
        weight, mean, square = (
            table.index_select(0, rows) for table in (self.weight, self.mean, self.square)
        )
        summed.add_(weight, alpha=weight_decay)
        mean.lerp_(summed, 1 - BETAS[0])
        square.mul_(BETAS[1]).addcmul_(summed, summed, value=1 - BETAS[1])
        self.mean.index_copy_(0, rows, mean)
        self.square.index_copy_(0, rows, square)
        shrink = (1 - BETAS[1] ** self.steps) ** 0.5
        scale = square.sqrt_().add_(EPSILON * shrink)
        rate = learning_rate * shrink / (1 - BETAS[0] ** self.steps)
        self.weight.index_copy_(0, rows, weight.addcdiv_(mean, scale, value=-rate))


def by_row(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct rows of a gradient and the sum of each."""
    if not gradient.is_sparse:
        return torch.arange(len(gradient), device=gradient.device), gradient.clone()
    values = gradient._values()  # `coalesce` does the same in twice the time
    rows, positions = torch.unique(gradient._indices()[0], return_inverse=True)
    return rows, values.new_zeros(len(rows), values.shape[1]).index_add_(0, positions, values)


def by_entry(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row of every entry of a gradient, and the sum of that row.

    Rows recur, with equal sums, so a step that gathers, computes and copies back does the same as
    with distinct rows; but the host need not wait for the device to count them.
    Sums are repeatable: on CUDA, ``index_add_`` adds in any order, while this call sorts. It is the
    public ``index_put_`` less the check of bounds, for which a host would wait.
    """
    if not gradient.is_sparse:
        return by_row(gradient)
    rows, entries = gradient._indices()[0].sort(stable=True)
    begins = torch.ones_like(rows)
    begins[1:] = rows[1:] != rows[:-1]
    position = begins.cumsum(0) - 1
    values = gradient._values().index_select(0, entries)
    sums = torch._index_put_impl_(
        torch.zeros_like(values), (position,), values, accumulate=True, unsafe=True
    )
    return rows, sums.index_select(0, position)
