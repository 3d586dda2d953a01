"""The words of learning: `sim train`, `sim evaluate`, `sim sweep`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from sim.cli.quantities import frames, inches, positive

_TRAIN_EXAMPLES: Final = """\
examples:
  sim train smart_grid                 what its `learn` block says
  sim train rendezvous --algorithm mappo --frames 2e5
  sim train smart_grid --links '{loss: [0, 0.4]}'     drawn for every episode
  sim train smart_grid --set learn.options.mappo.learning_rate=1e-4
  sim train --resume last              go on with the newest training run
  sim train --resume last --frames 4e6            further than it was asked for

A frame is one decision of one copy of the world. Policies are kept in
runs/<scenario>-<nnnn>/policies/ from the first update on, so that
`sim run SCENARIO --as 'battery-*=policy:last'` plays them while training goes
on. Ctrl-C finishes the update and saves; again stops at once. The run's folder
has its figures in metrics.csv and as events for TensorBoard.
exit codes: 0 ended, 2 scenario or command line, 5 checkpoint, 6 diverged,
130 interrupted.
"""
_EVALUATE_EXAMPLES: Final = """\
examples:
  sim evaluate smart_grid --as 'battery-*=policy:last'
  sim evaluate rendezvous --as 'agent-*=policy:rendezvous-0007' --episodes 50
  sim evaluate smart_grid --as 'battery-*=policy:last' --processes --episodes 1

columns:
  policies    as the scenario and --as say       rule     the world's own rules
  reference   the world's bound or optimum       silent   every message lost
score = (J - J_rule) / (J_reference - J_rule), J the world's objective: 0 is as
good as the rule, 1 as good as the reference; there is none where the reference
does no better than the rule. Figures are means over the episodes with 95 %
intervals. Training never saw their seeds, nor their days if
`learn.held_out` names some. The report of the training run has them, too.
"""


_SWEEP_EXAMPLES: Final = """\
examples:
  sim sweep smart_grid --vary links.default.loss=0:0.5:0.1 --figure loss.pdf
  sim sweep smart_grid --vary links.default.loss=0:0.5:0.1 \\
      --vary 'as=battery-*=rule,battery-*=policy:last' --metric cost
  sim sweep smart_grid --vary links.default.loss=0,0.5,1 \\
      --vary 'as=*=rule,*=none' --metric cost,overload_minutes \\
      --labels 'rule,no control' --figure loss.png
  sim sweep rendezvous --set 'faults=[]' --vary world.agents=2,4,8 --seeds 20

The first --vary lies along the figure; every combination of the others is a
line. Any key of the scenario can be varied; links.* is short for network.*, and
`as` is who plays. Faults that name agents must be there in every setting. Seeds
are the same in every setting, and training never saw them. The table is in
runs/<scenario>-<nnnn>/sweep.csv, a row per run and metric.
"""


_RUN_DIR: Final = "new directory to keep the run in (default the next in runs/)"


def add_learning_commands(
    add: Callable[..., argparse.ArgumentParser],
    add_scenario: Callable[..., None],
) -> None:
    """Adds the commands. add: a new command. add_scenario: scenario, --seed, --set, --as."""
    train = add("train", "train policies", epilog=_TRAIN_EXAMPLES)
    add_scenario(train, nargs="?")
    train.add_argument(
        "--algorithm", metavar="NAME",
        help="for all groups that learn: ppo, ippo, mappo, iql, hysteretic, lenient, vdn or qmix "
        "(default by the scenario; or mappo for several agents, ppo for one)",
    )  # fmt: skip
    train.add_argument(
        "--frames",
        type=frames,
        metavar="N",
        help="after which it ends, as 2e6 (default learn.frames of the scenario, or 1e6)",
    )
    train.add_argument(
        "--device", choices=("auto", "cpu", "cuda"),
        help="where the learner computes (default auto: cuda if there is one)",
    )  # fmt: skip
    train.add_argument(
        "--workers",
        type=positive,
        metavar="K",
        help="processes that play the copies (default 1, the learner's own)",
    )
    train.add_argument(
        "--rollout",
        choices=("batched", "kernel"),
        help="how it is played: in one batch, or by whole kernels (default a batch if all can)",
    )
    train.add_argument(
        "--copies",
        type=positive,
        metavar="N",
        help="copies of the world side by side (default "
        "learn.copies; or 128 in a batch, 1024 on a GPU, 8 kernels a worker)",
    )
    train.add_argument(
        "--links", metavar="LINKS",
        help="of the network in training: ideal, scenario, or ranges that are drawn from for "
        "every episode, as {loss: [0, 0.4], latency: [0s, 10s]} (default learn.links, or scenario)",
    )  # fmt: skip
    train.add_argument(
        "--resume", metavar="RUN",
        help="goes on with a training run, from its newest checkpoint: a name in runs/, a folder, "
        "or last",
    )  # fmt: skip
    train.add_argument("--run-dir", metavar="DIR", help=_RUN_DIR)
    train.add_argument("--json", action="store_true", help="print the outcome as one document")
    evaluate = add("evaluate", "say how good policies are", epilog=_EVALUATE_EXAMPLES)
    add_scenario(evaluate)
    evaluate.add_argument(
        "--episodes",
        type=positive,
        default=10,
        metavar="N",
        help="to play in each column (default 10)",
    )
    evaluate.add_argument(
        "--selfish", action="append", default=[], metavar="PATTERN=BEHAVIOUR",
        help="one more column, in which everybody looks after themselves: cooperation is read "
        "against it",
    )  # fmt: skip
    evaluate.add_argument(
        "--processes", action="store_true", help="every agent is a process (default all in memory)"
    )
    evaluate.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="batches or episodes at a time (default as many as there are cores)",
    )
    evaluate.add_argument("--run-dir", metavar="DIR", help=_RUN_DIR)
    evaluate.add_argument("--json", action="store_true", help="print the figures as one document")
    sweep = add("sweep", "run a scenario over a grid of settings", epilog=_SWEEP_EXAMPLES)
    add_scenario(sweep, nargs="?")
    sweep.add_argument(
        "--vary", action="append", default=[], metavar="PATH=VALUES",
        help="a key and its values, with commas between or as start:stop:step; may be repeated: "
        "every combination is run",
    )  # fmt: skip
    sweep.add_argument(
        "--seeds",
        type=positive,
        default=10,
        metavar="N",
        help="runs of each setting, a seed each (default 10)",
    )
    sweep.add_argument(
        "--metric", action="append", default=[], metavar="NAME",
        help="what is shown and drawn (default the world's objective); may be repeated",
    )  # fmt: skip
    sweep.add_argument(
        "--figure", metavar="FILE", help="draws the resilience curve: .pdf, .svg, .png or .eps"
    )
    sweep.add_argument(
        "--width", type=inches, default=3.4, metavar="W",
        help="width of the figure's panels, as 3.4in or 86mm (default 3.4in, a paper's column)",
    )  # fmt: skip
    sweep.add_argument(
        "--labels", default="", metavar="NAMES",
        help="names of the figure's lines, with commas between (default their settings)",
    )  # fmt: skip
    sweep.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="batches or runs at a time (default as many as there are cores)",
    )
    sweep.add_argument(
        "--resume",
        metavar="RUN",
        help="goes on with a sweep that was stopped, or shows and draws one again",
    )
    sweep.add_argument("--run-dir", metavar="DIR", help=_RUN_DIR)
    sweep.add_argument("--json", action="store_true", help="print the figures as one document")
