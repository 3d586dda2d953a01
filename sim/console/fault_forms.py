"""What the keys for faults ask of a person: fields to fill in, and the command they become."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from sim.console.forms import Field
from sim.wire.live import Intro


@dataclass(frozen=True)
class Form:
    """What a `FormScreen` shows. line: the command of the values, by the names of the fields."""

    title: str
    fields: list[Field]
    line: Callable[[dict[str, str]], str]


def process_form(kind: str, subject: str) -> Form:
    """Kill, hang or restart an agent."""
    title = {
        "kill": "kill: its process dies, its memory is lost",
        "hang": "hang: its process is stopped, what it is sent waits",
        "restart": "restart: it starts anew, without memory",
    }[kind]
    fields = [Field("agent", "agent", subject, "a name or a pattern as ev-*")]
    if kind != "restart":
        fields.append(_for_field())
    return Form(title, fields, lambda v: _command(kind, v["agent"], for_=v.get("for", "")))


def link_form(first: str, second: str) -> Form:
    """Degrade or cut links."""
    fields = [
        Field("from", "from", first, "a name, a pattern, or a,b"),
        Field("to", "to", second, "a name, a pattern, or a,b"),
        Field("loss", "loss", "", "30%, or 100% to cut"),
        Field("burst", "bursts", "", "none, 10%:5 messages or 10%:200ms"),
        Field("latency", "latency", "", "as it is, or 80ms"),
        _for_field(),
    ]

    def line(v: dict[str, str]) -> str:
        return _command("link", v["from"], v["to"], loss=v["loss"], burst=v["burst"],
                        latency=v["latency"], for_=v["for"])  # fmt: skip

    return Form("link: replace what messages meet on their way", fields, line)


def partition_form(subject: str) -> Form:
    """Cut two sides off from each other."""
    fields = [
        Field("from", "one side", subject, "a name, a pattern, or a,b"),
        Field("to", "the other", "*", "everybody else: *"),
        _for_field(),
    ]
    return Form(
        "partition: no message crosses between two sides", fields,
        lambda v: _command("partition", v["from"], v["to"], for_=v["for"]),
    )  # fmt: skip


def noise_form() -> Form:
    """Noise on numbers."""
    fields = [
        Field("sigma", "noise", "10%", "relative to each number", True),
        Field("topic", "topic", "", "all of them"),
        _for_field(),
    ]
    return Form(
        "noise on the numbers in messages", fields,
        lambda v: _command("noise", v["sigma"], topic=v["topic"], for_=v["for"]),
    )  # fmt: skip


def pattern_of(end: str, intro: Intro) -> str:
    """An end of the link matrix as a pattern: a role stands for its agents."""
    names = [card.name for card in intro.agents]
    if end in names or end == "*":
        return end
    return ",".join(card.name for card in intro.agents if card.role == end) or end


def _for_field() -> Field:
    return Field("for", "for", "", "for ever, or a virtual time as 10min")


def _command(command: str, *plain: str, **options: str) -> str:
    """A command line of what a form holds; empty options are left out."""
    words = [command, *(shlex.quote(word) if "*" not in word else word for word in plain if word)]
    for name, value in options.items():
        if value:
            words += [f"--{name.rstrip('_')}", shlex.quote(value)]
    return " ".join(words)
