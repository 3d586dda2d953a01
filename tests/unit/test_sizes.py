"""The classics stay small: each reads like the definition of the game in a paper."""

from __future__ import annotations

import ast
import importlib.util
import io
import tokenize
from pathlib import Path

import pytest

from sim.worlds.catalogue import WORLDS

FEWER_THAN = 60
CLASSICS = {
    kind: module for kind, module in WORLDS.items() if module.startswith("sim.worlds.classics.")
}
SILENT = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
}  # fmt: skip


def lines_of_code(source: str) -> int:
    """Lines with code on them: no blank lines, comments or docstrings, of attributes either."""
    told: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            told.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - told)


def test_the_classics_are_found() -> None:
    assert sorted(CLASSICS) == [
        "commons", "double_integrator", "lqr", "matrix", "predator_prey", "signalling",
        "speaker_listener", "spread",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", sorted(CLASSICS))
def test_a_classic_is_shorter_than_sixty_lines_of_code(kind: str) -> None:
    spec = importlib.util.find_spec(CLASSICS[kind])
    assert spec is not None
    assert spec.origin is not None
    assert lines_of_code(Path(spec.origin).read_text()) < FEWER_THAN


def test_only_code_is_counted() -> None:
    source = '''"""Docstring
of two lines."""

# a comment
x = 1  # counts
"""What x is."""
text = """two
lines"""
'''
    assert lines_of_code(source) == 3
