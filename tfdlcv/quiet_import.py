"""Importing TensorFlow without the lines that it writes whatever TF_CPP_MIN_LOG_LEVEL says."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# A process of its own, so that what TensorFlow says before it aborts is still shown.
_FILTER = """
import re, sys
noise = re.compile(rb"I\\d{4} |WARNING: All log messages before absl::InitializeLog")
for line in sys.stdin.buffer:
    if not noise.match(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


def import_tensorflow() -> None:
    """Imports tensorflow, so that later imports find it loaded.

    From 2.21 on, information (lines that begin with I) goes to the terminal until a logging library is initialised,
    which never happens in Python. Unless the user sets TF_CPP_MIN_LOG_LEVEL=0, those lines are left out.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") == "0":
        import tensorflow
    else:
        with _standard_error_filtered():
            import tensorflow  # noqa: F401


@contextlib.contextmanager
def _standard_error_filtered() -> Iterator[None]:
    sys.stderr.flush()
    terminal = os.dup(2)
    command = [sys.executable, "-I", "-S", "-c", _FILTER]
    # In a session of its own, Ctrl-C does not end it before us.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=terminal, start_new_session=True)
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)  # Closes the pipe, which ends the filter.
        os.close(terminal)
        process.wait()
