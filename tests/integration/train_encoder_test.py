from __future__ import annotations

import json

import pytest

from regraft.core.errors import ConfigError
from regraft.models.encoder import check_length


@pytest.mark.parametrize(
    ("config", "most"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
    ],
)
def test_a_length_beyond_the_models_positions_is_refused_with_the_most_it_may_be(tmp_path, config, most):
    (tmp_path / "config.json").write_text(json.dumps(config))
    check_length(tmp_path, most, "finetune.max_length")
    with pytest.raises(ConfigError, match=rf"finetune\.max_length is {most + 1}, .* at most {most} tokens") as refused:
        check_length(tmp_path, most + 1, "finetune.max_length")
    assert refused.value.fix == f"finetune.max_length: {most}"


def test_a_model_with_relative_positions_has_no_limit(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "deberta-v2"}))
    check_length(tmp_path, 100_000, "finetune.max_length")
