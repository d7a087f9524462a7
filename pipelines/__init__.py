"""The composition every pipeline file instantiates, in the order the steps run.

Contract -> corpus -> tokens -> pretrain -> finetune is the adapted model; finetune_base is the same run without the
adaptation, and tfidf the baseline that both have to beat on the rows that ``scores`` predicts. The last ones are asked
for by gates: probes by changed texts, overlap by ``rows: clean``, suspects by ``negative_flips``, forgetting and
earlier_tasks by the gates of those names, and seeds, which fine-tunes both again under other seeds.
"""

from tasks.contract import CONTRACT
from tasks.corpus import CORPUS
from tasks.earlier_tasks import EARLIER_TASKS
from tasks.finetune import FINETUNE, FINETUNE_BASE
from tasks.forgetting import FORGETTING
from tasks.overlap import OVERLAP
from tasks.pretrain import PRETRAIN
from tasks.probes import PROBES
from tasks.scores import SCORES
from tasks.seeds import SEEDS
from tasks.suspects import SUSPECTS
from tasks.tfidf import TFIDF
from tasks.tokens import TOKENS

STEPS = (
    *(CONTRACT, CORPUS, TOKENS, PRETRAIN, FINETUNE, FINETUNE_BASE, TFIDF, SCORES),
    *(PROBES, OVERLAP, SUSPECTS, FORGETTING, EARLIER_TASKS, SEEDS),
)
