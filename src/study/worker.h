// A worker of a study: takes one free cell after the other and runs it as a process of its own, so that a crash, a kill for
// memory or a bad cell ends nothing else. Any number of workers share a folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/stopwatch.h"
#include "comm/launch.h"
#include "study/study_folder.h"

namespace ulmfit::study {

struct WorkerOptions {
  std::vector<std::string> launcher;  // words in front of each cell's command: mpirun -n 2; none: one process
  comm::LocalPlace place;             // among the workers of this machine
  double patience = 10;               // seconds before cells that other workers hold are left to these
  double started = wall_clock();      // cells that broke before are tried again
  std::string launch{};               // the launcher's job, which ends all its workers with the first that ends with an
                                      // error; empty: started by hand
};

enum class WorkerEnd {
  kAllEnded,    // every cell is done, broken or blocked
  kOthersWork,  // what is not ended is run by other workers
  kStopped      // by a signal, passed on to the cell, which goes on with the next start
};

// Cells that broke before `started` are tried again, once, unless other workers are at work: these have. Throws ConfigError
// if no process can be started, and for a second worker where the file system has no locks; FileError if the folder cannot
// be written.
WorkerEnd work(const StudyFolder& folder, const std::vector<Cell>& cells, const WorkerOptions& options);

// The cores that the cell of a worker may use: its share of `cores`, those of this process, unless the launcher, which has
// `of_launcher`, has dealt them out already. Empty: all of its own.
std::vector<int> cores_of(const comm::LocalPlace& place, const std::vector<int>& cores, std::size_t of_launcher);

// The one GPU of a worker's cell, as CUDA_VISIBLE_DEVICES names it. `visible`: what the variable says now, null: unset.
// None where there are not several.
std::optional<std::string> gpu_of(const comm::LocalPlace& place, const char* visible, std::int64_t count);

// The last message that a program of this house has written to its log, without the time in front; of other programs the
// last line.
std::string last_message(const std::string& log);

}  // namespace ulmfit::study
