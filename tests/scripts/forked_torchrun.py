"""torchrun, whose processes are forked from this one with its libraries instead of started anew."""

import runpy
import sys
from dataclasses import replace

from torch.distributed import run
from torch.distributed.launcher import api


def become(*command: str) -> None:
    """Be the script of a command line, Python's own words of which are left out."""
    sys.argv = list(command[command.index("-u") + 1 :])
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise


def launch(config: api.LaunchConfig, entrypoint: str) -> api.elastic_launch:
    return api.elastic_launch(replace(config, start_method="fork"), become)


run.elastic_launch = launch
run.main(sys.argv[1:])
