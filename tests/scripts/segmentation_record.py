"""The record that stage 03 leaves, for workspaces that no stage made."""

from pathlib import Path

from scripts.pipeline import records


def record_segmentation(workspace: Path, **options: object) -> None:
    """Write the record of a finished stage 03 with these options, the others at their defaults."""
    depends_on = {"options": options, "inputs": {}}
    record = {"state": "complete", "fingerprint": "", "depends_on": depends_on}
    records.write(workspace, "03_segment_faces", record)
