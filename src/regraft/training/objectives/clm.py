"""``clm``: causal language modelling, for decoders: each token is guessed from those before it (Radford et al. 2018, "Improving Language
Understanding by Generative Pre-Training", section 3.1).

A packed sequence holds several documents, or parts of them. Tokens see those of their own document alone, and positions start anew with
each, so that a document costs what it would alone (Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination",
section 3.2). A part that begins with a sequence is a document of its own: nobody guesses its first token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from regraft.core.errors import ConfigError
from regraft.training.options import ObjectiveOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from regraft.data.packing import Packed

    Ints = NDArray[np.int64]

PROOF_TOKENS = 6
"""Tokens of each of the two documents that :func:`require_apart` packs."""
SAME = 1e-3
"""By how much a logit of a packed document may differ: sums are taken in another order, 1e-7 of tiny models in fp32. One that sees its
neighbour differs by 4e-3 and more in those that were tried."""


class ClmOptions(ObjectiveOptions):
    """Domain-adaptive pretraining (Gururangan et al. 2020, "Don't Stop Pretraining", section 3) by guessing the next token."""

    objective: Literal["clm"]
    """Causal language modelling: for decoders."""


@dataclass(frozen=True)
class Causal:
    """Nothing is hidden: what comes after a token is to be guessed."""

    separator: int
    """Ends a document."""

    def batch(self, ids: Ints, seed: int, places: Sequence[tuple[int, int]]) -> tuple[Ints, Ints]:
        """``ids``, and of each the label to be guessed from those before it: IGNORED where a document begins; both ``[rows, length]``."""
        import numpy as np

        from regraft.training.objectives.masking import IGNORED

        begins = np.ones(ids.shape, dtype=bool)
        begins[:, 1:] = ids[:, :-1] == self.separator
        return ids, np.where(begins, IGNORED, ids)


class Clm:
    """Each token is guessed from those before it."""

    name = "clm"
    version = 2
    options = ClmOptions
    families = frozenset({"decoder"})

    def load(self, source: Path) -> tuple[PreTrainedModel, bool]:
        """``AutoModelForCausalLM``, of which documents in one sequence are shown to be apart.

        :raises ConfigError: they are not.
        """
        from regraft.models import encoder

        model, missing = encoder.load_pretrained(source)
        require_apart(model)
        return model, bool(missing)

    def begin(self, model: PreTrainedModel, shard: Packed) -> None:
        """A new head is a matrix without biases: nothing of the text can be put there before training."""

    def corruption(self, source: Path, options: ClmOptions, vocabulary: int) -> Causal:
        """The separator is the last token that packing puts after a document."""
        from regraft.models.families import frame_in

        return Causal(frame_in(source).after[-1])

    def loss(self, model: PreTrainedModel, options: ClmOptions) -> Callable[[tuple[Ints, Ints]], tuple[Tensor, int]]:
        """Cross-entropy of the next tokens."""
        return CausalLoss(model).batch


CLM = Clm()


class CausalLoss:
    """The model's loss on packed documents, none of which sees another."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    def __call__(self, ids: Ints, labels: Ints, reduction: str = "mean") -> Tensor:
        """Cross-entropy in nats over the tokens of ``[rows, length]`` that are guessed."""
        import torch
        from torch import nn

        from regraft.training.objectives.masking import IGNORED

        device = self.model.device
        truth = torch.from_numpy(labels[:, 1:]).to(device)
        logits = logits_of(self.model, torch.from_numpy(ids).to(device), torch.from_numpy(positions(labels)).to(device))
        guessed = truth != IGNORED
        return nn.functional.cross_entropy(logits[:, :-1][guessed].float(), truth[guessed], reduction=reduction)

    def batch(self, batch: tuple[Ints, Ints]) -> tuple[Tensor, int]:
        """(mean loss in nats, number of tokens guessed) of ids and labels."""
        from regraft.training.objectives.masking import IGNORED

        ids, labels = batch
        guesses = int((labels != IGNORED).sum())
        return self(ids, labels, "mean" if guesses else "sum"), guesses  # the mean of no guess is no number, and their sum is 0


def positions(labels: Ints) -> Ints:
    """How many tokens of its document stand before each: documents begin where a label is IGNORED; ``[rows, length]``."""
    import numpy as np

    from regraft.training.objectives.masking import IGNORED

    places = np.broadcast_to(np.arange(labels.shape[1]), labels.shape)
    begins = np.maximum.accumulate(np.where(labels == IGNORED, places, 0), axis=1)
    return np.ascontiguousarray(places - begins, dtype=np.int64)


def logits_of(model: PreTrainedModel, ids: Tensor, places: Tensor) -> Any:
    """``[rows, length, vocabulary]``. Without a mask transformers takes positions that start anew for the border of a document."""
    return model(input_ids=ids, position_ids=places, use_cache=False).logits


def require_apart(model: PreTrainedModel) -> None:
    """Show on two documents in one sequence that the second gives the logits that it gives alone.

    :raises ConfigError: it does not: its architecture, or this version of transformers, lets it see the first.
    """
    import torch

    ids = torch.arange(2 * PROOF_TOKENS)[None] % model.config.vocab_size
    places = torch.arange(PROOF_TOKENS).repeat(2)[None]
    was = model.training
    with torch.no_grad():
        model.train(False)
        packed = logits_of(model, ids, places)[:, PROOF_TOKENS:]
        alone = logits_of(model, ids[:, PROOF_TOKENS:], places[:, PROOF_TOKENS:])
    model.train(was)
    if not torch.allclose(packed, alone, rtol=SAME, atol=SAME * float(alone.std())):
        raise ConfigError(
            f"documents packed into one sequence see each other in models of the type {model.config.model_type}, so their losses would not "
            "be those of the documents",
            fix="name another base_model in the pipeline file, or write `adapt: never`",
        )
