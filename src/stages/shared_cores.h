// Training beside other programs on the same cores.
//
// OpenMP's threads wait for one another at the end of each parallel loop. GNU's (libgomp) spin some milliseconds before
// they sleep: right while the cores are theirs alone, but beside others a spinning thread holds the core that the awaited
// one needs, and training falls to a fifth of its share and less. Threads that sleep at once keep most of it, yet cost up
// to a tenth on an idle machine. So the choice follows the machine: while the process is kept waiting for cores, threads
// sleep after a short spin.
//
// libgomp reads its environment when it is loaded, before main. What it looks up at each wait is whether the process has
// more OpenMP threads than cores; then it spins 100 times instead of 300,000 (its manual, GOMP_SPINCOUNT). A team of idle
// threads makes it so. With another OpenMP library the team has no effect.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "base/machine.h"

namespace ulmfit::stages {

// Whether a process shares its cores, by the time that its threads waited for one: with other programs, with more threads
// of its own, or under a quota. Two thresholds, so that a short disturbance or pause changes nothing.
class SharingDetector {
 public:
  // Core times so far by thread, one call a second. True from the second of two seconds in a row on in which the threads
  // waited for more than a tenth of the time in which they could have run, until they did for less than a twentieth in five
  // in a row. A thread that has ended does not count.
  bool shared(const std::map<std::string, CoreTime>& now);

 private:
  std::map<std::string, CoreTime> before_;
  bool shared_ = false;
  int busy_seconds_ = 0;
  int quiet_seconds_ = 0;
};

// OpenMP threads that exist and sleep: of the threads that libgomp counts against the cores.
class IdleTeam {
 public:
  explicit IdleTeam(int threads);  // returns when they exist

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool ready_ = false;
  std::jthread thread_;  // the last member: it uses the others until it is joined
};

// While it lives, waits of this process's OpenMP threads, `threads` in each parallel loop, are short when cores are shared.
// Does nothing where there is nothing to choose: one thread, waits set by the user (OMP_WAIT_POLICY, GOMP_SPINCOUNT), a
// kernel that does not count waiting, no room for more threads. Changes no result.
class SharedCores {
 public:
  explicit SharedCores(int threads);

 private:
  std::jthread watch_;
};

}  // namespace ulmfit::stages
