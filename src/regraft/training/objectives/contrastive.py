"""``contrastive``, for encoders whose vectors are read: what is one text lies near in them, and other texts lie far.

A text is read twice, and its two vectors have to find each other among those of other texts. The readings differ by dropout alone (Gao et
al. 2021, "SimCSE: Simple Contrastive Learning of Sentence Embeddings", section 3), or are two passages of it, drawn independently of each
other (Izacard et al. 2022, "Unsupervised Dense Information Retrieval with Contrastive Learning", section 3.1).

Texts are what lies between the separators of packed sequences. Which texts are compared follows from the place of their sequence in the
batch: ``compared_sequences`` of them at a time, a number that divides every part of a batch, so that the loss of a batch is the mean of
its parts' as it is of other objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.training.options import ObjectiveOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from regraft.data.packing import Packed

    Ints = NDArray[np.int64]

LEAST = 4
"""Tokens of the shortest text, and of the shortest passage, that is read."""
SHORTEST, LONGEST = 0.25, 0.75
"""Share of its text that a passage has."""
OTHER_WAY = "write `positives: passages`, or name another base_model"


class ContrastiveOptions(ObjectiveOptions):
    """Vectors that tell texts apart, learned without labels (Gao et al. 2021, "SimCSE")."""

    objective: Literal["contrastive"]
    """Two readings of a text find each other among other texts: for encoders whose vectors are read."""
    positives: Literal["dropout", "passages"] = "dropout"
    """What two readings of a text are: the same tokens under other `dropout` (Gao et al. 2021, "SimCSE", section 3), or two `passages` of
    a quarter to three quarters of it (Izacard et al. 2022, "Unsupervised Dense Information Retrieval with Contrastive Learning", section
    3.1), for texts of several sentences."""
    pooling: Literal["mean", "cls"] = "mean"
    """What stands for a text, as of methods that read vectors: the mean of its tokens' vectors, or the first's. Left out, a folder of
    sentence-transformers says it, and elsewhere it is the mean."""
    temperature: float = Field(0.05, ge=0.01, le=1)
    """What cosines are divided by (Gao et al. 2021, table D.1)."""
    compared_sequences: int = Field(8, ge=1, le=1024)
    """Packed sequences whose texts are compared with each other. It divides the sequences of every part of a batch, so that neither
    `shards` nor `gradient_accumulation` changes who is compared."""
    learning_rate: float = Field(3e-5, gt=0, lt=1)
    """Peak rate; linear warm-up over the first 6 % of steps, then as `schedule` says (Gao et al. 2021, appendix A)."""
    dropout: bool = True
    """The model's own dropout while pretraining, which `positives: dropout` rests on."""

    @model_validator(mode="after")
    def _two_readings_differ(self) -> Self:
        if self.positives == "dropout" and not self.dropout:
            raise ValueError(
                "`positives: dropout` reads a text twice under other dropout, and `dropout` is false, so that both readings would be the "
                "same; take that out, or write `positives: passages`"
            )
        return self

    @model_validator(mode="after")
    def _no_text_is_mixed_in(self) -> Self:
        if self.replay is not None:
            raise ValueError(
                "`replay` mixes general text in, which `objective: contrastive` would only tell apart from the corpus; "
                "take `replay` out, or write another objective"
            )
        return self

    @model_validator(mode="after")
    def _every_part_has_whole_groups(self) -> Self:
        parts = max(self.shards, self.gradient_accumulation)
        key = "shards" if self.shards >= self.gradient_accumulation else "gradient_accumulation"
        each, rest = divmod(self.batch_size, parts)
        if rest or each % self.compared_sequences:
            raise ValueError(
                f"`compared_sequences` ({self.compared_sequences}) does not divide the parts of a batch, which are "
                f"`batch_size` ({self.batch_size}) by `{key}` ({parts}); write batch_size: {parts * self.compared_sequences}"
                + (f" or compared_sequences: {each}" if each and not rest else "")
            )
        return self

    @property
    def most_parts(self) -> int:
        return self.batch_size // self.compared_sequences


