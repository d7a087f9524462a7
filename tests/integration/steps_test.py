"""How steps are taken: other optimizers, batches in parts one after the other, activations computed once more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch
from tinyspace import tiny_rows, write_tiny_model
from torch import nn

from regraft.core import files
from regraft.core.errors import ConfigError, Interrupted
from regraft.core.progress import STOP, Running, running
from regraft.core.workspace import Workspace
from regraft.models import encoder
from regraft.models.families import family
from regraft.models.machine import Machine
from regraft.training import loop
from regraft.training.finetuning import finetune
from regraft.training.loop import train
from regraft.training.optimizers import ADAMW, MOMENTUM, Optimizer
from regraft.training.options import finetune_options
from regraft.training.parts import CHUNK, share
from regraft.training.phase import Group, Phase
from regraft.training.recompute import recomputed

STEPS, ROWS = 5, 11
MACHINE = replace(Machine.here(), threads=1, precision="fp32")


class Toy(nn.Module):
    """A parameter larger than a chunk, and one that nothing depends on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.words, self.body, self.head = nn.Embedding(CHUNK // 8 + 3, 8), nn.Linear(8, 8), nn.Linear(8, 5)
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(nn.functional.dropout(self.body(self.words(ids)).tanh(), 0.3, self.training))


def phases(model: nn.Module, *, dropout: bool, stop_at: int | None = None) -> list[Phase]:
    def rows(step: int) -> torch.Tensor:
        return torch.randint(0, 90, (3 if step % 3 == 2 else ROWS, 2), generator=torch.Generator().manual_seed(step))

    def loss(chosen: torch.Tensor) -> tuple[torch.Tensor, int]:
        return nn.functional.cross_entropy(model(chosen[:, 0]).float(), chosen[:, 1] % 5), len(chosen)

    def whole(step: int) -> tuple[torch.Tensor, int]:
        if step + 1 == stop_at:
            STOP.set()
        return loss(rows(step))

    def part(step: int, number: int, parts: int) -> tuple[torch.Tensor, int] | None:
        if step + 1 == stop_at and not number:
            STOP.set()
        chosen = share(rows(step), number, parts)
        return loss(chosen) if len(chosen) else None

    penalty = lambda: 0.01 * sum(p.square().sum() for p in model.body.parameters())  # noqa: E731
    groups = [Group([*model.words.parameters(), model.unused], 1e-2), Group([*model.body.parameters(), *model.head.parameters()], 1e-3)]
    return [Phase("all", STEPS, whole, groups, part=part, penalty=penalty, dropout=dropout)]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: MACHINE))
    STOP.clear()
    yield
    STOP.clear()


def fit(folder: Any = None, *, dropout: bool = True, stop_at: int | None = None, **taken: Any) -> dict[str, torch.Tensor]:
    model = Toy()
    with running(Running(pipeline="p", checkpoints=folder)):
        train("t", model, lambda *_: phases(model, dropout=dropout, stop_at=stop_at), seed=17, checkpoint_seconds=1e9, **taken)
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_an_optimizer_gives_the_same_bits_for_any_number_of_workers_and_goes_on_exactly(monkeypatch: Any, tmp_path: Any, name: Any) -> None:
    kind = Optimizer(name, 0.1)
    made = []
    for count in (1, 2):
        monkeypatch.setattr(loop, "workers", lambda _, count=count: count)
        made.append(fit(shards=4, optimizer=kind))
    assert same(*made)
    real, taken = loop.Team.step, [0]

    def counted(team: Any, *more: Any) -> Any:
        taken[0] += 1
        if taken[0] == 3:
            STOP.set()
        return real(team, *more)

    monkeypatch.setattr(loop.Team, "step", counted)
    with pytest.raises(Interrupted, match="at step 3"):
        fit(tmp_path, shards=4, optimizer=kind)
    STOP.clear()
    assert same(fit(tmp_path, shards=4, optimizer=kind), made[0])


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_workers_take_the_steps_that_torch_takes(name: Any) -> None:
    kind = Optimizer(name, 0.1)
    alone, shared = fit(dropout=False, optimizer=kind), fit(dropout=False, shards=4, optimizer=kind)
    for key, value in alone.items():
        torch.testing.assert_close(shared[key], value, rtol=1e-4, atol=1e-5, msg=key)
    others = [fit(dropout=False, optimizer=other) for other in (ADAMW, Optimizer("sgd"), Optimizer("adam")) if other.name != name]
    assert not any(same(alone, other) for other in others)


