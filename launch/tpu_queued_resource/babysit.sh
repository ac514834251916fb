#!/usr/bin/env bash
# Pretrains on a TPU slice: queues for one, and queues again when it is lost. Runs on a machine that stays on and has gcloud:
#   launch/tpu_queued_resource/babysit.sh
# On Ctrl-C or SIGTERM the run saves, and the slice is deleted. Edit this block, or set its names in the environment;
# CODE and MODEL_DIR are in a folder that SETUP mounts on every worker, and COMMAND runs in CODE. ../README.md has more.
NAME=${NAME:-hclx}
ZONE=${ZONE:-us-east5-a}
ACCELERATOR=${ACCELERATOR:-v5p-128}
RUNTIME=${RUNTIME:-v2-alpha-tpuv5}
CREATE=${CREATE---spot} # more flags of `gcloud compute tpus queued-resources create`
SETUP=${SETUP:-sudo mkdir -p /shared && sudo mount -t nfs FILE_SERVER:/shared /shared}
CODE=${CODE:-/shared/hclx}
MODEL_DIR=${MODEL_DIR:-/shared/runs/pretrain}
COMMAND=${COMMAND:-.venv/bin/python launch/pretrain.py --gin_file=gin_configs/sizes/1b3.gin --gin_file=gin_configs/runs/pretrain.gin --model_dir=$MODEL_DIR}
GRACE=${GRACE:-300} # seconds between SIGTERM and the end of the slice
POLL=${POLL:-30}    # seconds between two queries of its state

# shellcheck source=launch/restart.sh
. "$(dirname "$0")/../restart.sh" || exit 64
created='' stopping='' # whether our slice may exist; the second at which this script was asked to stop
scratch=$(mktemp -d)
trap 'delete; rm -r "$scratch"' EXIT
trap 'stopping=${stopping:-$SECONDS}' INT TERM

resource() { # verb, flags
    gcloud compute tpus queued-resources "$1" "$NAME" --zone="$ZONE" --quiet "${@:2}"
}

create() {
    created=yes # even if it fails, because it may have been interrupted
    # shellcheck disable=SC2086 # CREATE is several words
    resource create --node-id="$NAME" --accelerator-type="$ACCELERATOR" --runtime-version="$RUNTIME" $CREATE
}

delete() {
    [ -z "$created" ] || { resource delete --force && created=''; }
}

state() { # prints nothing if gcloud cannot tell
    resource describe --format='value(state.state)' 2>/dev/null
}

lost() {
    case $(state) in FAILED | SUSPENDING | SUSPENDED | DELETING) return 0 ;; *) return 1 ;; esac
}

wait_until_active() {
    until [ "$(state)" = ACTIVE ]; do
        if lost || [ -n "$stopping" ] || [ -e "$MODEL_DIR/STOP" ]; then return 1; fi
        sleep "$POLL"
    done
}

on_workers() { # which, command
    gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --quiet --worker="$1" --command="$2"
}

# Runs the command on all workers until it ends, or the slice is lost, or the time to save is over. Sets `code` and `seconds`.
run() {
    # shellcheck disable=SC2016 # a worker expands it
    local worker='${HOSTNAME##*-}' logs=$MODEL_DIR/logs # a worker's name ends in its number
    # Not exec: ssh reports nothing about a process that a signal ended, and gcloud would start the command once more.
    local command="mkdir -p $logs && cd $CODE && { $COMMAND >>$logs/process_$worker.log 2>&1 & echo \$! >$logs/pid_$worker; wait \$!; }"
    local started=$SECONDS asked='' taken='' ssh
    set -m # in a process group of its own: Ctrl-C does not reach it, and it can be ended as a whole
    { on_workers all "$SETUP" && on_workers all "$command"; } >"$scratch/ssh.log" 2>&1 &
    set +m
    ssh=$!
    while kill -0 "$ssh" 2>/dev/null; do
        sleep "$POLL"
        if [ -n "$stopping" ] && [ -z "$asked" ]; then
            asked=yes
            on_workers 0 "kill -TERM \$(cat $logs/pid_0)" # one is enough: they all stop at the same step
        fi
        lost && taken=yes
        if [ -n "$taken" ] || { [ -n "$stopping" ] && [ $((SECONDS - stopping)) -gt "$GRACE" ]; }; then kill -- "-$ssh"; fi
    done
    wait "$ssh"
    code=$?
    cat "$scratch/ssh.log"
    # shellcheck disable=SC2046 # one word a process
    code=$(deciding_code $(exit_codes "$scratch/ssh.log") "$code")
    seconds=${taken:+$MIN_SECONDS} # the run is not to blame for the loss of its slice
    seconds=${seconds:-$((SECONDS - started))}
}

if [ -n "$(state)" ]; then
    echo "launcher: there is a queued resource $NAME in $ZONE already: choose another NAME, or delete that one"
    exit 64
fi
while :; do
    code=70 seconds=0 # if no slice becomes active
    create && wait_until_active && run
    delete
    if [ -n "$stopping" ] || ! should_restart "$code" "$seconds" "$MODEL_DIR" "$scratch/restarts"; then break; fi
    sleep "$POLL"
done
exit "$code"
