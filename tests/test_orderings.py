"""Whether published orderings hold: the sign, the pairing, the counts, the files of the studies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.fake_runs import METHODS, ORACLE, TITLES, edit, write_project

from benchmark import registry
from benchmark.reporting import records
from benchmark.reporting.metric import Metric
from benchmark.reporting.records import DatasetResults
from benchmark.reporting.studies.orderings import Ordering, Orderings, check, markdown
from benchmark.studies import Workspace

FILES = sorted(registry.ROOT.glob("studies/*/orderings.yaml"))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[DatasetResults]:
    root = write_project(tmp_path_factory.mktemp("project"), replicates=3, count=4)
    shift_seeds(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return records.read(Workspace())


def shift_seeds(root: Path) -> None:
    """Make seeds differ much more than two methods do, by the same in both."""
    for method, lead in zip(METHODS[:2], (0.01, 0.0), strict=True):
        for seed, noise in enumerate((0.0, 0.001, -0.001)):
            path = root / "results/runs" / ORACLE / method / "default" / f"{seed}.json"
            metrics = {
                "cvr_auc_oracle": 0.5 + 0.1 * seed + lead + (noise if lead else 0.0),
                "cvr_bias_oracle": -0.02 if lead else 0.01,
            }
            edit(path, test=metrics)


def verdict(results: DatasetResults, better: int, worse: int, metric: str) -> tuple[float, str]:
    tasks = {task.method: task for task in results.tasks}
    found = check(tasks[METHODS[better]], tasks[METHODS[worse]], Metric.parse(metric), 0.95)
    assert found is not None
    return found.gain.mean, found.verdict


def test_seeds_are_paired(logs: list[DatasetResults]) -> None:
    gain, told = verdict(logs[0], 0, 1, "cvr_auc_oracle")
    assert (gain, told) == (pytest.approx(0.01), "holds")
    assert verdict(logs[0], 1, 0, "cvr_auc_oracle")[1] == "reversed"
    assert verdict(logs[0], 0, 0, "cvr_auc_oracle") == (0.0, "equivalent")


def test_a_bias_gains_by_coming_closer_to_zero(logs: list[DatasetResults]) -> None:
    gain, told = verdict(logs[0], 1, 0, "cvr_bias_oracle")
    assert (gain, told) == (pytest.approx(0.01), "holds")


def test_pairs_that_were_not_run_are_left_out_and_the_rest_is_counted(
    logs: list[DatasetResults],
) -> None:
    pairs = [(METHODS[0], METHODS[1]), (METHODS[1], METHODS[0]), (METHODS[0], "absent")]
    claims = tuple(Ordering(better=b, worse=w, source="X", published="Y") for b, w in pairs)
    found = Orderings(metrics=("cvr_auc_oracle", "cvr_ks_oracle"), orderings=claims)
    text = markdown(found, logs[:1], 0.95)
    assert f"{TITLES[0]} > {TITLES[1]}" in text
    assert "absent" not in text
    assert "1 holds, 0 equivalent, 0 undecided, 1 reversed, of 2." in text
    assert "KS, all impressions (oracle): " not in text  # undefined: nothing to count


def test_a_verdict_that_the_search_makes_is_shown_beside_that_of_the_defaults(
    logs: list[DatasetResults],
) -> None:
    first, second, *rest = logs[0].tasks
    tasks = (
        replace(first, defaults=second.replicates),
        replace(second, defaults=first.replicates),
        *rest,
    )
    claim = Ordering(better=first.method, worse=second.method, source="X", published="Y")
    published = Orderings(metrics=("cvr_auc_oracle",), orderings=(claim,))
    assert "default hyper" not in markdown(published, logs[:1], 0.95)
    text = markdown(published, [replace(logs[0], tasks=tasks)], 0.95)
    assert "holds (by default reversed)" in text
    assert "- CVR AUC, all impressions (oracle): 1 holds" in text
    by_default = "by default hyper-parameters: 0 holds, 0 equivalent, 0 undecided, 1 reversed, of 1"
    assert by_default in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_studies_check_methods_and_metrics_that_exist(path: Path) -> None:
    found = Orderings.read(path)
    pairs = [{claim.better, claim.worse} for claim in found.orderings]
    assert pairs
    assert all(len(pair) == 2 for pair in pairs)
    assert set.union(*pairs) <= set(registry.names("methods"))
    assert len([Metric.parse(name) for name in found.metrics]) == len(np.unique(found.metrics))


def test_some_study_checks_orderings() -> None:
    assert FILES
