"""Several rollouts at once, each in a process of its own: `--workers K`.

The copies are split among K workers. For each `collect` the learner sends the weights to all and
waits for all, so nothing depends on who is faster: the records are a function of the seed, of K and
of the weights. Each worker draws from generators of its own. A worker that ends, ends the training
with a clear error; workers end with the learner, however it ends.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import msgspec
import torch

from agents.behaviour import load_behaviour
from sim import errors
from sim.errors import ScenarioError, SimError, WorkerError
from sim.launch.crew import Channel, Crew, shares
from sim.learn.cast import cast_rollout
from sim.learn.crates import joined, packed, unpacked
from sim.learn.links import LinkMode, link_mode
from sim.learn.portable import made_again, portable
from sim.learn.record import Actor, Episode, Record, Rollout
from sim.prepare import Prepared, make_world, with_plans
from sim.rng import key_of
from sim.scenario.roster import AgentPlan
from sim.scenario.schema import Scenario

_KERNELS: Final = "sim.learn.kernels:KernelRollout"
_GENERATOR_SEED: Final = (1 << 63) - 1


class WorkerRollout:
    """Implements `Rollout`. Copy b plays the same episodes as in one process.

    make:    whose rollout each worker has, "module:Name"; called as it is (see `KernelRollout`),
             with `first` and `stride` saying which episodes are its.
    device:  of the records; workers are on the CPU.
    Raises:  ScenarioError for more workers than copies, and what the rollouts raise.
    """

    def __init__(
        self,
        prepared: Prepared,
        learning: Sequence[str],
        copies: int,
        *,
        workers: int,
        make: str = _KERNELS,
        links: str | Mapping[str, Any] | LinkMode = "scenario",
        device: str = "cpu",
        seed: int = 0,
        role_params: Mapping[str, Mapping[str, Any]] | None = None,
        reason: str = "",
    ) -> None:
        if not 1 <= workers <= copies:
            raise ScenarioError(
                f"workers: expected 1 to {copies}, as many as there are copies, found {workers}"
            )
        self.copies, self.device = copies, device
        self.sides = cast_rollout(prepared, learning, role_params).sides
        self._crew = Crew(__name__, workers)
        plans = list(prepared.plans)
        for worker, share in enumerate(shares(copies, workers)):
            order = {
                "make": make, "learning": list(learning), "copies": len(share),
                "links": link_mode(links).plain,
                "seed": seed, "role_params": role_params or {}, "first": share.start,
                "stride": copies, "worker": worker,
                "scenario": msgspec.msgpack.encode(prepared.scenario),
                "plans": msgspec.msgpack.encode(plans),
            }  # fmt: skip
            self._send(worker, order)
        first, *others = self._gather()
        self.kind: str = first["kind"]
        self.reason = f"{reason or first['reason']}; {workers} workers"
        self.state_size: int = first["state_size"]
        for side in self.sides:
            if any(list(side.agents) != each["sides"].get(side.group) for each in (first, *others)):
                raise WorkerError(f"workers have other agents of {side.group!r} than the learner")

    def collect(self, actors: Mapping[str, Actor], decisions: int) -> dict[str, Record]:
        """The next so many decisions of each side, in every copy of every worker.

        Raises: WorkerError if a worker ended; what its rollout raised.
        """
        sent = {side.group: portable(side.group, actors[side.group]) for side in self.sides}
        answers = self._ask({"do": "collect", "actors": sent, "decisions": decisions})
        return {
            side.group: Record(**joined([answer[side.group] for answer in answers], self.device))
            for side in self.sides
        }

    def finished(self) -> list[Episode]:
        """Episodes that ended since this was last asked, worker by worker."""
        answers = self._ask({"do": "finished"})
        return [Episode(**each) for answer in answers for each in json.loads(answer)]

    def snapshot(self) -> dict[str, Any]:
        """That of every worker, with its generators."""
        return {str(worker): answer for worker, answer in enumerate(self._ask({"do": "snapshot"}))}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Goes on from a snapshot of as many workers.

        Raises: CheckpointError if there were others.
        """
        if len(snapshot) != len(self._crew.pids):
            raise errors.CheckpointError(
                f"the snapshot is of {len(snapshot)} workers, not of {len(self._crew.pids)}"
            )
        for worker in range(len(snapshot)):
            self._send(worker, {"do": "restore", "snapshot": snapshot[str(worker)]})
        self._gather()

    def close(self) -> None:
        """Ends the workers."""
        self._crew.close()

    def _ask(self, request: Mapping[str, Any]) -> list[Any]:
        if not self._crew.pids:
            raise WorkerError("the workers have been ended")
        for worker in range(len(self._crew.pids)):
            self._send(worker, request)
        return self._gather()

    def _send(self, worker: int, request: Mapping[str, Any]) -> None:
        message = packed(request)
        try:
            self._crew.send(worker, message)
        except WorkerError:
            self.close()
            raise

    def _gather(self) -> list[Any]:
        """What the workers answer; if one failed, what it failed with."""
        try:
            answers = [unpacked(answer) for answer in self._crew.gather()]
            for worker, answer in enumerate(answers):
                if "error" in answer:
                    raise _error(worker, answer["error"], answer["text"])
        except BaseException:
            self.close()
            raise
        return [answer["result"] for answer in answers]


