"""Stage 00: weights files, recognised by what they hold."""
