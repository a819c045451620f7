#include "base/machine.h"

#include <malloc.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

namespace ulmfit {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

// The number behind `key` in a file of lines "KEY NUMBER ...", or the number that a file begins with (empty key).
std::optional<std::uint64_t> number_in(const fs::path& file, const std::string& key = "") {
  std::ifstream in(file);
  std::uint64_t number = 0;
  if (key.empty()) return in >> number ? std::optional(number) : std::nullopt;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string first;
    if (words >> first >> number && first == key) return number;
  }
  return std::nullopt;
}

// What a control group and those above it leave; `top` is the root of the hierarchy.
std::uint64_t left_in_group(const fs::path& top, const std::string& group, const char* limit_file, const char* usage_file,
                            const char* cache) {
  std::uint64_t left = kUnlimited;
  for (fs::path folder = top / fs::path(group).relative_path();; folder = folder.parent_path()) {
    const auto limit = number_in(folder / limit_file);  // none: "max"
    const auto usage = number_in(folder / usage_file);
    if (limit && usage) {
      const std::uint64_t used = *usage - std::min(*usage, number_in(folder / "memory.stat", cache).value_or(0));
      left = std::min(left, *limit - std::min(*limit, used));
    }
    if (folder == top || !folder.has_relative_path()) return left;
  }
}

std::uint64_t left_in_groups(const fs::path& root) {
  std::uint64_t left = kUnlimited;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "ID:CONTROLLERS:PATH"
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) {
      left = std::min(left, left_in_group(root / "sys/fs/cgroup", group, "memory.max", "memory.current", "inactive_file"));
    } else if (controllers == "memory") {
      left = std::min(left, left_in_group(root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes",
                                          "memory.usage_in_bytes", "total_inactive_file"));
    }
  }
  return left;
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown host";
}

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

bool cpu_has(std::string_view flag) {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;) {
      if (word == flag) return true;
    }
    return false;  // of one core: all are alike
  }
  return false;
}

std::vector<int> cores_allowed(int process) {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (::sched_getaffinity(process, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<std::size_t>(core), &set)) cores.push_back(core);
  }
  return cores;
}

int available_cores() { return std::max(static_cast<int>(cores_allowed(0).size()), 1); }

std::map<std::string, CoreTime> core_times(const fs::path& tasks) {
  std::map<std::string, CoreTime> times;
  std::error_code error;  // a thread may end meanwhile
  for (auto task = fs::directory_iterator(tasks, error); !error && task != fs::directory_iterator();
       task.increment(error)) {
    CoreTime time;
    std::ifstream in(task->path() / "schedstat");
    if (in >> time.running >> time.waiting) times[task->path().filename()] = time;
  }
  return times;
}

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t peak_resident_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

std::uint64_t available_memory_bytes(const fs::path& root) {
  const auto kilobytes = number_in(root / "proc/meminfo", "MemAvailable:");
  return std::min(kilobytes ? *kilobytes * 1024 : kUnlimited, left_in_groups(root));
}

std::uint64_t available_address_space_bytes() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  const std::uint64_t pages = number_in("/proc/self/statm").value_or(0);
  const std::uint64_t used = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return limit.rlim_cur - std::min<std::uint64_t>(limit.rlim_cur, used);
}

void raise_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void keep_freed_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 64 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

void return_freed_memory() { ::malloc_trim(0); }

}  // namespace ulmfit
