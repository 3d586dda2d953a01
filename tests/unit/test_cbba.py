"""CBBA: no conflicts after its bound of rounds, worth half the optimum, whole after a partition."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import networkx as nx
import numpy as np
import pytest

from sim.mechanisms import cbba
from sim.mechanisms.cbba import NOBODY, Score, State


def coverage(rng: np.random.Generator, tasks: int) -> Score:
    """Each task covers some of ten things of different worth: what it adds only diminishes."""
    covers = rng.random((tasks, 10)) < 0.4
    worth = rng.integers(1, 50, 10)
    return lambda path: int(worth[covers[list(path)].any(axis=0)].sum()) if path else 0


def routes(rng: np.random.Generator, agents: int, tasks: int) -> list[Score]:
    places = rng.random((tasks, 2)).tolist()
    rewards = rng.uniform(1, 5, tasks).tolist()
    starts = rng.random((agents, 2)).tolist()
    return [cbba.discounted_route(at, places, rewards, 0.3, 0.8) for at in starts]


class Team:
    """Agents that build and tell their neighbours, round by round."""

    def __init__(self, scores: Sequence[Score], tasks: int, key: int = 1) -> None:
        self.scores, self.n, self.tasks = scores, len(scores), tasks
        self.tickets = cbba.lottery(self.n, key)
        self.states = [cbba.begin(self.n, tasks) for _ in scores]

    def round(self, links: Sequence[tuple[int, int]]) -> bool:
        """One round over directed links; whether anything but the news changed."""
        before = [(s.bids, s.winners, s.path) for s in self.states]
        said = []
        for i, state in enumerate(self.states):
            self.states[i] = cbba.tell(i, cbba.build(i, state, self.scores[i], self.tickets))
            said.append(self.states[i])
        for sender, to in links:
            self.states[to] = cbba.merge(to, self.states[to], sender, said[sender], self.tickets)
        return before != [(s.bids, s.winners, s.path) for s in self.states]

    def run(self, graph: nx.Graph, rounds: int) -> int:
        """The number of the last round in which something changed."""
        links = [link for a, b in graph.edges for link in ((a, b), (b, a))]
        return max((r for r in range(1, rounds + 1) if self.round(links)), default=0)

    @property
    def value(self) -> int:
        return sum(score(s.path) for score, s in zip(self.scores, self.states, strict=True))

    def check(self) -> None:
        """Everybody believes the same, and everybody does what is believed of it."""
        assert len({s.winners for s in self.states}) == 1
        assert len({s.bids for s in self.states}) == 1
        for i, state in enumerate(self.states):
            assert sorted(state.path) == [j for j, z in enumerate(state.winners) if z == i]
            assert sorted(state.path) == sorted(state.bundle)


GRAPHS = {
    "complete": nx.complete_graph,
    "line": nx.path_graph,
    "star": lambda n: nx.star_graph(n - 1),
}


@pytest.mark.parametrize("shape", GRAPHS)
@pytest.mark.parametrize("kind", ["coverage", "route"])
def test_it_is_free_of_conflicts_after_tasks_times_diameter_rounds(shape: str, kind: str) -> None:
    for seed in range(15):
        rng = np.random.default_rng(seed)
        agents, tasks = int(rng.integers(2, 6)), int(rng.integers(1, 8))
        each = [coverage(rng, tasks) for _ in range(agents)]
        team = Team(each if kind == "coverage" else routes(rng, agents, tasks), tasks, seed)
        graph = GRAPHS[shape](agents)
        bound = tasks * nx.diameter(graph) + 1
        assert team.run(graph, bound + 5) <= bound
        team.check()


def optimum(scores: Sequence[Score], tasks: int) -> int:
    """Of all assignments, with the best order of each path."""
    n = len(scores)
    best = {}
    for i, score in enumerate(scores):
        for r in range(tasks + 1):
            for chosen in itertools.combinations(range(tasks), r):
                best[i, chosen] = max(score(p) for p in itertools.permutations(chosen))
    return max(
        sum(best[i, tuple(j for j in range(tasks) if to[j] == i)] for i in range(n))
        for to in itertools.product(range(n), repeat=tasks)
    )


@pytest.mark.parametrize("kind", ["coverage", "route"])
def test_it_is_worth_half_the_optimum_at_least(kind: str) -> None:
    shares = []
    for seed in range(12):
        rng = np.random.default_rng(100 + seed)
        scores = [coverage(rng, 5) for _ in range(3)] if kind == "coverage" else routes(rng, 3, 5)
        team = Team(scores, 5)
        team.run(nx.path_graph(3), 15)
        team.check()
        shares.append(team.value / optimum(scores, 5))
    assert min(shares) >= 0.5
    assert max(shares) <= 1.0


def test_what_is_missing_from_a_message_or_lost_only_delays_it() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        team = Team(routes(rng, 5, 8), 8, seed)
        graph = nx.cycle_graph(5)
        links = [link for a, b in graph.edges for link in ((a, b), (b, a))]
        for _ in range(60):
            arrived = [link for link in links if rng.random() > 0.4]
            rng.shuffle(arrived)
            team.round(arrived)
        assert team.run(graph, 5) == 0
        team.check()


def test_a_partition_makes_two_allocations_and_its_end_one() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        team = Team([coverage(rng, 6) for _ in range(6)], 6, seed)
        halves = nx.union(nx.path_graph(3), nx.relabel_nodes(nx.path_graph(3), lambda i: i + 3))
        team.run(halves, 20)
        claimed = [j for state in team.states for j in state.path]
        assert len(claimed) > len(set(claimed)), "both sides have planned the same tasks"
        healed = nx.path_graph(6)
        assert team.run(healed, 6 * 5 + 5) <= 6 * 5 + 1
        team.check()


def test_scores_without_diminishing_gains_converge_too() -> None:
    """Without holding bids down, a quarter of these go round in circles."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        weights = rng.integers(0, 20, (3, 4))
        bonus = rng.integers(0, 60, (3, 4, 4))

        def score(path: tuple[int, ...], i: int) -> int:
            pairs = itertools.combinations(sorted(path), 2)
            return int(sum(weights[i, j] for j in path) + sum(bonus[i, a, b] for a, b in pairs))

        team = Team([lambda p, i=i: score(p, i) for i in range(3)], 4, seed)
        team.run(nx.path_graph(3), 4 * 2 + 1)
        assert team.run(nx.path_graph(3), 5) == 0
        team.check()


