"""A GGUF file becomes a model folder, once: ``python -m regraft.models.gguf FILE OUT``.

GGUF holds a model for llama.cpp, its weights most often in 4 or 8 bits; they are written out as fp32 safetensors, beside the configuration
and the tokenizer that the file holds. Needs the package gguf. OUT appears whole or not at all.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from regraft.core.errors import ConfigError, EnvironmentFault, RegraftError


def convert(source: Path, out: Path) -> None:
    """Write the model in ``source`` to the new folder ``out``.

    :raises ConfigError: there is no such file, or ``out`` is there already.
    :raises EnvironmentFault: the libraries that read GGUF are missing.
    """
    if not source.is_file():
        raise ConfigError(f"{source}: no such file", fix="python -m regraft.models.gguf FILE OUT")
    if out.exists():
        raise ConfigError(f"{out} is there already", fix=f"rm -r {out}, or name another folder")
    if missing := [name for name in ("gguf", "accelerate") if find_spec(name) is None]:
        raise EnvironmentFault(f"reading {source.name} needs {' and '.join(missing)}", fix=f"pip install {' '.join(missing)}")
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from regraft.models import tokenizer

    tokenizer.quiet()
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, quantization_config=GgufConfig(dequantize=True), dtype="float32", local_files_only=True
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f"{out.name}-") as scratch:
        partial = Path(scratch) / "model"
        model.save_pretrained(partial)
        AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, local_files_only=True).save_pretrained(partial)
        for weights in partial.glob("*.safetensors"):
            weights.chmod(0o644)  # safetensors writes 0600; agents of other users read these files
        (partial / "generation_config.json").unlink(missing_ok=True)
        partial.rename(out)


def main(arguments: list[str]) -> int:
    """Convert; a fault is told with the way out, and its exit code returned."""
    if len(arguments) != 2:
        sys.stderr.write("python -m regraft.models.gguf FILE OUT\n")
        return 2
    try:
        convert(Path(arguments[0]), Path(arguments[1]))
    except RegraftError as error:
        sys.stderr.write(f"error: {error}\nnext: {error.fix}\n")
        return error.exit_code
    sys.stdout.write(f"{arguments[1]}: name it as base_model in the pipeline file\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
