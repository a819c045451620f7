// How many cores a rank may compute with.
#pragma once

#include <vector>

#include "comm/communicator.h"

namespace ulmfit::comm {

// Its share of the cores on which the ranks of its machine may run: all of its own where the launcher has bound each rank
// to some (srun --cpus-per-task, mpirun --map-by ...:PE=n), else those of the machine, or of the job, divided. Alike on all
// ranks of a machine; 1 or more. Collective.
int cores_of_rank(Communicator& comm);

// The same of the ranks of one machine; allowed[r]: the cores that its rank r may run on. A core of several ranks counts
// for each by its part, and the rank that has least decides.
int share_of_cores(const std::vector<std::vector<int>>& allowed);

// Whether `ranks` ranks with so many cores each leave half of the launcher's own, or more, to nobody: mpirun binds a rank
// to one core if it is told nothing else.
bool leaves_cores(int cores, int ranks, std::size_t of_launcher);

}  // namespace ulmfit::comm
