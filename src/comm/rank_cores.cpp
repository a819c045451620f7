#include "comm/rank_cores.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>
#include <string>

#include "base/hash.h"
#include "base/machine.h"

namespace ulmfit::comm {
namespace {

constexpr int kMostCores = 4096;  // of a machine; those of higher numbers are not counted

}  // namespace

int cores_of_rank(Communicator& comm) {
  if (comm.size() == 1) return available_cores();
  const std::string host = host_name();
  at::Tensor mine = at::zeros({8 + kMostCores}, at::kByte);  // which machine, and whether it may run on core i
  auto* bytes = mine.mutable_data_ptr<std::uint8_t>();
  const std::uint64_t machine = hash64(host.data(), host.size());
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(machine >> (8 * i));
  for (const int core : cores_allowed(0)) {
    if (core < kMostCores) bytes[8 + core] = 1;
  }
  const at::Tensor all = comm.all_gather(mine);
  std::vector<std::vector<int>> allowed;
  std::size_t own = 0;
  for (std::int64_t r = 0; r < all.size(0); ++r) {
    const auto* row = all[r].const_data_ptr<std::uint8_t>();
    if (!std::equal(bytes, bytes + 8, row)) continue;
    if (r == comm.rank()) own = allowed.size();
    allowed.emplace_back();
    for (int core = 0; core < kMostCores; ++core) {
      if (row[8 + core] != 0) allowed.back().push_back(core);
    }
  }
  return share_of_cores(allowed, own);
}

int share_of_cores(const std::vector<std::vector<int>>& allowed, std::size_t mine) {
  std::set<int> of_all;
  for (const auto& cores : allowed) of_all.insert(cores.begin(), cores.end());
  const std::size_t share = std::min(of_all.size() / allowed.size(), allowed.at(mine).size());
  return std::max(static_cast<int>(share), 1);
}

bool leaves_cores(int cores, int ranks, std::size_t of_launcher) {
  return 2 * static_cast<std::size_t>(cores) * static_cast<std::size_t>(ranks) <= of_launcher;
}

}  // namespace ulmfit::comm
