#include "base/stop_signal.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/log.h"

namespace ulmfit {
namespace {

std::atomic<bool> requested = false;
std::atomic<int> scopes = 0;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
              "a signal handler may touch only such");

extern "C" void on_stop_signal(int number) {
  if (scopes == 0 || requested.exchange(true)) ::_exit(128 + number);
}

void wait_for_signals(bool under_launcher) {
  static bool installed = false;
  if (installed) return;
  installed = true;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR2);
  if (!under_launcher) {
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
  }
  // Threads inherit the mask: those that compute never run the handler. oneDNN's generated float32 kernels keep values
  // below the stack pointer, beyond the 128 bytes that a handler leaves alone; on their stack it corrupts the heap.
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // For a thread that is older than the mask, and because a signal that the parent had ignored would not be waited for.
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  action.sa_mask = signals;
  action.sa_flags = SA_RESTART;
  for (const int number : {SIGUSR2, SIGTERM, SIGINT}) {
    if (sigismember(&signals, number) == 1) ::sigaction(number, &action, nullptr);
  }
  std::thread([signals] {
    for (int number = 0; ::sigwait(&signals, &number) == 0;) on_stop_signal(number);
  }).detach();
}

}  // namespace

StopSignalScope::StopSignalScope(bool under_launcher) {
  ++scopes;
  wait_for_signals(under_launcher);
}

StopSignalScope::~StopSignalScope() { --scopes; }

bool stop_requested() noexcept { return requested; }

void tell_job_script_of_stop(std::string_view what) {
  const char* file = std::getenv("ULMFIT_STOP_FILE");
  if (file == nullptr) return;
  std::ofstream out(file, std::ios::app);
  out << "stopped after saving, " << what << std::endl;
  if (!out) log::warn("run", str("cannot write to ULMFIT_STOP_FILE=", file, ": the job script will not go on by itself"));
}

}  // namespace ulmfit
