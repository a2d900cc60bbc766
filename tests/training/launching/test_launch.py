"""Runs in this process, in several, and as jobs: what they are told, and how they end."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sam3_edge.errors import DatasetError, TrainingError, UsageError
from sam3_edge.training.config.compose import ComposedConfig, compose_config, read_config
from sam3_edge.training.launching import processes
from sam3_edge.training.launching.cluster import ClusterRun, job_parameters, submit
from sam3_edge.training.launching.launch import is_inside_job, launch
from sam3_edge.training.launching.planned_runs import planned_groups
from sam3_edge.training.launching.processes import master_port, run_processes
from sam3_edge.training.launching.spread import Spread, read_metrics, spreads

# Stands in for a run: says what it was given, and ends in the way that the configuration names.
CALLS = """
import json, os, signal, sys, time
from pathlib import Path
from sam3_edge.errors import TrainingError

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

def _folder(config):
    folder = Path(config.paths.experiment)
    folder.mkdir(parents=True, exist_ok=True)
    return folder

def tell(config, recipe):
    rank = os.environ.get("RANK", "0")
    said = {name: os.environ.get(name) for name in NAMES} | {
        "seed": config.trainer.seed_value, "dataset": config.scratch.get("dataset"),
        "resume": config.trainer.checkpoint.resume, "recipe": recipe,
    }
    (_folder(config) / f"said_{rank}.json").write_text(json.dumps(said))
    metrics = {"bbox/AP": config.trainer.seed_value / 100, "missing": float("nan")}
    (_folder(config) / "metrics.json").write_text(json.dumps(metrics))

def fail(config, recipe):
    if os.environ["RANK"] == "1":
        raise TrainingError("expected a loss, got\\nnone")
    time.sleep(60)

def break_down(config, recipe):
    if os.environ["RANK"] == "1":
        raise KeyError("what")
    time.sleep(60)

def wait(config, recipe):
    (_folder(config) / f"pid_{os.environ['RANK']}").write_text(str(os.getpid()))
    time.sleep(60)

def complain(config, recipe):
    rank, other = os.environ["RANK"], _folder(config) / "pid_1"
    (_folder(config) / f"pid_{rank}").write_text(str(os.getpid()))
    while rank == "1" or not other.is_file() or not other.read_text():
        time.sleep(0.01)
    while Path("/proc", other.read_text(), "cmdline").is_file() and _runs(other.read_text()):
        time.sleep(0.01)
    raise TrainingError("connection closed by peer")

def _runs(pid):
    return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"

def stay(config, recipe):
    import subprocess
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (_folder(config) / f"child_{os.environ['RANK']}").write_text(str(child.pid))
    (_folder(config) / f"pid_{os.environ['RANK']}").write_text(str(os.getpid()))
    time.sleep(60)

