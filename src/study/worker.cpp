#include "study/worker.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/file_lock.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/program.h"
#include "base/stop_signal.h"
#include "base/stopwatch.h"
#include "reports/number_format.h"
#include "stages/compute.h"
#include "study/results.h"

namespace ulmfit::study {
namespace {

constexpr std::chrono::milliseconds kLook{50};     // at the running cell
constexpr std::chrono::milliseconds kPause{1000};  // until others may have freed a cell

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  char text[32];
  ::gmtime_r(&now, &parts);
  return {text, std::strftime(text, sizeof text, "%F %T UTC", &parts)};
}

// "12:34:56 " in front of a line.
bool has_time(const std::string& line) {
  constexpr std::string_view kForm = "00:00:00 ";
  if (line.size() < kForm.size()) return false;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    const bool digit = line[i] >= '0' && line[i] <= '9';
    if (kForm[i] == '0' ? !digit : line[i] != kForm[i]) return false;
  }
  return true;
}

// Where the file system has no locks nothing keeps two workers from one cell: the first one refuses all others.
std::unique_ptr<FileLock> only_worker(const fs::path& folder) {
  const fs::path file = folder / ".worker";
  const std::string text = fs::exists(file) ? read_file(file) : "";
  const auto refuse = [&] {
    throw ConfigError(str("the file system of ", folder.string(),
                          " has no locks (flock), so that one worker alone can be at work, ", "and there is one (",
                          text.substr(0, text.find('\n')), "); if it has ended, remove ", file.string()));
  };
  if (!text.empty() && !text.starts_with("host " + host_name() + ",")) refuse();
  try {
    return std::make_unique<FileLock>(file);
  } catch (const CheckpointError&) {
    refuse();
  }
  return nullptr;
}

class Worker {
 public:
  Worker(const StudyFolder& folder, const std::vector<Cell>& cells, const WorkerOptions& options)
      : folder_(folder),
        cells_(cells),
        options_(options),
        again_before_(others_work() ? 0 : options.started),
        environment_(comm::environment_without_launcher()) {
    cores_ = cores_of(options.place, cores_allowed(0), cores_allowed(::getppid()).size());
    if (!options.launcher.empty()) return;  // its ranks choose among all GPUs
    if (const auto gpu = gpu_of(options.place, std::getenv("CUDA_VISIBLE_DEVICES"), stages::gpu_count())) {
      std::erase_if(environment_, [](const std::string& entry) { return entry.starts_with("CUDA_VISIBLE_DEVICES="); });
      environment_.push_back("CUDA_VISIBLE_DEVICES=" + *gpu);
    }
  }

  WorkerEnd work() {
    for (bool waited = false;;) {
      if (stop_requested()) {
        // Job scripts take the same line several times in a row for a job that does not come on; one that waits does.
        const std::string wait = waited ? str("while others run what it waits for, at ", utc_now()) : "before a cell";
        tell_job_script_of_stop(str("study ", folder_.path().string(), ", ", wait));
        return stopped();
      }
      const Turn turn = take_one();
      if (turn == Turn::kStopped) return stopped();
      if (turn == Turn::kAllEnded) return WorkerEnd::kAllEnded;
      if (turn != Turn::kOthersWork) others_alone_ = Stopwatch();
      if (turn == Turn::kOthersWork && others_alone_.seconds() >= options_.patience) return WorkerEnd::kOthersWork;
      waited = turn != Turn::kRan;
      if (waited) std::this_thread::sleep_for(kPause);
    }
  }

 private:
  enum class Turn { kRan, kStopped, kWait, kOthersWork, kAllEnded };

