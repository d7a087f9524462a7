"""Reading and writing model folders: weights as safetensors, nothing that names the machine they came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.models import base_model, tokenizer
from regraft.models.families import family_in

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VOLATILE = ("_name_or_path", "transformers_version", "name_or_path")
"""Keys of a configuration that tell where or by what a model was made, and would make equal models differ."""


def check_length(folder: Path, length: int, key: str) -> None:
    """Refuse a length that the model in ``folder`` has no positions for.

    :mod:`regraft.execution.resolve` says so first; a resolved file of an earlier version, or one edited by hand, is read without it.

    :raises ConfigError: naming ``key`` and the most it may be.
    """
    most = base_model.positions(folder)
    if most is not None and length > most:
        raise ConfigError(f"{key} is {length}, but the base model reads at most {most} tokens", fix=f"{key}: {most}")


def load(kind: Any, folder: Path, **options: Any) -> tuple[PreTrainedModel, set[str]]:
    """A model in fp32 with eager attention, and the names of the head's weights that ``folder`` does not have, or has of another shape.

    Eager: 391 ms a step against 517 ms with SDPA (MiniLM, 16 sequences of 128, bf16, 2 cores).

    :raises ConfigError: weights of the encoder itself are missing, or of another shape than config.json says.
    """
    tokenizer.quiet()
    model, info = kind.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        dtype="float32",
        attn_implementation="eager",
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # of a head; the encoder's are refused below
        **options,
    )
    _forget_head(model.config, options)
    missing = set(info["missing_keys"]) | {name for name, *_ in info["mismatched_keys"]}
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."  # an encoder-decoder is whole or is none
    if lost := sorted(name for name in missing if name.startswith(prefix) and ".pooler." not in f".{name}"):
        examples = ", ".join(lost[:3]) + (" ..." if len(lost) > 3 else "")
        raise ConfigError(
            f"{folder} lacks weights of its encoder, or has them in another shape than config.json says: {examples}",
            fix="name another base_model in the pipeline file",
        )
    return model, missing


def load_pretrained(folder: Path) -> tuple[PreTrainedModel, set[str]]:
    """:func:`load` with the head that models of the family are pretrained under."""
    import transformers

    return load(getattr(transformers, family_in(folder).pretrained), folder)


def _forget_head(config: Any, options: Any) -> None:
    """Take out of ``config`` what it says of the head that came: transformers would serve ours by it, and call its outputs so."""
    config.problem_type = None
    if "id2label" not in options:
        config.id2label, config.label2id = (
            {0: "LABEL_0", 1: "LABEL_1"},
            {"LABEL_0": 0, "LABEL_1": 1},
        )  # transformers' own, left out of files


def _lasting(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` without what is :data:`VOLATILE`, also of the parts of a model that has some."""
    return {key: _lasting(value) if isinstance(value, dict) else value for key, value in config.items() if key not in VOLATILE}


def save(model: PreTrainedModel, source: Path, out: Path) -> None:
    """Write ``model`` to ``out`` with the tokenizer of ``source``."""
    out.mkdir(parents=True, exist_ok=True)
    nn.Module.to(model, "cpu")
    # Of ranks that share a training each writes to a folder of its own; transformers would let rank 0 alone write.
    vars(model)["should_save_on_this_rank"] = lambda is_main_process: is_main_process
    model.save_pretrained(out)
    del vars(model)["should_save_on_this_rank"]
    for weights in out.glob("*.safetensors"):
        weights.chmod(0o644)  # safetensors writes 0600; agents of other users read these files
    (out / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((out / "config.json").read_text())
    files.write_json(out / "config.json", _lasting(config))
    tokenizer.save(source, out)
