"""Whether the body that config.json promises is among a folder's weights, told from the names and shapes in their headers.

A base model may bring any head: of masked-language modelling, of somebody's classifier, of our own champion with other classes, or none.
The body is loaded and the head begins anew, whatever its shape (tried on every type of
:mod:`regraft.models.families` that transformers builds). A body that is not whole cannot begin anew, and would crash minutes later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regraft.core.errors import Problem
from regraft.models import weight_files
from regraft.models.families.decoder import DECODERS

Json = dict[str, Any]
PREFIXES = {
    "big_bird": "bert", "camembert": "roberta", "deberta-v2": "deberta", "eurobert": "model", "megatron-bert": "bert",
    "encoder-decoder": "encoder",
    "modernbert": "model", "squeezebert": "transformer", "xlm-roberta": "roberta", "xlm-roberta-xl": "roberta",
    **dict.fromkeys(DECODERS, "model"), **dict.fromkeys(("gpt2", "gpt_bigcode", "gpt_neo", "gptj"), "transformer"), "gpt_neox": "gpt_neox",
}  # fmt: skip
"""Model type -> what the names of its body begin with where a head stands beside it; of the others that is the type itself."""
EMBEDDINGS = {
    **dict.fromkeys(("mt5", "t5", "umt5"), "shared.weight"), "encoder-decoder": "embeddings.word_embeddings.weight",
    "eurobert": "embed_tokens.weight", "modernbert": "embeddings.tok_embeddings.weight", **dict.fromkeys(DECODERS, "embed_tokens.weight"),
    **dict.fromkeys(("gpt2", "gpt_bigcode", "gpt_neo", "gptj"), "wte.weight"), "gpt_neox": "embed_in.weight",
}  # fmt: skip
"""Model type -> its matrix of word embeddings; of the others ``embeddings.word_embeddings.weight``."""
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h)\.(\d+)\.")
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
"""What configurations call the number of layers."""
FIX = "load it with AutoModel, and save that with save_pretrained"


def problems(folder: Path, config: Json) -> Iterator[Problem]:
    """What speaks against the body of the model in ``folder``; nothing where its weights cannot be read, which others name."""
    shapes = _shapes(folder)
    model_type = str(config.get("model_type"))
    if not shapes:
        return
    prefix = f"{PREFIXES.get(model_type, model_type.replace('-', '_'))}."
    name = EMBEDDINGS.get(model_type, "embeddings.word_embeddings.weight")
    start = next((start for start in ("", prefix) if start + name in shapes), None)
    if start is None:
        begins = sorted({tensor.rpartition(".embeddings.")[0] or tensor.partition(".")[0] for tensor in shapes})
        named = ", ".join(begins[:3]) + (" ..." if len(begins) > 3 else "")
        why = f"no body of a {model_type}: its weights lack {prefix}{name}, and are called {named}"
        yield _problem(folder, "model_type", model_type, why)
        return
    rows = shapes[start + name][0]
    if isinstance(vocabulary := config.get("vocab_size"), int) and vocabulary != rows:
        yield _problem(folder, "vocab_size", vocabulary, f"vocab_size is {vocabulary}, and its weights embed {rows} tokens")
    promised = next((config[key] for key in _LAYERS if key in config), None)
    there = {int(match[1]) for tensor in shapes if tensor.startswith(start) and (match := _LAYER.search(tensor))}
    if isinstance(promised, int) and there and (most := max(there) + 1) < promised:
        yield _problem(folder, "num_hidden_layers", promised, f"{promised} layers are promised, and its weights hold {most}")


def _problem(folder: Path, key: str, value: Any, why: str) -> Problem:
    message = f"{folder.name}: {why}"
    return Problem(message=message, file=str(folder / "config.json"), column=key, value=value, rule="body", fix=FIX)


def _shapes(folder: Path) -> dict[str, list[int]]:
    """Tensor -> shape, of the safetensors files in ``folder`` that are loaded."""
    try:
        return {name: list(entry["shape"]) for path in weight_files.loaded(folder) for name, entry in weight_files.header(path).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError):
        return {}
