"""Conditional VAEs of faces, plain and hierarchical, their data, their training, and retouching."""
