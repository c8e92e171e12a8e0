"""What the numbered scripts do."""
