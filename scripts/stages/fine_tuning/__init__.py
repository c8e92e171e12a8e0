"""Stages 05 to 07: v1, v2 and v3."""
