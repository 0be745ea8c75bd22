# Steps of a test: what runs, how long it takes, what fails, what is skipped. To be sourced.
#
# Scripts that call each other share one list of results, STEPS_DIR/results: lines of "passed|failed|skipped, tab, name,
# tab, reason". The outermost one makes it, prints the summary and removes it.

if [ -z "${STEPS_DIR:-}" ]; then
    STEPS_DIR=$(mktemp -d)
    export STEPS_DIR
    steps_outermost=yes
    : >"$STEPS_DIR/results"
fi
steps_phase_began=
steps_children=()

# phase NAME: says what comes now, and how long took what was before it.
phase() {
    steps_end_phase
    steps_phase=$1 steps_phase_began=$SECONDS
    printf '\n== %s %s\n' "$(date +%T)" "$1"
}

steps_end_phase() {
    [ -z "$steps_phase_began" ] || printf '== %s: %s took %s s\n' "$(date +%T)" "$steps_phase" $((SECONDS - steps_phase_began))
    steps_phase_began=
}

steps_note() {
    printf '%s\t%s\t%s\n' "$1" "$2" "${3:-}" >>"$STEPS_DIR/results"
}

# step NAME COMMAND...: runs it; its output is shown only if it fails, its last line in any case.
step() {
    local name=$1 began=$SECONDS log="$STEPS_DIR/output"
    shift
    if "$@" </dev/null >"$log" 2>&1; then
        steps_note passed "$name"
        printf 'ok %s (%s s) %s\n' "$name" $((SECONDS - began)) "$(tail -n 1 "$log" | cut -c1-150)"
    else
        steps_note failed "$name"
        printf 'FAILED %s (%s s)\n' "$name" $((SECONDS - began))
        tail -n 60 "$log" | sed 's/^/    /'
        return 1
    fi
}

# long_step NAME COMMAND...: the same with its output shown as it comes.
long_step() {
    local name=$1 began=$SECONDS
    shift
    printf -- '-- %s: %s\n' "$name" "$*"
    if "$@" </dev/null; then
        steps_note passed "$name"
        printf 'ok %s (%s s)\n' "$name" $((SECONDS - began))
    else
        steps_note failed "$name"
        printf 'FAILED %s (%s s)\n' "$name" $((SECONDS - began))
        return 1
    fi
}

# skip NAME WHY
skip() {
    steps_note skipped "$1" "$2"
    printf 'skipped: %s: %s\n' "$1" "$2"
}

# background COMMAND...: starts it; it is killed at the end. Its process id is then in $!.
background() {
    "$@" &
    steps_children+=($!)
}

steps_count() {
    grep -c "^$1" "$STEPS_DIR/results"
}

# The end, whatever the reason: no process and no file is left. Exits 1 if something failed.
steps_finish() {
    local status=$?
    [ ${#steps_children[@]} = 0 ] || kill "${steps_children[@]}" 2>/dev/null
    wait 2>/dev/null
    steps_end_phase
    [ -n "${steps_outermost:-}" ] || exit "$status"
    printf '\n'
    sed -n 's/^failed\t\([^\t]*\).*/FAILED: \1/p; s/^skipped\t\([^\t]*\)\t/skipped: \1: /p' "$STEPS_DIR/results"
    local failed
    failed=$(steps_count failed)
    printf '%s passed, %s failed, %s skipped\n' "$(steps_count passed)" "$failed" "$(steps_count skipped)"
    rm -rf "$STEPS_DIR"
    [ "$status" != 0 ] || [ "$failed" = 0 ] || status=1
    exit "$status"
}
trap steps_finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
