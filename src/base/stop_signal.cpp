#include "base/stop_signal.h"

#include <unistd.h>

#include <csignal>

namespace ulmfit {
namespace {

volatile std::sig_atomic_t requested = 0;

extern "C" void on_stop_signal(int number) {
  if (requested != 0) ::_exit(128 + number);
  requested = 1;
}

}  // namespace

void install_stop_signal(bool under_launcher) {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGUSR2, &action, nullptr);
  if (!under_launcher) {
    ::sigaction(SIGTERM, &action, nullptr);
    ::sigaction(SIGINT, &action, nullptr);
  }
}

bool stop_requested() noexcept { return requested != 0; }
void request_stop() noexcept { requested = 1; }
void clear_stop_request() noexcept { requested = 0; }

}  // namespace ulmfit
