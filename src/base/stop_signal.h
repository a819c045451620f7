// The stop request: USR2 (and TERM where no mpirun stands above) sets a flag that the trainer reads at step boundaries.
// Open MPI turns TERM and INT at mpirun into a kill, so under mpirun USR2 is the one that arrives.
#pragma once

#include <string_view>

namespace ulmfit {

// While one lives, the signals only ask for a stop; a second one ends the process at once with 128 + its number. Before the
// first has been made a signal does what it does by default, between two it ends the process with 128 + its number: what
// does not look at stop_requested() must not outlive a signal, or its half work passes for the whole.
class StopSignalScope {
 public:
  // Lets a thread of its own wait for the signals, which are blocked in the calling thread and all that it starts later:
  // the first is to be made before threads start. Under a launcher (`under_launcher`), TERM and INT keep their defaults.
  explicit StopSignalScope(bool under_launcher);
  ~StopSignalScope();
  StopSignalScope(const StopSignalScope&) = delete;
  StopSignalScope& operator=(const StopSignalScope&) = delete;
};

bool stop_requested() noexcept;  // by a signal within any scope

// Appends the line "stopped after saving, WHAT" to the file that the environment variable ULMFIT_STOP_FILE names, if it is
// set; a warning if that fails. A job script requeues by it, for launchers do not always pass exit code 75 on. Rank 0,
// after all is saved.
void tell_job_script_of_stop(std::string_view what);

}  // namespace ulmfit
