"""The folder of a run: what is written where, by whom, and what happens when it cannot be."""

import json
from pathlib import Path

import pytest

from sam3_edge.errors import TrainingError
from sam3_edge.training.config.schema import EarlyStopSection, RunConfig
from sam3_edge.training.experiment import open_experiment
from sam3_edge.training.plan import Plan, make_plan
from sam3_edge.training.standing import Standing


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    other = open_experiment(tmp_path, writes=False)
    other.append({"step": 1})
    other.write_metrics({"bbox/AP": 0.1})
    assert not other.log.exists()
    assert not other.metrics.exists()
    first = open_experiment(tmp_path, writes=True)
    first.append({"step": 1})
    first.write_metrics({"bbox/AP": 0.1})
    assert json.loads(first.metrics.read_text()) == {"bbox/AP": 0.1}


def test_steps_that_are_done_again_are_logged_once(tmp_path: Path) -> None:
    experiment = open_experiment(tmp_path, writes=True)
    for step in range(1, 5):
        experiment.append({"step": step})
    with experiment.log.open("a") as file:
        file.write('{"step": 5, "lo')
    experiment.forget_after(2)
    experiment.append({"step": 3})
    steps = [json.loads(line)["step"] for line in experiment.log.read_text().splitlines()]
    assert steps == [1, 2, 3]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="expected a folder that can be written"):
        open_experiment(tmp_path / "file" / "run", writes=True)


def test_epochs_are_counted_in_steps_of_all_processes() -> None:
    trainer = RunConfig().trainer
    trainer.max_epochs, trainer.data.batch_size, trainer.gradient_accumulation_steps = 3, 4, 2
    plan = make_plan(trainer, 33, processes=2)
    assert (plan.steps_per_epoch, plan.num_steps) == (3, 9)
    assert [step for step in range(1, 10) if plan.ends_epoch(step)] == [3, 6, 9]
    trainer.max_steps = 5
    assert make_plan(trainer, 33, processes=2).num_steps == 5


def test_minutes_stretch_the_schedule_over_the_steps_they_allow() -> None:
    plan = Plan(steps_per_epoch=10, num_steps=1000, max_minutes=10.0)
    assert plan.expected_steps(0, 0.0) == 1000
    assert plan.expected_steps(50, 60.0) == 500
    assert plan.expected_steps(50, 599.9) == 51
    assert plan.expected_steps(900, 60.0) == 1000
    assert not plan.is_over(50, 599.9)
    assert plan.is_over(50, 600.0)
    assert plan.progress(50, 60.0) == pytest.approx(0.1)


def test_the_best_and_the_wait_for_it() -> None:
    early = EarlyStopSection(patience=2, least_gain=0.1)
    standing = Standing()
    said = []
    for step, value in enumerate((0.1, 0.15, 0.3, 0.35, 0.2)):
        standing.step = step
        best = standing.record({"bbox/AP": value}, "bbox/AP", early)
        said.append((best, standing.should_stop(early)))
    assert said == [(True, False), (True, False), (True, False), (True, False), (False, True)]
    assert (standing.best, standing.evaluated) == (0.35, 4)


def test_a_metric_that_is_not_defined_is_no_gain() -> None:
    standing = Standing()
    assert not standing.record({}, "bbox/AP", EarlyStopSection())
    assert standing.best is None