  // Runs the first cell that nobody runs and whose needs are met.
  Turn take_one() {
    const std::map<std::string, State> states = states_of(cells_, folder_.records(cells_), again_before_);
    bool others = false, waiting = false;
    for (const Cell& cell : cells_) {
      const State state = states.at(cell.name);
      waiting = waiting || state == State::kWaiting;
      if (state != State::kOpen && state != State::kStopped) continue;
      const std::unique_ptr<FileLock> lock = take(cell);
      if (lock == nullptr) {
        // What a killed worker has left running ends soon; the cell is free then.
        (FileLock::is_left_over(lock_file(cell)) ? waiting : others) = true;
        continue;
      }
      // Another worker may have ended it since its state was read.
      const Record record = folder_.record(cell.name);
      if (record.state == State::kDone || (record.state == State::kBroken && record.ended >= again_before_))
        return Turn::kRan;
      return run(cell, record, *lock);
    }
    if (waiting) return Turn::kWait;
    return others ? Turn::kOthersWork : Turn::kAllEnded;
  }

  bool others_work() const {
    return std::any_of(cells_.begin(), cells_.end(), [this](const Cell& cell) {
      return FileLock::holder(lock_file(cell)) && !FileLock::is_left_over(lock_file(cell));
    });
  }

  WorkerEnd stopped() const {
    // A launcher ends all its ranks with the first that ends so: the others' cells save before.
    const auto running = [this](const Cell& cell) {
      const fs::path launch = folder_.cell(cell.name) / "launch";
      return FileLock::holder(lock_file(cell)) && fs::exists(launch) && read_file(launch) == options_.launch;
    };
    while (!options_.launch.empty() && std::any_of(cells_.begin(), cells_.end(), running)) {
      std::this_thread::sleep_for(kPause);
    }
    return WorkerEnd::kStopped;
  }

  fs::path lock_file(const Cell& cell) const { return folder_.cell(cell.name) / ".lock"; }

  std::unique_ptr<FileLock> take(const Cell& cell) {
    const fs::path file = lock_file(cell);
    if (FileLock::holder(file)) return nullptr;
    try {
      auto lock = std::make_unique<FileLock>(file);
      if (!lock->by_flock() && alone_ == nullptr) alone_ = only_worker(folder_.path());
      return lock;
    } catch (const CheckpointError&) {
      return nullptr;
    }
  }

  Turn run(const Cell& cell, Record record, const FileLock& lock) {
    const fs::path folder = folder_.cell(cell.name);
    const fs::path log_file = folder / "log.txt";
    log::info("study",
              str(cell.name, record.state == State::kOpen ? "" : str(" again (it was ", name_of(record.state), ")")));
    const std::uintmax_t said_before = fs::exists(log_file) ? fs::file_size(log_file) : 0;
    std::vector<std::string> words = options_.launcher;
    for (const std::string& word : {program_, std::string("run"), "--config=cells/" + cell.name + "/pipeline.cfg"}) {
      words.push_back(word);
    }
    write_file_atomic(folder / "launch", options_.launch);
    const Stopwatch watch;
    // The child holds the cell's lock too: what a killed worker leaves running keeps others out until it has ended.
    Program program(words, {.output = folder / "output.jsonl",
                            .errors = log_file,
                            .environment = environment_,
                            .cores = cores_,
                            .folder = folder_.path(),
                            .death_signal = options_.launcher.empty() ? SIGTERM : SIGUSR2,  // mpirun makes a kill of TERM
                            .kept_open = lock.descriptor(),
                            .own_group = true});
    bool asked = false;
    while (!program.status()) {
      if (stop_requested() && !asked) {
        program.send(SIGUSR2);
        asked = true;
      }
      std::this_thread::sleep_for(kLook);
    }
    record.seconds += watch.seconds();
    record.exit_code = *program.status();
    record.message.clear();
    record.ended = wall_clock();
    return keep(cell, record, asked, read_file(log_file).substr(said_before));
  }

