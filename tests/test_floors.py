"""Who may import whom, and who owns what is dangerous. Lists as at the end of docs/design.md.

Every import counts, also one inside a function; only those for type checkers do not.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("sim", "agents", "broker")

FLOORS: tuple[str, ...] = (
    "sim sim.errors sim.units sim.ids",
    "sim.author sim.rng sim.clock sim.digest sim.limits sim.spaces sim.installation sim.process",
    "sim.scenario sim.templates",
    "sim.worlds sim.mechanisms sim.wire",
    "sim.store",
    "broker agents sim.outcome sim.online",
    "broker.pace broker.recovery sim.prepare sim.progress",
    "broker.server broker.control agents.host",
    "sim.launch sim.comparison sim.live",
    "sim.runner sim.check",
    "sim.doctor sim.again sim.learn",
    "sim.console sim.report sim.zoo",
    "sim.cli",
    "sim.__main__",
)
"""Lowest first. A module belongs to the longest prefix; it imports from lower floors, or from its
own prefix."""

OWNERS: dict[str, tuple[str, ...]] = {
    "zmq": ("sim.wire.*", "sim.doctor"),
    "textual": ("sim.console.*",),
    "rich": ("sim.console.*", "sim.cli*"),
    "matplotlib": ("sim.report.*",),
    "mcap": ("sim.store.*",),
    "time": ("sim.clock",),
    "datetime": ("sim.clock",),
    "random": (),
    "uuid": (),
    "secrets": ("sim.rng",),
    "os.urandom": ("sim.rng",),
    "os.getrandom": ("sim.rng",),
    "numpy.random": ("sim.rng",),
    "torch.manual_seed": (),
    "torch.rand*": ("sim.learn.*",),
    "pickle": (),
    "marshal": (),
    "shelve": (),
    "dill": (),
    "cloudpickle": (),
    "multiprocessing": (),
    "torch.load": (),
    "yaml.load": (),
    "yaml.unsafe_load": (),
    "yaml.full_load": (),
    "eval": (),
    "exec": (),
    "asyncio": ("agents.*", "sim.console.*"),
    "aiohttp": ("sim.console.web",),
    "zmq.asyncio": (),
    "torch": ("sim.worlds.*", "sim.learn.*", "agents.networks", "sim.doctor", "sim.process"),
    "socket": ("sim.wire.*", "sim.launch.*", "agents.host", "sim.console.web"),
    "subprocess": ("sim.launch.*", "sim.doctor", "sim.worlds.grid_import"),
}  # fmt: skip
"""What is imported, or called by its full name; and who alone may."""

PURE = {"broker.*": ("sim.clock", "threading", "socket", "signal", "os", "subprocess", "tempfile")}
"""What the kernel and its parts do without; the shell around it looks at the clock."""
SHELL = ("broker.server", "broker.pace", "broker.recovery", "broker.control")

QUICK = ("agents.*", "broker.*", "sim", "sim.scenario.*", "sim.wire.*", "sim.store.*", "sim.runner")
"""Who does not import torch when it is itself imported."""


def names_imported(tree: ast.AST, module: str) -> Iterator[tuple[str, bool]]:
    """Full names imported, and whether the import is at the module's level."""
    todo: list[tuple[ast.AST, bool]] = [(tree, True)]
    while todo:
        node, is_top = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            todo.extend((child, is_top) for child in node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, is_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield from ((f"{node.module}.{alias.name}", is_top) for alias in node.names)
        is_top = is_top and not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        )
        todo.extend((child, is_top) for child in ast.iter_child_nodes(node))


