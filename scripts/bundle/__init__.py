"""What makes and judges the files that come with the repository."""
