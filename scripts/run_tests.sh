#!/usr/bin/env bash
# Checks the code: style, types, then the tests. Further arguments go to pytest: bash scripts/run_tests.sh -k pipeline
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/ensure_venv.sh
ensure_venv

"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
# Not with Python 3.10, whose numpy describes its arrays otherwise; for its language, all others check too.
"$PYTHON" -c 'import sys; sys.exit(sys.version_info >= (3, 11))' || "$PYTHON" -m mypy
# Two at a time, each with one thread of calculation: more would wait for each other.
export OMP_NUM_THREADS=1
"$PYTHON" -m pytest -q -n 2 --dist loadfile "$@"