@dataclass(frozen=True)
class Readings:
    """Takes the texts out of packed sequences, and reads each twice."""

    begin: tuple[int, ...]
    """Tokens before a sequence, and before every text of it."""
    end: tuple[int, ...]
    separator: int
    """Stands after each document of a sequence."""
    pad: int
    passages: bool
    compared: int
    """Sequences whose texts are compared."""

    def batch(self, ids: Ints, seed: int, places: Sequence[tuple[int, int]]) -> tuple[Ints, Ints]:
        """All first readings and then all second ones, padded, ``[2 * texts, longest]``; of each its length and group, ``[2 * texts, 2]``.

        What a text is compared with are the texts of its group.
        """
        import numpy as np

        firsts: list[Ints] = []
        seconds: list[Ints] = []
        groups: list[int] = []
        for number, (row, (epoch, index)) in enumerate(zip(ids, places, strict=True)):
            for first, second in self.one(row, seed, epoch, index):
                firsts.append(first)
                seconds.append(second)
                groups.append(number // self.compared)
        read = firsts + seconds
        padded = np.full((len(read), max(map(len, read), default=1)), self.pad, dtype=np.int64)
        for place, text in enumerate(read):
            padded[place, : len(text)] = text
        return padded, np.array([[len(text), group] for text, group in zip(read, groups * 2, strict=True)], dtype=np.int64).reshape(-1, 2)

    def one(self, row: Ints, seed: int, epoch: int, index: int) -> Iterator[tuple[Ints, Ints]]:
        """Both readings of each text in one sequence: a function of (seed, epoch, index)."""
        from regraft.core.randomness import uniform

        texts = [text for text in self._texts(row) if len(text) >= LEAST]
        draws = uniform(4 * len(texts), seed, "passages", epoch, index).reshape(-1, 4) if self.passages and texts else [None] * len(texts)
        for text, draw in zip(texts, draws, strict=True):
            first, second = (text, text) if draw is None else (_passage(text, *draw[:2]), _passage(text, *draw[2:]))
            yield self._framed(first), self._framed(second)

    def _texts(self, row: Ints) -> list[Ints]:
        import numpy as np

        inside = row[len(self.begin) : len(row) - len(self.end)]
        parts = np.split(inside, np.flatnonzero(inside == self.separator))
        return [parts[0], *(part[1:] for part in parts[1:])]

    def _framed(self, text: Ints) -> Ints:
        import numpy as np

        return np.concatenate([np.array(self.begin, dtype=np.int64), text, np.array(self.end, dtype=np.int64)])


def _passage(text: Ints, size: float, place: float) -> Ints:
    """A run of ``text``; both draws are from [0, 1)."""
    length = min(len(text), max(LEAST, round(len(text) * (SHORTEST + (LONGEST - SHORTEST) * size))))
    start = int((len(text) - length + 1) * place)
    return text[start : start + length]


class Contrastive:
    """Two readings of a text find each other."""

    name = "contrastive"
    version = 1
    options = ContrastiveOptions
    families = frozenset({"encoder"})
    guesses_tokens = False
    """Its loss is a text's, so it tells nothing of a budget in nats a token."""

    def load(self, source: Path) -> tuple[PreTrainedModel, bool]:
        """The encoder without any head: vectors are read as they are."""
        from regraft.models import encoder
        from regraft.models.families import family

        model, _ = encoder.load_pretrained(source)
        body: Any = family(model).body(model)
        return body, False

    def refusal(self, folder: Path, options: ContrastiveOptions) -> str | None:
        """A model without dropout, as far as config.json in ``folder`` says, where dropout tells readings apart."""
        if options.positives == "passages" or drops(files.read_json(folder / "config.json")) is not False:
            return None
        return f"{_no_dropout(folder)}; {OTHER_WAY}"

    def begin(self, model: PreTrainedModel, shard: Packed) -> None:
        """No head is new."""

    def corruption(self, source: Path, options: ContrastiveOptions, vocabulary: int) -> Readings:
        """Separators are those that packing has put there.

        :raises ConfigError: dropout is to tell readings apart, and the model in ``source`` has none.
        """
        from transformers import AutoConfig

        from regraft.models import tokenizer
        from regraft.models.families import frame_in

        config = AutoConfig.from_pretrained(source, local_files_only=True)
        if options.positives == "dropout" and not drops(config.to_dict()):
            raise ConfigError(_no_dropout(source), fix=f"{OTHER_WAY} in the pipeline file")
        frame, pad = frame_in(source), tokenizer.load(source).pad_token_id or 0
        return Readings(frame.begin, frame.end, frame.after[-1], pad, options.positives == "passages", options.compared_sequences)

    def loss(self, model: PreTrainedModel, options: ContrastiveOptions) -> Callable[[tuple[Ints, Ints]], tuple[Tensor, int]]:
        """Cross-entropy of finding the other reading of a text among those of its group (Gao et al. 2021, equation 4)."""

        def mean_of(batch: tuple[Ints, Ints]) -> tuple[Tensor, int]:
            import torch
            from torch import nn

            ids, facts = (torch.from_numpy(part).to(model.device) for part in batch)
            group = facts[: len(facts) // 2, 1]
            alike = group[:, None] == group[None, :]
            compared = alike.sum(dim=1) > 1
            count = int(compared.sum())
            if not count:  # texts that are alone have nobody to be told from
                return torch.zeros((), device=model.device, requires_grad=True), 0
            first, second = read(model, ids, facts[:, 0], options.pooling).chunk(2)
            with torch.autocast(ids.device.type, enabled=False):  # in bf16 a cosine is right to 0.004, and is divided by 0.05
                cosines = (first @ second.T / options.temperature).masked_fill(~alike, -torch.inf)
            return nn.functional.cross_entropy(cosines[compared], torch.arange(len(group), device=model.device)[compared]), count

        return mean_of


def read(model: PreTrainedModel, ids: Tensor, lengths: Tensor, pooling: str) -> Tensor:
    """The vectors of padded texts ``[texts, longest]`` at length 1, ``[texts, width]`` in fp32."""
    import torch
    from torch import nn

    mask = (torch.arange(ids.shape[1], device=ids.device)[None] < lengths[:, None]).long()
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    pooled = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True) if pooling == "mean" else hidden[:, 0]
    return nn.functional.normalize(pooled, dim=-1)


def drops(config: Mapping[str, Any]) -> bool | None:
    """Whether an encoder of this configuration has dropout; None: it says nothing of it, and its type's default holds."""
    shares = [value for key, value in config.items() if "drop" in key and "class" not in key and isinstance(value, int | float)]
    return any(share > 0 for share in shares) if shares else None


def _no_dropout(source: Path) -> str:
    return f"contrastive reads a text twice under other dropout, and config.json of the base model ({source}) has none but shares of 0"


CONTRASTIVE = Contrastive()
