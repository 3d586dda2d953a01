"""The door to the kernel: what no honest host would send is refused."""

from __future__ import annotations

from collections.abc import Mapping

from broker.actions import Actions
from broker.population import Agents
from sim.errors import WireError
from sim.ids import is_name
from sim.wire.messages import PUBLISH, REFUSAL, Done


def check_done(
    done: Done, begin: int, end: int, agents: Agents, actions: Mapping[str, Actions]
) -> None:
    """Looks at what an agent did in the window [begin, end).

    Raises: WireError for what is outside the window, for nobody, or not the agent's to do.
    """
    plan = agents.plans[done.agent]
    if done.timer < end:
        raise WireError(f"{plan.name}: a timer that should have run in its window")
    for time, topic, _ in done.subscribes:
        if not (begin <= time < end and is_name(topic)):
            raise WireError(f"{plan.name}: a subscription to {topic!r} from outside its window")
    for send in done.sends:
        if not begin <= send.time < end:
            raise WireError(f"{plan.name}: a message from outside its window")
        is_known = send.to in agents.index if send.kind else not send.to
        if not is_known or not PUBLISH <= send.kind <= REFUSAL or not is_name(send.topic):
            raise WireError(f"{plan.name}: a message to {send.to!r} on {send.topic!r}")
    for act in done.acts:
        if not begin <= act.time < end:
            raise WireError(f"{plan.name}: an action from outside its window")
        if not act.verb and not (plan.group and actions[plan.group].accepts(act.body)):
            raise WireError(f"{plan.name}: an action that is not its group's, or not finite")
