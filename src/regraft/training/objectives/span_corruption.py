"""``span_corruption``, for encoder-decoders: runs of tokens are cut out, each leaves a mark, and the decoder writes what stood there.

Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", section 3.1.4. How many tokens and
how many runs follows from the length alone, so that all rows of a batch are of one length, as in the paper's code
(``random_spans_noise_mask``): every sequence begins with a run that stays and ends with one that is cut out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from regraft.core.errors import ConfigError
from regraft.training.options import ObjectiveOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from regraft.data.packing import Packed

    Ints = NDArray[np.int64]

MARKS = ("<extra_id_{}>", "[unused{}]")
"""What marks are called: by T5, and the tokens that BERT's vocabularies keep free."""
WAY_OUT = "raise pretrain.mean_span, name another base_model, or write `adapt: never`"


class SpanCorruptionOptions(ObjectiveOptions):
    """Domain-adaptive pretraining (Gururangan et al. 2020, "Don't Stop Pretraining", section 3) by writing what was cut out of a text."""

    objective: Literal["span_corruption"]
    """Runs of tokens are cut out, and written by the decoder: for encoder-decoders."""
    noise_density: float = Field(0.15, ge=0.01, le=0.5)
    """Share of the tokens that is cut out (Raffel et al. 2020, section 3.1.4)."""
    mean_span: float = Field(3.0, ge=1, le=20)
    """Tokens of a run, on average (the same, section 3.3.4)."""


@dataclass(frozen=True)
class Spans:
    """Cuts runs out of the tokens between ``begin`` and ``end``, which packing put round every sequence."""

    density: float
    mean: float
    marks: tuple[int, ...]
    begin: int
    """Tokens of the frame before the text."""
    end: tuple[int, ...]
    """Tokens of the frame after it; what is written ends with them, too."""

    def sizes(self, length: int) -> tuple[int, int]:
        """Tokens that are cut out of a sequence of ``length``, and runs of them."""
        tokens = length - self.begin - len(self.end)
        cut = min(max(round(tokens * self.density), 1), tokens - 1)
        return cut, min(max(round(cut / self.mean), 1), cut, tokens - cut)

    def batch(self, ids: Ints, seed: int, places: Sequence[tuple[int, int]]) -> tuple[Ints, Ints]:
        """What is read, ``[rows, shorter]``, and what is to be written, ``[rows, much shorter]``; no token is padding."""
        import numpy as np

        pairs = [self.one(row, seed, epoch, index) for row, (epoch, index) in zip(ids, places, strict=True)]
        return np.stack([read for read, _ in pairs]), np.stack([written for _, written in pairs])

    def one(self, ids: Ints, seed: int, *where: int) -> tuple[Ints, Ints]:
        """:meth:`batch` of one sequence: ``stay MARK0 stay MARK1`` and ``MARK0 cut MARK1 cut``, and the end after both."""
        import numpy as np

        from regraft.core.randomness import uniform

        stop = len(ids) - len(self.end)
        text = ids[self.begin : stop]
        cut, runs = self.sizes(len(ids))
        draws = uniform(len(text), seed, "spans", *where)
        lengths = np.empty(2 * runs, dtype=np.int64)
        lengths[0::2], lengths[1::2] = _parts(len(text) - cut, runs, draws[: len(text) - cut]), _parts(cut, runs, draws[len(text) - cut :])
        pieces = np.split(text, np.cumsum(lengths)[:-1])
        marks = [np.array([mark]) for mark in self.marks[:runs]]
        read = [piece for run in range(runs) for piece in (pieces[2 * run], marks[run])]
        written = [piece for run in range(runs) for piece in (marks[run], pieces[2 * run + 1])]
        return np.concatenate([ids[: self.begin], *read, ids[stop:]]), np.concatenate([*written, np.array(self.end, dtype=np.int64)])


def _parts(total: int, parts: int, draws: NDArray[np.float64]) -> Ints:
    """``total`` as a sum of ``parts`` numbers of 1 and more, every such sum as likely as any other.

    :param draws: ``total`` numbers, of which the last is not needed.
    """
    import numpy as np

    borders = np.sort(np.argsort(draws[: total - 1], kind="stable")[: parts - 1]) + 1
    return np.diff(np.concatenate([[0], borders, [total]])).astype(np.int64)


class SpanCorruption:
    """The decoder writes what was cut out."""

    name = "span_corruption"
    version = 2
    options = SpanCorruptionOptions
    families = frozenset({"encoder_decoder"})

    def load(self, source: Path) -> tuple[PreTrainedModel, bool]:
        """``AutoModelForSeq2SeqLM``; it has no head of its own that could be new."""
        from regraft.models import writing

        return writing.load(source), False

    def begin(self, model: PreTrainedModel, shard: Packed) -> None:
        """No head is new."""

    def refusal(self, folder: Path, options: SpanCorruptionOptions) -> str | None:
        """Too few marks, as far as the files in ``folder`` show without a tokenizer: the frame of a sequence is taken for its longest."""
        from regraft.models.tokenizer_files import vocabulary

        if (known := vocabulary(folder)) is None:
            return None
        marks = marks_in(known)
        runs = Spans(options.noise_density, options.mean_span, marks, 1, (0, 0)).sizes(options.sequence_length)[1]
        return f"{_too_few(runs, marks, folder)}; {WAY_OUT}" if runs > len(marks) else None

    def corruption(self, source: Path, options: SpanCorruptionOptions, vocabulary: int) -> Spans:
        """Marks are those that the tokenizer in ``source`` has.

        :raises ConfigError: it has none, or too few for sequences of this length.
        """
        from regraft.models import tokenizer
        from regraft.models.families import frame_in

        frame = frame_in(source)
        marks = marks_in(tokenizer.load(source).get_vocab())
        spans = Spans(options.noise_density, options.mean_span, marks, len(frame.begin), frame.end)
        if (runs := spans.sizes(options.sequence_length)[1]) > len(marks):
            raise ConfigError(_too_few(runs, marks, source), fix=f"{WAY_OUT} in the pipeline file")
        return spans

    def loss(self, model: PreTrainedModel, options: SpanCorruptionOptions) -> Callable[[tuple[Ints, Ints]], tuple[Tensor, int]]:
        """Cross-entropy of the tokens that are to be written."""

        def mean_of(batch: tuple[Ints, Ints]) -> tuple[Tensor, int]:
            import torch
            from torch import nn

            from regraft.models.writing import shifted

            ids, labels = (torch.from_numpy(part).to(model.device) for part in batch)
            logits = model(input_ids=ids, decoder_input_ids=shifted(labels, model), use_cache=False).logits
            return nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten()), labels.numel()

        return mean_of


def _too_few(runs: int, marks: tuple[int, ...], source: Path) -> str:
    return (
        f"span_corruption cuts {runs} runs out of a sequence, and the tokenizer of the base model ({source}) has {len(marks)} "
        f"tokens to mark them ({' or '.join(mark.format(0) for mark in MARKS)} and so on)"
    )


def marks_in(known: Mapping[str, int]) -> tuple[int, ...]:
    """The ids of the tokens that mark what was cut out, in their order, of a vocabulary; empty where there are none."""
    for pattern in MARKS:
        marks: list[int] = []
        while (mark := known.get(pattern.format(len(marks)))) is not None:
            marks.append(int(mark))
        if marks:
            return tuple(marks)
    return ()


SPAN_CORRUPTION = SpanCorruption()
