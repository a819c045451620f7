#include "stages/shared_cores.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <optional>
#include <stop_token>
#include <system_error>
#include <vector>

#include "base/log.h"

namespace ulmfit::stages {
namespace {

constexpr double kShared = 0.10;
constexpr double kAlone = 0.05;
constexpr int kBusySeconds = 2;
constexpr int kQuietSeconds = 5;

double waiting_share(const std::map<std::string, CoreTime>& before, const std::map<std::string, CoreTime>& now) {
  std::uint64_t running = 0;
  std::uint64_t waiting = 0;
  for (const auto& [thread, time] : now) {
    const auto old = before.find(thread);
    const CoreTime since = old == before.end() || old->second.running > time.running ? CoreTime{} : old->second;
    running += time.running - since.running;
    waiting += time.waiting - std::min(since.waiting, time.waiting);
  }
  return running + waiting > 0 ? static_cast<double>(waiting) / static_cast<double>(running + waiting) : 0;
}

// libgomp ends the process if a thread cannot be started. So it is tried before, with as many threads at once.
bool can_start(int threads) {
  std::vector<std::thread> tried;
  std::promise<void> end;
  const std::shared_future<void> ended(end.get_future());
  bool all = true;
  try {
    for (int i = 0; i < threads; ++i) tried.emplace_back([ended] { ended.wait(); });
  } catch (const std::system_error&) {
    all = false;
  }
  end.set_value();
  for (std::thread& thread : tried) thread.join();
  return all;
}

}  // namespace

bool SharingDetector::shared(const std::map<std::string, CoreTime>& now) {
  if (!before_.empty()) {
    const double share = waiting_share(before_, now);
    busy_seconds_ = share > kShared ? busy_seconds_ + 1 : 0;
    quiet_seconds_ = share < kAlone ? quiet_seconds_ + 1 : 0;
    if (busy_seconds_ >= kBusySeconds) shared_ = true;
    if (quiet_seconds_ >= kQuietSeconds) shared_ = false;
  }
  before_ = now;
  return shared_;
}

IdleTeam::IdleTeam(int threads)
    : thread_([this, threads](const std::stop_token& stop) {
        std::atomic<int> started = 0;  // the compiler leaves an empty loop out
#pragma omp parallel num_threads(threads)
        ++started;
        // The team's threads stay for this thread's next parallel loop, which never comes.
        std::unique_lock lock(mutex_);
        ready_ = true;
        changed_.notify_all();
        changed_.wait(lock, stop, [] { return false; });
      }) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ready_; });
}

namespace {

// Until it is told to stop.
void watch(const std::stop_token& stop) {
  const int team_size = available_cores() + 1;  // more than the cores, whatever team a library starts beside it
  SharingDetector detector;
  std::optional<IdleTeam> idle;
  bool told = false;
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  while (!changed.wait_for(lock, stop, std::chrono::seconds(1), [&] { return stop.stop_requested(); })) {
    const bool shared = detector.shared(core_times());
    if (!shared) idle.reset();
    if (!shared || idle) continue;
    if (!can_start(team_size + 1)) return;  // with the thread that starts the team
    idle.emplace(team_size);
    if (!told) {
      log::info(
          "stages",
          "the cores are wanted by others too: while that lasts, threads sleep sooner when they wait for one another");
    }
    told = true;
  }
}

}  // namespace

SharedCores::SharedCores(int threads) {
  if (threads < 2 || core_times().empty()) return;
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  try {
    watch_ = std::jthread(watch);
  } catch (const std::system_error&) {  // then threads spin as ever
  }
}

}  // namespace ulmfit::stages