def test_tasks_of_who_is_gone_are_free_again() -> None:
    rng = np.random.default_rng(4)
    team = Team(routes(rng, 3, 4), 4)
    team.run(nx.complete_graph(3), 10)
    left = [cbba.forget(i, team.states[i], {2}) for i in (0, 1)]
    assert all(2 not in state.winners for state in left)
    lost = [j for j, z in enumerate(team.states[0].winners) if z == 2]
    assert all(left[0].winners[j] == NOBODY and left[0].bids[j] == 0 for j in lost)


def test_equal_bids_go_by_lot_and_old_news_change_nothing() -> None:
    scores: list[Score] = [lambda p: 5 * len(p)] * 2
    winners = set()
    for key in range(20):
        team = Team(scores, 1, key)
        team.run(nx.path_graph(2), 3)
        team.check()
        winners.add(team.states[0].winners)
    assert winners == {(0,), (1,)}
    state = State((7,), (1,), (0, 3))
    old = State((9,), (1,), (0, 3))
    assert cbba.merge(0, state, 1, old, cbba.lottery(2, 0)) == state


ME, SENDER, THIRD, FOURTH = range(4)
TABLE = {
    # (winner to the sender, winner to me): what I do by (higher bid, newer third, newer fourth)
    (SENDER, ME): "update if higher",
    (SENDER, SENDER): "update",
    (SENDER, THIRD): "update if newer third or higher",
    (SENDER, NOBODY): "update",
    (ME, ME): "leave",
    (ME, SENDER): "reset",
    (ME, THIRD): "reset if newer third",
    (ME, NOBODY): "leave",
    (THIRD, ME): "update if newer third and higher",
    (THIRD, SENDER): "update if newer third else reset",
    (THIRD, THIRD): "update if newer third",
    (THIRD, FOURTH): "update if newer third and (newer fourth or higher), "
    "reset if newer fourth and older third",
    (THIRD, NOBODY): "update if newer third",
    (NOBODY, ME): "leave",
    (NOBODY, SENDER): "update",
    (NOBODY, THIRD): "update if newer third",
    (NOBODY, NOBODY): "leave",
}


def expected(rule: str, higher: bool, third: int, fourth: int) -> str:
    """Reads a rule of the table."""
    facts = {
        "newer third": third > 0, "older third": third < 0, "newer fourth": fourth > 0,
        "higher": higher,
    }  # fmt: skip
    for clause in rule.split(", "):
        clause, _, otherwise = clause.partition(" else ")
        action, _, condition = clause.partition(" if ")
        for name, holds in facts.items():
            condition = condition.replace(name, str(holds))
        if not condition or eval(condition):
            return action
        if otherwise:
            return otherwise
    return "leave"


@pytest.mark.parametrize("pair", TABLE)
def test_each_row_of_table_1(pair: tuple[int, int]) -> None:
    theirs, mine = pair
    tickets = cbba.lottery(4, 0)
    for higher, third, fourth in itertools.product((True, False), (-1, 0, 1), (-1, 0, 1)):
        own = State((0 if mine == NOBODY else 5,), (mine,), (5, 5, 5, 5))
        told = 0 if theirs == NOBODY else 8 if higher else 3
        heard = State((told,), (theirs,), (5, 6, 5 + third, 5 + fourth))
        after = cbba.merge(ME, own, SENDER, heard, tickets)
        is_higher = told > own.bids[0]
        outcome = {"update": (told, theirs), "reset": (0, NOBODY), "leave": (own.bids[0], mine)}
        action = expected(TABLE[pair], is_higher, third, fourth)
        assert (after.bids[0], after.winners[0]) == outcome[action], (higher, third, fourth)
        assert after.news == (5, 6, max(5, 5 + third), max(5, 5 + fourth))
