#include "comm/rank_cores.h"

#include <ATen/ATen.h>

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <map>
#include <string>

#include "base/hash.h"
#include "base/machine.h"

namespace ulmfit::comm {
namespace {

constexpr int kMostCores = CPU_SETSIZE;  // that an affinity mask tells of

// Alike on all ranks of a machine, whatever their containers call it.
std::uint64_t machine() {
  std::string name = host_name();
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::getline(in, name);
  return hash64(name.data(), name.size());
}

}  // namespace

int cores_of_rank(Communicator& comm) {
  if (comm.size() == 1) return available_cores();
  at::Tensor mine = at::zeros({8 + kMostCores}, at::kByte);  // which machine, and whether it may run on core i
  auto* bytes = mine.mutable_data_ptr<std::uint8_t>();
  const std::uint64_t here = machine();
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(here >> (8 * i));
  for (const int core : cores_allowed(0)) bytes[8 + core] = 1;
  const at::Tensor all = comm.all_gather(mine);
  std::vector<std::vector<int>> allowed;
  for (std::int64_t r = 0; r < all.size(0); ++r) {
    const auto* row = all[r].const_data_ptr<std::uint8_t>();
    if (!std::equal(bytes, bytes + 8, row)) continue;
    allowed.emplace_back();
    for (int core = 0; core < kMostCores; ++core) {
      if (row[8 + core] != 0) allowed.back().push_back(core);
    }
  }
  return share_of_cores(allowed);
}

int share_of_cores(const std::vector<std::vector<int>>& allowed) {
  std::map<int, int> ranks_on;
  for (const auto& cores : allowed) {
    for (const int core : cores) ++ranks_on[core];
  }
  double least = HUGE_VAL;
  for (const auto& cores : allowed) {
    double share = 0;
    for (const int core : cores) share += 1.0 / ranks_on[core];
    least = std::min(least, share);
  }
  constexpr double kRounding = 1e-6;
  return std::max(static_cast<int>(least + kRounding), 1);
}

bool leaves_cores(int cores, int ranks, std::size_t of_launcher) {
  return 2 * static_cast<std::size_t>(cores) * static_cast<std::size_t>(ranks) <= of_launcher;
}

}  // namespace ulmfit::comm
