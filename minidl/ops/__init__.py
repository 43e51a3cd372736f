"""The operations, one family a file: the arithmetic of each forward pass beside its gradient."""
