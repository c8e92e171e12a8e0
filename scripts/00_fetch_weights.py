"""Put the preset's weights and labels into the workspace: from the bundle, a folder or the network."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages.fetching.weight_files import given_beside, weight_files

# isort: split
import tyro  # behind `scripts`, which says what to do where it is missing


@dataclass(frozen=True)
class Options(StageOptions):
    """Put the preset's weights and labels into the workspace: from the bundle, a folder or the network."""

    from_folder: Annotated[Path | None, tyro.conf.arg(aliases=["--from"])] = option(
        None,
        help="folder with files fetched by hand, or one file of weights; looked at before all other sources",
        affects_results=False,
    )


def inputs(options: Options) -> tuple[Input, ...]:
    """Bundled files, so that a new bundle makes the workspace's copies stale."""
    mend = "It belongs to the repository: git checkout --"
    return tuple(
        Input(file.bundled, in_repository=True, note=f"{mend} {Path(file.bundled).parent.as_posix()}")
        for file in weight_files(options)
        if file.bundled
    )


def outputs(options: Options) -> tuple[str, ...]:
    """All files but those that belong to the user."""
    return tuple(file.path for file in weight_files(options) if not file.user_may_edit)


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError` for a ``--from`` that gives nothing or, before ``--force``, wrong files."""
    from scripts.stages.fetching.stage import check

    check(stage, options)


def confirm(stage: Stage, options: Options) -> None:
    """Raise `UserError` if the complete result is not made of the files that a person gives."""
    beside = (given_beside(stage.workspace, file) for file in weight_files(options))
    if options.from_folder is None and not any(beside):
        return  # nobody gives any
    from scripts.stages.fetching.stage import confirm

    confirm(stage, options)


SPEC = StageSpec(
    "00_fetch_weights",
    inputs,
    outputs,
    next_script="01_generate_candidates",
    check=check,
    confirm=confirm,
)


def run(stage: Stage, options: Options) -> None:
    """Fetch every file; report all that are missing at once."""
    from scripts.stages.fetching.stage import fetch_weights

    fetch_weights(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
