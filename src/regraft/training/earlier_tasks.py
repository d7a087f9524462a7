"""What a frozen encoder still offers to a task that came before, read by a linear probe.

The encoder turns every text into one vector, the mean of its last layer over the text's tokens (Reimers & Gurevych 2019,
"Sentence-BERT", section 3), and a logistic regression on these, standardised, learns the task: a linear classifier probe
(Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes"). The probe is the same for every
encoder and knows none of their heads, so what differs between two probes is what differs between two encoders. It does not
read the first token, as a fine-tuned classifier does: only fine-tuning teaches that one to stand for the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from regraft.core.progress import current, running, watched
from regraft.data.earlier_tasks import Half
from regraft.evaluation.retention import EarlierAnswers
from regraft.models import encoder, tokenizer
from regraft.models.families import family
from regraft.models.kinds.sequence_classification import encode, padded
from regraft.models.machine import Machine

BATCH_SIZE = 64
MOST_STEPS = 1_000
"""Most steps of the solver; on features of MiniLM it takes about 50."""
Floats = NDArray[np.float32]


def answers(stages: Mapping[str, Path], tasks: Mapping[str, tuple[Half, Half]], max_length: int) -> dict[str, EarlierAnswers]:
    """Task -> what the probe on each of ``stages`` (name -> model folder) says of its second half, learned from its first.

    Texts are cut at ``max_length`` tokens, as the classifiers cut theirs; fp32, no dropout. What is said of one task does not depend
    on the others.
    """
    machine, context = Machine.here(), current()
    machine.apply()
    context.facts.update(device=machine.device, threads=machine.threads, precision="fp32")
    by_task: dict[str, dict[str, list[str | None]]] = {name: {} for name in tasks}
    for number, (stage, folder) in enumerate(stages.items()):
        frozen = Frozen.load(folder, machine.device)
        for place, (name, (learn, answer)) in enumerate(tasks.items()):
            with running(replace(context, part=number * len(tasks) + place, parts=len(stages) * len(tasks))):
                vectors = frozen.features((*learn.texts, *answer.texts), max_length)
            by_task[name][stage] = probe(vectors[: len(learn.texts)], learn.labels, vectors[len(learn.texts) :])
    return {name: EarlierAnswers(tasks[name][1].labels, of_stages) for name, of_stages in by_task.items()}


@dataclass(frozen=True)
class Frozen:
    """An encoder that nothing is taught any more."""

    body: Any
    tokenizer: Any

    @classmethod
    def load(cls, folder: Path, device: str) -> Frozen:
        """The encoder of the model in ``folder``, without its head."""
        model, _ = encoder.load_pretrained(folder)
        body: Any = family(model).body(model)
        return cls(body.eval().to(device), tokenizer.load(folder))

    def features(self, texts: Sequence[str], max_length: int) -> Floats:
        """``[texts, width]`` mean of the last layer over the tokens of each text.

        Batches are made by length, and equal lengths by content, so that the order of ``texts`` changes nothing.
        """
        rows = encode(self.tokenizer, texts, max_length)
        by_length = sorted(range(len(rows)), key=lambda i: (len(rows[i]), rows[i]))
        batches = [by_length[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]
        means = np.empty((len(rows), self.body.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for chosen in watched(batches, "texts", len(rows), len):
                batch = padded(self.tokenizer, [rows[i] for i in chosen]).to(self.body.device)
                mask = batch["attention_mask"].unsqueeze(-1)
                hidden = self.body(**batch).last_hidden_state * mask
                means[chosen] = (hidden.sum(dim=1) / mask.sum(dim=1).clamp(min=1)).cpu().numpy()
        return means


def probe(learn: Floats, labels: Sequence[str], answer: Floats) -> list[str | None]:
    """The label of each vector of ``answer``; None for one that is not finite, and for all where one of ``learn`` is not.

    The solver starts at 0 and runs in one thread: the same vectors give the same answers.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    usable: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(answer), axis=1)
    if not (np.isfinite(learn).all() and usable.any()):
        return [None] * len(answer)
    with threadpool_limits(1):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MOST_STEPS)).fit(learn.astype(np.float64), list(labels))
        predicted = iter(model.predict(answer[usable].astype(np.float64)).tolist())
    return [next(predicted) if is_usable else None for is_usable in usable]
