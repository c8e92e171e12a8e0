"""Speed of the project's parts, each against the plain way of doing the same."""
