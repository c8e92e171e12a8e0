"""Stage 01: candidates, each from the seed of its number."""
