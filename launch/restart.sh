# Rules by which the shell launchers, which source this file, restart a run. launch/gke/jobset.yaml states the same rules for
# Kubernetes, and hclx/errors.py explains the exit codes. The two limits can be set in the environment.

MAX_RESTARTS=${MAX_RESTARTS:-5}   # in a row, of a run that saved nothing: a repeated crash only costs money
MIN_SECONDS=${MIN_SECONDS:-3600}  # a run that lasted this long has saved; keep it above the time between two checkpoints

# Prints the exit codes of the processes, from the messages of srun or gcloud in file $1.
exit_codes() {
    grep -oE 'exit (code|status) [0-9]+' "$1" | grep -oE '[0-9]+'
}

# Prints which of the exit codes $@ decides. An error that a restart would repeat may have ended the other processes too, and
# if one process reports that the run was saved, it was, however the others ended.
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

# Decides whether a run that ended with code $1 after $2 seconds is restarted. $3: its model_dir. $4: file that counts restarts.
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
