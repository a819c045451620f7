#include "comm/gpu_choice.h"

#include <algorithm>
#include <map>

#include "base/error.h"

namespace ulmfit::comm {

std::vector<std::size_t> choose_gpus(const std::vector<std::vector<std::string>>& visible, bool may_share) {
  std::map<std::string, std::vector<std::size_t>> owners;  // ranks by GPU
  std::vector<std::size_t> chosen;
  for (std::size_t rank = 0; rank < visible.size(); ++rank) {
    const std::vector<std::string>& gpus = visible[rank];
    if (gpus.empty()) {
      throw CommError(
          str("choosing a GPU for rank ", rank, ": it sees none; start it where CUDA_VISIBLE_DEVICES names one"));
    }
    const auto best = std::min_element(gpus.begin(), gpus.end(), [&](const std::string& a, const std::string& b) {
      return owners[a].size() < owners[b].size();  // of equals the first
    });
    const std::vector<std::size_t>& others = owners[*best];
    if (!others.empty() && !may_share) {
      throw CommError(str("choosing a GPU for rank ", rank, ": ", gpus.size() == 1 ? "the one" : "each of those",
                          " that it sees (", *best, gpus.size() == 1 ? "" : " among them", ") is taken, that one by rank ",
                          others.front(),
                          "; start one rank a GPU, or set NCCL_MULTI_RANK_GPU_ENABLE=1 (NCCL 2.30 or later)"));
    }
    chosen.push_back(static_cast<std::size_t>(best - gpus.begin()));
    owners[*best].push_back(rank);
  }
  return chosen;
}

}  // namespace ulmfit::comm
