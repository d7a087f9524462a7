"""``python -m regraft.execution.patient_dvc push ...``: DVC, but for how long it waits for an answer of S3.

A remote without ``read_timeout`` has none: DVC hands that to its S3 client, and a server that is frozen then freezes whoever pushes, for
ever (DVC 3.67, dvc-s3 3.3). So such remotes get :data:`SECONDS`; one that says how long keeps it. DVC's client asks 25 times, so that
it gives a server up after five minutes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dvc.repo import Repo

SECONDS = 10
"""For each answer, counted from when the request is out."""


def limits(config: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Remote -> the options it lacks, by DVC's configuration."""
    options = ("read_timeout", "connect_timeout")
    of_s3 = {name: remote for name, remote in config.get("remote", {}).items() if str(remote.get("url", "")).startswith("s3://")}
    lacking = {name: {option: SECONDS for option in options if option not in remote} for name, remote in of_s3.items()}
    return {name: missing for name, missing in lacking.items() if missing}


def repository(root: str) -> Repo:
    """DVC's repository in ``root``, for code that asks its remotes itself."""
    from dvc.repo import Repo

    return Repo(root, config={"remote": limits(Repo(root).config)})


def main(argv: Sequence[str]) -> int:
    """``dvc ARGV``; its exit code. The limits are at the level of DVC's configuration that every other one goes before."""
    from configobj import ConfigObj
    from dvc.cli import main as dvc
    from dvc.config import Config

    config = Config(str(Path(".dvc").absolute()))
    with TemporaryDirectory() as folder:
        system = ConfigObj(config.files["system"], list_values=False)
        for name, missing in limits(config).items():
            system.setdefault(f'remote "{name}"', {}).update(missing)
        system.filename = f"{folder}/config"
        system.write()
        os.environ["DVC_SYSTEM_CONFIG_DIR"] = folder
        return int(dvc(list(argv)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
