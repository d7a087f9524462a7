"""The files of a model folder that hold its weights, or are taken for them: which are loaded, which are broken, which are something else.

Only names and headers are read. A folder that a training left holds the state of its optimizer beside the model, under names that end
like weights do; a folder of an adapter holds what has to be added to a model that is elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.errors import Problem

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
STATE = re.compile(
    r"(optimizer|scheduler|scaler|loss_scaler|rng_state|random_states|training_args|trainer_state|sampler|custom_checkpoint)\b|.*optim_states|(optimizer|scheduler|rng_state|random_states|sampler|custom_checkpoint)_\d"
)
"""What Trainer, accelerate and DeepSpeed call the state of a training."""
OTHER_FORMATS = {
    "*.h5": "TensorFlow", "*.msgpack": "Flax", "*.onnx": "ONNX", "*.gguf": "llama.cpp", "*.tflite": "TensorFlow Lite", "*.ot": "rust-bert",
}  # fmt: skip
ADAPTER = "adapter_config.json"
LFS = b"version https://git-lfs"


def problem(path: Path, what: str, rule: str, fix: str, **more: Any) -> Problem:
    """A fault of the file ``path``, which its message begins with."""
    return Problem(message=f"{path.name}: {what}", file=str(path), rule=rule, fix=fix, **more)


def loaded(folder: Path) -> list[Path]:
    """The safetensors files that transformers reads: the whole one, or the shards that the index names; those that are there."""
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    return [path for name in sorted(set(_index(folder / INDEX).values())) if (path := folder / name).is_file()]


def header(path: Path) -> dict[str, Any]:
    """Tensor -> dtype, shape and place in a safetensors file. OSError or ValueError where it is none."""
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError(f"{path}: a header of {length:,} bytes does not fit")
        value = json.loads(handle.read(length))
    if not isinstance(value, dict):
        raise ValueError(f"{path}: its header is no JSON object")
    return {name: entry for name, entry in value.items() if name != "__metadata__"}


def pickled(folder: Path) -> Iterator[Problem]:
    """Files that would have to be unpickled, told apart by what they hold."""
    for path in files.walk(folder):
        if path.suffix not in PICKLES or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if STATE.match(path.stem) or path.parent.name.startswith("global_step"):
            what, fix = "the state of a training, which is no part of the model, and a pickle", f"rm {path}"
        elif loaded(folder):
            what, fix = "a pickle beside safetensors; loading it would run whatever code is in it", f"rm {path}"
        else:
            what = "only safetensors is accepted; loading a pickle runs whatever code is in it"
            fix = f"save the weights as safetensors where you trust them, then: rm {path}"
        yield problem(path, what, "safetensors only", fix)


def faults(folder: Path) -> Iterator[Problem]:
    """Missing, empty, truncated or stand-in weight files, and an adapter in the place of weights."""
    if (folder / ADAPTER).is_file():
        yield _adapter(folder)
        return
    if not (folder / WHOLE).is_file():
        yield from _sharded(folder) if (folder / INDEX).is_file() else [_missing(folder)]
    for path in loaded(folder):
        if reason := _broken(path):
            yield problem(path, reason, "safetensors", f"fetch {path.name} again" if "LFS" not in reason else "git lfs pull")


def _adapter(folder: Path) -> Problem:
    try:
        base = files.read_json(folder / ADAPTER).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        base = None
    of = f" for {base}" if base else ""
    if loaded(folder):
        what = f"an adapter{of} lies beside the weights, and transformers would read both"
        return problem(folder / ADAPTER, what, "adapter", f"merge it, or: rm {folder / ADAPTER} {folder / 'adapter_model.safetensors'}")
    fix = f"merge it: PeftModel.from_pretrained(model, {str(folder)!r}).merge_and_unload().save_pretrained(...), the tokenizer beside it"
    return problem(folder / ADAPTER, f"{folder} holds an adapter{of}, and not the model that it changes", "adapter", fix)


def _missing(folder: Path) -> Problem:
    """There are no weights, and what there is instead."""
    path, fix = folder / WHOLE, "save the model with save_pretrained, which writes model.safetensors"
    others = sorted(folder.glob("*.safetensors"))
    formats = {name: sorted(folder.glob(pattern)) for pattern, name in OTHER_FORMATS.items()}
    if states := [other for other in others if STATE.match(other.stem)]:
        return problem(path, f"missing in {folder}; {states[0].name} is the state of a training, not the model", "safetensors", fix)
    if others:
        return problem(path, f"missing in {folder}; there is {others[0].name}, which nothing names", "safetensors", fix)
    if there := {name: paths[0].name for name, paths in formats.items() if paths}:
        named = ", ".join(f"{file} ({name})" for name, file in there.items())
        fix = "take the safetensors of the same model; what is there cannot be trained"
        return problem(path, f"missing in {folder}; there is {named}", "safetensors", fix)
    return problem(path, f"missing in {folder}", "safetensors", fix)


def _sharded(folder: Path) -> Iterator[Problem]:
    index = folder / INDEX
    if not (tensors := _index(index)):
        yield problem(index, "no readable weight_map", "safetensors", f"restore {index} from where the model came from")
        return
    lost = {name for name in set(tensors.values()) if not (folder / name).is_file()}
    for name in sorted(lost):
        yield problem(folder / name, f"named in {INDEX}, but missing", "safetensors", "fetch the whole model again")
    try:
        there = {tensor for path in loaded(folder) for tensor in header(path)}
    except (OSError, ValueError, AttributeError):
        return  # said of the file itself
    astray = sorted(tensor for tensor, name in tensors.items() if name not in lost and tensor not in there)
    if astray:
        where = f"{astray[0]} in {tensors[astray[0]]}" + (f" and {len(astray) - 1:,} more" if astray[1:] else "")
        yield problem(index, f"names tensors that are not there: {where}", "safetensors", "fetch the whole model again")


def _index(path: Path) -> dict[str, str]:
    """Tensor -> the file that holds it; empty where there is no readable index."""
    try:
        return {str(tensor): str(name) for tensor, name in json.loads(path.read_bytes())["weight_map"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _broken(path: Path) -> str | None:
    """Why a safetensors file cannot be whole: 8 bytes of header length, a JSON header, then exactly the tensors it lists.

    None: nothing speaks against it.
    """
    size = path.stat().st_size
    if not size:
        return "empty; its weights were never fetched, or never written"
    with path.open("rb") as handle:
        first = handle.read(8)
    if first == LFS[:8]:
        return "a Git LFS pointer, not the weights"
    if size < 8 or int.from_bytes(first, "little") > size - 8:
        return f"not a whole safetensors file: its header does not fit into {size:,} bytes"
    try:
        tensors = header(path)
        end = max((entry["data_offsets"][1] for entry in tensors.values()), default=None)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "not a safetensors file: its header cannot be read"
    if end is None:
        return "it holds no tensor"
    promised = 8 + int.from_bytes(first, "little") + end
    return None if size == promised else f"{size:,} bytes, but its header promises {promised:,}; the file was cut short"
