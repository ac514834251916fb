# When a run is started again: the rules of the shell launchers, which source this file. launch/gke/jobset.yaml says the
# same in Kubernetes' words. What the exit codes mean: hclx/errors.py. The two limits can be set in the environment.

MAX_RESTARTS=${MAX_RESTARTS:-5}   # in a row, of a run that saved nothing: a crash that repeats itself only costs money
MIN_SECONDS=${MIN_SECONDS:-3600}  # a run that lasted this long has saved; keep it above the time between two checkpoints

# The exit codes of single processes, from what srun or gcloud wrote about them in file $1.
exit_codes() {
    grep -oE 'exit (code|status) [0-9]+' "$1" | grep -oE '[0-9]+'
}

# Of the exit codes $@, the one that decides: an error that a restart would repeat may have taken the others down, and
# where one process says that the run was saved, it was, however the others ended.
deciding_code() {
    local code decides=0
    for code; do
        case $code in
            64 | 65 | 66) decides=$code && break ;;
            75) decides=75 ;;
            0) ;;
            *) [ "$decides" = 75 ] || decides=$code ;;
        esac
    done
    echo "$decides"
}

# Whether a run that ended with code $1 after $2 seconds starts again. $3: its model_dir. $4: file that counts restarts.
should_restart() {
    local code=$1 seconds=$2 model_dir=$3 counter=$4 count=0
    case $code in
        0) echo "launcher: done" && return 1 ;;
        64 | 65 | 66) echo "launcher: exit code $code: a restart would not help; the logs say what to change" && return 1 ;;
    esac
    [ -e "$model_dir/STOP" ] && echo "launcher: no restart while $model_dir/STOP is there" && return 1
    if [ "$code" != 75 ] && [ "$seconds" -lt "$MIN_SECONDS" ]; then
        count=$(($(cat "$counter" 2>/dev/null || echo 0) + 1))
    fi
    echo "$count" >"$counter"
    [ "$count" -gt "$MAX_RESTARTS" ] && echo "launcher: exit code $code again, after $MAX_RESTARTS restarts in a row: giving up" && return 1
    echo "launcher: exit code $code after $seconds s: starting again ($count of $MAX_RESTARTS in a row)"
}
