"""Orders per second through the order book on one core: limit, market, cancel, in one mix.

Half of the messages are limit orders near the middle, a third cancels of resting ones, the rest
takes. One line of JSON; the best of five rounds in processor time, which is real time on a machine
that does nothing else, and in real time.
"""

from __future__ import annotations

import json
import platform
import time

import numpy as np

from sim.worlds.market.book import BUY, SELL, Book

ORDERS = 200_000


def messages(seed: int) -> list[tuple[int, int, int, int | None]]:
    """(id to cancel or 0, side, lots, price) per message."""
    draw = np.random.default_rng(seed)
    kind = draw.random(ORDERS)
    side = np.where(draw.random(ORDERS) < 0.5, BUY, SELL)
    away = draw.geometric(0.2, ORDERS)
    middle = 10_000 + np.cumsum(draw.integers(-1, 2, ORDERS)) // 8
    lots = draw.integers(1, 20, ORDERS)
    back = draw.integers(1, 400, ORDERS)
    found: list[tuple[int, int, int, int | None]] = []
    for i in range(ORDERS):
        cancels = int(i - back[i]) if kind[i] < 1 / 3 and i > back[i] else 0
        price = None if kind[i] > 5 / 6 else int(middle[i] - side[i] * away[i])
        found.append((cancels, int(side[i]), int(lots[i]), price))
    return found


def play(flow: list[tuple[int, int, int, int | None]]) -> tuple[float, float, int]:
    """Processor seconds, real seconds, trades."""
    book, trades = Book(), 0
    submit, cancel = book.submit, book.cancel
    began, started = time.process_time(), time.perf_counter()
    for id, (cancels, side, lots, price) in enumerate(flow):
        if cancels:
            cancel(cancels)
        else:
            trades += len(submit(id, id & 15, side, lots, price))
    return time.process_time() - began, time.perf_counter() - started, trades


def main() -> None:
    flow = messages(seed=0)
    rounds = [play(flow) for _ in range(5)]
    cpu, real = (min(each[i] for each in rounds) for i in range(2))
    result = {
        "benchmark": "order_book",
        "python": platform.python_version(),
        "orders": ORDERS,
        "orders_per_second": round(ORDERS / cpu),
        "orders_per_second_aim": 300_000,
        "orders_per_real_second": round(ORDERS / real),
        "trades_per_order": round(rounds[0][2] / ORDERS, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
