"""Stage 09: readings, judges and the report of an evaluation."""
