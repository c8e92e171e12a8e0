#!/usr/bin/env bash
# Checks the code: style, then the tests. Further arguments go to pytest: bash scripts/run_tests.sh -k pipeline
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/ensure_venv.sh
ensure_venv

"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m pytest -q "$@"