  Turn keep(const Cell& cell, Record& record, bool asked, const std::string& said) {
    const bool saved = record.exit_code == static_cast<int>(ExitCode::kStopped);
    if (record.exit_code == 0) {
      record.state = State::kDone;
      remove_checkpoints(folder_.cell(cell.name));
    } else if (asked || saved || stop_requested()) {
      record.state = State::kStopped;
      if (!saved) tell_job_script_of_stop(str("study ", folder_.path().string(), ", in cell ", cell.name));
    } else {
      record.state = State::kBroken;
      record.message = last_message(said);
      if (record.exit_code > 128)
        record.message = str("ended by signal ", record.exit_code - 128, "; before that: ", record.message);
    }
    folder_.keep(cell.name, record);
    tell(cell, record);
    return record.state == State::kStopped ? Turn::kStopped : Turn::kRan;
  }

  void tell(const Cell& cell, const Record& record) const {
    if (record.state == State::kBroken) {
      log::warn("study", str(cell.name, " is broken (exit code ", record.exit_code, "): ", record.message,
                             "; all of it: ", (folder_.cell(cell.name) / "log.txt").string()));
      return;
    }
    std::size_t done = 0;
    for (const auto& [name, other] : folder_.records(cells_)) done += other.state == State::kDone;
    const Result result = read_result(folder_, cell, record.state);
    log::info("study", str(cell.name, " ", name_of(record.state),
                           result.error ? ": error " + reports::percent(*result.error, 2) : "", " after ",
                           reports::duration(record.seconds), "; ", done, " of ", cells_.size(), " cells are done"));
  }

  // A finished stage does without; those of many cells would fill the disk.
  static void remove_checkpoints(const fs::path& folder) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      std::error_code ignored;
      if (entry.is_directory()) fs::remove_all(entry.path() / "checkpoints", ignored);
    }
  }

  const StudyFolder& folder_;
  const std::vector<Cell>& cells_;
  const WorkerOptions& options_;
  const double again_before_;  // cells that broke before are tried again: none where others have tried them just now
  const std::string program_ = fs::read_symlink("/proc/self/exe").string();
  std::vector<std::string> environment_;
  std::vector<int> cores_;
  std::unique_ptr<FileLock> alone_;  // where the file system has no locks
  Stopwatch others_alone_;           // since there was anything to do, or to wait for, but cells that others run
};

}  // namespace

WorkerEnd work(const StudyFolder& folder, const std::vector<Cell>& cells, const WorkerOptions& options) {
  return Worker(folder, cells, options).work();
}

std::vector<int> cores_of(const comm::LocalPlace& place, const std::vector<int>& cores, std::size_t of_launcher) {
  const auto mine = static_cast<int>(cores.size());
  const bool dealt_out = cores.size() < of_launcher;
  if (place.size < 2 || mine < 2 || dealt_out) return {};
  const int first = place.rank * mine / place.size;
  const int end = std::max((place.rank + 1) * mine / place.size, first + 1);
  return {cores.begin() + first, cores.begin() + end};
}

std::optional<std::string> gpu_of(const comm::LocalPlace& place, const char* visible, std::int64_t count) {
  if (count < 2) return std::nullopt;
  if (visible == nullptr) return str(place.rank % count);
  std::vector<std::string> names;
  std::istringstream list(visible);
  for (std::string name; std::getline(list, name, ',');) names.push_back(name);
  if (names.size() < 2) return std::nullopt;
  return names[static_cast<std::size_t>(place.rank) % names.size()];
}

std::string last_message(const std::string& log) {
  std::istringstream in(log);
  std::string last, told, framed;
  bool ours = false, in_frame = false;
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    // What follows a line of ours belongs to it, but for what a launcher frames with dashes.
    if (line.starts_with("---")) {
      ours = false;
      in_frame = !in_frame;
    } else if (has_time(line)) {
      told = line.substr(line.find(' ') + 1);
      ours = true;
    } else if (ours) {
      told += " " + line;
    } else if (in_frame) {
      framed += (framed.empty() ? "" : " ") + line;
    } else {
      last = line;
    }
  }
  constexpr std::size_t kMost = 600;
  return (!told.empty() ? told : !framed.empty() ? framed : last).substr(0, kMost);
}

}  // namespace ulmfit::study
