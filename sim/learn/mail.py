"""Messages of a batch: one topic between all who speak on it and all who hear it, in every copy.

What is sent is a parcel: values, and per way the instant at which it arrives. A policy sees the
latest message of each sender by the time it was sent; a mechanism takes what came in its period.
Parcels are dropped when nothing of them is under way any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.policy import Received
from broker.faults import disturbed
from sim.learn.arrays import Array, Arrays, unsigned
from sim.learn.books import Books
from sim.learn.course import Course
from sim.learn.links import LinkMode, Start, Ways, clock_keys, way_keys
from sim.rng import generator_at
from sim.units import SECOND


@dataclass
class Parcel:
    """What was said on a topic at one instant.

    Shapes: values [B, R or 1, S, W]; serials, arrival int64, pending bool [B, R, S]; sent int64
            [B, 1, S]. Units: nanoseconds since the episode began.
    """

    values: Array
    serials: Array
    sent: Array
    arrival: Array
    pending: Array


class Topic:
    """One topic. `way` [R, S] is 1 where publications go, 2 for direct messages, 0 for none.

    sent, values: the latest message of each sender as each receiver has it, int64 [B, R, S]
    (-1: none yet) and [B, R, S, W]. is_heard: which receivers [R] make anything of what comes; to
    the others it only goes. books: where messages are counted, if they are.
    """

    def __init__(
        self,
        name: str,
        width: int,
        receivers: Sequence[str],
        senders: Sequence[str],
        way: NDArray[np.int8],
        is_heard: Sequence[bool],
        arrays: Arrays,
        copies: int,
    ) -> None:
        self.name, self.width = name, width
        self.receivers, self.senders = tuple(receivers), tuple(senders)
        self._way, self._arrays = way, arrays
        self._exists = arrays.put(way > 0)
        self._is_direct = arrays.put(way == 2)
        self._is_whole = bool((way > 0).all())
        self._is_heard = None if all(is_heard) else arrays.put(np.array(is_heard))[:, None]
        self.books: Books | None = None
        shape = (copies, len(receivers), len(senders))
        self._serials = arrays.full(shape, 0, "int64")
        self._keys: Array | None = None
        self._clocks: Array | None = None
        self._ways: Ways | None = None
        self._noise: list[tuple[int, float, float]] = []
        self.parcels: list[Parcel] = []
        self.sent = arrays.full(shape, -1, "int64")
        self.values = arrays.full((*shape, width), 0.0, "float64")

    def connect(self, course: Course, mode: LinkMode) -> None:
        """Lays the ways, unless links are ideal."""
        if mode.is_ideal or not self.senders:
            return
        self._ways = Ways(course, self.receivers, self.senders, self._arrays)
        levels = [(era.begins_ns, *era.board.noise_of(self.name)) for era in course.eras]
        self._noise = levels if any(level[1:] != (0.0, 0.0) for level in levels) else []
        if self._ways.needs_draws({"loss": 0} if mode.loss else {}) or self._noise:
            self._keys = unsigned(self._arrays.full(self._serials.shape, 0, "int64"))
        if self._ways.links:
            shape = (len(self._serials), len(self._ways.links))
            self._clocks = unsigned(self._arrays.full(shape, 0, "int64"))

    # --- episodes -------------------------------------------------------------------------------

    def begin(self, rows: Array, is_begun: Array, starts: Sequence[Start]) -> None:
        """Empties rows for new episodes, and keys their ways.

        Shapes: rows int64 [m], is_begun bool [B] of the same rows.
        """
        xp = self._arrays.xp
        for parcel in self.parcels:
            parcel.pending = parcel.pending & ~is_begun[:, None, None]
        self._sweep()
        here = is_begun[:, None, None]
        self._serials = xp.where(here, 0 * self._serials, self._serials)
        self.sent = xp.where(here, 0 * self.sent - 1, self.sent)
        self.values = xp.where(here[..., None], 0.0 * self.values, self.values)
        if self._keys is not None:
            is_direct = self._way == 2
            keys = way_keys(starts, self.receivers, self.senders, self.name, is_direct)
            self._keys[rows] = self._arrays.put(keys)
        if self._clocks is not None and self._ways is not None:
            self._clocks[rows] = self._arrays.put(clock_keys(starts, self._ways.links))

    def forget(self, receiver: str, is_new: Array) -> None:
        """A receiver starts anew in some copies, and knows nothing. Shapes: bool [B]."""
        xp, row = self._arrays.xp, self.receivers.index(receiver)
        sent = xp.where(is_new[:, None], 0 * self.sent[:, row] - 1, self.sent[:, row])
        self.sent = _with(xp, self.sent, row, sent)
        values = self.values[:, row]
        values = xp.where(is_new[:, None, None], 0.0 * values, values)
        self.values = _with(xp, self.values, row, values)

    # --- on the way -----------------------------------------------------------------------------

    def post(
        self, leaving: Array, values: Array, spoken: Array, drawn: Mapping[str, Array],
        is_up: Array | None = None,
    ) -> None:  # fmt: skip
        """Sends what was said.

        Shapes: leaving int64 [B, 1, S], values [B, R or 1, S, W], spoken bool [B, R or 1, S].
        drawn:  see `Ways.cross`. is_up: bool [B, R], who is subscribed to publications now.
        """
        pending = spoken & self._exists
        counted = pending
        if is_up is not None:
            pending = pending & (self._is_direct | is_up[..., None])
        posted = pending
        serials, self._serials = self._serials, self._serials + counted
        for copied in (-1, *(() if self._ways is None else self._ways.copies)):
            arrival, come, is_damaged = leaving + 0 * serials, pending, None
            if self._ways is not None:
                arrival, lost, is_damaged = self._ways.cross(
                    self._keys, serials, arrival, drawn, self._clocks, copied
                )
                come = come & ~lost
            if self.books is not None:
                begun = posted if copied < 0 else 0 * posted
                told = (np.broadcast_to(_host(x), serials.shape) for x in (begun, come, arrival))
                self.books.count(self.receivers, self.width, *told)
            if self._is_heard is not None:
                come = come & self._is_heard
            if is_damaged is not None:
                come = come & ~is_damaged
            self.parcels.append(Parcel(values, serials, leaving, arrival, come))

    def deliver(self, now: Array, hears: Array, since: Array | None) -> None:
        """What arrived until now goes to those that hear it as policies do: the latest counts.

        Shapes: now int64 [B], hears bool [R]; since int64 [B, R], from when on each receiver gets
                messages (after any time if it is down), or None if all always do.
        """
        xp = self._arrays.xp
        for parcel in self.parcels:
            come = parcel.pending & (parcel.arrival <= now[:, None, None]) & hears[:, None]
            parcel.pending = parcel.pending & ~come
            if since is not None:
                come = come & (parcel.arrival >= since[..., None])
            newer = come & (parcel.sent >= self.sent)
            values = self._as_it_comes(parcel, newer)
            self.sent = xp.where(newer, parcel.sent, self.sent)
            if self._is_whole and bool(newer.all()):
                self.values = xp.broadcast_to(values, self.values.shape)
            else:
                self.values = xp.where(newer[..., None], values, self.values)
        self._sweep()

    def collect(
        self, receiver: str, begin: Array, now: Array, since: Array | None
    ) -> tuple[Array, Array]:
        """What a mechanism has got by now of what was sent since its period began.

        Shapes: begin, now int64 [B], since as in `deliver` [B] -> [B, S, W], bool [B, S].
        Order:  of several messages of one sender the last to arrive counts.
        """
        xp, row = self._arrays.xp, self.receivers.index(receiver)
        values = self._arrays.full((len(now), len(self.senders), self.width), 0.0, "float64")
        last = self._arrays.full(values.shape[:2], -1, "int64")
        for parcel in self.parcels:
            come = parcel.pending[:, row] & (parcel.arrival[:, row] <= now[:, None])
            pending = parcel.pending[:, row] & ~come
            parcel.pending = _with(xp, parcel.pending, row, pending)
            come = come & (parcel.sent[:, 0] >= begin[:, None])
            if since is not None:
                come = come & (parcel.arrival[:, row] >= since[:, None])
            come = come & (parcel.arrival[:, row] >= last)
            got = self._as_it_comes(parcel, come, row)
            last = xp.where(come, parcel.arrival[:, row], last)
            values = xp.where(come[..., None], got, values)
        self._sweep()
        return values, last >= 0

    def _sweep(self) -> None:
        self.parcels = [p for p in self.parcels if bool(p.pending.any())]

    def _as_it_comes(self, parcel: Parcel, which: Array, row: int | None = None) -> Array:
        """The values of messages that arrive, with the topic's noise in them.

        Shapes: which [B, R, S] -> [B, R or 1, S, W]; for one receiver [B, S] -> [B, S, W].
        Order:  as `broker.faults.disturb`: a generator for each message, keyed by way and number.
        Cost:   about 15 us a message if there is noise, nothing otherwise.
        """
        values = parcel.values if row is None else parcel.values[:, min(row, _last(parcel))]
        if not self._noise or self._keys is None:
            return values
        shape = (*which.shape, self.width)
        which = _host(which)
        told = [_host(x) for x in (self._keys, parcel.arrival, parcel.serials)]
        keys, arrival, serials = told if row is None else (x[:, row] for x in told)
        noisy = np.array(np.broadcast_to(_host(values), shape))
        begins = [begin for begin, *_ in self._noise]
        for at in zip(*np.nonzero(which), strict=True):
            _, *level = self._noise[np.searchsorted(begins, arrival[at], side="right") - 1]
            if level != [0.0, 0.0]:
                key = int(keys[at]) & 0xFFFF_FFFF_FFFF_FFFF
                draw = generator_at(key, int(serials[at]))
                noisy[at] = disturbed(noisy[at], draw, *level)
        return self._arrays.put(noisy)

    # --- what a policy has heard ----------------------------------------------------------------

    def slots(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Where the messages of these senders are; -1 for those that never speak."""
        at = {name: i for i, name in enumerate(self.senders)}
        return np.array([at.get(name, -1) for name in names], dtype=np.int64)

    def read(self, receivers: slice | list[int], slots: NDArray[np.int64], now: Array) -> Received:
        """What some receivers have heard from some senders, one row each.

        Shapes: slots [n] -> Received of [B * receivers, n, ...].
        """
        sent, values = self.sent[:, receivers], self.values[:, receivers]
        xp, n, there = self._arrays.xp, len(slots), slots >= 0
        if not (there.all() and n == len(self.senders) and (np.diff(slots) == 1).all()):
            shape = (*sent.shape[:2], n)
            all_sent = self._arrays.full(shape, -1, "int64")
            all_values = self._arrays.full((*shape, self.width), 0.0, "float64")
            if there.any():
                to, come = np.flatnonzero(there).tolist(), slots[there].tolist()
                all_sent[:, :, to], all_values[:, :, to] = sent[:, :, come], values[:, :, come]
            sent, values = all_sent, all_values
        present = sent >= 0
        age = xp.where(present, (now[:, None, None] - sent) / SECOND, 0.0)
        return Received(
            values.reshape(-1, n, self.width), present.reshape(-1, n), age.reshape(-1, n)
        )

    # --- state ----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        return {
            "serials": self._serials, "keys": self._keys, "clocks": self._clocks,
            "sent": self.sent, "values": self.values,
            "parcels": [vars(parcel) for parcel in self.parcels],
        }  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state."""
        self._serials = state["serials"]
        self._keys = None if state["keys"] is None else unsigned(state["keys"])
        self._clocks = None if state["clocks"] is None else unsigned(state["clocks"])
        self.sent, self.values = state["sent"], state["values"]
        self.parcels = [Parcel(**parcel) for parcel in state["parcels"]]


def _last(parcel: Parcel) -> int:
    return int(parcel.values.shape[1]) - 1


def _with(xp: Any, array: Array, row: int, values: Array) -> Array:
    """The array with one receiver's part replaced."""
    parts = (array[:, :row], values[:, None], array[:, row + 1 :])
    return xp.concatenate(parts, 1)


def _host(array: Array) -> Any:
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()
