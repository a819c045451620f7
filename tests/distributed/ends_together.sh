#!/usr/bin/env bash
# ends_together.sh EXIT_CODE SECONDS MESSAGE COMMAND...: the command ends with that code, within that time, and prints the message.
set -u
expected=$1 limit=$2 message=$3
shift 3
begin=$(date +%s)
output=$(timeout --signal=KILL 60 "$@" 2>&1)
code=$?
seconds=$(($(date +%s) - begin))
echo "$output"
echo "exit code $code after $seconds s; expected $expected within $limit s, and the message: $message"
count=$(grep -c -F -- "$message" <<< "$output")
[[ $code == "$expected" && $seconds -le $limit && $count -ge 1 ]] || exit 1
# One that all ranks meet alike is printed once.
[[ ${ONCE:-no} == no || $count == 1 ]]
