"""What a folder of sentence-transformers says of the vectors that stand for a text: ``modules.json`` and the folders it names.

transformers reads none of it, so a model whose first token stands for a text would be read by the mean of all of them, without a word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MODULES = "modules.json"
FETCHED = (MODULES, "*_Pooling/config.json")
"""What is read here, beside the model's own files."""
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
    listed = _json(folder / MODULES)
    modules = [module for module in listed if isinstance(module, dict)] if isinstance(listed, list) else []
    place = next((module.get("path") for module in modules if str(module.get("type", "")).endswith(".Pooling")), None)
    if not isinstance(place, str) or not isinstance(config := _json(folder / place / "config.json"), dict):
        return None
    modes = config.get("pooling_mode", [mode for key, mode in FLAGS.items() if config.get(key)])
    return "+".join(map(str, modes)) or None if isinstance(modes, list) else str(modes)


def _json(path: Path) -> Any:
    """The content of ``path``; None where it is not there or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
