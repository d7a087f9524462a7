"""On a GPU: the same bits again and after a cut, want of memory told with a size that fits, and answers like those of a CPU.

``benchmarks/gpu.sh`` runs these where a GPU is. Where none is, ``benchmarks/gpu.sh --rehearse`` runs them on the CPU (REHEARSE_GPU=1): that
shows nothing of a GPU, but that these tests can pass and fail. All training is in whole batches, as a GPU computes it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tinyspace import sentence, tiny_rows

pytestmark = pytest.mark.gpu

LABELS = ["garden", "harbour", "kitchen"]
LENGTH, ROOM = 16, 256_000_000


@pytest.fixture(scope="module")
def tokens(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 packed sequences, four of them held out."""
    import random

    from regraft.data.packing import pack
    from regraft.models import tokenizer

    folder, draw = tmp_path_factory.mktemp("tokens"), random.Random(1)
    texts = [sentence(draw, LABELS[number % 3], LENGTH - 3) for number in range(24)]
    pack(iter([(texts, [number >= 20 for number in range(24)])]), tokenizer.backend(base), LENGTH, folder)
    return folder


def labelled() -> pd.DataFrame:
    rows = pd.DataFrame(tiny_rows())
    return rows.assign(split=["dev" if number % 4 == 0 else "train" for number in range(len(rows))])


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch):
    """An operation that may give other bits another time is an error here; for users it is a warning."""
    import torch

    from regraft.models.machine import Machine

    real = Machine.apply

    def apply(machine: Machine) -> None:
        real(machine)
        torch.use_deterministic_algorithms(True)

    monkeypatch.setattr(Machine, "apply", apply)
    yield
    torch.use_deterministic_algorithms(False)


def fit(kind: str, base: Path, tokens: Path, out: Path, *, cut: int = 0, kept: Path | None = None, inexact: bool = False):
    """Train, in whole batches; stop before the step after ``cut``. Returns metrics and the facts of the record."""
    from regraft.core.progress import STOP, Running, running
    from regraft.training import finetuning, loop, pretraining
    from regraft.training.options import finetune_options, pretrain_options

    real, taken = loop.Whole.step, []

    def counted(whole, *given):
        taken.append(1)
        if len(taken) == cut:
            STOP.set()
        return real(whole, *given)

    loop.Whole.step = counted  # type: ignore[method-assign]
    context = Running(pipeline="p", checkpoints=kept, allow_inexact=inexact)
    try:
        with running(context):
            if kind == "pretrain":
                more = {"budget_tokens": 1000, "head_warmup_tokens": 400, "sequence_length": LENGTH, "batch_size": 8}
                options = pretrain_options({**more, "learning_rate": 1e-3, "dropout": True, "shards": 1})
                metrics = pretraining.pretrain(base, tokens, options, 17, out)
            else:
                own = {"rank": 4, "adapter_dropout": 0.2} if kind == "lora" else {"pairs": 2} if kind == "contrastive" else {}
                options = finetune_options({"epochs": 2, "batch_size": 16, "max_length": LENGTH, "shards": 1}, {"method": kind, **own})
                metrics = finetuning.finetune(base, labelled(), LABELS, options, name=kind, text_column="text", seed=17, out=out)
    finally:
        loop.Whole.step = real  # type: ignore[method-assign]
        STOP.clear()
    return metrics, context.facts


@pytest.mark.parametrize("kind", ["pretrain", "full", "lora", "l2sp", "contrastive"])
def test_a_training_gives_the_same_bits_again_and_after_a_cut(kind, base, tokens, tmp_path, strict):
    from regraft.core.errors import Interrupted
    from regraft.core.files import tree

    metrics, facts = fit(kind, base, tokens, tmp_path / "whole")
    assert fit(kind, base, tokens, tmp_path / "again")[0] == metrics
    assert tree(tmp_path / "again") == tree(tmp_path / "whole")
    for cut in (3, 2):
        with pytest.raises(Interrupted, match="which its checkpoint holds"):
            fit(kind, base, tokens, tmp_path / "cut", cut=cut, kept=tmp_path)
    resumed, resumed_facts = fit(kind, base, tokens, tmp_path / "cut", kept=tmp_path)
    assert (resumed, resumed_facts["exact"]) == (metrics, True)
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")
    if not os.environ.get("REHEARSE_GPU"):
        assert facts["device"] == "cuda"


def test_what_another_machine_began_goes_on_here_only_where_that_is_allowed(base, tokens, tmp_path, monkeypatch):
    """Weights and moments of a CPU come to the GPU with it; in a rehearsal the other machine is another CPU."""
    import torch

    from regraft.core.errors import EnvironmentFault, Interrupted
    from regraft.models.machine import Machine

    here = Machine.here()
    began = replace(here, capability="another")
    if torch.cuda.is_available():
        began = replace(here, device="cpu", capability="a CPU", precision="fp32")
    with monkeypatch.context() as there:
        there.setattr(Machine, "here", classmethod(lambda cls: began))
        with pytest.raises(Interrupted):
            fit("full", base, tokens, tmp_path / "out", cut=3, kept=tmp_path)
    with pytest.raises(EnvironmentFault, match=f"capability {began.capability} then, {here.capability} now"):
        fit("full", base, tokens, tmp_path / "out", kept=tmp_path)
    metrics, facts = fit("full", base, tokens, tmp_path / "out", kept=tmp_path, inexact=True)
    assert (facts["device"], facts["exact"]) == (here.device, False)
    assert metrics["dev_loss"] < np.log(len(LABELS)) + 0.1


