"""The files of stage 09, by version, and the numbers that its options are checked against.

Imports nothing heavy: 09_evaluate reads it for ``--help``.
"""

from __future__ import annotations

from dataclasses import replace

from scripts.pipeline import Input, Stage
from scripts.stages import workspace

FIRST_GIVEN = 500_000  # given picture n is made from the seed plus this plus n
ENCODED_PER_EDITED = 8  # given pictures that are only encoded, to learn what z says of properties
CANDIDATES_PER_GIVEN = 20
SMALLEST_SEARCH = 1000

# Only generators with dials need it: those of the document's recipe, and published ones, have none.
CNN_INPUT = replace(workspace.PROPERTY_CNN_INPUT, optional=True)
BASELINES = ("interfacegan", "ganspace", "sefa", "stylespace")
ON_REQUEST = (*BASELINES, "cvae")  # measured where they are asked for
WITHOUT_OWN = ("cvae", "v1")  # they do not know what a person has
FILES = {
    "base": (workspace.GENERATOR_INPUT, workspace.LATENTS_INPUT),
    **dict.fromkeys(
        BASELINES, (workspace.GENERATOR_INPUT, workspace.LATENTS_INPUT, workspace.PROPERTY_CNN_INPUT)
    ),
    "cvae": (workspace.GENERATORS["cvae"], workspace.CANDIDATES_INPUT),
    "v1": (workspace.GENERATORS["v1"],),
    "v2": (workspace.GENERATORS["v2"], CNN_INPUT),
    "v3": (
        workspace.GENERATORS["v3"],
        workspace.ENCODER_INPUT,
        CNN_INPUT,
        workspace.GENERATOR_INPUT,  # it makes the pictures that are given to v3
        workspace.IDENTITY_INPUT,  # editing looks for the z of the same person
    ),
}
JUDGE_INPUTS = (
    workspace.SCORES_INPUT,
    workspace.STATISTICS_INPUT,
    *workspace.PARSER_INPUTS,
    *workspace.MTCNN_INPUTS,
    *workspace.PEOPLE_JUDGE_INPUTS,
)


def has_encoder(version: str) -> bool:
    """Whether a version edits given pictures."""
    return workspace.ENCODER_INPUT in FILES[version]


def available_versions(stage: Stage) -> list[str]:
    """Versions whose files are in the workspace, without those measured on request."""
    return [
        version
        for version, inputs in FILES.items()
        if version not in ON_REQUEST
        and all(item.optional or item.locate(stage.workspace).exists() for item in inputs)
    ]


def needed_inputs(chosen: tuple[str, ...]) -> tuple[Input, ...]:
    """What the judges and the chosen versions need; without a choice no generator but the base is needed."""
    found = {item.path: item for item in (*JUDGE_INPUTS, workspace.GENERATOR_INPUT)}
    for version in chosen or (name for name in FILES if name not in ON_REQUEST):
        for item in FILES[version]:
            found.setdefault(item.path, item if chosen else replace(item, optional=True))
    return tuple(found.values())
