"""Stage 04: property scores, their plots, and scores learned from labels."""
