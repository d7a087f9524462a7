"""What a folder of sentence-transformers says of the vectors that stand for a text: ``modules.json`` and the folders it names.

transformers reads none of it, so a model whose first token stands for a text would be read by the mean of all of them, without a word, and
one with a layer behind the pooling by vectors that nobody trained to be compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MODULES = "modules.json"
PROMPTS, TRANSFORMER = "config_sentence_transformers.json", "sentence_bert_config.json"
FETCHED = (MODULES, PROMPTS, TRANSFORMER, "*_Pooling/config.json")
"""What is read here, beside the model's own files."""
HEEDED = ("Transformer", "Pooling", "Normalize", "Dropout")
"""Modules that methods heed: vectors are brought to length 1 wherever they are compared, and nothing is dropped where they are read."""
KNOWN = ("mean", "cls")
"""Poolings that methods have."""
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Keys that versions before 6 write -> what the key ``pooling_mode`` says since then."""


def pooling(folder: Path) -> str | None:
    """What stands for a text: ``mean``, ``cls``, or another's name, several joined by ``+``; None: the folder says nothing of it."""
    place = next((module.get("path") for module in _modules(folder) if _kind(module) == "Pooling"), None)
    if not isinstance(place, str) or not isinstance(config := _json(folder / place / "config.json"), dict):
        return None
    modes = config.get("pooling_mode", [mode for key, mode in FLAGS.items() if config.get(key)])
    return "+".join(map(str, modes)) or None if isinstance(modes, list) else str(modes)


def unheeded(folder: Path) -> str | None:
    """What sentence-transformers does for vectors of this folder beside pooling, and no method does; None: nothing."""
    prompts, transformer = _json(folder / PROMPTS), _json(folder / TRANSFORMER)
    prompt = prompts.get("default_prompt_name") if isinstance(prompts, dict) else None
    others = [kind for module in _modules(folder) if (kind := _kind(module)) not in HEEDED]
    if others:
        return f"passes vectors through {' and '.join(dict.fromkeys(others))} ({MODULES})"
    if prompt is not None:
        return f"puts the prompt {prompt!r} before each text ({PROMPTS})"
    if isinstance(transformer, dict) and transformer.get("do_lower_case"):
        return f"reads texts in lower case ({TRANSFORMER})"
    return None


def _modules(folder: Path) -> list[dict[str, Any]]:
    listed = _json(folder / MODULES)
    return [module for module in listed if isinstance(module, dict)] if isinstance(listed, list) else []


def _kind(module: dict[str, Any]) -> str:
    """``Pooling`` of ``sentence_transformers.models.Pooling``."""
    return str(module.get("type", "")).rpartition(".")[2]


def _json(path: Path) -> Any:
    """The content of ``path``; None where it is not there or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