def test_bf16_is_used_where_it_is_native_and_the_weights_stay_in_fp32():
    import torch

    from regraft.models.machine import Machine

    machine = Machine.here()
    if torch.cuda.is_available():
        native = torch.cuda.get_device_capability() >= (8, 0)  # Ampere
        assert machine.precision == ("bf16" if native else "fp32")
    layer = torch.nn.Linear(8, 8, device=machine.device)
    with machine.autocast():
        answer = layer(torch.ones(2, 8, device=machine.device))
    assert answer.dtype == (torch.bfloat16 if machine.precision == "bf16" else torch.float32)
    assert layer.weight.dtype == torch.float32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_want_of_memory_names_parts_of_a_batch_that_then_fit(base, tmp_path):
    import torch

    from regraft.core.errors import EnvironmentFault
    from regraft.training.finetuning import finetune
    from regraft.training.options import finetune_options

    if not torch.cuda.is_available():
        pytest.skip("a GPU's memory is meant; tests/e2e/train_trouble_test.py does the same on a CPU")
    rows = pd.concat([labelled()] * 100, ignore_index=True)
    rows = rows.assign(id=[f"row-{number}" for number in range(len(rows))], text=[f"{text} {text} {text}" for text in rows["text"]])

    def train(parts: int) -> None:
        options = finetune_options({}, {"epochs": 1, "batch_size": 8192, "max_length": 64, "shards": 1, "gradient_accumulation": parts})
        finetune(base, rows, LABELS, options, name="full", text_column="text", seed=17, out=tmp_path / str(parts))

    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(ROOM / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(EnvironmentFault, match=r"out of memory at a batch of 8192 x \d+ tokens .*in \d+ parts") as full:
            train(1)
        parts = int(str(full.value.fix).rpartition("finetune.gradient_accumulation=")[2])
        assert 2 <= parts <= 64
        train(parts)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("kind", ["full", "linear_probe"])
def test_answers_are_those_of_a_cpu(kind, base, tokens, tmp_path):
    from regraft.models import kinds
    from regraft.models.machine import Machine

    texts = labelled()["text"].tolist()
    fit(kind, base, tokens, tmp_path / "model")
    here, there = (kinds.load(tmp_path / "model", place).logits(texts) for place in (Machine.here().device, "cpu"))
    np.testing.assert_allclose(here, there, atol=1e-4, rtol=1e-4)


def test_a_vector_does_not_depend_on_the_rows_beside_it(base):
    from regraft.evaluation.embeddings import Encoder
    from regraft.models import tokenizer
    from regraft.models.kinds.embedding_head import encode

    frozen = Encoder(base, "mean")
    texts = [" ".join(text.split()[: 3 + number % 9]) for number, text in enumerate(labelled()["text"])]
    ids = [np.array(row) for row in encode(tokenizer.load(base), texts, 64)]
    together = frozen.vectors(ids)
    alone = np.concatenate([frozen.vectors([row]) for row in ids[:12]])
    assert (alone == together[:12]).all()


@pytest.mark.parametrize("kernel", ["MATH", "FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION"])
def test_every_attention_kernel_answers_as_the_one_that_trained(kernel, base):
    """Models are trained with eager attention and served with whichever kernel torch chooses; those that take fp32 and a mask are tried."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from transformers import AutoModel

    from regraft.models.machine import Machine

    device = Machine.here().device
    eager, chosen = (
        AutoModel.from_pretrained(base, attn_implementation=name, dtype=torch.float32).eval().to(device) for name in ("eager", "sdpa")
    )
    ids = torch.arange(5, 5 + 4 * LENGTH, device=device).view(4, LENGTH) % eager.config.vocab_size
    mask = torch.ones_like(ids)
    mask[1:, LENGTH // 2 :] = 0
    with torch.inference_mode():
        expected = eager(input_ids=ids, attention_mask=mask).last_hidden_state
        try:
            with sdpa_kernel(getattr(SDPBackend, kernel)):
                answer = chosen(input_ids=ids, attention_mask=mask).last_hidden_state
        except RuntimeError as refused:
            pytest.skip(f"{kernel} does not take fp32 with a mask here: {str(refused).splitlines()[0]}")
    torch.testing.assert_close(answer[mask.bool()], expected[mask.bool()], rtol=1e-4, atol=1e-4)


def test_a_compiled_model_learns_what_the_model_learns(base, tokens):
    """regraft compiles nothing; its peers do, so the losses that ``benchmarks/pretrain.py --compile`` compares have to be one."""
    import torch

    from regraft.data.packing import read
    from regraft.models.machine import Machine
    from regraft.training.objectives.mlm import MLM, MlmOptions

    machine = Machine.here()
    model, _ = MLM.load(base)
    model.eval().to(machine.device)
    ids = read(tokens)["train"].rows(range(4))
    masked, labels = MLM.corruption(base, MlmOptions(), model.config.vocab_size).batch(ids, 17, [(0, number) for number in range(4)])
    given = {"input_ids": torch.from_numpy(masked).to(machine.device), "labels": torch.from_numpy(labels).to(machine.device)}
    with torch.no_grad():
        plain = model(**given).loss.item()
        assert torch.compile(model)(**given).loss.item() == pytest.approx(plain, rel=1e-4)
        assert MLM.loss(model, MlmOptions())((masked, labels))[0].item() == pytest.approx(plain, rel=1e-4)
