"""Reading and writing model folders: weights as safetensors, nothing that names the machine they came from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.models import base_model

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "*.model",
)  # fmt: skip
VOLATILE = ("_name_or_path", "transformers_version", "name_or_path")
"""Keys of a configuration that tell where or by what a model was made, and would make equal models differ."""


def backend(folder: Path) -> Tokenizer:
    """The fast tokenizer of a model folder; one without ``tokenizer.json`` is converted."""
    from tokenizers import Tokenizer

    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    converted: Tokenizer = tokenizer(folder).backend_tokenizer
    return converted


def tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder."""
    from transformers import AutoTokenizer

    quiet()
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return loaded


def check_length(folder: Path, length: int, key: str) -> None:
    """Refuse a length that the model in ``folder`` has no positions for.

    :mod:`regraft.execution.resolve` says so first; a resolved file of an earlier version, or one edited by hand, is read without it.

    :raises ConfigError: naming ``key`` and the most it may be.
    """
    most = base_model.positions(folder)
    if most is not None and length > most:
        raise ConfigError(f"{key} is {length}, but the base model reads at most {most} tokens", fix=f"{key}: {most}")


def load(kind: Any, folder: Path, **options: Any) -> tuple[PreTrainedModel, set[str]]:
    """A model in fp32 with eager attention, and the names of the head's weights that ``folder`` does not have.

    Eager: 391 ms a step against 517 ms with SDPA (MiniLM, 16 sequences of 128, bf16, 2 cores).

    :raises ConfigError: weights of the encoder itself are missing.
    """
    quiet()
    model, info = kind.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        dtype="float32",
        attn_implementation="eager",
        output_loading_info=True,
        **options,
    )
    missing = set(info["missing_keys"])
    prefix = f"{model.base_model_prefix}."
    if lost := sorted(name for name in missing if name.startswith(prefix) and ".pooler." not in name):
        examples = ", ".join(lost[:3]) + (" ..." if len(lost) > 3 else "")
        raise ConfigError(f"{folder} lacks weights of its encoder: {examples}", fix="name another base_model in the pipeline file")
    return model, missing


def save(model: PreTrainedModel, source: Path, out: Path) -> None:
    """Write ``model`` to ``out`` with the tokenizer files of ``source``, byte for byte."""
    out.mkdir(parents=True, exist_ok=True)
    nn.Module.to(model, "cpu")
    model.save_pretrained(out)
    for weights in out.glob("*.safetensors"):
        weights.chmod(0o644)  # safetensors writes 0600; agents of other users read these files
    (out / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((out / "config.json").read_text())
    files.write_json(out / "config.json", {key: value for key, value in config.items() if key not in VOLATILE})
    for path in sorted(path for pattern in TOKENIZER_FILES for path in source.glob(pattern)):
        shutil.copyfile(path, out / path.name)


def quiet() -> None:
    """Load reports and progress bars of transformers go nowhere; what is missing is asked for instead."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
