"""Training frames per second on spread by batch size, and the seconds to EPyMARL's MAPPO score.

A frame is one decision of all three agents in one copy. MAPPO trains with the options of
scenarios/spread.yaml, rollout and update timed apart; processor time of one process beside wall
time, so that a busy machine shows. In the same run, where they install: VMAS's simple_spread under
random moves, and BenchMARL's MAPPO on it at its own defaults. What could not be had says why.

    python benchmarks/bench_train.py [COPIES ...] [--seconds-to -29.3] [--threads N]

Aims: 40,000 frames/s on one processor; -29.3 in MPE2 in under 60 s of training on two.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from common import machine

from sim.learn.plan import load_training, plan_training
from sim.learn.presets import make_family
from sim.learn.rollout import make_rollout

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from proofs.spread import judged, task

STEPS = 25


def timed(work: Callable[[], Any], device: str = "cpu") -> tuple[float, float]:
    """Seconds of wall and of processor time."""
    if device != "cpu":
        torch.cuda.synchronize()
    wall, used = time.perf_counter(), time.process_time()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - used


def ours(copies: int, device: str, updates: int) -> dict[str, Any]:
    """Rollout and update of MAPPO, after two to warm up."""
    plan = plan_training(load_training("spread", overrides=task().overrides(), algorithm="mappo"))
    rollout = make_rollout(plan.prepared, ("agent",), copies, "batched", device=device)
    family = make_family(
        "mappo", rollout.sides, rollout.state_size, options=plan.spec.options["mappo"],
        device=device,
    )  # fmt: skip
    records: list[Any] = []

    def collect() -> None:
        records.append(rollout.collect(family.actors(), family.decisions))
        rollout.finished()

    spent = {"rollout": [0.0, 0.0], "update": [0.0, 0.0]}
    for i in range(-2, updates):
        for name, found in (
            ("rollout", timed(collect, device)),
            ("update", timed(lambda: family.update(records.pop()), device)),
        ):
            if i >= 0:
                spent[name] = [a + b for a, b in zip(spent[name], found, strict=True)]
    frames = copies * family.decisions * updates
    wall, used = (sum(each[k] for each in spent.values()) for k in (0, 1))
    return {
        "what": "ours, mappo", "device": device, "copies": copies,
        "frames_per_s": round(frames / wall), "frames_per_cpu_s": round(frames / used),
        "rollout_us_per_frame_cpu": round(1e6 * spent["rollout"][1] / frames, 2),
        "update_us_per_frame_cpu": round(1e6 * spent["update"][1] / frames, 2),
    }  # fmt: skip


def vmas(copies: int, device: str, steps: int) -> dict[str, Any]:
    """VMAS's simple_spread under random moves: no network, no update."""
    name = {"what": "vmas simple_spread, random moves", "device": device, "copies": copies}
    try:
        make_env = import_module("vmas").make_env
    except ImportError as error:
        return {**name, "skipped": str(error)}
    env = make_env("simple_spread", num_envs=copies, device=device, continuous_actions=False,
                   n_agents=3, max_steps=STEPS)  # fmt: skip

    def step() -> None:
        for i in range(steps):
            env.step([torch.randint(5, (copies,), device=device) for _ in env.agents])
            if i % STEPS == STEPS - 1:
                env.reset()

    env.step([torch.zeros(copies, dtype=torch.long, device=device) for _ in env.agents])
    wall, used = timed(step, device)
    frames = copies * steps
    return {**name, "frames_per_s": round(frames / wall), "frames_per_cpu_s": round(frames / used)}


def benchmarl(frames: int, copies: int = 60) -> dict[str, Any]:
    """BenchMARL's MAPPO on VMAS's simple_spread, at its own defaults but for the device."""
    name = {"what": "benchmarl mappo, vmas simple_spread", "device": "cpu", "copies": copies}
    try:
        algorithms = import_module("benchmarl.algorithms")
        tasks, models = import_module("benchmarl.environments"), import_module("benchmarl.models")
        experiment = import_module("benchmarl.experiment")
    except ImportError as error:
        return {**name, "skipped": str(error).splitlines()[0]}
    with tempfile.TemporaryDirectory() as folder:
        config = experiment.ExperimentConfig.get_from_yaml()
        config.sampling_device = config.train_device = config.buffer_device = "cpu"
        config.on_policy_n_envs_per_worker, config.max_n_frames = copies, frames
        config.evaluation = config.render = False
        config.loggers, config.create_json, config.save_folder = [], False, folder
        config.max_n_iters = None
        per_update = config.on_policy_collected_frames_per_batch
        made = experiment.Experiment(
            task=tasks.VmasTask.SIMPLE_SPREAD.get_from_yaml(),
            algorithm_config=algorithms.MappoConfig.get_from_yaml(),
            model_config=models.MlpConfig.get_from_yaml(),
            critic_model_config=models.MlpConfig.get_from_yaml(),
            seed=0, config=config,
        )  # fmt: skip
        wall, used = timed(made.run)
    done = -(-frames // per_update) * per_update
    return {**name, "frames_per_s": round(done / wall), "frames_per_cpu_s": round(done / used)}


def seconds_to(score: float, seed: int = 0, episodes: int = 200) -> dict[str, Any]:
    """Seconds of training until the policy file reaches a score in MPE2; judging not counted."""
    from agents.networks import save_policy

    frames = task().frames
    plan = plan_training(load_training("spread", overrides=task().overrides(), algorithm="mappo"))
    copies = 128
    rollout = make_rollout(plan.prepared, ("agent",), copies, "batched", seed=seed)
    family = make_family(
        "mappo", rollout.sides, rollout.state_size, options=plan.spec.options["mappo"], seed=seed
    )
    wall, used, done, found = 0.0, 0.0, 0, float("-inf")

    def train() -> None:
        for _ in range(30):
            family.update(rollout.collect(family.actors(), family.decisions))
        rollout.finished()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.safetensors"
        while found < score and done < frames:
            spent = timed(train)
            wall, used, done = wall + spent[0], used + spent[1], done + 30 * copies * STEPS
            save_policy(path, *family.policies()["agent"])
            returns = judged(path, range(10_000, 10_000 + episodes))
            found = sum(returns) / len(returns)
    return {
        "what": f"ours, mappo, to {score:g} in MPE2", "device": "cpu", "copies": copies,
        "reached": round(found, 2), "frames": done, "seconds": round(wall, 1),
        "cpu_seconds": round(used, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("copies", nargs="*", type=int, default=[32, 128, 512, 2048])
    parser.add_argument("--seconds-to", type=float, default=-29.3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rates = [
        ours(copies, device, max(2, 512 // copies)) for device in devices
        for copies in options.copies
    ]  # fmt: skip
    rates += [vmas(copies, device, 50) for device in devices for copies in options.copies]
    rates += [benchmarl(12_000), seconds_to(options.seconds_to)]
    told = {"benchmark": "train", **machine(), "torch_threads": options.threads, "rates": rates}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
