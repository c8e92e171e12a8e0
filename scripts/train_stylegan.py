"""Train the base generator on portraits or on a folder of pictures, from the start or from trained weights.

    python scripts/train_stylegan.py --portraits 40000
    python scripts/train_stylegan.py --folder aligned --init data/embedded/stylegan_model.safetensors \\
        --plan scripts/presets/training/transfer.toml
    torchrun --nproc-per-node 4 scripts/train_stylegan.py --portraits 40000
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, run_tool
from scripts.stages.base_generator.options import Options


def run(tool: Tool, options: Options) -> None:
    from scripts.stages.base_generator.body import train_generator

    train_generator(tool, options)


if __name__ == "__main__":
    run_tool(Options, run, several_processes=True)
