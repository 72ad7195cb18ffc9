"""A fault in a method's file is reported in one sentence: where it is, and how to mend it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import Any

import pytest
import test_method_files
import test_methods

from benchmark import registry
from benchmark.scaffold.method import TEMPLATE

NAME = "broken"
HERE = f"methods/{NAME}.py"
ENTRY = "@misc{known2000entry,\n  title = {T},\n  year = {2000},\n  doi = {10.1/2},\n}\n"
GOOD = Template(TEMPLATE.read_text("utf-8")).substitute(
    class_name="Broken", title="Broken", key="known2000entry"
)
LOSS = GOOD[GOOD.index("        prediction = ") :]
BODY = GOOD[GOOD.index("    def loss") :]
TUNED = "    cvr_weight: float = tuned(1.0, low=0.1, high=10)\n"
RETURN = "        return click_loss + self.cvr_weight * losses.click_cvr_loss(prediction, batch)\n"
IMPORT = "from benchmark.method import Batch, CtrCvr, Tensor, losses, tuned\n"
WITH_FORWARD = (
    "from benchmark.method import Batch, CtrCvr, Features, Prediction, Tensor, losses, tuned\n"
)


def contract(most: int | None = None) -> Iterator[tuple[Callable[..., None], dict[str, Any]]]:
    """Yield every test of every method, with all or so many values of its further parameters."""
    for test in (*vars(test_method_files).values(), *vars(test_methods).values()):
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
        if "name" in [mark.args[0] for mark in marks]:
            others = {
                mark.args[0]: [*mark.args[1]][:most] for mark in marks if mark.args[0] != "name"
            }
            for values in itertools.product(*others.values()):
                yield test, dict(zip(others, values, strict=True))


def verdicts(
    folder: Path,
    patch: pytest.MonkeyPatch,
    text: str,
    entry: str = ENTRY,
    most: int | None = 1,
) -> list[str]:
    """Return what the contract's tests say of a file, each sentence once, in order.

    The first value of a parameter, such as a batch without clicks, finds what is planted here.
    """
    (folder / "methods").mkdir()
    (folder / HERE).write_text(text, encoding="utf-8")
    (folder / "methods" / "references.bib").write_text(entry, encoding="utf-8")
    patch.setattr(registry, "ROOT", folder)
    sentences = []
    for test, values in contract(most):
        try:
            test(name=NAME, **values)
        except pytest.fail.Exception as failure:
            sentences.append(str(failure.msg))
    return list(dict.fromkeys(sentences))


def line_of(text: str, part: str) -> int:
    """Return the line on which a part of a text begins."""
    return text[: text.index(part)].count("\n") + 1


def with_forward(line: str) -> str:
    """Return the method with a forward of its own, whose body is one line."""
    text = GOOD.replace(IMPORT, WITH_FORWARD)
    forward = f"    def forward(self, features: Features) -> Prediction:\n        {line}\n\n"
    return text.replace(BODY, forward + BODY)


def with_loss(line: str) -> str:
    """Return the method with another last line of its loss."""
    return GOOD.replace(RETURN, f"        {line}\n")


def with_tuned(declaration: str) -> str:
    """Return the method with another declaration of its hyper-parameter."""
    return GOOD.replace(TUNED, f"    {declaration}\n")


FAULTS = {
    "a label in forward": (
        with_forward("return self.heads(self.backbone(features) + features.click.unsqueeze(1))"),
        "return self.heads",
        "forward reads the label 'click' of its features; predict from features alone, and use "
        "labels in loss",
    ),
    "forward takes a batch": (
        GOOD.replace(
            BODY,
            "    def forward(self, batch: Batch) -> object:\n"
            "        return self.heads(self.backbone(batch.features))\n\n" + BODY,
        ),
        "def forward",
        "forward takes self, batch; let it take self and features alone",
    ),
    "forward uses what loss has seen": (
        with_forward(
            "return self.heads(self.backbone(features) * getattr(self, 'seen', 1.0))"
        ).replace(LOSS, "        self.seen = 2 + float(batch.clicked.mean())\n" + LOSS),
        "def forward",
        "forward uses labels that loss has left behind; keep none of a batch in self",
    ),
    "a prediction of another shape": (
        with_forward(
            "return self.heads(self.backbone(features)[:1])",
        ),
        "def forward",
        "cvr.log has the shape (1,) for 16 rows; let it be (16,)",
    ),
    "a prediction that is none": (
        with_forward("return self.towers(self.backbone(features))"),
        "def forward",
        "forward returns tuple; return a Prediction",
    ),
    "a default outside its range": (
        with_tuned("cvr_weight: float = tuned(20.0, low=0.1, high=10)"),
        "cvr_weight: float",
        "cvr_weight has the default 20.0, outside its range of 0.1 to 10; change the default, or "
        "widen the range",
    ),
    "a range upside down": (
        with_tuned("cvr_weight: float = tuned(1.0, low=10, high=0.1)"),
        "cvr_weight: float",
        "cvr_weight has the range 10 to 0.1; let low be smaller than high",
    ),
    "a range without end": (
        with_tuned("cvr_weight: float = tuned(1.0, low=0.1, high=float('inf'))"),
        "cvr_weight: float",
        "cvr_weight has the range 0.1 to inf; let both be finite",
    ),
    "a misspelt hyper-parameter": (
        with_loss("return click_loss * self.cvr_wieght"),
        "return click_loss",
        "loss reads 'cvr_wieght', which the method does not have; write 'cvr_weight' if you mean "
        "that, or make it in build, which calls super().build(blueprint)",
    ),
    "layers out of sight": (
        GOOD.replace(
            BODY,
            "    def build(self, blueprint: object) -> None:\n"
            "        super().build(blueprint)\n"
            "        self.more = [self.towers]\n\n" + BODY,
        ),
        "def build",
        "self.more hides layers from the optimiser; make it an nn.ModuleList or similar",
    ),
    "a loss that asks for more": (
        GOOD.replace("loss(self, batch: Batch)", "loss(self, batch: Batch, weight: float)"),
        "def loss",
        "loss takes self, batch, weight; let it take self, batch",
    ),
    "updates that are losses": (
        GOOD.replace(
            BODY,
            "    def updates(self, batch: Batch) -> list[Tensor]:\n"
            "        return [self.loss(batch)]\n\n" + BODY,
        ),
        "def updates",
        "updates yields Tensor; yield Update(loss, module)",
    ),
    "layers that were not made": (
        GOOD.replace(BODY, "    def build(self, _: object) -> None:\n        pass\n\n" + BODY),
        "        prediction = ",
        "loss reads 'towers', which the method does not have; make it in build, which calls "
        "super().build(blueprint)",
    ),
    "a logarithm of nothing": (
        with_tuned("cvr_weight: float = tuned(1.0, low=0, high=10)"),
        "cvr_weight: float",
        "cvr_weight is drawn by its logarithm from 0 on; let low be positive, or log=False",
    ),
    "a default that is no choice": (
        with_tuned('cvr_weight: str = tuned("c", choices=("a", "b"))'),
        "cvr_weight: str",
        "cvr_weight has the default 'c', not one of 'a', 'b'; add it, or take one of them",
    ),
    "no range": (
        with_tuned("cvr_weight: float = tuned(1.0)"),
        "cvr_weight: float",
        "cvr_weight has no range; give tuned() either low and high, or choices",
    ),
    "half a range": (
        with_tuned("cvr_weight: float = tuned(1.0, low=0.1)"),
        "cvr_weight: float",
        "cvr_weight has no range; give tuned() either low and high, or choices",
    ),
    "a range and choices": (
        with_tuned("cvr_weight: float = tuned(1.0, low=0.1, high=10, choices=(1.0, 2.0))"),
        "cvr_weight: float",
        "cvr_weight has both a range and choices; give tuned() one of them",
    ),
    "no choices": (
        with_tuned('cvr_weight: str = tuned("a", choices=())'),
        "cvr_weight: str",
        "cvr_weight has no choices; give tuned() those that the search draws from",
    ),
    "a range of words": (
        with_tuned('cvr_weight: str = tuned("a", low=0.1, high=10)'),
        "cvr_weight: str",
        "cvr_weight has a range, and 'a' is no number; give tuned() choices instead",
    ),
    "a default of nothing": (
        with_tuned("cvr_weight: float = tuned(None, low=0.1, high=10)"),
        "cvr_weight: float",
        "cvr_weight has a range, and None is no number; give tuned() choices instead",
    ),
    "a name that is taken": (
        with_tuned("training: float = tuned(1.0, low=0.1, high=10)"),
        "training: float",
        "training is taken by every method; choose another name",
    ),
    "a hyper-parameter without effect": (
        with_loss("return click_loss + losses.click_cvr_loss(prediction, batch)"),
        "cvr_weight: float",
        "cvr_weight changes nothing; use self.cvr_weight, or delete it",
    ),
    "an unknown citation": (
        GOOD.replace('"known2000entry"', '"known2001entry"'),
        "cite =",
        "cites 'known2001entry', which is not in methods/references.bib; write 'known2000entry' "
        "if you mean that, or add the entry there",
    ),
    "no citation": (
        GOOD.replace('    cite = "known2000entry"\n', ""),
        "class Broken",
        'the class lacks `cite = "…"`, the key of its paper',
    ),
    "no name": (
        GOOD.replace('    name = "Broken"\n', ""),
        "class Broken",
        'the class lacks `name = "…"`, its title in tables',
    ),
    "a loss per row": (
        with_loss("return click_loss + self.cvr_weight * losses.cvr_errors(prediction, batch)"),
        "def loss",
        "loss has the shape (32,); return a scalar, such as a mean",
    ),
    "a loss that is not finite": (
        with_loss(
            "return click_loss + self.cvr_weight * (batch.clicked * losses.cvr_errors(prediction, "
            "batch)).sum() / batch.clicked.sum()"
        ),
        "def loss",
        "loss is nan on a batch with nothing clicked; guard divisions and logarithms, as "
        "losses.over_clicks and Probability do",
    ),
    "a loss that is no tensor": (
        with_loss("return click_loss.item() * self.cvr_weight"),
        "def loss",
        "loss returns float; return a tensor",
    ),
    "a loss of labels alone": (
        with_loss("return self.cvr_weight * batch.clicked.mean()"),
        "def loss",
        "loss depends on no parameter; compute it from the prediction",
    ),
    "a loss that grows with the batch": (
        with_loss("return self.cvr_weight * losses.cvr_errors(prediction, batch).sum()"),
        "def loss",
        "loss is {one} on a batch and {two} on its double; average over rows",
    ),
    "a key that is absent": (
        with_loss('return click_loss * {"weight": self.cvr_weight}["wait"]'),
        "return click_loss",
        "loss raises KeyError: 'wait'; mend this line",
    ),
    "arithmetic with a probability": (
        with_loss("return click_loss + (self.cvr_weight * prediction.cvr).log.mean()"),
        "return click_loss",
        "loss raises TypeError: unsupported operand type(s) for *: 'float' and 'Probability'; "
        "docs/how-to/method.md lists what a Probability offers",
    ),
    "a layer that learns nothing": (
        GOOD.replace("CtrCvr,", "Blueprint, CtrCvr,").replace(
            BODY,
            "    def build(self, blueprint: Blueprint) -> None:\n"
            "        super().build(blueprint)\n"
            "        self.idle = blueprint.shared_tower(1, 3)\n\n" + BODY,
        ),
        "def build",
        "no loss teaches idle.0.weight; use it in loss, or do not make it",
    ),
    "chance beside that of torch": (
        "import random\n\n" + with_loss("return click_loss * self.cvr_weight * random.random()"),
        "class Broken",
        "two trainings with one seed differ; draw random numbers by torch alone",
    ),
    "a syntax error": (
        with_loss("return click_loss +"),
        "return click_loss +",
        "SyntaxError: invalid syntax",
    ),
    "no loss": (
        GOOD.replace(BODY, ""),
        "class Broken",
        "Can't instantiate abstract class Broken with{one}; define it",  # as Python words it
    ),
    "a stage that does not exist": (
        GOOD.replace(TUNED, '    requires = frozenset({"clik"})\n' + TUNED),
        "requires =",
        "requires is frozenset({'clik'}); let it be a frozenset of impression, click, micro, "
        "macro, conversion, delay",
    ),
    "a search space of old": (
        GOOD.replace(TUNED, TUNED + "    search_space = {}\n"),
        "search_space =",
        "a method does not set search_space; declare each hyper-parameter by tuned(…) instead",
    ),
    "a constructor": (
        GOOD.replace(
            BODY,
            "    def __init__(self, *parts: object, **hyper: object) -> None:\n"
            "        super().__init__(*parts, **hyper)\n\n" + BODY,
        ),
        "def __init__",
        "a method does not set __init__; make the layers in build(self, blueprint) instead",
    ),
    "an import from elsewhere": (
        "import pandas  # noqa: F401\n\n" + GOOD,
        "class Broken",
        "the file imports pandas; import from benchmark.method instead",
    ),
    "no evidence": (
        GOOD.replace("Evidence: ", "Proof: "),
        "class Broken",
        "the docstring lacks a paragraph `Evidence: …`; write it",
    ),
    "no formula": (
        GOOD.replace(".. math::", "Formula:"),
        "class Broken",
        "the docstring lacks the loss as a `.. math::` block",
    ),
    "a default of unknown origin": (
        GOOD.replace("``cvr_weight``", "The weight"),
        "class Broken",
        "`Origin of the defaults:` does not mention ``cvr_weight``; say whose value it is",
    ),
    "a gradient stopped in silence": (
        with_loss("return click_loss.detach() * self.cvr_weight + click_loss * self.cvr_weight"),
        "class Broken",
        'the file stops a gradient; say in the docstring what is "without gradient"',
    ),
    "a file that is too long": (
        GOOD + "# more\n" * 200,
        "class Broken",
        f"the file has {len(GOOD.splitlines()) + 200} lines; 160 are allowed",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_with_its_line(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, part, sentence = FAULTS[fault]
    assert text != GOOD, "nothing is planted"
    said = verdicts(tmp_path, monkeypatch, text)
    start, _, end = sentence.partition("{one}")
    place = f"{HERE}, line {line_of(text, part)}: "
    matching = [s for s in said if s.startswith(place + start)]
    assert matching, said
    assert matching[0].endswith(end.partition("{two}")[2])
    assert all(s.startswith(HERE) and "\n" not in s for s in said)


def test_two_classes_in_a_file_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD + "\n\nclass Second(Broken):\n    pass\n"
    assert verdicts(tmp_path, monkeypatch, text) == [
        f"{HERE} must define exactly one Method, found 2; keep the others in files of their own"
    ]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (ENTRY.replace("doi", "note"), "lacks a doi, eprint or url; add one"),
        (ENTRY.replace("year", "date"), "lacks a year; add it"),
    ],
)
def test_an_incomplete_entry_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, sentence: str
) -> None:
    place = f"{HERE}, line {line_of(GOOD, 'cite =')}: 'known2000entry' in methods/references.bib"
    assert verdicts(tmp_path, monkeypatch, GOOD, entry) == [f"{place} {sentence}"]


def test_a_file_without_fault_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdicts(tmp_path, monkeypatch, GOOD, most=None) == []


def test_a_hyperparameter_that_a_method_lacks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts(tmp_path, monkeypatch, GOOD)
    with pytest.raises(ValueError, match="Broken has no hyper-parameter 'wait'; it has cvr_weight"):
        test_methods.build(NAME, wait=1)
