"""The words of learning: `sim train`, `sim evaluate`, `sim sweep`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from sim.cli.quantities import frames, inches, positive

_TRAIN_EXAMPLES: Final = """\
examples:
  sim train smart_grid                             the groups and algorithms of its `learn` block
  sim train rendezvous --algorithm mappo --frames 2e5
  sim train smart_grid --links '{loss: [0, 0.4]}'  links drawn anew for every episode
  sim train smart_grid --set learn.options.mappo.learning_rate=1e-4
  sim train --resume last                          go on where it was stopped
  sim train --resume last --frames 4e6             go on further than it was asked for

Policies are kept in runs/<scenario>-<nnnn>/policies/; `--as 'battery-*=policy:last'` plays them.
Ctrl-C keeps a checkpoint, too. Events for TensorBoard are in the run's directory.
exit codes: 0 ended, 2 scenario or command line, 5 checkpoint, 6 diverged, 130 interrupted.
"""
_EVALUATE_EXAMPLES: Final = """\
examples:
  sim evaluate smart_grid --as 'battery-*=policy:last'
  sim evaluate rendezvous --as 'agent-*=policy:rendezvous-0007' --episodes 50
  sim evaluate smart_grid --as 'battery-*=policy:last' --processes --episodes 1

Where everybody is a policy or a mechanism, all episodes of a column are played in one batch.
score = (J - J_rule) / (J_reference - J_rule), J the world's objective: 0 as good as the world's
rules, 1 as good as its bound. The seeds (and days, `learn.held_out`) are those training never saw.
"""


_SWEEP_EXAMPLES: Final = """\
examples:
  sim sweep smart_grid --vary links.default.loss=0:0.5:0.1 --figure loss.pdf
  sim sweep smart_grid --vary links.default.loss=0:0.5:0.1 \\
      --vary 'as=battery-*=rule,battery-*=policy:last' --metric cost --width 3.4in
  sim sweep smart_grid --vary links.default.loss=0,0.5,1 --vary 'as=*=rule,*=none' \\
      --metric cost,overload_minutes --labels 'rule,no control' --figure loss.png
  sim sweep rendezvous --set 'faults=[]' --vary world.agents=2,4,8 --seeds 20 --json

links.* is short for network.*; any key of the scenario can be varied. Faults that name agents must
be there in every setting. Seeds are paired: the same in every setting, and all of them one batch if
everybody is a policy or a mechanism. The table is in runs/<scenario>-<nnnn>/sweep.csv, a row per
run and metric.
"""


def add_learning_commands(
    add: Callable[..., argparse.ArgumentParser],
    add_scenario: Callable[..., None],
) -> None:
    """Adds the commands. add: a new command. add_scenario: scenario, --seed, --set, --as."""
    train = add("train", "train policies", epilog=_TRAIN_EXAMPLES)
    add_scenario(train, nargs="?")
    train.add_argument(
        "--algorithm", metavar="NAME", help="ppo, ippo, mappo, iql, vdn, qmix, ..., for all groups"
    )
    train.add_argument(
        "--frames", type=frames, metavar="N", help="decisions of copies, as 2e6; then it ends"
    )
    train.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="where the learner computes (default auto: cuda if there is one)",
    )  # fmt: skip
    train.add_argument(
        "--workers", type=positive, default=1, metavar="K", help="processes that roll out"
    )
    train.add_argument(
        "--rollout", choices=("batched", "kernel"), help="instead of the one that is chosen"
    )
    train.add_argument("--copies", type=positive, metavar="N", help="copies of the world")
    train.add_argument(
        "--links", metavar="LINKS",
        help="ideal, scenario, or ranges as {loss: [0, 0.4], latency: [0s, 10s]}",
    )  # fmt: skip
    train.add_argument("--resume", metavar="RUN", help="goes on with a run that was stopped")
    train.add_argument("--run-dir", metavar="DIR", help="keeps it in this new directory")
    train.add_argument("--json", action="store_true", help="print the outcome as one document")
    evaluate = add("evaluate", "say how good policies are", epilog=_EVALUATE_EXAMPLES)
    add_scenario(evaluate)
    evaluate.add_argument(
        "--episodes", type=positive, default=10, metavar="N", help="held-out ones (default 10)"
    )
    evaluate.add_argument(
        "--selfish", action="append", default=[], metavar="PATTERN=BEHAVIOUR",
        help="who plays where everybody is on their own, for the figure of cooperation",
    )  # fmt: skip
    evaluate.add_argument(
        "--processes", action="store_true", help="every agent a process (default in memory)"
    )
    evaluate.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="batches or episodes at a time (default the cores)",
    )
    evaluate.add_argument("--run-dir", metavar="DIR", help="keeps it in this new directory")
    evaluate.add_argument("--json", action="store_true", help="print the figures as one document")
    sweep = add("sweep", "run a scenario over a grid of settings", epilog=_SWEEP_EXAMPLES)
    add_scenario(sweep, nargs="?")
    sweep.add_argument(
        "--vary", action="append", default=[], metavar="PATH=VALUES",
        help="values with commas between, or start:stop:step; may be repeated: every combination",
    )  # fmt: skip
    sweep.add_argument(
        "--seeds", type=positive, default=10, metavar="N", help="of each setting (default 10)"
    )
    sweep.add_argument(
        "--metric", action="append", default=[], metavar="NAME",
        help="what is shown and drawn (default the objective); may be repeated",
    )  # fmt: skip
    sweep.add_argument(
        "--figure", metavar="FILE", help="draws the resilience curve: .pdf, .svg, .png or .eps"
    )
    sweep.add_argument(
        "--width", type=inches, default=3.4, metavar="W",
        help="of a panel, as 3.4in or 86mm (default 3.4in, a column)",
    )  # fmt: skip
    sweep.add_argument(
        "--labels", default="", metavar="NAMES",
        help="of the lines in the figure, with commas between (default their settings)",
    )  # fmt: skip
    sweep.add_argument(
        "--jobs", type=positive, metavar="N", help="batches or runs at a time (default the cores)"
    )
    sweep.add_argument("--resume", metavar="RUN", help="goes on with a sweep that was stopped")
    sweep.add_argument("--run-dir", metavar="DIR", help="keeps it in this new directory")
    sweep.add_argument("--json", action="store_true", help="print the figures as one document")
