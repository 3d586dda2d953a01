"""Members of a platoon: CACC, and what lets others in and out.

Beside `cam` each says on the topic `plan`, ten times a second, which number it has, whether it
drives beside the file, position, speed, gap, whom it asks and whom it answers; only numbers, so
that it is a policy. A plan says how things stand, so hearing it twice changes nothing, and it is
said until the wish has come true: a lost message costs a tenth of a second. What two have agreed
on stands for `lease` after the last that was heard of it, as on links that lose much silences are
longer than an intention counts; lanes are changed only by what is newer than `patience`.

joining  Who is beside asks whoever is to be behind it. That one answers, and opens its gap for two;
         the other drives to the middle of it, and changes lanes once it is answered and has room.
         From then on the two follow whom their radar sees, from the gap that is there: it closes.
leaving  Who wants out asks nobody, but says so (-1). Whoever is behind it takes the headway of
         those who hear nothing, as that message will soon not count any more, and then answers;
         answered, or after `notice`, the other changes lanes.

Source: the manoeuvres of the Grand Cooperative Driving Challenge 2016, in which gaps are asked for
and opened by message before anybody changes lanes: Englund et al., The Grand Cooperative Driving
Challenge 2016: Boosting the Introduction of Cooperative Automated Vehicles, 2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from array_api_compat import array_namespace

from agents.behaviours.vehicles import APART_M, CAM, LENGTH_M, Cacc

PLAN: Final = 7
"""Numbers of a plan: number, beside, position, speed, gap, who is asked, who is answered."""
LEAVES: Final = -1.0
"""Asks nobody: leaves."""
NEAR_M: Final = 100.0
"""Nobody farther away is asked."""
ROOM: Final = 0.8
"""Of the gap that is wanted, so much must be there ahead and behind before lanes are changed."""
HURRY: Final = 2.0
"""m/s2, at most, beside the file."""


class Member(Cacc):
    """CACC that joins, leaves and lets others do so; in a world without guests plain CACC.

    Kept, beside what CACC keeps: whom it asks, for how long it has been leaving (s), and whom it
    answers. params: as of Cacc, and notice (s, default 8), lease (s, default 3).
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.notice = float(params.get("notice", 8.0))
        self.lease = max(float(params.get("lease", 3.0)), self.patience)
        if self.has_guests:
            self.speaks = {"cam": CAM, "plan": PLAN}
            self.hears = {"cam": CAM, "plan": PLAN}
            self.keeps = Cacc.keeps + 3

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        action, outbox, memory = super().__call__(obs, inbox, memory, key)
        if not self.has_guests:
            return action, outbox, memory
        xp = array_namespace(obs)
        intended = action[:, :1]
        asks, leaving, answers = (memory[:, i : i + 1] for i in range(5, 8))
        beside, speed = self.field(obs, "beside"), self.field(obs, "speed")
        number, gap = self.field(obs, "number"), self.field(obs, "gap")
        goes_in = (beside > 0) & (asks > 0) & self.has_room(xp, obs, inbox, asks)
        goes_out = (beside <= 0) & (leaving > self.notice)
        lane = xp.where(goes_in, 0.0, xp.where(goes_out, 1.0, beside))
        plan = (number, beside, self.field(obs, "position"), speed, gap, asks, answers)
        # Nobody follows who is beside; and who is not there is silent.
        is_there = number > 0
        silent = xp.where(is_there & (beside <= 0), outbox["cam"], xp.nan)
        told = xp.where(is_there, xp.concat(plan, axis=1), xp.nan)
        return xp.concat((intended, lane), axis=1), {"cam": silent, "plan": told}, memory

    def intend(
        self, xp: Any, obs: Any, inbox: Mapping[str, Any], memory: Any
    ) -> tuple[Any, Sequence[Any]]:
        if not self.has_guests:
            return super().intend(xp, obs, inbox, memory)
        asks, leaving = memory[:, 5:6], memory[:, 6:7]
        beside, wish = self.field(obs, "beside") > 0, self.field(obs, "wish") > 0
        number, position = self.field(obs, "number"), self.field(obs, "position")
        plans = Plans(xp, inbox.get("plan"), obs, self.lease)
        intended, is_heard = self.heard(xp, obs, inbox)

        # In the file: room for a guest, and more of it to whoever is about to leave.
        guest = plans.least(plans.number, (plans.asks == number) & plans.beside & (number > 0))
        leaver = plans.leaving(position + self.field(obs, "gap") + LENGTH_M, self.patience)
        speed = xp.clip(self.field(obs, "speed"), 1.0, None)
        two = 2.0 * self.headway + (self.gains.standstill + LENGTH_M) / speed
        wanted = xp.where(is_heard & (leaver <= 0), self.headway, self.alone)
        wanted = xp.where(guest > 0, two, wanted)
        known = xp.where(is_heard & (leaver <= 0), intended, xp.nan)
        follow, kept = self.follow(xp, obs, memory, wanted, known)
        is_wide = kept[0] > self.alone - 0.1
        ready = xp.where(is_wide, leaver, 0.0)
        answers = xp.where(beside, 0.0, xp.where(guest > 0, guest, ready))

        # Beside it: to the middle of the gap ahead of whom is asked.
        asks = xp.where(beside & wish, self.asked(xp, plans, asks, position), 0.0)
        asks = xp.where(~beside & ~wish, LEAVES, asks)
        aside = self.aside(xp, plans, asks, position, self.field(obs, "speed"))
        is_let = plans.any(plans.answers == number) & (number > 0)
        longer = leaving + self.period + xp.where(is_let, self.notice, 0.0)
        leaving = xp.where(~beside & ~wish, longer, 0.0)
        return xp.where(beside, xp.minimum(aside, follow), follow), (*kept, asks, leaving, answers)

    def middle(self, plans: Plans) -> Any:
        """Where a guest's front is in the gap that each opens. Shapes: -> [B, n]."""
        return plans.position + self.gains.standstill + self.headway * plans.speed + LENGTH_M

    def asked(self, xp: Any, plans: Plans, asks: Any, position: Any) -> Any:
        """Whom a guest asks: whom it has asked as long as that is in the file, else whoever has the
        nearest gap. 0: nobody."""
        apart = xp.abs(self.middle(plans) - position)
        can = plans.there & ~plans.beside & (plans.asks != LEAVES) & (apart < NEAR_M)
        nearest = plans.least(apart, can)
        found = plans.least(plans.number, can & (apart == nearest))
        return xp.where(plans.any(can & (plans.number == asks)), asks, found)

    def aside(self, xp: Any, plans: Plans, asks: Any, position: Any, speed: Any) -> Any:
        """Acceleration beside the file; none without anybody to ask."""
        is_it = plans.there & (plans.number == asks) & (asks > 0)
        where, fast = plans.of(self.middle(plans), is_it), plans.of(plans.speed, is_it)
        wanted = self.gains.kp * (where - position) + self.gains.kd * (fast - speed)
        return xp.where(plans.any(is_it), xp.clip(wanted, -HURRY, HURRY), 0.0)

    def has_room(self, xp: Any, obs: Any, inbox: Mapping[str, Any], asks: Any) -> Any:
        """Whether who is asked has answered, and there is room. Shapes: -> bool [B, 1]."""
        plans = Plans(xp, inbox.get("plan"), obs, self.patience)
        number, position = self.field(obs, "number"), self.field(obs, "position")
        is_it = plans.there & (plans.number == asks) & (plans.answers == number)
        least = ROOM * (self.gains.standstill + self.headway * self.field(obs, "speed"))
        behind = position - LENGTH_M - plans.of(plans.position, is_it)
        front = plans.of(plans.position + plans.gap, is_it) - position
        return plans.any(is_it) & (behind >= least) & (front >= least)


