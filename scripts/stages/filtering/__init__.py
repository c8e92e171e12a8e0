"""Stage 02: the networks that filter candidates, and the labels they learn from."""
