# shellcheck shell=bash
# Sourced by the launchers: `stoppable COMMAND...` runs mpirun or ulmfit such that stopping the launcher saves the work.
#
# mpirun turns the Ctrl-C or TERM it gets into a kill of all ranks after about a second; only USR1 and USR2 reach them as they
# are. So the command runs in a session of its own, out of the terminal's reach, and INT, TERM, HUP and USR2 are passed on as
# USR2: ulmfit then saves at the next step and exits 75. If the launcher itself is killed outright, the kernel sends the USR2.

stoppable() {
  local child code=127 waited
  stopped_by= # the first signal that was passed on, for the caller
  setsid setpriv --pdeathsig USR2 -- "$@" &
  child=$!
  for signal in INT TERM HUP USR2; do
    # shellcheck disable=SC2064  # both are meant as they are now
    trap "pass_on_stop $signal $child" $signal
  done
  while true; do # a trapped signal ends `wait` early
    interrupted=no
    waited=0
    wait "$child" || waited=$?
    [ $waited = 127 ] || code=$waited # 127: the last `wait` had the exit code already
    [ $interrupted = yes ] || break
  done
  trap - INT TERM HUP USR2
  return $code
}

pass_on_stop() { # SIGNAL CHILD
  interrupted=yes
  stopped_by=${stopped_by:-$1}
  echo "stopping as soon as all that can be is saved (once more: stop at once)" >&2
  kill -USR2 "$2" 2> /dev/null || true
}

# How to start RANKS ranks on this machine: mpirun's arguments up to the program.
mpirun_here() {
  echo "mpirun --oversubscribe --bind-to none -n $1"
}

# Open MPI refuses to run as root unless told twice.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
