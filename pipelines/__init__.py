"""The composition every pipeline file instantiates, in the order the steps run.

Contract -> corpus -> tokens -> pretrain -> finetune is the adapted model; finetune_base is the same run without the
adaptation, and tfidf the baseline that both have to beat on the rows that ``scores`` predicts. ``seeds`` fine-tunes
both again under other seeds, for pipelines with a gate that asks for it.
"""

from tasks.contract import CONTRACT
from tasks.corpus import CORPUS
from tasks.finetune import FINETUNE, FINETUNE_BASE
from tasks.pretrain import PRETRAIN
from tasks.scores import SCORES
from tasks.seeds import SEEDS
from tasks.tfidf import TFIDF
from tasks.tokens import TOKENS

STEPS = (CONTRACT, CORPUS, TOKENS, PRETRAIN, FINETUNE, FINETUNE_BASE, TFIDF, SCORES, SEEDS)
