"""The reference workspace with one pipeline of its own, small enough to run for real.

It has 120 rows in three classes, 150 documents, and a BERT of 2 layers and 32 dimensions with random weights. Every step of it is
the real one and takes seconds.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import random
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from regraft.core import files
from regraft.core.cores import workers
from regraft.core.workspace import Workspace
from regraft.execution import first_run
from regraft.execution.dvc import ensure_repository, write_generated
from regraft.execution.resolve import write_resolved
from regraft.models.speed import Shape, Speed

ROOT = Path(__file__).parents[1]
if TYPE_CHECKING:
    import pandas as pd

TOPIC_WORDS = {
    "garden": "seed soil rose bean spade prune mulch shade moss hedge root petal stem rake compost bloom",
    "harbour": "tide keel rope mast crane dock buoy gull anchor ferry hull cargo sail wharf pilot swell",
    "kitchen": "salt oven whisk broth onion knife yeast simmer plate flour basil roast spoon crust glaze pan",
}
COMMON_WORDS = "the a of and with near under before after slowly always every small large old new we they keep find take turn move"
TOPICS = {topic: words.split() for topic, words in TOPIC_WORDS.items()}
COMMON = COMMON_WORDS.split()
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WIDTH, LAYERS, POSITIONS = 32, 2, 64


def sentence(rng: random.Random, topic: str, words: int) -> str:
    """Words of a topic among common ones."""
    return " ".join(rng.choice(TOPICS[topic] if rng.random() < 0.4 else COMMON) for _ in range(words))


def tiny_rows(per_class: int = 40) -> list[dict[str, str]]:
    """Labelled rows ``{id, text, label}``, the same in every process."""
    rng = random.Random(1)
    return [
        {"id": f"{topic}-{n:03d}", "text": sentence(rng, topic, 12), "label": topic} for topic in sorted(TOPICS) for n in range(per_class)
    ]


def tiny_table(*splits: str) -> pd.DataFrame:
    """The rows with a column ``split``, in which ``splits`` come in turn."""
    import pandas as pd

    table = pd.DataFrame(tiny_rows())
    table["split"] = [splits[number % len(splits)] for number in range(len(table))]
    return table


def write_tiny_model(folder: Path) -> Path:
    """A BERT with random weights and a word-level vocabulary, written without torch in a few milliseconds."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder.mkdir(parents=True)
    words = sorted({*COMMON, *(word for topic in TOPICS.values() for word in topic)})
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)
    files.write_json(
        folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizerFast", "model_max_length": POSITIONS, **dict(names)}
    )
    config = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 64, "pad_token_id": 0}
    config |= {"vocab_size": len(vocabulary), "max_position_embeddings": POSITIONS, "type_vocab_size": 2}
    files.write_json(folder / "config.json", {"model_type": "bert", "architectures": ["BertModel"], **config})
    save_file(_bert_weights(len(vocabulary)), str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def _bert_weights(vocabulary: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {"word": (vocabulary, WIDTH), "position": (POSITIONS, WIDTH), "token_type": (2, WIDTH)}
    weights = {f"embeddings.{name}_embeddings.weight": rng.normal(0, 0.05, shape) for name, shape in shapes.items()}
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{n}" for n in range(LAYERS)):
        dense = {"attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH), "attention.self.value": (WIDTH, WIDTH)}
        dense |= {"attention.output.dense": (WIDTH, WIDTH), "intermediate.dense": (64, WIDTH), "output.dense": (WIDTH, 64)}
        for name, shape in dense.items():
            weights |= {f"{layer}.{name}.weight": rng.normal(0, 0.05, shape), f"{layer}.{name}.bias": np.zeros(shape[0])}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for norm in norms:
        weights |= {f"{norm}.weight": np.ones(WIDTH), f"{norm}.bias": np.zeros(WIDTH)}
    return {name: value.astype(np.float32) for name, value in weights.items()}


def write_tiny_data(folder: Path) -> None:
    """``rows.jsonl`` and ``corpus.jsonl``."""
    rng = random.Random(2)
    documents = [{"text": sentence(rng, topic, 40)} for topic in sorted(TOPICS) for _ in range(50)]
    for name, values in (("rows.jsonl", tiny_rows()), ("corpus.jsonl", documents)):
        files.write_text(folder / name, "".join(json.dumps(value) + "\n" for value in values))


PIPELINE = {
    "version": 1,
    "base_model": "models/tiny",
    "data": {"corpus": "data/corpus.jsonl", "labelled": "data/rows.jsonl"},
    "pretrain": {"budget_tokens": 2000, "head_warmup_tokens": 500, "sequence_length": 32, "batch_size": 8},
    "finetune": {"epochs": 2, "batch_size": 16, "max_length": 16, "learning_rate": 1e-3},
}


def make_tiny(root: Path) -> None:
    """The tiny workspace, as ``regraft dvc`` leaves it."""
    for folder in ("flows", "tasks", "mlflow"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pipelines").mkdir()
    shutil.copy(ROOT / "pipelines" / "__init__.py", root / "pipelines")
    files.write_text(root / "pipelines" / "tiny.yaml", yaml.safe_dump(PIPELINE, sort_keys=False))
    files.write_text(root / "dvc.yaml", "stages: {}\n")
    write_tiny_model(root / "models" / "tiny")
    write_tiny_data(root / "data")
    # Every first run would measure for seconds; tests/integration/first_run_test.py does.
    first_run.keep(Workspace(root), Shape(WIDTH, 64, 2, LAYERS), workers(2), Speed(20_000.0, first_run.PLAIN_PYTHON), at=time.time() + 1e6)
    with imported(root):
        write_resolved(Workspace(root), "tiny")
        write_generated(Workspace(root))
    ensure_repository(Workspace(root))


@contextlib.contextmanager
def imported(root: Path) -> Iterator[None]:
    """``pipelines`` and ``tasks`` are those of ``root``."""
    theirs = [name for name in tuple(sys.modules) if name.partition(".")[0] in ("pipelines", "tasks")]
    former = {name: sys.modules.pop(name) for name in theirs}
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(root))
        for name in [name for name in tuple(sys.modules) if name.partition(".")[0] in ("pipelines", "tasks")]:
            del sys.modules[name]
        sys.modules.update(former)
