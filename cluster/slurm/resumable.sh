#!/usr/bin/env bash
# resumable.sh COMMAND OPTIONS...: runs `ulmfit COMMAND OPTIONS...` on all tasks of the Slurm job that this is the batch script
# of. Before the time limit Slurm sends USR2 (--signal=B:USR2@SECONDS); it is passed on, ulmfit saves and ends with 75, and
# the job is put back into the queue, where the same command goes on from the checkpoint.
set -uo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
ulmfit=${ULMFIT:-$home/build/ulmfit}
readonly stopped_after_saving=75

say() { echo "$(date '+%F %T') job ${SLURM_JOB_ID:-}: $*" >&2; }

if [ -z "${SLURM_JOB_ID:-}" ]; then
  say "this script belongs into a job: sbatch cluster/slurm/pretrain.sbatch OPTIONS"
  exit 2
fi
if [ ! -x "$ulmfit" ]; then
  say "cannot run $ulmfit: build it with launch/build where the nodes see it, or name the binary in ULMFIT"
  exit 2
fi
# shellcheck source=launch/stoppable.sh
source "$home/launch/stoppable.sh"

case ${SLURM_NTASKS:-1}:${ULMFIT_LAUNCHER:-mpirun} in
  1:*) launch=() ;;
  *:mpirun) launch=(mpirun --bind-to none -n "$SLURM_NTASKS") ;;
  # A rank that ended with 75 must not take the others with it; ulmfit ends the job itself when one is lost.
  *:srun) launch=(srun --mpi="${ULMFIT_PMI:-pmix}" --kill-on-bad-exit=0) ;;
  *) say "ULMFIT_LAUNCHER is $ULMFIT_LAUNCHER; expected mpirun or srun"; exit 2 ;;
esac

say "${launch[*]} $ulmfit $* on ${SLURM_JOB_NODELIST:-this node}, start $((${SLURM_RESTART_COUNT:-0} + 1))"
code=0
stoppable "${launch[@]}" "$ulmfit" "$@" || code=$?
# TERM is scancel's: the work is saved if there is time, and the job stays cancelled. After USR2 any failure goes back into the
# queue: launchers may give another code than 75 where a rank was slow to leave.
case $code:$stopped_by in
  0:*) say "done"; exit 0 ;;
  *:USR2 | "$stopped_after_saving":) ;;
  *) say "ended with exit code $code"; exit $code ;;
esac
say "stopped with exit code $code before the time limit; back into the queue"
if ! scontrol requeue "$SLURM_JOB_ID"; then
  say "cannot requeue (JobRequeue=0 in slurm.conf?): submit the same command again, it goes on from the checkpoint"
  exit $stopped_after_saving
fi
sleep 60 # the requeue ends this script; leaving before it would end the job
