"""General text, packed for what is measured on it: how much of the language an encoder still knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regraft.core.errors import DataRejected
from regraft.data.general import general_documents
from regraft.data.options import GeneralText
from regraft.data.packing import Packed, pack, read
from regraft.models import tokenizer
from regraft.models.families import frame_in

FOR_REPLAY = "pretrain.replay.text"
UNKNOWN_TEXT = "gates.forgetting: the base model's tokenizer knows no word of the general text held out, so no loss can be measured on it"


def pack_replay(text: GeneralText, base: Path, length: int, folder: Path) -> Packed:
    """General text to read in between, as token sequences below ``folder``, memory-mapped; without the documents that are measured on.

    :raises DataRejected: a file cannot be read, or the text does not fill a sequence.
    """
    documents = general_documents(text.text, text.digest, text.column, FOR_REPLAY)
    called = f"the general text ({text.text})" if text.text else "the docstrings of Python's standard library"
    pack(documents, tokenizer.backend(base), length, folder, frame_in(base), called=called, key=FOR_REPLAY)
    return read(folder)["train"]


def pack_general(text: GeneralText, base: Path, length: int, folder: Path) -> dict[str, Packed]:
    """The general text as token sequences below ``folder``, memory-mapped: ``train`` to warm up on, ``heldout`` to measure on.

    :raises DataRejected: a file cannot be read, or a shard has no whole sequence, or no word that the tokenizer knows.
    """
    try:
        pack(general_documents(text.text, text.digest, text.column), tokenizer.backend(base), length, folder, frame_in(base))
        shards = read(folder)
    except DataRejected as error:
        if error.problems:  # a file that cannot be read
            raise
        shards = {}
    if not all(len(shard) for shard in shards.values()) or not shards:
        raise DataRejected(
            f"gates.forgetting: the general text ({text.text or 'docstrings of the standard library'}) does not fill a sequence of "
            f"{length} tokens to warm up on and one to measure on",
            fix="add text to it",
        )
    special = tokenizer.load(base).all_special_ids
    if any(np.isin(shard.ids, special).all() for shard in shards.values()):  # its loss would be one over no token
        raise DataRejected(UNKNOWN_TEXT, fix="name text in the base model's language")
    return shards
