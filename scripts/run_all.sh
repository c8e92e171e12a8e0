#!/usr/bin/env bash
# Runs the numbered scripts of a row, one after the other: bash scripts/run_all.sh --help
set -euo pipefail

scripts="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$scripts/ensure_venv.sh"

# Options are explained before anything is installed, by whatever Python there is.
python="$PYTHON"
[ -x "$python" ] || python="$(find_python)" || ensure_venv
"$python" "$scripts/pipeline/row.py" --check "$0" "$@"
case " $* " in *" -h "* | *" --help "*) exit 0 ;; esac
ensure_venv
exec "$PYTHON" "$scripts/pipeline/row.py" "$0" "$@"
