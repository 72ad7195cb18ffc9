"""The ranking over all blocks: the textbook's tests, and no method that some setting lacks."""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from helpers.fake_runs import ORACLE, TITLES, tables, write_project
from helpers.projects import pictures_of
from scipy import stats

from benchmark.cli import main
from benchmark.reporting.evidence import Evidence, blocks, common
from benchmark.reporting.metric import Metric
from benchmark.reporting.ranking import rank, sentence, table
from benchmark.reporting.records import Task
from benchmark.reporting.statistics import ranks

CLICKED, UNBIASED = Metric.parse("cvr_auc_clicked"), Metric.parse("cvr_auc_oracle")
REPLICATES = 8


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the made-up records of ten methods, of which two lack one of two datasets."""
    return write_project(tmp_path_factory.mktemp("project"), REPLICATES)


def test_methods_are_ranked_within_each_replicate_of_each_setting(project: Path) -> None:
    datasets = [found.results for found in tables(project)]
    found = rank(datasets, CLICKED, 0.95)
    assert found is not None
    common = [task.method for task in datasets[0].reported if task.method not in ("m2", "m5")]
    blocks = [
        stats.rankdata(
            [-t.values("cvr_auc_clicked")[j] for t in results.reported if t.method in common]
        )
        for results in datasets
        for j in range(REPLICATES)
    ]
    assert found.blocks.shape == (len(common), 2 * REPLICATES)
    assert sorted(found.means) == pytest.approx(sorted(np.mean(blocks, axis=0)))
    assert found.p_value == pytest.approx(stats.friedmanchisquare(*np.transpose(blocks)).pvalue)
    assert not {"Robust & <Clipped>", "Entire 100%"} & set(found.titles)
    assert "8 methods ranked within each of 16 blocks (the replicates of 2 settings)" in sentence(
        found
    )


def test_settings_that_do_not_know_the_metric_are_no_blocks(project: Path) -> None:
    found = rank([one.results for one in tables(project)], UNBIASED, 0.95)
    assert found is not None
    assert found.blocks.shape == (len(TITLES), REPLICATES)
    assert found.titles == TITLES  # made up from the best to the worst
    assert found.p_value < 1e-6
    # Demšar (2006), table 5: the quantile of ten methods at 0.05 is 3.164.
    assert found.difference == pytest.approx(3.164 * (10 * 11 / (6 * REPLICATES)) ** 0.5, rel=1e-3)
    shown = table(found)
    assert (shown["rank_low"] <= shown["rank"]).all()
    assert (shown["rank"] <= shown["rank_high"]).all()


def test_settings_on_the_same_data_share_their_blocks(project: Path) -> None:
    """The same numbers seen twice are not twice as many: neither test nor interval may gain."""
    once = [one.results for one in tables(project)]
    twice = [replace(one, variant=variant) for one in once for variant in ("", "again")]
    alone, both = rank(once, CLICKED, 0.95), rank(twice, CLICKED, 0.95)
    assert alone is not None
    assert both is not None
    np.testing.assert_array_equal(both.blocks, alone.blocks)
    assert (both.p_value, both.difference) == (alone.p_value, alone.difference)
    for own, other in zip(astuple(both.places), astuple(alone.places), strict=True):
        np.testing.assert_array_equal(own, other)
    assert "16 blocks (the replicates of 4 settings)" in sentence(both)
    assert "on the same data share their blocks" in sentence(both)
    assert "share their blocks" not in sentence(alone)


def test_a_shared_block_has_the_mean_ranks_of_the_replicates_that_all_its_settings_have(
    project: Path,
) -> None:
    oracle = next(one.results for one in tables(project) if one.results.dataset == ORACLE)
    other = replace(oracle, tasks=tuple(map(shortened, oracle.tasks[::-1])))
    settings = [Evidence(CLICKED, oracle), Evidence(CLICKED, other)]
    names = common(settings)
    expected = [
        np.mean([stats.rankdata([-one.task(name).values(CLICKED.name)[j] for name in names])
                 for one in settings], axis=0)
        for j in range(REPLICATES - 1)
    ]  # fmt: skip
    np.testing.assert_allclose(blocks(settings), np.transpose(expected))


def shortened(task: Task) -> Task:
    """Return a task without its last replicate, the others in another order."""
    return replace(task, replicates=task.replicates[-2::-1])


def test_two_methods_or_one_block_are_not_ranked(tmp_path: Path) -> None:
    few = [one.results for one in tables(write_project(tmp_path / "few", 4, 2))]
    once = [one.results for one in tables(write_project(tmp_path / "once", 1, 5))]
    assert rank(few, CLICKED, 0.95) is None
    assert rank([results for results in once if results.dataset == ORACLE], CLICKED, 0.95) is None


def test_the_report_writes_table_and_picture(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    pictures_of(monkeypatch, None)
    assert main(["report"]) == 0
    text = (project / "results" / "ranking.md").read_text(encoding="utf-8")
    assert "## CVR AUC, all impressions (oracle)" in text
    assert "Critical difference of mean ranks (Nemenyi, α = 0.05): 4.79" in text
    picture = (project / "results/plots/ranking_cvr_auc_oracle.svg").read_text(encoding="utf-8")
    assert all(title.replace("&", "&amp;").split("<")[0] in picture for title in TITLES)


def test_the_rank_of_a_method_that_always_wins_is_certain() -> None:
    costs = np.random.default_rng(0).normal(size=(3, 8)).argsort(axis=0).astype(float)
    found = ranks(np.vstack([np.full(8, -1.0), costs]), 0.95)
    assert found is not None
    assert (found.low[0], found.high[0]) == (1, 1)
    found = ranks(stats.rankdata(np.vstack([np.full(8, -1.0), np.zeros((2, 8))]), axis=0), 0.95)
    assert found is not None
    assert found.high.tolist() == [1, 3, 3]


def test_a_rank_that_hardly_varies_has_a_narrow_interval() -> None:
    """Without the one other block, which a third of the resamples lack, ranks would not vary."""
    middle = np.random.default_rng(0).permuted(np.repeat([np.arange(1, 21)], 12, axis=0), axis=1).T
    ends = np.tile([[0], [21], [22], [23]], 12)
    ends[[1, 2], 0] = ends[[2, 1], 0]
    found = ranks(np.vstack([middle, ends]).astype(float) + 1, 0.95)
    assert found is not None
    assert (found.rank - found.low)[-4:].max() < 5
    assert (found.high - found.rank)[-4:].max() < 3


@pytest.mark.parametrize(("blocks", "last"), [(2, 3), (6, 3), (7, 1)])
def test_a_method_that_always_wins_is_first_only_if_chance_seldom_does_that(
    blocks: int, last: int
) -> None:
    found = ranks(np.repeat([[1.0], [2.0], [3.0]], blocks, axis=1), 0.95)
    assert found is not None
    assert (found.low[0], found.high[0]) == (1, last)
