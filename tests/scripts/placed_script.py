"""Runs a script as one of several processes: ``placed_script.py RANK COUNT PORT SCRIPT ARGUMENTS...``"""

import os
import runpy
import sys

rank, count, port, *sys.argv = sys.argv[1:]
os.environ |= {
    "TORCHELASTIC_RUN_ID": "test",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": port,
    "RANK": rank,
    "LOCAL_RANK": rank,
    "WORLD_SIZE": count,
    "LOCAL_WORLD_SIZE": count,
    "GROUP_WORLD_SIZE": "1",
}
runpy.run_path(sys.argv[0], run_name="__main__")
