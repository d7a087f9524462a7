"""The command line: thin verbs over the library. Nothing heavy is imported before a verb needs it.

Run it with ``regraft`` or ``python -m regraft``.
"""

from __future__ import annotations

import sys

from regraft.cli import environment


def main() -> None:
    """Entry point of ``regraft``."""
    environment.prepare()
    if sys.argv[1:2] == ["step"]:
        from regraft.cli.step_client import hand_over

        hand_over()  # before anything is imported that the run's step server has imported already
    from regraft.cli.app import with_verbs

    with_verbs()(prog_name="regraft")
