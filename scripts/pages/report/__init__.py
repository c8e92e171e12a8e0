"""The report of a run as one HTML page: files become dataclasses, and templates make the page of these."""
