"""What the tools of scripts/bundle do, each in the module of its own name."""
