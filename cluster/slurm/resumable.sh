#!/usr/bin/env bash
# resumable.sh COMMAND OPTIONS...: runs `ulmfit COMMAND OPTIONS...` on all tasks of the Slurm job that this is the batch script
# of. Before the time limit Slurm sends USR2 (--signal=B:USR2@SECONDS); it is passed on, ulmfit saves and ends, and the job is
# put back into the queue, where the same command goes on from the checkpoint.
#
# Whether all was saved is not told by the exit code, of which launchers make another where a rank was slow to leave, but by
# ulmfit's rank 0: it appends a line to ./ulmfit-JOB.stops, the file that ULMFIT_STOP_FILE names.
set -uo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
ulmfit=${ULMFIT:-$home/build/ulmfit}
readonly stopped_after_saving=75
readonly most_stops_at_one_step=3

say() { echo "$(date '+%F %T') job ${SLURM_JOB_ID:-}: $*" >&2; }

if [ -z "${SLURM_JOB_ID:-}" ]; then
  say "this script belongs into a job: sbatch cluster/slurm/pretrain.sbatch OPTIONS"
  exit 2
fi
if [ ! -x "$ulmfit" ]; then
  say "cannot run $ulmfit: build it with launch/build where the nodes see it, or name the binary in ULMFIT"
  exit 2
fi
for option in "$@"; do
  case $option in
    --restart | --restart=* | --restart-from | --restart-from=*)
      say "$option would begin anew at every start of this job; move the old run folder away yourself, or give another --output"
      exit 2
      ;;
  esac
done
export ULMFIT_STOP_FILE=$PWD/ulmfit-$SLURM_JOB_ID.stops
[ "${SLURM_RESTART_COUNT:-0}" != 0 ] || rm -f "$ULMFIT_STOP_FILE" # of another job that had this number
if ! : >> "$ULMFIT_STOP_FILE"; then
  say "cannot write $ULMFIT_STOP_FILE: submit in a folder that the first node of the job can write to"
  exit 2
fi
# shellcheck source=launch/stoppable.sh
source "$home/launch/stoppable.sh"

case ${SLURM_NTASKS:-1}:${ULMFIT_LAUNCHER:-mpirun} in
  1:*) launch=() ;;
  *:mpirun) launch=(mpirun --bind-to none -x ULMFIT_STOP_FILE ${NCCL_CONF_FILE:+-x NCCL_CONF_FILE} -n "$SLURM_NTASKS") ;;
  # A rank that ended with 75 must not take the others with it; ulmfit ends the job itself when one is lost.
  *:srun)
    [ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # srun does not take sbatch's by itself
    launch=(srun --export=ALL --mpi="${ULMFIT_PMI:-pmix}" --kill-on-bad-exit=0)
    ;;
  *) say "ULMFIT_LAUNCHER is $ULMFIT_LAUNCHER; expected mpirun or srun"; exit 2 ;;
esac

stops() { # lines so far; a file that was taken away tells of none
  if [ -r "$ULMFIT_STOP_FILE" ]; then wc -l < "$ULMFIT_STOP_FILE"; else echo 0; fi
}

# Whether the last stops, as many as are allowed, were all the same: no step is done between two starts.
stands_still() {
  [ "$(stops)" -ge $most_stops_at_one_step ] &&
    [ "$(tail -n $most_stops_at_one_step "$ULMFIT_STOP_FILE" | sort -u | wc -l)" = 1 ]
}

say "${launch[*]} $ulmfit $* on ${SLURM_JOB_NODELIST:-this node}, start $((${SLURM_RESTART_COUNT:-0} + 1))"
before=$(stops)
code=0
stoppable "${launch[@]}" "$ulmfit" "$@" || code=$?
if [ $code = 0 ]; then
  rm -f "$ULMFIT_STOP_FILE"
  say "done"
  exit 0
fi
if [ "$(stops)" -le "$before" ]; then
  [ -s "$ULMFIT_STOP_FILE" ] || rm -f "$ULMFIT_STOP_FILE"
  say "ended with exit code $code"
  [ "$stopped_by" != USR2 ] ||
    say "told to stop before the time limit, it has saved nothing; what does not train starts over: give it a longer --time"
  exit $code
fi
say "$(tail -n 1 "$ULMFIT_STOP_FILE") (exit code $code)"
case $stopped_by in
  USR2 | "") ;;
  *) exit $code ;; # TERM is scancel's: the job stays cancelled
esac
if stands_still; then
  say "$most_stops_at_one_step times in a row: the time limit leaves no time for a step; raise --time, or lower the SECONDS of" \
    "--signal=B:USR2@SECONDS, and submit the same command again: it goes on from the checkpoint"
  exit $stopped_after_saving
fi
say "back into the queue"
if ! scontrol requeue "$SLURM_JOB_ID"; then
  say "cannot requeue this job: submit the same command again, it goes on from the checkpoint (README.md: Where jobs may not be requeued)"
  exit $stopped_after_saving
fi
sleep 60 # the requeue ends this script; leaving before it would end the job