class Plans:
    """What was heard on `plan`, not older than `lease`: [B, n] each, with positions by now."""

    def __init__(self, xp: Any, heard: Any, obs: Any, lease: float) -> None:
        self.xp = xp
        if heard is None or not heard.values.shape[1]:
            none = xp.zeros_like(obs[:, :1])
            values, age, present = xp.stack([none] * PLAN, axis=-1), none, none > 0
        else:
            values, age, present = heard.values, heard.age_s, heard.present
        self.there, self.age = present & (values[..., 0] > 0) & (age <= lease), age
        self.number, beside, position, self.speed, gap, self.asks, self.answers = (
            values[..., i] for i in range(PLAN)
        )
        self.beside, self.gap = beside > 0, gap
        self.position = position + self.speed * age

    def any(self, which: Any) -> Any:
        """Whether it holds for anybody heard. Shapes: bool [B, n] -> bool [B, 1]."""
        return self.xp.any(which & self.there, axis=1, keepdims=True)

    def least(self, values: Any, which: Any) -> Any:
        """The least value of those heard for whom it holds, 0 if of none. Shapes: -> [B, 1]."""
        xp = self.xp
        found = xp.min(
            xp.where(which & self.there, values, xp.full_like(values, xp.inf)),
            axis=1, keepdims=True,
        )  # fmt: skip
        return xp.where(xp.isfinite(found), found, xp.zeros_like(found))

    def of(self, values: Any, which: Any) -> Any:
        """The value of the one for whom it holds, 0 if of none. Shapes: -> [B, 1]."""
        xp = self.xp
        return xp.sum(xp.where(which, values, xp.zeros_like(values)), axis=1, keepdims=True)

    def leaving(self, front: Any, patience: float) -> Any:
        """The number of whoever is about to leave, with its front there; 0: nobody. After
        `patience` it is not known well enough where somebody is."""
        near = (self.xp.abs(self.position - front) < APART_M) & (self.age <= patience)
        return self.least(self.number, near & (self.asks == LEAVES) & ~self.beside)
