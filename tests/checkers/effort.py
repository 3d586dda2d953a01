"""How much property tests try: a third of their examples, or all where SIM_TESTS is `all`, as in
`make test-all`.
"""

from __future__ import annotations

import os


def tries(examples: int) -> int:
    """So many of so many examples."""
    return examples if os.environ.get("SIM_TESTS") == "all" else max(examples // 3, 1)