def add(config, recipe):
    import torch
    import torch.distributed as dist
    dist.init_process_group("gloo")
    total = torch.tensor([float(dist.get_rank() + 1)])
    dist.all_reduce(total)
    (_folder(config) / f"sum_{dist.get_rank()}").write_text(str(total.item()))
    dist.destroy_process_group()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the stand-in importable here and in processes; no job around us."""
    (tmp_path / "stand_in_run.py").write_text(CALLS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stand_in_run", raising=False)
    for name in list(os.environ):
        if name.startswith(("SLURM", "RANK", "WORLD_SIZE", "MASTER_", "SUBMITIT")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def composed(*overrides: str) -> ComposedConfig:
    return compose_config("debug", ["paths.experiment=out", *overrides])


def said(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text())
    return found


def when(paths: list[Path], then: Any) -> None:
    """Calls `then` from another thread once all files have something in them."""

    def watch() -> None:
        while not all(path.is_file() and path.read_text() for path in paths):
            time.sleep(0.05)
        then()

    threading.Thread(target=watch, daemon=True).start()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path("/proc", str(pid), "stat")  # one that has ended may wait there for its parent
    return not (stat.is_file() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_one_process_is_this_one(folder: Path) -> None:
    launch(composed(), call="stand_in_run:tell")
    assert said("out/said_0.json")["RANK"] is None
    assert said("out/said_0.json")["recipe"].startswith("sam3-edge")
    assert read_config(Path("out/config_resolved.yaml")) == composed().config


def test_two_processes_know_each_other(folder: Path) -> None:
    launch(composed("launcher.gpus_per_node=2"), call="stand_in_run:tell")
    both = [said(f"out/said_{rank}.json") for rank in range(2)]
    assert [one["RANK"] for one in both] == [one["LOCAL_RANK"] for one in both] == ["0", "1"]
    assert {one["WORLD_SIZE"] for one in both} == {"2"}
    assert len({one["MASTER_PORT"] for one in both}) == 1
    assert both[1]["recipe"].startswith("sam3-edge")


def test_two_processes_add_their_numbers_with_gloo(folder: Path) -> None:
    launch(composed("launcher.gpus_per_node=2"), call="stand_in_run:add")
    assert [Path(f"out/sum_{rank}").read_text() for rank in range(2)] == ["3.0", "3.0"]


@pytest.mark.parametrize(
    ("call", "cause"),
    [
        ("fail", r"rank 1 \(of 2\): expected a loss, got none; see .*out/logs/rank_1\.log"),
        ("break_down", r"rank 1 \(of 2\): KeyError: 'what'; see .*rank_1\.log"),
    ],
)
def test_what_one_process_fails_of_ends_the_run(folder: Path, call: str, cause: str) -> None:
    with pytest.raises(TrainingError, match=cause):
        launch(composed("launcher.gpus_per_node=2"), call=f"stand_in_run:{call}")
    trace = Path("out/logs/rank_1.log").read_text()
    assert ("Traceback" in trace) == (call == "break_down")


def test_a_killed_process_ends_the_others_and_is_named(folder: Path) -> None:
    pids = [folder / "out" / f"pid_{rank}" for rank in range(2)]
    when(pids, lambda: os.kill(int(pids[1].read_text()), signal.SIGKILL))
    with pytest.raises(TrainingError, match=r"rank 1 \(of 2\) was ended by SIGKILL"):
        launch(composed("launcher.gpus_per_node=2"), call="stand_in_run:wait")
    assert [is_alive(int(pid.read_text())) for pid in pids] == [False, False]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_who_was_killed_comes_before_who_complains_of_it(folder: Path) -> None:
    pids = [folder / "out" / f"pid_{rank}" for rank in range(2)]
    when(pids, lambda: os.kill(int(pids[1].read_text()), signal.SIGKILL))
    with pytest.raises(TrainingError, match=r"rank 1 \(of 2\) was ended by SIGKILL"):
        launch(composed("launcher.gpus_per_node=2"), call="stand_in_run:complain")


def test_processes_that_stay_are_killed_with_their_children(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_END_S", 0.5)
    pids = [folder / "out" / f"pid_{rank}" for rank in range(2)]
    when(pids, lambda: os.kill(int(pids[1].read_text()), signal.SIGKILL))
    with pytest.raises(TrainingError, match="SIGKILL"):
        launch(composed("launcher.gpus_per_node=2"), call="stand_in_run:stay")
    left = [int(path.read_text()) for path in (folder / "out").glob("*_[01]")]
    assert len(left) == 4
    deadline = time.monotonic() + 10  # init, and not we, buries the children
    while any(map(is_alive, left)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in left if is_alive(pid)] == []


def test_ctrl_c_ends_all_processes(folder: Path) -> None:
    pids = [folder / "out" / f"pid_{rank}" for rank in range(2)]
    when(pids, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        launch(composed("launcher.gpus_per_node=2"), call="stand_in_run:wait")
    assert [is_alive(int(pid.read_text())) for pid in pids] == [False, False]


def test_processes_end_when_their_starter_is_killed(folder: Path) -> None:
    script = textwrap.dedent("""
        from sam3_edge.training.config.compose import compose_config
        from sam3_edge.training.launching.launch import launch
        overrides = ["paths.experiment=out", "launcher.gpus_per_node=2"]
        launch(compose_config("debug", overrides), call="stand_in_run:wait")
    """)
    pids = [folder / "out" / f"pid_{rank}" for rank in range(2)]
    starter = subprocess.Popen([sys.executable, "-c", script])
    when(pids, starter.kill)
    assert starter.wait() == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while any(is_alive(int(pid.read_text())) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [is_alive(int(pid.read_text())) for pid in pids] == [False, False]


def test_a_port_in_use_is_avoided_or_refused_in_one_line(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert master_port({}) != port
        with pytest.raises(
            UsageError, match=rf"MASTER_PORT: expected a free port, got one in use: {port}"
        ):
            master_port({"MASTER_PORT": str(port)})
    assert master_port({"MASTER_PORT": str(port)}) == port
    with pytest.raises(UsageError, match="MASTER_PORT: expected 0 to 65535, got '70000'"):
        master_port({"MASTER_PORT": "70000"})


def test_the_users_port_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_PORT", str(master_port({})))
    launch(composed("launcher.gpus_per_node=2"), call="stand_in_run:tell")
    assert said("out/said_1.json")["MASTER_PORT"] == os.environ["MASTER_PORT"]


@pytest.mark.parametrize(
    ("environment", "inside"),
    [
        ({}, False),
        ({"RANK": "1", "WORLD_SIZE": "2"}, True),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, True),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, False),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_JOB_ID": "3", "SLURM_NTASKS": "4"}, False),
    ],
)
def test_inside_a_job_nothing_is_started(environment: dict[str, str], inside: bool) -> None:
    assert is_inside_job(environment) is inside


def test_under_torchrun_a_process_only_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    launch(composed("launcher.gpus_per_node=2"), call="stand_in_run:tell")
    assert said("out/said_1.json")["RANK"] == "1"
    assert not Path("out/config.yaml").exists()
    with pytest.raises(UsageError, match="expected one run under torchrun or srun, got 2"):
        launch(composed("trainer.few_shot_seeds=[1,2]"), call="stand_in_run:tell")


def test_several_nodes_want_a_cluster(folder: Path) -> None:
    with pytest.raises(
        UsageError, match=r"launcher\.num_nodes: expected 1 without a cluster, got 2"
    ):
        launch(composed("launcher.num_nodes=2"), call="stand_in_run:tell")


def test_seeds_are_runs_of_their_own_with_mean_and_spread(folder: Path) -> None:
    lines: list[str] = []
    launch(
        composed("trainer.few_shot_seeds=[3,30,300]"), report=lines.append, call="stand_in_run:tell"
    )
    assert [said(f"out/seed_{seed}/said_0.json")["seed"] for seed in (3, 30, 300)] == [3, 30, 300]
    found = json.loads(Path("out/few_shot.json").read_text())
    assert found["seeds"] == [3, 30, 300]
    assert found["metrics"]["bbox/AP"]["values"] == [0.03, 0.3, 3.0]
    assert found["metrics"]["bbox/AP"]["mean"] == pytest.approx(1.11)
    assert found["metrics"]["bbox/AP"]["spread"] == pytest.approx(1.6423459)
    assert "missing" not in found["metrics"]
    assert "  bbox/AP  1.1100 +- 1.6423" in lines


def test_spread_of_one_and_of_none() -> None:
    assert Spread.of([2.0]) == Spread(mean=2.0, spread=0.0, values=(2.0,))
    assert spreads([]) == {}
    assert spreads([{"a": 1.0}, {"b": 1.0}]) == {}


@pytest.mark.parametrize("text", ["", "[1]", '{"a": "b"}', '{"a": null}'])
def test_metrics_that_are_none_are_refused(folder: Path, text: str) -> None:
    (folder / "metrics.json").write_text(text)
    with pytest.raises(TrainingError, match="expected the final metrics of a run"):
        read_metrics(folder)


def test_every_data_set_is_a_run_of_its_own(folder: Path) -> None:
    datasets = "submitit.job_array.datasets=[crab,ray]"
    lines: list[str] = []
    launch(composed(datasets), report=lines.append, call="stand_in_run:tell")
    assert [said(f"out/{name}/said_0.json")["dataset"] for name in ("crab", "ray")] == [
        "crab",
        "ray",
    ]
    found = json.loads(Path("out/datasets.json").read_text())
    assert found["datasets"]["crab"] == {"bbox/AP": 0.01}
    assert found["mean"] == {"bbox/AP": 0.01}
    assert "over 2 of 2 data sets:" in lines


def roboflow(root: Path, *names: str) -> None:
    for name in names:
        for split in ("train", "valid"):
            (root / name / split).mkdir(parents=True)
            (root / name / split / "_annotations.coco.json").write_text("{}")


def test_a_layout_lists_its_data_sets(folder: Path) -> None:
    roboflow(folder / "rf", "crab", "ray")
    groups = planned_groups(compose_config("roboflow100", ["paths.data=rf"]))
    assert [group.dataset for group in groups] == ["crab", "ray"]
    data = groups[1].runs[0].config.trainer.data
    assert data.train["dataset"].annotations == "rf/ray/train/_annotations.coco.json"
    assert data.val["dataset"].annotations == "rf/ray/valid/_annotations.coco.json"
    assert groups[1].runs[0].config.paths.experiment == "runs/roboflow100/ray"
    chosen = ["paths.data=rf", "submitit.job_array.datasets=[ray]"]
    (only,) = planned_groups(compose_config("roboflow100", chosen))
    assert only.dataset == "ray"
    chosen[1] = "submitit.job_array.datasets=[eel]"
    with pytest.raises(UsageError, match="expected some of crab, ray, got 'eel'"):
        planned_groups(compose_config("roboflow100", chosen))
    with pytest.raises(DatasetError, match="expected the folder of roboflow100"):
        planned_groups(compose_config("roboflow100", ["paths.data=nowhere"]))


def test_odinw_runs_every_seed_of_a_data_set(folder: Path) -> None:
    place = folder / "odinw" / "pothole"
    for split in ("train", "valid"):
        (place / split).mkdir(parents=True)
        (place / split / "annotations_without_background.json").write_text("{}")
    overrides = ["paths.data=odinw", "submitit.job_array.datasets=[pothole]"]
    (group,) = planned_groups(compose_config("odinw13", overrides))
    assert group.seeds == (3, 30, 300)
    assert [run.config.trainer.data.train["dataset"].shots_seed for run in group.runs] == [
        3,
        30,
        300,
    ]
    assert group.runs[2].config.paths.experiment == "runs/odinw13/pothole/seed_300"


def test_without_slurm_a_job_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(UsageError, match="found no `sbatch`"):
        launch(composed("submitit.use_cluster=true"), call="stand_in_run:tell")


def test_a_job_is_what_the_section_says() -> None:
    parameters = job_parameters(
        composed(
            "submitit.timeout_hour=1.5",
            "submitit.partition=gpu",
            "submitit.account=reef",
            "submitit.mem_gb=64",
            "submitit.job_array.max_parallel=3",
            "launcher.num_nodes=2",
            "launcher.gpus_per_node=4",
        )
    )
    assert parameters == {
        "name": "sam3-edge-debug",
        "timeout_min": 90,
        "nodes": 2,
        "tasks_per_node": 4,
        "gpus_per_node": 4,
        "cpus_per_task": 10,
        "mem_gb": 64,
        "slurm_partition": "gpu",
        "slurm_account": "reef",
        "slurm_array_parallelism": 3,
        "slurm_signal_delay_s": 180,
    }
    on_cpus = job_parameters(composed("launcher.gpus_per_node=4", "trainer.accelerator=cpu"))
    assert (on_cpus["tasks_per_node"], on_cpus["gpus_per_node"]) == (4, 0)


def test_slurm_is_given_an_array_with_the_partition(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stand-in for sbatch that keeps the script it is given."""
    tools = folder / "tools"
    tools.mkdir()
    for name, text in {"sbatch": f'cp "$1" {folder}/script; echo "job 17"', "srun": ""}.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    overrides = ["submitit.use_cluster=true", "submitit.partition=gpu", "submitit.mem_gb=8"]
    lines: list[str] = []
    launch(
        composed(*overrides, "submitit.job_array.datasets=[crab,ray]", "trainer.model.preset=tiny"),
        report=lines.append,
        call="stand_in_run:tell",
    )
    script = (folder / "script").read_text()
    for option in ("partition=gpu", "mem=8GB", "array=0-1%2", "time=4320", "gpus-per-node=1"):
        assert f"#SBATCH --{option}" in script
    assert lines[1].startswith("job 17_1: ray, log ")
    assert not (folder / "out" / "crab").exists()


