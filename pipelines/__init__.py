"""The composition every pipeline file instantiates, in the order the steps run.

Contract -> corpus -> tokens -> pretrain -> finetune is the adapted model; finetune_base is the same run without the
adaptation, and tfidf the baseline that both have to beat on the rows that ``scores`` predicts. ``forgetting`` exists
where a gate asks what the models lost.
"""

from tasks.contract import CONTRACT
from tasks.corpus import CORPUS
from tasks.finetune import FINETUNE, FINETUNE_BASE
from tasks.forgetting import FORGETTING
from tasks.pretrain import PRETRAIN
from tasks.scores import SCORES
from tasks.tfidf import TFIDF
from tasks.tokens import TOKENS

STEPS = (CONTRACT, CORPUS, TOKENS, PRETRAIN, FINETUNE, FINETUNE_BASE, TFIDF, SCORES, FORGETTING)
