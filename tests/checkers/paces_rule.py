"""The rule of `paces`: it does 3."""

from __future__ import annotations

from agents.behaviours.classics import Rule, constant


class Three(Rule):
    def decide(self, xp, obs, inbox):  # type: ignore[no-untyped-def]
        return constant(xp, obs, 3.0, 1), {}