def test_momentum_begins_as_torch_has_it() -> None:
    """With buffers of 0 that workers adopt, and without: twice the same gradient moves a weight by rate * (1 + 1 + momentum)."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = Optimizer("sgd", 0.0).of([{"params": [weight], "lr": 0.1}])
    for _ in range(2):
        weight.grad = torch.ones(1)
        optimizer.step()
    assert weight.item() == pytest.approx(-0.1 * (2 + MOMENTUM))


@pytest.mark.parametrize("parts", [2, 8])
def test_a_batch_in_parts_is_the_undivided_one_but_for_rounding(parts: int) -> None:
    whole, cut = fit(dropout=False), fit(dropout=False, accumulation=parts)
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_parts_one_after_the_other_go_on_exactly_and_draw_what_workers_draw(tmp_path: Any) -> None:
    whole = fit(accumulation=4)
    with pytest.raises(Interrupted):
        fit(tmp_path, accumulation=4, stop_at=3)
    STOP.clear()
    assert same(fit(tmp_path, accumulation=4), whole)
    for name, value in fit(shards=4).items():
        torch.testing.assert_close(whole[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert same(fit(shards=2, accumulation=4), fit(shards=4)), "cores share the parts"


def test_what_needs_whole_batches_is_no_sum_of_parts() -> None:
    with pytest.raises(ConfigError, match="the model's 1 needs whole batches"):
        train("t", nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), lambda *_: [], seed=17, checkpoint_seconds=1e9, accumulation=2)


FULL = ({"method": "full"}, "bf16")
LORA = ({"method": "lora", "rank": 4, "adapter_dropout": 0.1}, "fp32")


@pytest.mark.parametrize(("method", "precision"), [FULL, LORA], ids=["full", "lora"])
def test_activations_computed_once_more_give_the_same_bits(monkeypatch: Any, tmp_path: Any, method: Any, precision: str) -> None:
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: replace(MACHINE, precision=precision)))
    base, rows = write_tiny_model(tmp_path / "tiny"), pd.DataFrame(tiny_rows(8))
    rows["split"] = ["dev" if number % 4 == 0 else "train" for number in range(len(rows))]
    made = []
    for wanted in (False, True):
        options = finetune_options({}, method | {"epochs": 2, "batch_size": 8, "max_length": 16, "gradient_checkpointing": wanted})
        out = tmp_path / str(wanted)
        finetune(base, rows, ["garden", "harbour", "kitchen"], options, name="f", text_column="text", seed=17, out=out)
        made.append(files.tree(out))
    assert made[0] == made[1]


def _gradients_of(model: Any, inputs: dict[str, Any], *, wanted: bool) -> tuple[list[torch.Tensor | None], int]:
    """The gradient of each parameter, and how many numbers were kept for them."""
    sizes: list[int] = []
    with recomputed(family(model).layers(model).children(), wanted=wanted):
        torch.manual_seed(3)
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: (sizes.append(tensor.numel()), tensor)[1], lambda tensor: tensor):
            value = model(**inputs)[0].square().sum()
        value.backward()
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    return gradients, sum(sizes)


@pytest.mark.parametrize("training", [False, True], ids=["without dropout", "with"])
@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama", "t5", "modernbert", "albert"])
def test_layers_keep_nothing_whatever_the_architecture_and_are_afterwards_what_they_were(
    tmp_path: Any, model_type: str, training: bool
) -> None:
    from tiny_models import make

    model, _ = encoder.load_pretrained(make(tmp_path / model_type, model_type))
    model.train(training)
    ids = torch.randint(5, 30, (2, 9), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids} if model_type == "t5" else {})
    gradients, kept = zip(*(_gradients_of(model, inputs, wanted=wanted) for wanted in (False, True)), strict=True)
    assert kept[1] < kept[0] / 2
    assert all((one is None and other is None) or torch.equal(one, other) for one, other in zip(*gradients, strict=True))
    assert not any("forward" in vars(layer) for layer in family(model).layers(model).children())


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"optimizer": "sgd"}, "`optimizer: sgd` needs a `learning_rate` of its own, such as 0.01"),
        ({"optimizer": "adagrad"}, "optimizer: input should be 'adamw', 'adam' or 'sgd', not 'adagrad'"),
        ({"gradient_accumulation": 3}, "gradient_accumulation: must be a power of two; take 2 or 4"),
        ({"gradient_accumulation": 32, "batch_size": 8, "shards": 1}, "`gradient_accumulation` (32) cuts a batch into more parts than"),
        ({"weight_decay": -1}, "weight_decay: input should be greater than or equal to 0, not -1"),
    ],
)
@pytest.mark.parametrize("section", ["pretrain", "finetune"])
def test_keys_that_do_not_fit_are_refused_in_either_section(
    tiny: Workspace, cli: Any, section: str, keys: dict[str, Any], says: str
) -> None:
    import yaml

    path = tiny.pipeline_file("tiny")
    document = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(document | {section: keys}, sort_keys=False))
    refused = cli("plan", "tiny", "--json")
    assert refused.code == 2
    assert says in refused.json["errors"][0]["message"]
    path.write_text(yaml.safe_dump(document | {section: {**document[section], "optimizer": "sgd", "learning_rate": 0.01}}, sort_keys=False))
    assert cli("plan", "tiny").code == 0
