"""The report of a run as one HTML page: files become dataclasses, these become sections, these a page."""
