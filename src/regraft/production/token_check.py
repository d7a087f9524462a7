"""Real rows through both readings of a model's tokenizer, before it is registered and whenever ``doctor`` is asked.

The comparison (:mod:`regraft.evaluation.token_ids`) runs in a process of its own, so that this one loads no torch: 3 s of processor.
What came out is kept for the model and the versions of the libraries; the next who asks reads it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.evaluation.token_ids import Json, stored, stored_at

SECONDS = 300.0


def compare(workspace: Workspace, folder: Path, digest: str, texts: Callable[[], Sequence[str]]) -> Json:
    """What :func:`regraft.evaluation.token_ids.compared` says of the model in ``folder``.

    :param texts: asked only where nobody compared yet.
    :raises EnvironmentFault: the tokenizer does not load, with the last line that it wrote.
    """
    if (known := stored(workspace.scratch, digest)) is not None:
        return known
    out = stored_at(workspace.scratch, digest)
    asked = out.with_suffix(".texts.json")
    files.write_json(asked, list(texts()))
    command = [sys.executable, "-P", "-m", "regraft.evaluation.token_ids", str(folder), str(asked), str(out)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(f"the tokenizer in {folder} gave no ids within {SECONDS:.0f} s", fix="regraft doctor") from None
    finally:
        asked.unlink(missing_ok=True)
    if done.returncode:
        complaint = ((done.stdout + done.stderr).strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFault(f"the tokenizer in {folder} gives no ids: {complaint}", fix="regraft doctor")
    return dict(files.read_json(out))


def require_same_ids(workspace: Workspace, pipeline: str, folder: Path, digest: str, texts: Callable[[], Sequence[str]]) -> None:
    """:raises EnvironmentFault: whoever opens the folder reads another text of a row than the model was trained on."""
    if problem := compare(workspace, folder, digest, texts)["problem"]:
        raise EnvironmentFault(f"the model in {workspace.relative(folder)} is not registered: {problem}", fix=mending(pipeline))


def mending(pipeline: str) -> str:
    """What to type where ids differ: this version writes the folder so that they agree, so it has to be written once more."""
    return f"dvc repro --force --single-item finetune-adapted@{pipeline} (or the candidate that it is), then regraft run {pipeline}"
