"""``mlm``: masked-language modelling, for encoders (Devlin et al. 2019, "BERT", section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from regraft.core.errors import ConfigError
from regraft.training.options import ObjectiveOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from regraft.data.packing import Packed
    from regraft.training.objectives.masking import Masking

    Ints = NDArray[np.int64]

NO_MASK = "the tokenizer of the base model ({}) has no mask token"
FREQUENCY_SEQUENCES = 8_192  # 1M tokens: 0.1 s


class MlmOptions(ObjectiveOptions):
    """Domain-adaptive pretraining (Gururangan et al. 2020, "Don't Stop Pretraining", section 3)."""

    objective: Literal["mlm"] = "mlm"
    """Masked-language modelling: for encoders."""
    mask_probability: float = Field(0.15, gt=0, lt=1)
    """Share of tokens predicted (Devlin et al. 2019, section 3.1)."""
    whole_words: bool = Field(False, exclude_if=lambda whole: not whole)
    """Whether the tokens of a word are predicted together (Cui et al. 2021, "Pre-Training With Whole Word Masking for Chinese BERT")."""


class Mlm:
    """Some tokens are hidden, and guessed from those around them."""

    name = "mlm"
    version = 3
    options = MlmOptions
    families = frozenset({"encoder"})

    def load(self, source: Path) -> tuple[PreTrainedModel, bool]:
        """``AutoModelForMaskedLM``."""
        from transformers import AutoModelForMaskedLM

        from regraft.models import encoder

        model, missing = encoder.load(AutoModelForMaskedLM, source)
        return model, bool(missing)

    def refusal(self, folder: Path, options: MlmOptions) -> str | None:
        """No token that hides another, as far as the files in ``folder`` show."""
        from regraft.models.tokenizer_files import without_mask

        if not without_mask(folder):
            return None
        return f"{self.name} hides tokens, and {NO_MASK.format(folder)}; name another base_model, or write `adapt: never`"

    def begin(self, model: PreTrainedModel, shard: Packed) -> None:
        """:func:`start_from_frequencies`."""
        start_from_frequencies(model, shard)

    def corruption(self, source: Path, options: MlmOptions, vocabulary: int) -> Masking:
        """:func:`masking` with the share of the options."""
        return masking(source, options.mask_probability, vocabulary, whole_words=options.whole_words)

    def loss(self, model: PreTrainedModel, options: MlmOptions) -> Callable[[tuple[Ints, Ints]], tuple[Tensor, int]]:
        """Cross-entropy of the hidden tokens."""
        return MaskedLoss(model).batch


MLM = Mlm()


class MaskedLoss:
    """The model's loss with its vocabulary head computed at the masked positions alone.

    A hook on the encoder hands the head only those vectors, so that every architecture with a masked-LM head
    works as it is. The dense head's 30,522 logits a token cost more than MiniLM's whole encoder.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self._where: Tensor | None = None
        model.base_model.register_forward_hook(self._gather)

    def _gather(self, _module: Any, _inputs: Any, output: Any) -> Any:
        if self._where is not None:
            output["last_hidden_state"] = output["last_hidden_state"][self._where][None]
        return output

    def __call__(self, ids: Ints, labels: Ints, reduction: str = "mean") -> Tensor:
        """Cross-entropy in nats over the predicted positions of ``[rows, length]``."""
        import torch
        from torch import nn

        from regraft.training.objectives.masking import IGNORED

        device = self.model.device
        truth = torch.from_numpy(labels).to(device)
        self._where = truth != IGNORED
        try:
            logits = self.model(input_ids=torch.from_numpy(ids).to(device)).logits
            return nn.functional.cross_entropy(logits[0].float(), truth[self._where], reduction=reduction)
        finally:
            self._where = None

    def batch(self, batch: tuple[Ints, Ints]) -> tuple[Tensor, int]:
        """(mean loss in nats, number of predicted positions) of ids and labels."""
        from regraft.training.objectives.masking import IGNORED

        ids, labels = batch
        guesses = int((labels != IGNORED).sum())
        return self(ids, labels, "mean" if guesses else "sum"), guesses  # the mean of no guess is no number, and their sum is 0


def start_from_frequencies(model: PreTrainedModel, shard: Packed) -> None:
    """Give a new head the log frequencies of the corpus's tokens as output bias: what it would learn first.

    Measured on the demo: the loss begins at 7.0 instead of 10.4, and 100k tokens then give a better head (held-out loss
    6.01) than 200k without (6.15).
    """
    import numpy as np
    import torch

    bias = model.get_output_embeddings().bias  # type: ignore[no-untyped-call]
    if bias is None:
        return
    chosen = np.unique(np.linspace(0, len(shard) - 1, min(FREQUENCY_SEQUENCES, len(shard)), dtype=np.int64))
    counts = np.bincount(shard.rows(chosen.tolist()).ravel(), minlength=len(bias))[: len(bias)] + 1.0
    with torch.no_grad():
        bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


def masking(base: Path, probability: float, vocabulary: int, *, whole_words: bool = False) -> Masking:
    """The masks for the tokenizer in ``base``.

    :raises ConfigError: it has no mask token, or does not say where words begin.
    """
    from regraft.models import tokenizer
    from regraft.training.objectives.masking import Masking

    fast = tokenizer.load(base)
    if fast.mask_token_id is None:
        raise ConfigError(
            f"{NO_MASK.format(base)}; masked-language modelling needs one",
            fix="name another base_model in the pipeline file",
        )
    size = min(vocabulary, len(fast))
    begins = word_begins(fast.convert_ids_to_tokens(list(range(max(vocabulary, len(fast)))))) if whole_words else None
    if whole_words and begins is None:
        raise ConfigError(
            f"pretrain.whole_words: the tokenizer of the base model ({base}) has no tokens that go on with a word",
            fix="leave pretrain.whole_words out",
        )
    return Masking(probability, fast.mask_token_id, frozenset(fast.all_special_ids), size, begins)


def word_begins(tokens: Sequence[str | None]) -> NDArray[np.bool_] | None:
    """Whether a word begins with each token, told by the mark of WordPiece, of BPE on bytes or of SentencePiece; None: they bear none.

    The mark that most tokens bear is the vocabulary's: BPE on bytes has a token ``####``, too. A place that has no token begins a word.
    """
    import numpy as np

    written = [token or "" for token in tokens]
    marks = {"##": False, "Ġ": True, "▁": True}
    bearing = {mark: np.array([len(token) > len(mark) and token.startswith(mark) for token in written]) for mark in marks}
    mark = max(marks, key=lambda mark: bearing[mark].sum())
    if not bearing[mark].any():
        return None
    nothing = np.array([not token for token in written])
    return np.asarray((bearing[mark] if marks[mark] else ~bearing[mark]) | nothing, dtype=np.bool_)
