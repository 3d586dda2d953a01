"""Every error raised on purpose. The class says whose fault it is.

SimError                        every error we raise on purpose: what, where, what to do
├─ ScenarioError                the user's scenario or command line
│  ├─ UnknownKeyError           a key or name that does not exist
│  ├─ BoundError                a value out of its range
│  └─ TopologyError             links that do not form the network asked for
├─ InstallationError            a missing extra, a foreign owner of our import names
├─ WireError                    the peer's fault; counted, the broker goes on
│  ├─ MalformedFrameError
│  ├─ FrameTooLargeError
│  └─ VersionMismatchError
├─ AgentError                   the agent's code raised, hung or broke its contract
├─ RestartLimitError            the supervisor gave up
├─ WorkerError                  a process that helps in training ended by itself
├─ CheckpointError              corrupt, other version, other scenario
├─ DivergenceError              what is learned is no longer made of numbers
└─ InvariantError               our fault: books, order or digest broken; never caught
"""

from __future__ import annotations


class SimError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class ScenarioError(SimError):
    """The user's scenario, or a name on the command line, is wrong."""

    exit_code = 2


class UnknownKeyError(ScenarioError):
    """A key or a name does not exist; the message names the nearest one that does."""


class BoundError(ScenarioError):
    """A value lies outside its stated range."""


class TopologyError(ScenarioError):
    """The links given do not form a usable network."""


class InstallationError(SimError):
    """Something is missing from, or foreign to, this environment."""

    exit_code = 3


class WireError(SimError):
    """A peer broke the protocol; it is named, counted and cut off, and the run goes on."""


class MalformedFrameError(WireError):
    """Bytes that do not decode to the expected record."""


class FrameTooLargeError(WireError):
    """A frame above its bound."""


class VersionMismatchError(WireError):
    """A peer speaks another version of the protocol."""


class AgentError(SimError):
    """An agent's code raised, hung, or broke its contract."""

    exit_code = 4


class RestartLimitError(AgentError):
    """An agent was restarted more often than its supervision allows."""


class WorkerError(SimError):
    """A worker process of a training ended, or failed, which nobody asked of it."""


class CheckpointError(SimError):
    """A stored state is corrupt, or belongs to something else."""

    exit_code = 5


class DivergenceError(SimError):
    """Training ran away: a loss, a gradient or what the world gave is not a number any more."""

    exit_code = 6


class InvariantError(SimError):
    """Our own fault: stop, keep the log, print the seed. Never caught."""

    exit_code = 70