def test_jobs_run_a_task_for_every_process_and_data_set(folder: Path) -> None:
    config = composed(
        "launcher.gpus_per_node=2",
        "trainer.accelerator=cpu",
        "submitit.job_array.datasets=[crab,ray]",
        "submitit.port_range=[23456,23460]",
    )
    jobs = submit(
        config, planned_groups(config), cluster="local", call="stand_in_run:tell", recipe="train"
    )
    for job in jobs:
        job.handle.results()
    assert [job.dataset for job in jobs] == ["crab", "ray"]
    told = [said(f"out/{name}/said_{rank}.json") for name in ("crab", "ray") for rank in (0, 1)]
    assert [one["RANK"] for one in told] == ["0", "1", "0", "1"]
    assert {one["WORLD_SIZE"] for one in told} == {"2"}
    assert {one["recipe"] for one in told} == {"train"}
    assert all(23456 <= int(one["MASTER_PORT"]) <= 23460 for one in told)
    assert told[0]["MASTER_PORT"] == told[1]["MASTER_PORT"]
    assert all(str(folder / "out" / "submitit") in str(job.log) for job in jobs)
    assert (folder / "out" / "crab" / "config.yaml").is_file()
    assert len(json.loads((folder / "out" / "datasets.json").read_text())["datasets"]) == 2


def test_a_job_that_is_put_back_resumes_even_if_it_began_afresh(folder: Path) -> None:
    config = composed("trainer.checkpoint.resume=false")
    groups = planned_groups(config)
    job = ClusterRun(groups[0], groups, folder / "out", "stand_in_run:tell", "train")
    again = job.checkpoint().function
    assert isinstance(again, ClusterRun)
    assert job.group.runs[0].config.trainer.checkpoint.resume is False
    assert again.group.runs[0].config.trainer.checkpoint.resume is True


def test_a_configuration_that_cannot_be_read_is_the_cause(folder: Path) -> None:
    (folder / "broken.yaml").write_text("trainer: {max_epoch: 3}")
    with pytest.raises(
        TrainingError, match=r"rank \d \(of 2\): trainer\.max_epoch: expected a known"
    ):
        run_processes(folder / "broken.yaml", 2, call="stand_in_run:tell")
