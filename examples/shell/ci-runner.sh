#!/bin/sh
# Runs a test suite as a CI host does: without network, on a copy of the system, with a limit of
# memory and processes where cgroups are to be had. The status is the suite's own.
#
#     ci-runner.sh FOLDER COMMAND [ARG...]
set -eu

if [ $# -lt 2 ]; then
    echo "usage: ${0##*/} FOLDER COMMAND [ARG...]" >&2
    exit 125
fi
folder=$(cd "$1" && pwd -P)
shift

container() {
    "$@"
}
if cg-enter --memory-max 1G --pids-max 512 -- true 2>/dev/null; then
    container() {
        cg-enter --memory-max 1G --pids-max 512 -- "$@"
    }
else
    echo "${0##*/}: no cgroups here, so no limits" >&2
fi

container ns-unshare --hostname ci --keep-groups -- \
    fs-pivot --ephemeral --tmpfs /tmp --chdir "$folder" / -- \
    priv-drop --keep-groups -- mini-init --grace 2 -- "$@"
