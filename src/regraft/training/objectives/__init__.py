"""What a pretraining asks of a text: which tokens to guess, and what a wrong guess costs."""
