"""Pretraining and fine-tuning, and what an encoder keeps of what it could do before."""

from __future__ import annotations

from regraft.models.base_model import locate as locate
from regraft.models.encoder import check_length as check_length
from regraft.models.families import frame_in as frame_in
from regraft.models.tokenizer import backend as backend
from regraft.models.tokenizer import token_counter as token_counter
from regraft.training.earlier_tasks import answers as answer_earlier_tasks
from regraft.training.finetuning import finetune as finetune
from regraft.training.forgetting import measure as measure_forgetting
from regraft.training.general_text import pack_general as pack_general
from regraft.training.general_text import pack_replay as pack_replay
from regraft.training.plugins import require_versions as require_versions
from regraft.training.pretraining import Budget as Budget
from regraft.training.pretraining import pretrain as pretrain
from regraft.training.seeds import repeat as repeat_under_seeds
from regraft.training.switch_point import measure as measure_switch_point

__all__ = ["answer_earlier_tasks", "measure_forgetting", "measure_switch_point", "repeat_under_seeds"]
