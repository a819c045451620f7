#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/dist_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ulmfit::log {
namespace {

std::string pattern(int rank, int size) {
  const auto width = std::to_string(size > 0 ? size - 1 : 0).size();
  std::string padded = std::to_string(rank);
  padded.insert(0, width > padded.size() ? width - padded.size() : 0, '0');
  return size > 1 ? "%H:%M:%S [" + padded + "] %^%v%$" : std::string("%H:%M:%S %^%v%$");
}

// On a terminal the line of a progress bar may stand there: it is wiped first.
std::string screen_pattern(int rank, int size) {
  return (::isatty(STDERR_FILENO) != 0 ? "\r\x1b[K" : "") + pattern(rank, size);
}

struct State {
  // Other threads may log while a file is opened or closed.
  std::shared_ptr<spdlog::sinks::dist_sink_mt> sinks = std::make_shared<spdlog::sinks::dist_sink_mt>(
      std::vector<spdlog::sink_ptr>{std::make_shared<spdlog::sinks::stderr_color_sink_mt>()});
  spdlog::sink_ptr file;
  std::shared_ptr<spdlog::logger> logger = [this] {
    auto made = std::make_shared<spdlog::logger>("ulmfit", sinks);
    made->set_pattern(screen_pattern(0, 1));
    made->flush_on(spdlog::level::info);
    return made;
  }();
  std::string line_pattern = pattern(0, 1);
};

State& state() {
  static State one;
  return one;
}

void write(spdlog::level::level_enum level, std::string_view component, std::string_view message) {
  state().logger->log(level, "[{}] {}", component, message);
}

}  // namespace

void set_rank(int rank, int size) {
  state().line_pattern = pattern(rank, size);
  state().logger->set_pattern(screen_pattern(rank, size));
  if (rank != 0) state().logger->set_level(spdlog::level::warn);
}

void open_file(const std::filesystem::path& path) {
  close_file();
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string(), false);
    sink->set_pattern("%Y-%m-%d %L " + state().line_pattern);
    state().file = std::move(sink);
    state().sinks->add_sink(state().file);
  } catch (const spdlog::spdlog_ex& e) {
    warn("log", std::string("log file not written: ") + e.what());
  }
}

void close_file() {
  if (state().file) state().sinks->remove_sink(std::exchange(state().file, nullptr));
}

void info(std::string_view component, std::string_view message) { write(spdlog::level::info, component, message); }
void warn(std::string_view component, std::string_view message) { write(spdlog::level::warn, component, message); }
void error(std::string_view component, std::string_view message) { write(spdlog::level::err, component, message); }

}  // namespace ulmfit::log
