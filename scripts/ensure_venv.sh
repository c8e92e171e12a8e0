# Sourced by run_all.sh and run_tests.sh: makes .venv with the pinned requirements and sets PYTHON.
# The stamp is written after everything is installed, so an interrupted installation is repeated.

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHON="$repository/.venv/bin/python"

find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3.10 python3; do
        if command -v "$name" >/dev/null &&
            "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$name"
            return 0
        fi
    done
    return 1
}

ensure_venv() {
    local stamp="$repository/.venv/requirements.cksum" wanted found
    wanted="$(cksum <"$repository/requirements.txt")"
    if [ -x "$PYTHON" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return 0
    fi
    if ! found="$(find_python)"; then
        echo "No Python 3.10 to 3.13 with the venv module was found, and the scripts need one." >&2
        echo "Install it, for example: sudo apt-get install python3.11 python3.11-venv" >&2
        return 1
    fi
    echo "Installing requirements.txt into .venv with $found (a few minutes, once)."
    rm -f "$stamp"
    if ! "$PYTHON" -m pip --version >/dev/null 2>&1; then
        "$found" -m venv --clear "$repository/.venv" || return 1
    fi
    if ! "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$repository/requirements.txt"; then
        echo "The installation failed; the lines above say why. The same command goes on from there." >&2
        return 1
    fi
    echo "$wanted" >"$stamp"
}
