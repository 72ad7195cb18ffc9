"""Notes under a table: why a column is not there, and which methods other code has fitted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from helpers.fake_runs import CLICKS, METHODS, ORACLE, TITLES, edit, tables, write_project

from benchmark import registry
from benchmark.documentation.cards import CARDS, records
from benchmark.documentation.cards.records import Clipped, Facts, Overlap
from benchmark.execution.code import code_of
from benchmark.files import read_json
from benchmark.references import widened
from benchmark.reporting.records import Task
from benchmark.reporting.table import Table

NO_CLICKS = "the log has no impressions without a click"
NO_CTR = "the method predicts no CTR"


def explain(root: Path, dataset: str, reasons: dict[str, str]) -> None:
    for path in (root / "results/runs" / dataset).glob("*/default/*.json"):
        edit(path, undefined=reasons)


def test_reasons_stand_below_the_table_once(tmp_path: Path) -> None:
    root = write_project(tmp_path, 2, 3)
    unasked = {"cvr_snipsauc_clicked": "unasked", "cvr_impressions": "unasked"}
    reasons = dict.fromkeys(["ctr_impressions", "ctcvr_impressions"], NO_CLICKS) | unasked
    explain(root, CLICKS, reasons | {"cvr_gauc_clicked": "one method lacks it"})
    explain(root, ORACLE, {"cvr_gauc_clicked": "the log has no groups"})
    oracle, clicks = tables(root)
    assert left_out(oracle) == [
        "Not reported: CVR GAUC, clicked impressions (the log has no groups)."
    ]
    assert left_out(clicks) == [
        f"Not reported: CTCVR, all logged impressions ({NO_CLICKS}); "
        f"CTR, all logged impressions ({NO_CLICKS})."
    ]


def test_a_reference_of_equal_capacity_needs_no_fits_of_its_defaults(tmp_path: Path) -> None:
    reference, other = METHODS[:2]
    root = write_project(tmp_path, 2, 2)
    runs = root / "results/runs" / ORACLE
    shutil.copytree(runs / reference, runs / widened(reference, 9))
    for name in (widened(reference, 9), other):
        tried = read_json(next((runs / name / "trials").iterdir()))["hyperparameters"]
        edit(runs / name / "best.json", part="tuned", hyperparameters=tried)
        (runs / name / "default").rename(runs / name / "tuned")
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    params["leaderboard"]["reference"] = reference
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    results = tables(root)[0].results
    assert [task.excluded is None for task in results.tasks] == [True, False]
    assert [len(task.replicates) for task in results.widened] == [2]


def test_records_that_were_kept_over_a_change_of_code_say_so(tmp_path: Path) -> None:
    root = write_project(tmp_path, 2, 4)
    for count, told in ((1, "Plain"), (3, "all methods but Multi_Task"), (4, "all methods")):
        for method in METHODS[:count]:
            path = root / "results/runs" / ORACLE / method / "task.json"
            edit(path, adopted={"code": "of before", "fits": 3})
        oracle, clicks = tables(root)
        [kept] = [note for note in oracle.notes if f"{3 * count} of the fits" in note]
        assert kept.endswith(f": {told}.")
        assert not [note for note in clicks.notes if "kept" in note]


def test_the_table_says_which_clock_its_costs_are_of(tmp_path: Path) -> None:
    root = write_project(tmp_path, 2, 2)
    assert tables(root)[0].facts["Times are"] == "wall-clock time"
    for path in (root / "results/runs").glob("*/*/default/*.json"):
        edit(path, clock="cpu")
    tasks = tables(root)[0].results.tasks
    tried = sum(len(trial.fits) for task in tasks for trial in task.trials)
    fits = sum(len(task.fits) for task in tasks)
    expected = f"CPU time, but wall-clock time of {tried} of {fits} fits" if tried else "CPU time"
    assert tables(root)[0].facts["Times are"] == expected


def test_the_time_of_a_fit_is_the_mean_of_those_in_cpu_time(tmp_path: Path) -> None:
    root = write_project(tmp_path, 2, 2)
    first, second = sorted((root / "results/runs" / ORACLE / METHODS[0]).glob("default/*.json"))
    edit(first, seconds=8.0)
    edit(second, seconds=2.0)
    assert task_of(root).seconds_per_fit == 5.0
    edit(second, clock="cpu")
    assert task_of(root).seconds_per_fit == 2.0


def task_of(root: Path) -> Task:
    return next(task for task in tables(root)[0].results.tasks if task.method == METHODS[0])


def left_out(table: Table) -> list[str]:
    return [note for note in table.notes if note.startswith("Not reported")]


def test_nothing_is_said_where_every_column_is_there_or_no_reason_is_on_record(
    tmp_path: Path,
) -> None:
    root = write_project(tmp_path, 1, 2)
    explain(root, ORACLE, {"ctr_impressions": NO_CTR})
    assert not [note for table in tables(root) for note in table.notes if "Not reported" in note]


def test_methods_that_other_code_has_fitted_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    root, names = write_project(tmp_path, 2, 3), METHODS[:3]
    files = [root / "methods" / f"{name}.py" for name in names]
    assert fitted_by_other_code(root) == [], "a method that is not here any more has no code"
    files[0].parent.mkdir()
    for file in files:
        file.write_text("VALUE = 1\n", encoding="utf-8")
    assert fitted_by_other_code(root) == ["all methods."]
    for name in names:
        edit(root / "results/runs" / ORACLE / name / "task.json", code=code_of(name))
    files[1].write_text("# a comment\nVALUE = 1\n", encoding="utf-8")
    assert fitted_by_other_code(root) == []
    files[1].write_text("VALUE = 2\n", encoding="utf-8")
    assert fitted_by_other_code(root) == [f"{TITLES[1]}."]


def fitted_by_other_code(root: Path) -> list[str]:
    says = "Fitted by other code than that of this checkout: "
    notes = [note for note in tables(root)[0].notes if note.startswith(says)]
    return [note.removeprefix(says) for note in notes]


def counted(fingerprint: str, clicks: int | None = 200) -> Facts:
    """Return the facts of a card, whose clicks are worth half of them, or 4 in 5 if clipped."""
    floors = {0.0: (0.0, 0.0, 100.0), 0.05: (0.25, 0.1, 160.0), 0.2: (0.5, 0.3, 190.0)}
    clipped = tuple(
        Clipped(floor=floor, impressions=below, clicks=of, effective_clicks=worth, mass=1.0)
        for floor, (below, of, worth) in floors.items()
    )
    return Facts(
        title="Of the card",
        stages=("impression", "click", "conversion"),
        options={},
        verified=True,
        origins="",
        fingerprint=fingerprint,
        populations=(),
        features=(),
        groups={},
        click_times={},
        attribution_window=None,
        dropped={},
        overlap=None
        if clicks is None
        else Overlap(rows=999, clicks=clicks, auc=0.7, quantiles={}, floors=clipped),
    )


def test_overlap_stands_beside_the_ranking_where_the_card_counts_the_same_data(
    tmp_path: Path,
) -> None:
    root = write_project(tmp_path, 2, 2)
    path = root / CARDS / f"{ORACLE}.json"
    path.parent.mkdir(parents=True)
    known = tables(root)[0].results.schema
    assert known is not None
    for fingerprint, clicks, said in (
        ("of other data", 200, None),
        (known.fingerprint, None, None),
        (
            known.fingerprint,
            200,
            "200 training clicks weighted by inverse propensities have an effective sample size "
            "of 100 (50%), or 160 (80%) with a floor of 0.05, which clips 25.0% of the impressions "
            "and 10.0% of the clicks",
        ),
    ):
        records.write(counted(fingerprint, clicks), path)
        oracle, other = tables(root)
        assert oracle.facts.get("Overlap") == said
        assert "Overlap" not in other.facts


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"floor": 0.05', '"floor": 0.5', "lacks what a floor of 0 or of 0.05 does; "),
        ('"clicks": 200,', "", "does not fit this version (overlap.clicks: Field required); "),
        ("{", "", "does not fit this version (the file: Invalid JSON: "),
    ],
)
def test_a_card_of_another_version_is_named_where_its_overlap_would_stand(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    root = write_project(tmp_path, 2, 2)
    path = root / CARDS / f"{ORACLE}.json"
    path.parent.mkdir(parents=True)
    schema = tables(root)[0].results.schema
    assert schema is not None
    records.write(counted(schema.fingerprint, 200), path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    told = tables(root)[0].facts["Overlap"]
    assert told.startswith(f"unknown, as {CARDS / path.name} {says}")
    assert told.endswith(
        "make it again by `python -m benchmark cards` where the dataset is processed, or delete it"
    )
