# shellcheck shell=bash
# Sourced by the launchers: `stoppable COMMAND...` runs mpirun or ulmfit such that stopping the launcher saves the work.
#
# mpirun turns the Ctrl-C or TERM it gets into a kill of all ranks after about a second; only USR1 and USR2 reach them as they
# are. So the command runs in a session of its own, out of the terminal's reach, and INT, TERM and HUP are passed on as USR2:
# ulmfit then saves at the next step and exits 75. If the launcher itself is killed outright, the kernel sends the USR2.

stoppable() {
  local child code
  setsid setpriv --pdeathsig USR2 -- "$@" &
  child=$!
  trap 'echo "stopping: a checkpoint is being saved (once more: stop at once)" >&2
    kill -USR2 "$child" 2> /dev/null || true' INT TERM HUP
  while true; do # a trapped signal ends `wait` early
    code=0
    wait "$child" || code=$?
    kill -0 "$child" 2> /dev/null || break
  done
  trap - INT TERM HUP
  return $code
}

# How to start RANKS ranks on this machine: mpirun's arguments up to the program.
mpirun_here() {
  echo "mpirun --oversubscribe --bind-to none -n $1"
}

# Open MPI refuses to run as root unless told twice.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
