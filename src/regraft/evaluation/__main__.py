"""``python -m regraft.evaluation MODEL_DIR ROWS_PARQUET OUT_PARQUET``: score one model folder in a process of its own.

For the champion's predictions on rows it has not seen, so that the orchestrator never loads torch. The file names
the digests of the model and the rows. A model that does not load: one line on stderr, exit 8, no file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from regraft.core import files
from regraft.core.errors import RegraftError
from regraft.evaluation import predictions
from regraft.evaluation.scoring import HeldOut, score_folder


def main(argv: list[str]) -> int:
    if len(argv) != 3:
        print("usage: python -m regraft.evaluation MODEL_DIR ROWS_PARQUET OUT_PARQUET", file=sys.stderr)  # noqa: T201
        return 2
    folder, rows_file, out = map(Path, argv)
    try:
        rows = HeldOut.read(rows_file)
        predictions.write(out, score_folder(folder, rows), model=files.digest(folder), rows=rows.digest)
    except RegraftError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
