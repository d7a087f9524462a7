"""The composition every pipeline file instantiates, in the order the steps run.

Contract -> splits says which labelled row is trained on; corpus -> tokens -> pretrain makes the adapted encoder, where a candidate
starts from one; ``row_tokens`` are the rows' own texts, where adaptation reads those. ``switch_point`` measures from how many labels on
fine-tuning is better than a method for few, where the file asks for it. ``finetune`` and ``score`` run for every
candidate, tfidf is the baseline that all of them have to beat on the rows that ``held_out`` keeps. The last ones are asked for by
gates: probes by changed texts, overlap by ``rows: clean``, suspects by ``negative_flips``, forgetting and earlier_tasks by the gates of
those names, and seeds, which fine-tunes a candidate again under other seeds.
"""

from tasks.contract import CONTRACT
from tasks.corpus import CORPUS
from tasks.earlier_tasks import EARLIER_TASKS
from tasks.finetune import FINETUNE
from tasks.forgetting import FORGETTING
from tasks.held_out import HELD_OUT
from tasks.overlap import OVERLAP
from tasks.pretrain import PRETRAIN
from tasks.probes import PROBES
from tasks.row_tokens import ROW_TOKENS
from tasks.score import SCORE
from tasks.seeds import SEEDS
from tasks.splits import SPLITS
from tasks.suspects import SUSPECTS
from tasks.switch_point import SWITCH_POINT
from tasks.tfidf import TFIDF
from tasks.tokens import TOKENS

STEPS = (
    *(CONTRACT, SPLITS, SWITCH_POINT, CORPUS, TOKENS, ROW_TOKENS, PRETRAIN, FINETUNE, TFIDF, HELD_OUT, SCORE),
    *(PROBES, OVERLAP, SUSPECTS, FORGETTING, EARLIER_TASKS, SEEDS),
)
