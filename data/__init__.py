"""Data that the repository makes or carries."""
