"""``python -m regraft.execution.supervise regraft.execution.rank STEP PIPELINE FOLDER``: a rank of a step but the first.

It computes what the step computes, into ``FOLDER``, which nobody keeps; where that fails, ``FOLDER.json`` says why.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from regraft.config.resolved_file import read_resolved
from regraft.core.child import be_called
from regraft.core.errors import RegraftError
from regraft.core.progress import Running, running
from regraft.core.workspace import Workspace
from regraft.execution import composition, supervise
from regraft.execution.step import locate_inputs, section


def main() -> None:
    name, pipeline, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    supervise.stop_at_signals()
    be_called(f"regraft rank {os.environ['RANK']}")
    workspace = Workspace.find()
    try:
        resolved = read_resolved(workspace, pipeline)
        step = composition.step_in(workspace, resolved, name)
        inputs = {key: item.path for key, item in locate_inputs(step, workspace, pipeline, resolved["data"]).items()}
        with running(Running(pipeline=pipeline, step=name, allow_inexact=bool(workspace.invocation().get("allow_inexact")))):
            step.run(section(step, pipeline, resolved), inputs, folder / "out")
    except RegraftError as error:
        supervise.write_error(folder.with_suffix(".json"), error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
