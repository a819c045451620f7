#include "comm/gpu_choice.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <map>
#include <sstream>
#include <string_view>

#include "base/error.h"

namespace ulmfit::comm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDigits = "0123456789";

// "/dev/nvidia0", if it is there and this process may use it (a job without GPUs may not); else the first with another
// number; empty: none.
std::string device_node(const fs::path& root) {
  constexpr std::string_view kStart = "nvidia";
  std::string first;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / "dev", error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kStart) || name.size() == kStart.size()) continue;
    if (name.find_first_not_of(kDigits, kStart.size()) != std::string::npos) continue;
    const int opened = ::open(entry.path().c_str(), O_RDWR | O_CLOEXEC);
    if (opened < 0 && (errno == EPERM || errno == EACCES)) continue;
    if (opened >= 0) ::close(opened);
    if (first.empty() || name < first) first = name;
  }
  return first.empty() ? "" : "/dev/" + first;
}

// "580.65.06", from "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun ..."; empty: it is not told.
std::string driver_version(const fs::path& root) {
  std::ifstream in(root / "proc/driver/nvidia/version");
  std::string line;
  std::getline(in, line);
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    const std::size_t dot = word.find_first_not_of(kDigits);
    if (dot == 0 || dot == std::string::npos || word[dot] != '.') continue;
    if (word.find_first_not_of("0123456789.") == std::string::npos) return word;
  }
  return "";
}

// The oldest driver that serves the runtime (release notes of the CUDA toolkit).
int oldest_driver(long runtime) { return runtime >= 13000 ? 580 : 525; }

// CUDA reads the list up to the first entry that is neither a number nor the name of a GPU or a part of one.
bool hides_all(const char* visible) {
  if (visible == nullptr) return false;
  const std::string_view list(visible);
  const bool names_one = list.starts_with("GPU-") || list.starts_with("MIG-");
  return list.empty() || (kDigits.find(list.front()) == std::string_view::npos && !names_one);
}

}  // namespace

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

std::string gpu_out_of_reach(const fs::path& root, const char* visible, long runtime) {
  const std::string node = device_node(root);
  if (node.empty() || hides_all(visible)) return "";
  const std::string driver = driver_version(root), cuda = str(runtime / 1000, ".", runtime % 1000 / 10);
  std::string text = str("this machine has an NVIDIA GPU (", node, ") that CUDA ", cuda, " cannot use: ");
  const int needed = oldest_driver(runtime);
  if (driver.empty()) {
    text += "its driver is not loaded; load it";
  } else if (std::stoi(driver) < needed) {
    text += str("its driver is ", driver, ", and ", needed, " or newer is needed; update it");
  } else {
    text += str("its driver, ", driver, ", is new enough; ask nvidia-smi what is wrong, look whether CUDA_VISIBLE_DEVICES",
                visible == nullptr ? " is meant to be unset" : str("=", visible, " names what there is"));
  }
  return text + ", or give --device cpu";
}

}  // namespace ulmfit::comm
