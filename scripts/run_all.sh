#!/usr/bin/env bash
# Runs the numbered scripts of a row, one after the other. See usage below.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash scripts/run_all.sh [--row NAME] [--preset NAME] [--quality NAME] [--from NN] [--to NN]
                               [--workspace DIR] [--processes N]

Runs the numbered scripts of a row in order; each one that is up to date answers at once, and one that was
interrupted goes on where it was. At the end it writes report.html into the workspace.

  --row NAME        main (00 to 09), or a row that goes on from it: cvae (20 to 29), sketch (30 to 39)
                    (default: main)
  --preset NAME     a file of scripts/presets (default: embedded)
  --quality NAME    quick, or full: the longer trainings and evaluation that the preset has for it
                    (default: quick)
  --from NN         number of the first script, such as 03 (default: the first of the row)
  --to NN           number of the last script (default: the last of the row)
  --workspace DIR   folder of all files of the run (default: data/runs/<preset>)
  --processes N     processes of this machine, such as its GPUs, that share the work of 01, 03, 05, 06, 07
                    and 09 (default: 1)

Options of single scripts go into a preset; or run the script itself: see scripts/NN_*.py --help.
TEXT
}

fail_usage() {
    echo "$1" >&2
    usage >&2
    exit 2
}

typed="$0"
row=main
preset=embedded
quality=quick
first=""
last=""
workspace=""
processes=1
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help)
            usage
            exit 0
            ;;
        --row | --preset | --quality | --from | --to | --workspace | --processes)
            [ $# -ge 2 ] || fail_usage "$1 needs a value."
            case "$1" in
                --row) row="$2" ;;
                --preset) preset="$2" ;;
                --quality) quality="$2" ;;
                --from) first="$2" ;;
                --to) last="$2" ;;
                --processes) processes="$2" ;;
                --workspace)
                    workspace="$2"
                    [[ "$workspace" = /* ]] || workspace="$PWD/$workspace"
                    ;;
            esac
            shift 2
            ;;
        *) fail_usage "Unknown option: $1" ;;
    esac
done
case "$row" in
    main) decade=0 ;;
    cvae) decade=2 ;;
    sketch) decade=3 ;;
    *) fail_usage "There is no row $row; there are: main cvae sketch." ;;
esac
[[ "$quality" =~ ^(quick|full)$ ]] || fail_usage "There is no quality $quality; there are: quick full."
[[ "$first" =~ ^([0-9][0-9]?)?$ ]] || fail_usage "--from $first is not a script's number."
[[ "$last" =~ ^([0-9][0-9]?)?$ ]] || fail_usage "--to $last is not a script's number."
[[ "$processes" =~ ^[1-9][0-9]*$ ]] || fail_usage "--processes $processes is no number of processes."

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ ! -f "scripts/presets/$preset.toml" ]; then
    presets="$(basename -s .toml -a scripts/presets/*.toml | paste -sd ' ')"
    fail_usage "There is no preset $preset; there are: $presets."
fi

plan=()
for script in scripts/"$decade"[0-9]_*.py; do
    [ -f "$script" ] || continue
    name="$(basename "$script")"
    number=$((10#${name:0:2}))
    if [ "$number" -ge $((10#${first:-00})) ] && [ "$number" -le $((10#${last:-99})) ]; then
        plan+=("$script")
    fi
done
if [ ${#plan[@]} -eq 0 ]; then
    fail_usage "No script of the row $row lies between --from ${first:-${decade}0} and --to ${last:-${decade}9}."
fi

source scripts/ensure_venv.sh
ensure_venv

arguments=(--preset "$preset")
[ "$quality" = quick ] || arguments+=(--quality "$quality")
[ -z "$workspace" ] || arguments+=(--workspace "$workspace")
echo "Preset $preset, quality $quality, workspace ${workspace:-$PWD/data/runs/$preset}. Scripts:"
printf '  %s\n' "${plan[@]}"

# Starts a script in as many processes as were asked for, where it can share its work among them.
run_script() {
    local script="$1"
    if [ "$processes" -gt 1 ] && [[ "$script" =~ /(01|03|05|06|07|09)_ ]]; then
        "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node "$processes" \
            "$script" "${arguments[@]}"
    else
        "$PYTHON" "$script" "${arguments[@]}"
    fi
}

times=()
began=$SECONDS
for script in "${plan[@]}"; do
    echo
    echo "== $script =="
    started=$SECONDS
    code=0
    run_script "$script" || code=$?
    times+=("$(printf '%5d s  %s' $((SECONDS - started)) "$script")")
    if [ "$code" -ne 0 ]; then
        echo >&2
        echo "$script ended with exit code $code. When its message above is dealt with, go on with:" >&2
        [ "$processes" -eq 1 ] || arguments+=(--processes "$processes")
        arguments+=(--from "$(basename "$script" | cut -c1-2)")
        [ -z "$last" ] || arguments+=(--to "$last")
        [ "$row" = main ] || arguments+=(--row "$row")
        echo "    bash$(printf ' %q' "$typed" "${arguments[@]}")" >&2
        exit "$code"
    fi
done

echo
echo "== scripts/report.py =="
started=$SECONDS
code=0
"$PYTHON" scripts/report.py "${arguments[@]}" || code=$?
times+=("$(printf '%5d s  %s' $((SECONDS - started)) scripts/report.py)")
[ "$code" -eq 0 ] || echo "The report could not be written (exit code $code); the run itself is complete." >&2

echo
echo "Time:"
printf '%s\n' "${times[@]}"
printf '%5d s  in all\n' $((SECONDS - began))
if [ -n "$workspace" ]; then
    echo "Look at $workspace/report.html; logs are in $workspace/logs."
else
    echo "Look at data/runs/$preset/report.html; logs are in logs/$preset."
fi
