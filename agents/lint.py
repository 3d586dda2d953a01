"""What the source of an agent says against repeating its run, by line and with the remedy.

Names are followed through imports, and blocking calls from the program into the functions that it
calls; a function that is only handed to `asyncio.to_thread` may block. Nothing of the author's is
run. A line that ends in `# sim: ok` is left alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

FAULT, HINT, NOTE = "fault", "hint", "note"
_PARDON: Final = "# sim: ok"


@dataclass(frozen=True, order=True)
class Finding:
    """One thing to mend (fault), look at (hint) or know (note). line: 0 for the whole file."""

    file: str
    line: int
    severity: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.severity}: {self.text}" + (
            f"; {self.remedy}" if self.remedy else ""
        )


# --- what is looked for -------------------------------------------------------------------------

_SLEEP: Final = "await asyncio.sleep(seconds), which takes virtual time"
_THREAD: Final = "await asyncio.to_thread(function, ...): virtual time waits for it"
_TALK: Final = "talk to other agents with publish, send or request"
_RNG: Final = "self.rng, this agent's own NumPy generator"
_NOW: Final = "self.now, seconds of virtual time"
_TASKS: Final = "asyncio.create_task, or await asyncio.to_thread(function, ...)"
_FAULTS: Final = "faults come from the scenario, see `faults:`"

_BLOCKING: Final = {
    "time.sleep": _SLEEP, "input": _TALK, "open": _THREAD, "os.system": _THREAD,
    "os.popen": _THREAD, "select.select": _SLEEP,
}  # fmt: skip
_BLOCKING_MODULES: Final = {
    "requests": _THREAD, "urllib": _THREAD, "http": _THREAD, "httpx": _THREAD, "socket": _TALK,
    "subprocess": _THREAD, "sqlite3": _THREAD, "ftplib": _THREAD, "smtplib": _THREAD,
}  # fmt: skip
_HARMLESS: Final = {"urllib.parse", "http.HTTPStatus"}
_CLOCKS: Final = {
    *(f"time.{name}{suffix}" for name in ("time", "monotonic", "perf_counter", "process_time",
      "thread_time", "clock_gettime") for suffix in ("", "_ns")),
    "time.localtime", "time.gmtime", "time.ctime", "datetime.datetime.now",
    "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
}  # fmt: skip
_RANDOM_MODULES: Final = ("random", "numpy.random", "secrets")
_RANDOM: Final = {"os.urandom", "os.getrandom", "uuid.uuid1", "uuid.uuid4", "scipy.stats.qmc.Sobol"}
_SEEDED: Final = {
    "random.Random", "numpy.random.default_rng", "numpy.random.Generator", "numpy.random.PCG64",
    "numpy.random.Philox", "numpy.random.SeedSequence", "numpy.random.RandomState",
    "numpy.random.MT19937", "numpy.random.PCG64DXSM", "numpy.random.SFC64",
}  # fmt: skip
_TORCH_DRAWS: Final = {
    f"torch.{name}" for name in (
        "rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson",
    )
}  # fmt: skip
_THREADS: Final = (
    "threading.Thread", "threading.Timer", "multiprocessing", "concurrent.futures",
    "_thread.start_new_thread", "os.fork", "os.forkpty", "joblib.Parallel",
)  # fmt: skip
_REFUSED: Final = {
    "asyncio.open_connection": _TALK, "asyncio.open_unix_connection": _TALK,
    "asyncio.start_server": _TALK, "asyncio.start_unix_server": _TALK,
    "asyncio.create_subprocess_exec": _THREAD, "asyncio.create_subprocess_shell": _THREAD,
    "asyncio.run": "await it: the agent's loop runs already", "signal.signal": _FAULTS,
    "os._exit": "return from run()", "sys.exit": "return from run()",
}  # fmt: skip
_AWAITED: Final = {"asyncio.sleep", "asyncio.to_thread", "asyncio.wait_for", "asyncio.wait"}
_AWAITED_METHODS: Final = {"receive", "request"}
_MUTATORS: Final = {
    "append", "extend", "insert", "pop", "remove", "clear", "add", "discard", "update",
    "setdefault", "popitem", "appendleft", "popleft",
}  # fmt: skip
_AGENT: Final = {"sim.Agent", "agents.agent.Agent"}

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def lint(source: str, file: str, only: str = "") -> list[Finding]:
    """What can be read off the source, by line; of the agents in it, off `only` one if named."""
    try:
        tree = ast.parse(source, file)
    except SyntaxError as error:
        return [Finding(file, error.lineno or 0, FAULT, f"not Python: {error.msg}")]
    lines, reader = source.splitlines(), _Reader(tree, file)
    pardoned = {number for number, line in enumerate(lines, 1) if _PARDON in line}
    for node in tree.body:
        if only and isinstance(node, ast.ClassDef) and node.name != only and reader.is_agent(node):
            pardoned.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sorted({finding for finding in reader.findings() if finding.line not in pardoned})


class _Reader:
    """The names, functions and classes of one file, and what is said of them."""

    def __init__(self, tree: ast.Module, file: str) -> None:
        self.tree = tree
        self.file = file
        self.names = dict(_imports(tree))
        self.functions = [n for n in ast.walk(tree) if isinstance(n, _Function)]
        self.running = self._running()

    def _found(self, node: ast.AST, severity: str, text: str, remedy: str = "") -> Finding:
        return Finding(self.file, getattr(node, "lineno", 0), severity, text, remedy)

    def dotted(self, node: ast.AST) -> str:
        """The full name of an expression such as `np.random.rand`; "" if it has none."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return f"{base}.{node.attr}" if base else ""
        return ""

    def _running(self) -> set[_Function]:
        """Functions that run in the loop: coroutines, and what they call, directly or not."""
        waiting: list[_Function]
        by_name: dict[str, list[_Function]] = {}
        for function in self.functions:
            by_name.setdefault(function.name, []).append(function)
        waiting = [f for f in self.functions if isinstance(f, ast.AsyncFunctionDef)]
        running: set[_Function] = set(waiting)
        while waiting:
            for node in _own(waiting.pop()):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    for called in by_name.get(name, []):
                        if called not in running:
                            running.add(called)
                            waiting.append(called)
        return running

    def findings(self) -> Iterator[Finding]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield from self._anywhere(node)
        for function in self.functions:
            if function in self.running:
                for node in _own(function):
                    yield from self._in_the_loop(node)
            yield from self._sets(function)
            yield from self._globals(function)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef) and self.is_agent(node):
                yield from self._agent(node)

    # --- calls ----------------------------------------------------------------------------------

    def _anywhere(self, node: ast.Call) -> Iterator[Finding]:
        name = self.dotted(node.func)
        is_seeded = name in _SEEDED and (node.args or node.keywords)
        is_drawn = name.startswith(tuple(f"{m}." for m in _RANDOM_MODULES)) or name in _RANDOM
        if is_drawn and not is_seeded and self._is_module(name):
            yield self._found(node, FAULT, f"{name} is not the agent's own randomness", _use(_RNG))
        elif name in _TORCH_DRAWS and not any(k.arg == "generator" for k in node.keywords):
            text = f"{name} draws from a generator that all agents of a host share"
            yield self._found(node, FAULT, text, _use("generator=, seeded from self.rng"))
        elif name in _CLOCKS and self._is_module(name):
            yield self._found(node, FAULT, f"{name} reads the wall clock", _use(_NOW))
        elif name.startswith(_THREADS) and self._is_module(name):
            yield self._found(node, FAULT, f"{name} leaves the agent's loop", _use(_TASKS))

    def _is_module(self, name: str) -> bool:
        """Whether a dotted name begins with something that the file imports."""
        return any(name == known or name.startswith(f"{known}.") for known in self.names.values())

    def _in_the_loop(self, node: ast.AST) -> Iterator[Finding]:
        if isinstance(node, ast.Call):
            name = self.dotted(node.func)
            module = name.partition(".")[0]
            is_module = self._is_module(name)
            if name in _BLOCKING and (is_module or name in ("open", "input")):
                text = f"{name} blocks the host, and no virtual time passes"
                yield self._found(node, FAULT, text, _use(_BLOCKING[name]))
            elif (
                is_module and module in _BLOCKING_MODULES and not name.startswith(tuple(_HARMLESS))
            ):
                text = f"{name} blocks the host and reaches outside the simulation"
                yield self._found(node, FAULT, text, _use(_BLOCKING_MODULES[module]))
            elif name in _REFUSED and is_module:
                yield self._found(node, FAULT, f"{name} is refused", _use(_REFUSED[name]))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            method = called.attr if isinstance(called, ast.Attribute) else ""
            is_own = isinstance(called, ast.Attribute) and _is_self(called.value)
            if self.dotted(called) in _AWAITED or (is_own and method in _AWAITED_METHODS):
                text = f"{ast.unparse(called)}(...) is never awaited, so nothing happens"
                yield self._found(node, FAULT, text, "write await before it")
        elif isinstance(node, ast.While) and _is_endless(node):
            text = "this loop never waits and never ends"
            yield self._found(node, FAULT, text, "await something in it, such as asyncio.sleep(1)")
        elif isinstance(node, ast.ExceptHandler) and self._catches_all(node):
            text = "this also catches cancellation, and the end of a handler past its bound"
            yield self._found(node, HINT, text, "catch Exception, or raise it again")

    def _catches_all(self, node: ast.ExceptHandler) -> bool:
        is_all = node.type is None or self.dotted(node.type) == "BaseException"
        return is_all and not any(isinstance(n, ast.Raise) for n in ast.walk(node))

    # --- order and sharing ----------------------------------------------------------------------

    def _sets(self, function: _Function) -> Iterator[Finding]:
        """Iteration over sets, whose order is that of hashes or of addresses."""
        known = {
            target.id
            for node in _own(function)
            if isinstance(node, ast.Assign) and self._is_set(node.value, set())
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in _own(function):
            sources: list[ast.expr] = []
            if isinstance(node, ast.For | ast.comprehension):
                sources = [node.iter]
            elif isinstance(node, ast.Call) and self.dotted(node.func) in ("list", "tuple", "next"):
                sources = node.args[:1]
                if sources and isinstance(sources[0], ast.Call):
                    inner = sources[0]
                    sources = inner.args[:1] if self.dotted(inner.func) == "iter" else sources
            for source in sources:
                if self._is_set(source, known):
                    text = "the order of a set may differ from run to run"
                    yield self._found(source, HINT, text, _use("sorted(...), or a dict"))

    def _is_set(self, node: ast.expr, known: set[str]) -> bool:
        if isinstance(node, ast.Set):
            values = [e.value for e in node.elts if isinstance(e, ast.Constant)]
            return len(values) < len(node.elts) or not all(type(v) is int for v in values)
        is_call = isinstance(node, ast.Call) and self.dotted(node.func) in ("set", "frozenset")
        is_name = isinstance(node, ast.Name) and node.id in known
        return is_call or is_name or isinstance(node, ast.SetComp)

    def _globals(self, function: _Function) -> Iterator[Finding]:
        shared = {
            target.id
            for node in self.tree.body
            if isinstance(node, ast.Assign) and _is_mutable(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in _own(function):
            name = ", ".join(node.names) if isinstance(node, ast.Global) else ""
            changed = _changed(node)
            if isinstance(changed, ast.Name) and changed.id in shared:
                name = changed.id
            if name:
                text = f"{name} is shared by all agents of a host"
                yield self._found(node, HINT, text, "keep it in self")

    # --- agents ---------------------------------------------------------------------------------

    def is_agent(self, node: ast.ClassDef) -> bool:
        bases = {self.dotted(base) for base in node.bases}
        if bases & _AGENT:
            return True
        classes = {n.name: n for n in self.tree.body if isinstance(n, ast.ClassDef)}
        return any(b != node.name and b in classes and self.is_agent(classes[b]) for b in bases)

    def _agent(self, node: ast.ClassDef) -> Iterator[Finding]:
        methods = [n for n in node.body if isinstance(n, _Function)]
        for method in methods:
            if method.name == "run" and isinstance(method, ast.FunctionDef):
                yield self._found(
                    method, FAULT, f"{node.name}.run is no coroutine", "async def run"
                )
            elif method.name == "run" and any(isinstance(n, ast.Yield) for n in _own(method)):
                text = f"{node.name}.run is a generator, because it yields"
                yield self._found(method, FAULT, text, "leave out the yield")
        assigned = {
            target.attr
            for method in methods
            for n in _own(method)
            if isinstance(n, ast.Assign | ast.AnnAssign)
            for target in (n.targets if isinstance(n, ast.Assign) else [n.target])
            if isinstance(target, ast.Attribute) and _is_self(target.value)
        }
        shared = {
            target.id: n
            for n in node.body
            if isinstance(n, ast.Assign) and _is_mutable(n.value)
            for target in n.targets
            if isinstance(target, ast.Name) and target.id not in assigned
        }
        for method in methods:
            for n in _own(method):
                changed = _changed(n)
                if isinstance(changed, ast.Attribute) and _is_self(changed.value):
                    if changed.attr in shared:
                        text = f"{node.name}.{changed.attr} is shared by all agents of a host"
                        line = shared[changed.attr]
                        yield self._found(line, FAULT, text, f"set self.{changed.attr} in __init__")


# --- the syntax tree ----------------------------------------------------------------------------


def _use(what: str) -> str:
    return f"use {what}"


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Local names of what is imported, with the full ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _own(function: _Function) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions and classes inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _Function | ast.ClassDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _is_endless(node: ast.While) -> bool:
    """Whether a `while True` neither waits nor is left."""
    if not (isinstance(node.test, ast.Constant) and node.test.value):
        return False
    ways = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.Return, ast.Break, ast.Raise)
    return not any(isinstance(n, ways) for n in ast.walk(node))


def _is_mutable(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("list", "dict", "set", "deque")
    return isinstance(node, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp)


def _changed(node: ast.AST) -> ast.AST | None:
    """What a statement changes in place: `x` of `x.append(1)` and of `x[1] = 2`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.value if node.func.attr in _MUTATORS else None
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = node.targets
    elif isinstance(node, ast.AugAssign):
        targets = [node.target]
    for target in targets:
        if isinstance(target, ast.Subscript):
            return target.value
    return None
