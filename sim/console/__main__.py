"""`python -m sim.console`: what `sim run`, `sim watch` and `sim replay` start as a process."""

from __future__ import annotations

import argparse
import sys

from sim.errors import SimError


def main() -> int:
    """Reads the command line. Returns an exit code; a mistake is a message, never a traceback."""
    parser = argparse.ArgumentParser(prog="python -m sim.console", allow_abbrev=False)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--live", metavar="ADDRESS", help="a broker's door")
    which.add_argument("--recorded", metavar="DIR", help="the directory of a run")
    parser.add_argument("--owner", action="store_true", help="quitting may stop the run")
    parser.add_argument("--read-only", action="store_true", help="ask nothing that changes it")
    options = parser.parse_args()
    try:
        from sim.console.run import run_live, run_recorded

        if options.live:
            return run_live(options.live, options.owner, options.read_only)
        from sim.store.recording import open_recording

        return run_recorded(open_recording(options.recorded))
    except SimError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
