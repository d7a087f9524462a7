"""Training: one loop, exact checkpoints, the two things trained with them, and what is measured of encoders as they train."""
