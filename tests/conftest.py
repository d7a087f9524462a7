"""What many tests share: a workspace small enough to run for real, a command line to call, and a quiet environment.

The tiny workspace is the reference workspace with one pipeline of its own: 120 rows in three classes, 150 documents,
a BERT of 2 layers and 32 dimensions with random weights. Every step of it is the real one and takes seconds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from regraft.cli.environment import QUIET
from regraft.core import files
from regraft.core.workspace import Workspace

ROOT = Path(__file__).parents[1]

# Before any library is imported, and for every child: no telemetry, no hub, no configuration of whoever runs the tests.
for _name in [name for name in os.environ if name.startswith(("REGRAFT_", "MLFLOW_", "PREFECT_"))]:
    del os.environ[_name]
os.environ.update(QUIET, HF_HUB_OFFLINE="1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests for a GPU are skipped without one, and fail where one is required."""
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu:
        return
    import torch

    if torch.cuda.is_available():
        return
    if os.environ.get("REQUIRE_GPU"):
        pytest.fail(f"REQUIRE_GPU is set but CUDA is not here; {len(gpu)} tests would be skipped silently")
    for item in gpu:
        item.add_marker(pytest.mark.skip(reason="no CUDA; set REQUIRE_GPU=1 to make this an error"))


# --- the tiny model and the tiny data ----------------------------------------------------------------------------

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


# --- the tiny workspace ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny workspace as ``regraft dvc`` leaves it; copied for every test."""
    root = tmp_path_factory.mktemp("tiny") / "w"
    for folder in ("flows", "tasks", "mlflow"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pipelines").mkdir()
    shutil.copy(ROOT / "pipelines" / "__init__.py", root / "pipelines")
    files.write_text(root / "pipelines" / "tiny.yaml", yaml.safe_dump(PIPELINE, sort_keys=False))
    files.write_text(root / "dvc.yaml", "stages: {}\n")
    write_tiny_model(root / "models" / "tiny")
    write_tiny_data(root / "data")
    done = subprocess.run([sys.executable, "-m", "regraft", "dvc"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture
def tiny(tiny_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A tiny workspace of one's own, which is the current folder and whose ``pipelines`` and ``tasks`` are imported."""
    root = shutil.copytree(tiny_template, tmp_path / "w")
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    former = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in ("pipelines", "tasks")}
    yield Workspace(root)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("pipelines", "tasks")]:
        del sys.modules[name]
    sys.modules.update(former)


# --- the command line --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        """The one document on stdout."""
        value: dict[str, object] = json.loads(self.out)
        return value


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """``regraft ARGV`` in this process: 20 ms instead of the 600 ms of a new one."""
    from regraft.cli import console, main

    def call(*argv: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["regraft", *argv])
        monkeypatch.setenv("COLUMNS", "200")
        for side in (console.out, console.err):  # they read COLUMNS when they were made, maybe in another test
            monkeypatch.setattr(side, "_width", 200)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return call
