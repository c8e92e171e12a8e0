"""train_parser: what a parser learns from and is judged on."""
