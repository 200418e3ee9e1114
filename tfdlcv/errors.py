"""Errors that the user of the command line can act on; they are shown as a message, without a traceback."""

from collections.abc import Sequence


class UserError(Exception):
    """A failure during a run. Its text says what failed and what to do; `exit_status` is the command's."""

    exit_status = 1


class UsageError(UserError):
    """A command that cannot start as it was given: a missing folder, a wrong argument."""

    exit_status = 2


class ConfigError(UsageError):
    """All faults of a config file and its overrides.

    Attributes:
        faults: one line each, such as `run.yaml:12: model.depth: must be >= 1. Received: 0`.
    """

    def __init__(self, faults: Sequence[str]):
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))
