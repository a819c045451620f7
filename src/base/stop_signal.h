// The stop request: USR2 (and TERM where no mpirun stands above) sets a flag that the trainer reads at step boundaries.
// Open MPI turns TERM and INT at mpirun into a kill, so under mpirun USR2 is the one that arrives.
#pragma once

namespace ulmfit {

// Installs the handlers. Under a launcher (`under_launcher`), TERM keeps its default. A second signal exits at once
// with 128 + its number. Call once, before threads start.
void install_stop_signal(bool under_launcher);

bool stop_requested() noexcept;
void request_stop() noexcept;  // as if the signal had come (tests)
void clear_stop_request() noexcept;

}  // namespace ulmfit
