"""What a candidate has to prove, as pure functions: predictions and a policy in, a verdict out. IO is in evidence/ and decide alone."""
