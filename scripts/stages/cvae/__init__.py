"""Stages 20 to 27: the conditional VAEs and retouching."""
