// The stop request: USR2 (and TERM where no mpirun stands above) sets a flag that the trainer reads at step boundaries.
// Open MPI turns TERM and INT at mpirun into a kill, so under mpirun USR2 is the one that arrives.
#pragma once

namespace ulmfit {

// Lets a thread of its own wait for the signals, which are blocked in the calling thread and all that it starts
// later. Under a launcher (`under_launcher`), TERM and INT keep their defaults. A second signal exits at once with
// 128 + its number. To be called before threads start; calls after the first do nothing.
void install_stop_signal(bool under_launcher);

bool stop_requested() noexcept;

}  // namespace ulmfit
