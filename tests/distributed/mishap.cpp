// A program in which one rank has a mishap while the others wait for it; ends_together.sh looks at how all of them end.
//   mishap throw|unknown|all|late|none RANK
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/log.h"
#include "comm/launch.h"

namespace {

using namespace ulmfit;

ExitCode body(comm::Communicator& comm, const std::string& kind, int rank) {
  comm.barrier();
  const bool mine = comm.rank() == rank;
  if (kind == "all") throw DataError("shard 12 is missing");
  if (mine && kind == "throw") throw DivergedError("the loss is nan at step 7");
  if (mine && kind == "unknown") throw std::runtime_error("out of cheese");
  if (mine && kind == "late") std::this_thread::sleep_for(std::chrono::seconds(60));
  comm.barrier();
  return ExitCode::kStopped;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return static_cast<int>(ExitCode::kConfig);
  const std::string kind = argv[1];
  comm::LaunchOptions options;
  options.deadline = std::chrono::seconds(kind == "late" ? 1 : 600);
  try {
    const ExitCode code =
        comm::run_on_ranks(options, [&](comm::Communicator& comm) { return body(comm, kind, std::atoi(argv[2])); });
    comm::leave_ranks();
    return static_cast<int>(code);
  } catch (const Error& error) {
    log::error("mishap", error.what());
    return static_cast<int>(error.code());
  }
}
