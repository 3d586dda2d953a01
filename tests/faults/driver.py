"""A small broker for the tests of orphans: keeps hosts busy, brings lost ones up again."""

import sys

from sim.launch.local import process_transport
from sim.wire.messages import Activation
from sim.wire.transport import HostLost

WORK = ["busy(0.002)", "time.sleep(0.003)", "stray()"]


def main(n: int) -> None:
    transport = process_transport(runtime="toy_runtime:Toy")
    try:
        transport.start(range(n))
        for host in range(n):
            transport.send(host, Activation(0, 0, 1, [], [WORK[host % 3]]))
        print("ready", flush=True)
        while True:
            for host, answer in transport.poll(None):
                if isinstance(answer, HostLost):
                    transport.restart(host)
                transport.send(host, Activation(0, 0, 1, [], [WORK[host % 2]]))
    finally:
        transport.close()


main(int(sys.argv[1]))