def _error(worker: int, name: str, text: str) -> SimError:
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, SimError):
        return kind(text)
    return WorkerError(f"worker {worker + 1} failed: {text}")


# --- in a worker's process ------------------------------------------------------------------------


class Worker:
    """What answers the learner's requests."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        scenario = msgspec.msgpack.decode(order["scenario"], type=Scenario)
        plans = msgspec.msgpack.decode(order["plans"], type=list[AgentPlan])
        prepared = with_plans(scenario, make_world(scenario), plans)
        self.rollout: Rollout = load_behaviour(order["make"], "")(
            prepared, order["learning"], order["copies"], links=order["links"], device="cpu",
            seed=order["seed"], role_params=order["role_params"], first=order["first"],
            stride=order["stride"],
        )  # fmt: skip
        self.generators = {
            side.group: torch.Generator().manual_seed(
                key_of(order["seed"], "worker", order["worker"], side.group) & _GENERATOR_SEED
            )
            for side in self.rollout.sides
        }

    def about(self) -> dict[str, Any]:
        """What the learner wants to know first."""
        rollout = self.rollout
        return {
            "kind": rollout.kind, "reason": rollout.reason, "state_size": rollout.state_size,
            "sides": {side.group: list(side.agents) for side in rollout.sides},
        }  # fmt: skip

    def answer(self, request: Mapping[str, Any]) -> Any:
        """The result of one request."""
        match request["do"]:
            case "collect":
                sent = request["actors"]
                actors = {
                    side.group: made_again(side, sent[side.group], self.generators[side.group])
                    for side in self.rollout.sides
                }
                records = self.rollout.collect(actors, request["decisions"])
                return {group: vars(record) for group, record in records.items()}
            case "finished":
                return json.dumps([asdict(episode) for episode in self.rollout.finished()])
            case "snapshot":
                states = {group: g.get_state() for group, g in self.generators.items()}
                return {"generators": states, "rollout": self.rollout.snapshot()}
            case "restore":
                self.rollout.restore(request["snapshot"]["rollout"])
                for group, state in request["snapshot"]["generators"].items():
                    self.generators[group].set_state(state)
                return None
        raise WorkerError(f"an unknown request: {request['do']!r}")


def main(channel: Channel) -> None:
    """Serves the learner until it is gone."""
    torch.set_num_threads(1)
    worker: Worker | None = None
    while (message := channel.receive()) is not None:
        try:
            request = unpacked(message)
            if worker is None:
                worker = Worker(request)
                result = worker.about()
            else:
                result = worker.answer(request)
            answer = packed({"result": result})
        except SimError as error:
            answer = packed({"error": type(error).__name__, "text": str(error)})
        except Exception:
            answer = packed({"error": "", "text": traceback.format_exc()})
        channel.send(answer)
