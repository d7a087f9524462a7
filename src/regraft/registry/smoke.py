"""``python -m regraft.registry.smoke MODEL``: load a served model and let it answer its input example.

A process of its own, because a model that crashes the interpreter or eats the memory must not take the rollback
with it. Exit 0, or 1 with the reason as the last line on stderr.
"""

from __future__ import annotations

import gc
import math
import sys


def main(path: str) -> None:
    """Raises whatever keeps the model from answering."""
    gc.disable()  # a fifth of what the imports take, for garbage that ends with this process
    import mlflow

    model = mlflow.pyfunc.load_model(path)
    example = model.input_example
    answer = model.predict(example)
    scores = [float(score) for score in answer["score"]]
    if len(scores) != len(example) or not all(math.isfinite(score) and 0 < score <= 1 for score in scores):
        raise ValueError(f"{len(example)} texts got the scores {scores}")


if __name__ == "__main__":
    main(sys.argv[1])
