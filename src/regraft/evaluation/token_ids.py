"""Does everybody get the same tokens of a saved model? ``python -m regraft.evaluation.token_ids MODEL_DIR TEXTS_JSON OUT_JSON`` says.

Asked on real rows before a model is registered, and by ``doctor`` of the champion, where another version of transformers may read
the same files otherwise. Two readings are compared, at the length that the model serves: plain ``AutoTokenizer``, as any consumer
of the folder opens it, and ``tokenizer.json`` by the library that wrote it. :mod:`regraft.models.tokenizer` saves folders so that
they agree.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.data.pairs import apart
from regraft.evaluation import in_a_process

SCHEMA = 1
MOST_ROWS = 5_000
"""Rows that are compared, from the first on: 0.5 s of two short readings."""
Json = dict[str, Any]


def compared(folder: Path, texts: Sequence[str]) -> Json:
    """``{schema, rows, problem}``: rows compared, and the first that is cut otherwise; 0 rows of a model without ``tokenizer.json``."""
    if not (folder / "tokenizer.json").is_file() or "max_length" not in (serving := files.read_json(folder / "serving.json")):
        return {"schema": SCHEMA, "rows": 0, "problem": None}
    chosen: list[Any] = list(texts[:MOST_ROWS])
    if "text_pair" in serving:
        chosen = list(map(apart, chosen))
    return {"schema": SCHEMA, "rows": len(chosen), "problem": _difference(folder, chosen, serving["max_length"])}


def _difference(folder: Path, texts: list[Any], max_length: int) -> str | None:
    """The first text, or pair, that two readings of ``folder`` cut otherwise, in words; None: they agree on all."""
    from transformers import AutoTokenizer

    from regraft.models import tokenizer

    tokenizer.quiet()
    consumer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    alone = tokenizer.alone(folder, consumer)
    alone.no_padding()
    alone.enable_truncation(max_length, direction=consumer.truncation_side)
    columns = [list(column) for column in zip(*texts, strict=True)] if texts and isinstance(texts[0], tuple) else [texts]
    theirs = consumer(*columns, truncation=True, max_length=max_length)["input_ids"]
    for number, (read, encoding) in enumerate(zip(theirs, alone.encode_batch_fast(texts), strict=True), start=1):
        if read != encoding.ids:
            place = next(i for i, (one, other) in enumerate(zip_longest(read, encoding.ids)) if one != other)
            words = (consumer.convert_ids_to_tokens(ids[place : place + 4]) for ids in (read, encoding.ids))
            reads, has = (" ".join(tokens) or "nothing" for tokens in words)
            return f"row {number}: from token {place + 1} on, transformers {version('transformers')} reads {reads}, tokenizer.json {has}"
    return None


def stored_at(scratch: Path, model: str) -> Path:
    """Where the comparison of ``model`` under the versions installed here belongs; deletable."""
    libraries = {name: version(name) for name in ("transformers", "tokenizers")}
    return scratch / "token_ids" / model / f"{files.sha256_text(files.canonical(libraries))}.json"


def stored(scratch: Path, model: str) -> Json | None:
    """The comparison of ``model`` under the versions installed here; None where there is none that can be believed."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        comparison: Json = files.read_json(stored_at(scratch, model))
        return comparison if comparison["schema"] == SCHEMA else None
    return None


if __name__ == "__main__":
    # Ids need no torch, and transformers loads it where it finds it: 1.4 of the 2.6 s of processor.
    gc.disable()
    sys.modules["torch"] = None  # type: ignore[assignment]
    sys.exit(in_a_process.main("regraft.evaluation.token_ids", compared))
