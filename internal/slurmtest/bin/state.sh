# shellcheck shell=bash
# A cluster of one node in the directory $FAKE, for the commands beside this file:
# they print what the real ones were seen to print. Sourced, not run.
mkdir -p "$FAKE/jobs"
echo "${0##*/} $*" >>"$FAKE/calls"
job_dir() { echo "$FAKE/jobs/$1"; }
set_state() { echo "$2" >"$FAKE/jobs/$1/state"; }
