"""The command line: one file per command, exit codes decided in :mod:`faultline.cli.exits`.

Starting costs little: a command is imported when it is called, and what it needs when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: this process's) and return its exit code."""
    try:
        from faultline.cli.app import invoke
    except KeyboardInterrupt:
        return 130  # as exits.INTERRUPTED, which was not imported yet

    return invoke(argv)
