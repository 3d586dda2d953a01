"""Results on disk: one JSON per proof, its key, and the table that is made of them all.

A result counts as long as its key does: a hash of the code that it depends on, without comments,
docstrings, the words of errors and devices, and of scenarios and data as they are.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from proofs.proof import Proof
from sim.store.rundir import versions

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "proofs" / "results"
TABLE: Final = ROOT / "proofs" / "README.md"
_SHARED: Final = (
    "proofs/proof.py", "proofs/training.py", "agents/networks.py", "agents/forward.py",
    "agents/decisions.py", "agents/roles.py",
)  # fmt: skip
_APART: Final = frozenset(("sweep.py", "logs.py", "statistics.py", "plateau.py"))
"""Of `sim.learn`, what says how training is told of, not how it goes."""


def key_of(proof: Proof) -> str:
    """The hash of what a proof asks for, and of all files that its figure depends on."""
    module = Path(proof.play.__globals__["__file__"])
    return code_key(f"{proof.name} {proof.seeds}", proof.sources, module)


def code_key(asked: str, patterns: Sequence[str], *more: Path) -> str:
    """The hash of what is asked for and of the code behind it: all that trains, and further files.

    patterns: paths in the repository, which may have wildcards.
    """
    learn = [p for p in sorted((ROOT / "sim" / "learn").glob("*.py")) if p.name not in _APART]
    named = [path for name in (*_SHARED, *patterns) for path in sorted(ROOT.glob(name))]
    digest = hashlib.sha256(asked.encode())
    for path in (*more, *learn, *named):
        is_code = path.suffix == ".py"
        digest.update(_bare(path.read_text()).encode() if is_code else path.read_bytes())
    return digest.hexdigest()[:16]


def _bare(text: str) -> str:
    """Code without comments, docstrings, the words of errors and the device that a tensor is made
    on: no figure comes of them."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            node.keywords = [word for word in node.keywords if word.arg != "device"]
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc.args, node.exc.keywords = [], []
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[0] = ast.Pass()
    return ast.unparse(tree)


def _is_docstring(node: ast.stmt) -> bool:
    value = getattr(node, "value", None)
    return isinstance(node, ast.Expr) and isinstance(value, ast.Constant)


def machine() -> dict[str, Any]:
    """What a figure was found on."""
    return {
        "processor": platform.machine(), "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1), "threads": torch.get_num_threads(),
        "cuda": torch.cuda.is_available(),
    }  # fmt: skip


def path_of(proof: Proof) -> Path:
    """Of its result."""
    return RESULTS / f"{proof.name}.json"


def training_of(name: str, seed: int, key: str) -> Path:
    """The directory of a training that is kept for a proof, until its code changes."""
    return RESULTS / f".{name}.{seed}.{key}"


def forget(name: str, seed: int | str = "*", but: Path | None = None) -> None:
    """Removes the trainings that are kept for a proof, but for one."""
    for path in RESULTS.glob(f".{name}.{seed}.*"):
        if path.is_dir() and path != but:
            shutil.rmtree(path)


class Part:
    """What has been found of a proof: seed by seed on the disk, and its result once that is all.

    again: what is there does not count.
    """

    def __init__(self, proof: Proof, again: bool = False) -> None:
        self.proof, self._key = proof, key_of(proof)
        self._path = RESULTS / f".{proof.name}.part.json"
        self.is_there = not again and read(path_of(proof)).get("key") == self._key
        kept = {} if again or self.is_there else read(self._path)
        seeds = kept["seeds"] if kept.get("key") == self._key else []
        self._found: dict[int, Mapping[str, Any]] = {each["seed"]: each for each in seeds}
        if again:
            forget(proof.name)

    @property
    def missing(self) -> list[int]:
        """Seeds that are to be found."""
        known = self.proof.seeds if self.is_there else self._found
        return [seed for seed in self.proof.seeds if seed not in known]

    def add(self, found: Mapping[str, Any]) -> None:
        """Keeps what a seed came to."""
        self._found[found["seed"]] = found
        write(self._path, {"key": self._key, "seeds": list(self._found.values())})

    def finish(self) -> dict[str, Any]:
        """Writes the result, of which nothing is missing, and returns it."""
        document = result(self.proof, self._key, [self._found[s] for s in self.proof.seeds])
        write(path_of(self.proof), document)
        self._path.unlink(missing_ok=True)
        return document


def read(path: Path) -> dict[str, Any]:
    """A result; {} if there is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def result(proof: Proof, key: str, seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The document of a result. seeds: what `proofs.work.answer` noted of each."""
    values = [each["value"] for each in seeds]
    figure = proof.figure(values)
    return {
        "name": proof.name, "what": proof.what, "figure": figure, "unit": proof.unit,
        "aim": proof.aim, "better": proof.better, "needs": proof.needs or len(proof.seeds),
        "is_met": proof.is_met(figure), "mean": statistics.fmean(values),
        "seeds": [each["seed"] for each in seeds], "values": values,
        "frames": sum(each["frames"] for each in seeds),
        "seconds": round(sum(each["seconds"] for each in seeds), 1),
        "processor_seconds": round(sum(each["processor_seconds"] for each in seeds), 1),
        "details": [each["details"] for each in seeds], "machine": machine(),
        "versions": versions(), "key": key,
    }  # fmt: skip


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(document, indent=2) + "\n")
    draft.replace(path)


def rows(proofs: Sequence[Proof]) -> list[list[str]]:
    """The table: what, figure, aim, whether it is met, seeds, frames, seconds."""
    found = []
    for proof in proofs:
        known = read(path_of(proof))
        if not known:
            found.append([proof.name, proof.what, "not yet run", _aim(proof), "", "", "", ""])
            continue
        values = " ".join(f"{value:.4g}" for value in known["values"])
        met = {True: "yes", False: "**no**", None: "-"}[known["is_met"]]
        told = f"{known['figure']:.4g} {known['unit']}".strip()
        found.append(
            [proof.name, proof.what, told, _aim(proof), met, values, f"{known['frames']:,}",
             f"{known['processor_seconds']:.0f}"]
        )  # fmt: skip
    return found


def _aim(proof: Proof) -> str:
    if proof.aim is None:
        return "none: told as it is"
    sign = "at least" if proof.better == "higher" else "at most"
    part = f", {proof.needs} of {len(proof.seeds)} seeds" if proof.needs is not None else ""
    return f"{sign} {proof.aim:g}{part}"


COLUMNS: Final = (
    "result", "what it is", "figure", "aim", "met", "each seed", "frames in all",
    "processor seconds",
)  # fmt: skip


def table(proofs: Sequence[Proof]) -> str:
    """The table of all results, in Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows(proofs)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"


def write_table(proofs: Sequence[Proof], page: Path = TABLE) -> None:
    """Puts the table between its two marks on the page."""
    text = page.read_text()
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(f"{before}{_BEGIN}\n\n{table(proofs)}\n\n{_END}{after}")
