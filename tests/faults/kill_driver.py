"""A broker to be killed: runs a scenario, says when it is live, and what came of it."""

import json
import sys

import sim.runner
from sim.errors import SimError


def main(scenario: str, run_dir: str, agents_per_host: int, speed: str) -> None:
    try:
        result = sim.runner.run(
            scenario, run_dir=run_dir, agents_per_host=agents_per_host, speed=speed, compare=False,
            on_live=lambda address: print("live", flush=True),
        )  # fmt: skip
    except SimError as error:
        print(json.dumps({"status": "refused", "error": str(error)}), flush=True)
    else:
        told = {
            "status": result.status, "digest": result.digest, "error": result.error,
            "exit_code": result.exit_code, "failures": result.agent_failures,
        }  # fmt: skip
        print(json.dumps(told), flush=True)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
