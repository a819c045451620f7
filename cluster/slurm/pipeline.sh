#!/usr/bin/env bash
# Submits the stages of a pipeline file (the one that `ulmfit run` takes) as jobs, each depending on the one before.
set -euo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

usage() {
  cat << 'END_OF_USAGE'
usage: cluster/slurm/pipeline.sh [--all "SBATCH OPTIONS"] [--on SECTION "SBATCH OPTIONS"]... [--chain N] PIPELINE

Submits each section of PIPELINE as a job: [pretrain] by pretrain.sbatch on several nodes, the others by stage.sbatch on one.
A job starts when the one before has ended well, requeues included; if that one fails, those behind it are cancelled.
Submitting the same again goes on: finished stages end at once.

  --all "..."           sbatch options of all jobs, for instance "--partition=gpu --account=me"
  --on SECTION "..."    sbatch options of one, for instance --on pretrain "--nodes=4 --ntasks-per-node=8 --gpus-per-node=8"
  --chain N             where jobs may not be requeued: each stage that trains is N jobs, each starting when the one before has
                        ended, however it did; what one time limit leaves, the next goes on with, and those behind the end of
                        the training end at once. The next stage waits for the last of them; it is cancelled if that one was
                        stopped or failed: N too small
  --help                this text

  cluster/slurm/pipeline.sh --on pretrain "--nodes=4 --ntasks-per-node=8 --gpus-per-node=8 --cpus-per-task=8" imdb-pipeline.cfg
END_OF_USAGE
}

refuse() {
  echo "pipeline.sh: $1" >&2
  exit 2
}

chain=1
declare -a for_all=()
declare -A for_section=()
pipeline=
while [ $# -gt 0 ]; do
  case $1 in
    --all) read -r -a for_all <<< "${2:?--all needs sbatch options}"; shift 2 ;;
    --on) for_section[${2:?--on needs a section}]=${3:?--on SECTION needs sbatch options}; shift 3 ;;
    --chain) chain=${2:?--chain needs a number of jobs}; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    -*) usage >&2; refuse "unknown option $1" ;;
    *) [ -z "$pipeline" ] || refuse "one pipeline file, not also $1"; pipeline=$1; shift ;;
  esac
done
[ -n "$pipeline" ] || { usage >&2; refuse "which pipeline file?"; }
[ -r "$pipeline" ] || refuse "cannot read $pipeline"
[[ $chain =~ ^[1-9][0-9]?$ ]] || refuse "--chain $chain: expected a number of jobs, 1 to 99"

# Blanks and comments away: "[section]" and "key=value" lines.
mapfile -t lines < <(sed -E 's/#.*//; s/^[[:space:]]+//; s/[[:space:]]+$//; /^$/d
  s/^([^=[:space:]]+)[[:space:]]*=[[:space:]]*/\1=/' "$pipeline")
sections=()
for line in "${lines[@]}"; do
  if [[ $line =~ ^\[(.+)\]$ ]]; then
    sections+=("${BASH_REMATCH[1]}")
  elif [[ $line != *=* ]]; then
    refuse "$pipeline: '$line' is neither [section] nor key = value"
  elif [[ $line =~ ^[^=]+=\" ]]; then
    refuse "$pipeline: ${line%%=*}: values in double quotes are not understood here; use a path without # and blanks at its ends"
  elif [ ${#sections[@]} = 0 ]; then
    refuse "$pipeline: ${line%%=*} stands before the first [section]"
  fi
done
[ ${#sections[@]} -gt 0 ] || refuse "$pipeline has no [section]"
for section in "${!for_section[@]}"; do
  printf '%s\n' "${sections[@]}" | grep -qxF -- "$section" || refuse "--on $section: $pipeline has no such section"
done

export ULMFIT_HOME=$home
before=
# submit DEPENDENCY SECTION OPTIONS...: prints the number of the job.
submit() {
  local dependency=$1 section=$2 job=("$home/cluster/slurm/stage.sbatch" "$2")
  [ "$section" != pretrain ] || job=("$home/cluster/slurm/pretrain.sbatch")
  local -a own=() after=()
  read -r -a own <<< "${for_section[$section]:-}"
  [ -z "$dependency" ] || after=(--dependency="$dependency" --kill-on-invalid-dep=yes)
  sbatch --parsable --job-name="ulmfit-$section" "${for_all[@]}" "${own[@]}" "${after[@]}" "${job[@]}" "${@:3}"
}

submit_section() { # SECTION OPTIONS...
  local number jobs=1 job section_before=${before:+afterok:$before} dependency
  dependency=$section_before
  case $1 in pretrain | finetune-lm | train-classifier) jobs=$chain ;; esac
  for ((job = 1; job <= jobs; ++job)); do
    number=$(submit "$dependency" "$@") || refuse "sbatch refused a job of [$1]; those before it are queued: scancel ${queued[*]:-none}"
    before=${number%%;*} # on several clusters: number;cluster
    queued+=("$before")
    echo "$1: job $before"
    # A stage that failed, and those behind it that were cancelled, must not let this one begin.
    dependency=${section_before:+$section_before,}afterany:$before
  done
}

queued=()
section=
options=()
for line in "${lines[@]}" "[]"; do # the last one ends the section before it
  if [[ $line == \[*\] ]]; then
    [ -z "$section" ] || submit_section "$section" "${options[@]}"
    section=${line:1:-1}
    options=()
  else
    options+=("--$line")
  fi
done
