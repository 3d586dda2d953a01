"""The books balance after every window of random scenarios, and agree with an independent count.

sent = delivered + dropped + in flight, per source, destination and topic, whatever is lost, cut,
killed, hung, restarted or comes from relays and full queues. Virtual time never goes back.
"""

from __future__ import annotations

import pytest
from checkers.books import Recount
from checkers.cases import Case, cases
from checkers.clock import ClockChecker
from checkers.effort import tries
from checkers.memory import kernel_of, play
from checkers.sameness import assert_same_run
from checkers.script import Stage
from hypothesis import given, settings

from broker.kernel import Kernel


def simulate(case: Case, agents_per_host: int, is_eager: bool = False) -> Kernel:
    """A run under all checkers."""
    kernel = kernel_of(case.text, agents_per_host, is_eager)
    recount, clock = Recount(kernel), ClockChecker()
    transport = recount.listen(Stage(case.scripts).transport())
    send = transport.send

    def checked_send(host: int, activation: object) -> None:
        clock.check_activation(activation)
        send(host, activation)

    transport.send = checked_send

    def check(kernel: Kernel) -> None:
        recount.check(kernel)
        clock.check(kernel)

    play(kernel, transport, check)
    assert kernel.status == "completed"
    assert recount.windows == kernel.windows + 1
    return kernel


@settings(max_examples=tries(70), deadline=None, print_blob=True)
@given(case=cases())
def test_random_scenarios_balance(case: Case) -> None:
    simulate(case, case.agents_per_host)


@settings(max_examples=tries(30), deadline=None, print_blob=True)
@given(case=cases())
def test_random_scenarios_repeat_however_they_are_run(case: Case) -> None:
    """Packing and eager delivery leave no trace, whatever the scenario."""
    one = simulate(case, 1)
    assert_same_run(one, simulate(case, 3))
    assert_same_run(one, simulate(case, 1, is_eager=True))


@pytest.mark.slow
@settings(max_examples=tries(500), deadline=None, print_blob=True)
@given(case=cases())
def test_more_random_scenarios(case: Case) -> None:
    one = simulate(case, 1)
    assert_same_run(one, simulate(case, 2, is_eager=True))
