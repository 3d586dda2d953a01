"""What people are told of training and of evaluations, in a terminal of 80 columns or fewer."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sim.console.evaluation import print_evaluation
from sim.console.line import Counting
from sim.console.training import TrainingDisplay, print_outcome
from sim.errors import DivergenceError
from sim.learn.evaluate import Evaluation, figures
from sim.learn.plan import load_training, plan_training
from sim.learn.presets import PRESETS
from sim.learn.state import check_finite
from sim.learn.train import Outcome, Progress
from sim.prepare import load
from sim.worlds.world import Metric

pytestmark = pytest.mark.torch


def paper(width: int, is_terminal: bool = False) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=is_terminal, highlight=False)
    return console, text


def row(i: int, scale: float) -> dict[str, Any]:
    """An episode of a world whose metrics are called as the figures of returns are."""
    known = {"cost": 1234.5, "overload_minutes": 17.25, "welfare": 0.1234, "fairness": 0.5678}
    metrics = {name: value * scale * (1 + 0.01 * i) for name, value in known.items()}
    returns = {"battery-1": -3.0 * scale + i, "battery-2": -5.0 * scale + i}
    groups = dict.fromkeys(returns, "battery")
    return {"metrics": metrics, "returns": returns, "groups": groups, "sent": 1, "delivered": 1,
            "bytes": 100}  # fmt: skip


def evaluation() -> Evaluation:
    scales = {"own": 0.8, "rule": 1.0, "silent": 1.5, "selfish": 1.2}
    found = {name: [row(i, scale) for i in range(4)] for name, scale in scales.items()}
    found["reference"] = [{"metrics": row(i, 0.5)["metrics"]} for i in range(4)]
    cards = {name: Metric(0.0, "EUR" if name == "cost" else "", "lower", name == "cost")
             for name in found["own"][0]["metrics"]}  # fmt: skip
    return figures(found, cards, load("rendezvous"))


@pytest.mark.parametrize("width", [200, 80, 60])
def test_every_figure_of_the_policies_has_its_interval(width: int) -> None:
    console, text = paper(width)
    found = evaluation()
    print_evaluation(console, found, {"cost": "EUR ↓"}, ["sim", "report", "last"])
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for name in found.metrics["own"]:
        at = next(i for i, line in enumerate(lines) if line.startswith(name.replace("_", " ")))
        both = lines[at] + (lines[at + 1] if width < 200 else "")
        assert both.count("[") == 2, both
    assert ("no room for" in text.getvalue()) == (width < 200)
    assert "policies - rule" in text.getvalue()


def test_what_the_world_and_what_the_returns_say_are_told_apart() -> None:
    console, text = paper(80)
    print_evaluation(console, evaluation(), {}, ["sim", "report", "last"])
    world, _, paid = text.getvalue().partition("returns: what the agents were rewarded with")
    assert "metrics of the world" in world
    assert "\nwelfare " in world
    assert "\nfairness " in world
    # Means over episodes 0 to 3, of 0.8 times (-3, -5) and as many more as the episode's number.
    assert "return per agent   battery -1.7 (rule -2.5)" in paid
    assert "team return        -3.4 [" in paid
    assert "fairness of gains" in paid
    assert "welfare" not in paid


def test_rules_against_themselves_are_pointed_out() -> None:
    found = {name: [row(i, 1.0) for i in range(2)] for name in ("own", "rule")}
    cards = {"cost": Metric(0.0, "EUR", "lower", True)}
    console, text = paper(80)
    print_evaluation(console, figures(found, cards, load("rendezvous")), {}, ["sim"])
    assert "everybody plays by the rule" in text.getvalue()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"status": "completed", "reason": "frames", "frames": 1000},
         "toy completed all frames that were asked for frames 1,000 in 10 s, 100 per second team"),
        ({"status": "completed", "reason": "frames", "frames": 1200},
         "frames 1,200 in 10 s, 120 per second (1,000 asked; updates are whole)"),
        ({"status": "completed", "reason": "plateau", "frames": 500},
         "completed the return has come to rest"),
        ({"status": "interrupted", "reason": "interrupted", "frames": 500},
         "frames 500 in 10 s, 50 per second (1,000 asked for)"),
        ({"status": "interrupted", "reason": "interrupted during an update", "frames": 0},
         "frames 0 of 1,000: the first update did not come to its end"),
        ({"status": "failed", "reason": "diverged", "frames": 100, "error": "loss is nan"},
         "checkpoint none was written"),
    ],
)  # fmt: skip
def test_how_training_ended(given: dict[str, Any], words: str) -> None:
    console, text = paper(80)
    outcome = Outcome("toy", 0, total=1000, seconds=10.0, returns=1.0, run_dir=Path("runs/toy-1"),
                      **given)  # fmt: skip
    print_outcome(console, outcome, [["sim", "report", "toy-1"]])
    assert words in " ".join(text.getvalue().split())


def progress(**given: Any) -> Progress:
    known: dict[str, Any] = {
        "frames": 200, "total": 1000, "updates": 1, "seconds": 2.0, "rate": 100.0, "left": 8.0,
        "reward": -0.5, "returns": None, "figures": {"agent/policy_loss": 0.1}, "checkpoint": -1,
    }  # fmt: skip
    return Progress(**known | given)


def test_a_display_says_what_it_waits_for_then_how_far_it_is_then_that_it_stops() -> None:
    console, text = paper(80)
    with TrainingDisplay("toy", console, is_live=False) as shown:
        assert "toy  prepares the copies of the world" in text.getvalue()
        shown.first(128, 25, 100.0)
        assert "plays 3,200 frames (128 copies) for the first update, about 32 s" in text.getvalue()
        shown(progress())
        assert "200 frames 20%  8 s left  reward -0.5  100/s" in text.getvalue()
        assert text.getvalue().count("left") == 1
        shown.stop()
    assert "Ctrl-C: finishes this update and saves; again stops at once" in text.getvalue()


def test_live_lines_fit_the_terminal() -> None:
    console, _ = paper(72, is_terminal=True)
    shown = TrainingDisplay("a_scenario_with_a_long_name", console, is_live=True)
    shown.first(128, 25, None)
    drawn = [console.render_lines(shown._shown())]
    shown(progress(returns=-12.5, score=0.71, checkpoint=100))
    drawn.append(console.render_lines(shown._shown()))
    shown.stop()
    drawn.append(console.render_lines(shown._shown()))
    for lines in drawn:
        assert len(lines) <= 3
    words = "".join(part.text for part in drawn[2][0])
    assert "ends after this update" in words


def test_what_is_advised_at_divergence_can_be_done() -> None:
    with pytest.raises(DivergenceError) as caught:
        check_finite("agent", {"loss": float("nan")})
    found = re.search(r"--set (learn\.options\.<preset>\.learning_rate)=", str(caught.value))
    assert found is not None
    option = f"{found[1].replace('<preset>', 'mappo')}=1e-5"
    plan = plan_training(load_training("rendezvous", algorithm="mappo", overrides=[option]))
    assert plan.spec.options["mappo"]["learning_rate"] == 1e-5


def test_counting_tells_what_is_left() -> None:
    console, _ = paper(60, is_terminal=True)
    counting = Counting("episodes", console, is_live=True)
    assert "the first are played" in str(counting._shown())
    counting(2.5, 10)
    assert "2 of 10 episodes" in str(counting._shown())


def test_counting_says_nothing_of_the_time_left_from_next_to_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("sim.console.line.monotonic", lambda: now)
    console, _ = paper(60, is_terminal=True)
    counting = Counting("runs", console, is_live=True)
    counting(90.0, 100)  # a sweep that is gone on with
    now = 40.0
    counting(90.01, 100)
    assert str(counting._shown()) == "90 of 100 runs  40 s"
    counting(96.0, 100)
    now = 60.0
    assert str(counting._shown()) == "96 of 100 runs  40 s left"


def test_the_help_names_every_algorithm(capsys: pytest.CaptureFixture[str]) -> None:
    from sim.cli import main

    with pytest.raises(SystemExit):
        main(["train", "--help"])
    words = capsys.readouterr().out.replace(",", " ").split()
    assert set(PRESETS) <= set(words)
