#include "reports/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "reports/number_format.h"

namespace ulmfit::reports {
namespace {

constexpr std::size_t kPaceReports = 20;  // the time left follows the pace of so many reports
constexpr int kLongestBar = 40;
constexpr int kShortestBar = 10;

int terminal_width() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

std::string rate_text(const StepReport& r) { return per_second(r.rate, str(r.names.target, "s")); }

std::string rate_of_learning(const StepReport& r) {
  if (r.lr.empty()) return "";
  char text[32];
  std::snprintf(text, sizeof text, "lr %.1e", *std::max_element(r.lr.begin(), r.lr.end()));
  return text;
}

std::string done_of_total(const StepReport& r) {
  return r.total_steps > 0 ? str(r.step, "/", r.total_steps) : std::to_string(r.step);
}

std::vector<std::string> loss_parts(const StepReport& r) {
  std::vector<std::string> parts = {"loss " + significant(r.loss, 4)};
  if (r.names.has_perplexity) parts.push_back("ppl " + significant(std::exp(r.loss), 3));
  return parts;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string line;
  for (const std::string& part : parts) {
    if (!part.empty()) line += (line.empty() ? "" : "  ") + part;
  }
  return line;
}

// From the mean pace of the whole run; NaN if there is none yet.
double mean_seconds_left(const StepReport& r) {
  if (r.step <= 0 || r.total_steps <= 0) return std::nan("");
  return r.elapsed_seconds / static_cast<double>(r.step) * static_cast<double>(r.total_steps - r.step);
}

std::string left_text(double seconds) { return std::isfinite(seconds) ? "left " + duration(seconds) : ""; }

// "[=====>    ]", `width` columns with the brackets.
std::string bar(double share, int width) {
  const int inside = width - 2;
  const int filled = static_cast<int>(std::floor(std::clamp(share, 0.0, 1.0) * inside));
  std::string text(static_cast<std::size_t>(filled), '=');
  if (filled < inside) text += '>';
  text.resize(static_cast<std::size_t>(inside), ' ');
  return "[" + text + "]";
}

bool is_share(const std::string& name) {
  return name == "accuracy" || name == "error" || name == "macro_f1" || name == "micro_f1";
}

}  // namespace

std::string format_report_line(const StepReport& r, std::optional<double> seconds_left) {
  std::vector<std::string> parts = {str("step ", done_of_total(r), " epoch ", fixed(r.epoch, 2))};
  for (const std::string& part : loss_parts(r)) parts.push_back(part);
  parts.push_back(rate_of_learning(r));
  parts.push_back("|g| " + significant(r.grad_norm, 2));
  parts.push_back(rate_text(r));
  if (r.data_wait_share >= 0.0005) parts.push_back("data " + percent(r.data_wait_share));
  if (r.comm_share >= 0.0005) parts.push_back("comm " + percent(r.comm_share));
  if (r.memory_bytes > 0)
    parts.push_back(str("mem ", grouped(static_cast<std::int64_t>(r.memory_bytes / 1'000'000)), " MB"));
  if (r.skipped_steps > 0) parts.push_back(str("skipped ", r.skipped_steps));
  parts.push_back(left_text(seconds_left.value_or(mean_seconds_left(r))));
  return joined(parts);
}

std::string format_evaluation_line(const EvaluationReport& r) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : r.values) {
    std::string readable = name;
    std::replace(readable.begin(), readable.end(), '_', ' ');
    parts.push_back(readable + " " + (is_share(name) ? percent(value, 2) : figure(value)));
  }
  return str("step ", r.step, " epoch ", fixed(r.epoch, 2), "  ", r.split, ": ", joined(parts));
}

std::string format_bar_line(const std::string& title, const StepReport& r, double seconds_left, int width) {
  const double share = r.total_steps > 0 ? static_cast<double>(r.step) / static_cast<double>(r.total_steps) : 0;
  std::string percentage = fixed(std::floor(100 * share), 0) + "%";
  percentage.insert(0, 4 - std::min<std::size_t>(4, percentage.size()), ' ');
  const std::string head = title + " " + percentage;
  std::vector<std::string> parts = {done_of_total(r)};
  for (const std::string& part : loss_parts(r)) parts.push_back(part);
  parts.push_back(left_text(seconds_left));  // the time left outlives the throughput where space is short
  parts.push_back(rate_text(r));
  std::string tail = joined(parts);
  // Without the bar, if need be: two blanks before the parts; the last column stays free, or some terminals wrap.
  const auto room = [&] { return width - 1 - static_cast<int>(head.size() + 2 + tail.size()); };
  while (parts.size() > 1 && room() < 0) {
    parts.pop_back();
    tail = joined(parts);
  }
  const int bar_width = std::min(kLongestBar, room() - 1);
  std::string line = head + (bar_width >= kShortestBar ? " " + bar(share, bar_width) : "") + "  " + tail;
  line.resize(std::min(line.size(), static_cast<std::size_t>(std::max(0, width - 1))));
  return line;
}

std::function<int()> standard_error_width() {
  if (::isatty(STDERR_FILENO) != 1) return {};
  return terminal_width;
}

Progress::Progress(std::int64_t total_steps, std::string title, std::function<int()> width)
    : total_steps_(total_steps), title_(std::move(title)), width_(std::move(width)) {}

Progress::~Progress() { erase(); }

void Progress::report(StepReport report) {
  report.total_steps = total_steps_;
  const double left = seconds_left(report);
  if (!width_) {
    log::info("train", format_report_line(report, left));
    return;
  }
  shown_ = std::move(report);
  shown_seconds_left_ = left;
  draw();
}

void Progress::report(const EvaluationReport& report) {
  erase();
  log::info("train", format_evaluation_line(report));
  draw();
}

// The pace of the last reports: phases that train fewer groups are faster, and other jobs come and go.
double Progress::seconds_left(const StepReport& report) {
  recent_.emplace_back(report.step, report.elapsed_seconds);
  if (recent_.size() > kPaceReports) recent_.pop_front();
  const auto [first_step, first_seconds] = recent_.front();
  if (report.step <= first_step) return mean_seconds_left(report);
  const double pace = (report.elapsed_seconds - first_seconds) / static_cast<double>(report.step - first_step);
  return pace * static_cast<double>(report.total_steps - report.step);
}

// The cursor goes back to the first column, so that a log line starts there.
void Progress::draw() const {
  if (!width_ || !shown_) return;
  const std::string line = "\r\x1b[K" + format_bar_line(title_, *shown_, shown_seconds_left_, width_()) + "\r";
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

void Progress::erase() const {
  if (!width_ || !shown_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

}  // namespace ulmfit::reports
