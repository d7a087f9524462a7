"""From text to the numbers a model is trained on; no torch."""