def names_called(tree: ast.AST) -> Iterator[str]:
    """Full names of what is called, through the aliases of this module's imports."""
    aliases = {"np": "numpy"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            parts, target = [], node.func
            while isinstance(target, ast.Attribute):
                parts.append(target.attr)
                target = target.value
            if isinstance(target, ast.Name):
                yield ".".join([aliases.get(target.id, target.id), *reversed(parts)])


def floor_of(module: str) -> tuple[int, str]:
    """Number of the floor, and the prefix that put the module there."""
    found = [
        (prefix, number)
        for number, floor in enumerate(FLOORS)
        for prefix in floor.split()
        if module == prefix or (module.startswith(f"{prefix}.") and prefix != "sim")
    ]
    assert found, f"{module} is on no floor: add it to the list here and in docs/design.md"
    prefix, number = max(found, key=lambda f: len(f[0]))
    return number, prefix


def is_within(name: str, owned: str) -> bool:
    return fnmatchcase(name, owned) or name.startswith(f"{owned}.")


def breaches(module: str, source: str, known: frozenset[str]) -> Iterator[str]:
    """What a module does that it may not. known: names of all our modules."""
    tree = ast.parse(source)
    floor, own = floor_of(module)
    imported = set(names_imported(tree, module))
    for name, is_top in sorted(imported):
        if name.split(".")[0] in OURS:
            target = name if name in known else name.rpartition(".")[0]
            there, prefix = floor_of(target if target in known else name)
            if there > floor or (there == floor and prefix != own):
                yield f"{module} (floor {floor}) imports {target} (floor {there})"
        elif is_within(name, "torch") and is_top and any(fnmatchcase(module, q) for q in QUICK):
            yield f"{module} imports torch when it is imported"
    used = {name for name, _ in imported} | set(names_called(tree))
    for owned, owners in OWNERS.items():
        if not any(fnmatchcase(module, owner) for owner in owners):
            hits = [name for name in used if is_within(name, owned)]
            yield from (f"{module} uses {hit}, which it does not own" for hit in sorted(hits))
    for pattern, refused in PURE.items():
        if fnmatchcase(module, pattern) and module not in SHELL:
            for hit in sorted(n for n, _ in imported if any(is_within(n, r) for r in refused)):
                yield f"{module} imports {hit}, and is to be pure"


def sources() -> dict[str, str]:
    found = {}
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = path.read_text(encoding="utf-8")
    return found


ALL = sources()
KNOWN = frozenset(ALL)

PLANTED = [
    ("sim.units", "import sim.rng", "imports sim.rng (floor 1)"),
    ("sim.scenario.load", "def f():\n    from sim.worlds import world", "imports sim.worlds.world"),
    ("broker.links", "from agents.agent import Agent", "imports agents.agent"),
    ("agents.loop", "from broker.kernel import Kernel", "imports broker.kernel"),
    ("broker.kernel", "from broker.server import drive", "imports broker.server"),
    ("broker.kernel", "from sim.clock import monotonic", "is to be pure"),
    ("broker.kernel", "import asyncio", "uses asyncio"),
    ("sim.worlds.blank", "from sim.wire.codec import encode_frame", "imports sim.wire.codec"),
    ("broker.server", "import zmq", "uses zmq"),
    ("agents.networks", "import torch", "torch when it is imported"),
    ("agents.loop", "def f():\n    import torch", "uses torch"),
    ("agents.agent", "import random", "uses random"),
    ("agents.loop", "def f():\n    from time import sleep", "uses time.sleep"),
    ("sim.store.runlog", "import datetime", "uses datetime"),
    ("sim.wire.codec", "import pickle", "uses pickle"),
    ("sim.wire.zeromq", "import zmq.asyncio", "uses zmq.asyncio"),
    ("sim.scenario.tree", "import yaml\nyaml.load('a')", "uses yaml.load"),
    ("sim.worlds.noise", "import torch as t\nt.load('a')", "uses torch.load"),
    ("sim.worlds.noise", "import torch\ntorch.randn(3)", "uses torch.randn"),
    ("sim.worlds.noise", "import numpy as np\nnp.random.default_rng()", "uses numpy.random"),
    ("sim.ids", "eval('1')", "uses eval"),
    ("sim.ids", "import os\nos.urandom(3)", "uses os.urandom"),
]


@pytest.mark.parametrize(("module", "source", "expected"), PLANTED)
def test_a_planted_breach_is_found(module: str, source: str, expected: str) -> None:
    found = list(breaches(module, source, KNOWN))
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("broker.links", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import agents"),
        ("sim.rng", "import numpy as np\nnp.random.Generator(np.random.Philox(key=1))"),
        ("sim.cli", "from sim.runner import run\nfrom broker.kernel import Kernel"),
        ("sim.worlds.blank", "from sim.worlds.world import World\nimport torch"),
        ("agents.networks", "def f():\n    import torch"),
    ],
)
def test_what_is_allowed_is_not_taken_for_a_breach(module: str, source: str) -> None:
    assert list(breaches(module, source, KNOWN)) == []


def test_imports_go_down_and_dangerous_things_have_one_owner() -> None:
    found = [breach for name, source in ALL.items() for breach in breaches(name, source, KNOWN)]
    assert found == []


def test_the_design_page_names_the_same_floors() -> None:
    page = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    told = page[page.index("Floors, lowest first") :]
    named = set(re.findall(r"`([^`]+)`", told.replace(" ", "` `")))
    expected = {prefix for floor in FLOORS for prefix in floor.split()} - {"sim"}
    assert expected <= named


def test_importing_sim_and_all_it_offers_does_not_import_torch() -> None:
    code = (
        "import sys, sim; early = set(sys.modules);"
        "[getattr(sim, name) for name in sim.__all__];"
        "print([m for m in ('torch', 'numpy', 'zmq', 'yaml') if m in early],"
        " [m for m in ('torch', 'rich', 'networkx') if m in sys.modules and m == 'torch'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[] []\n"
