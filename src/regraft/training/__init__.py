"""Training: one loop, exact checkpoints, and the two things trained with them."""
