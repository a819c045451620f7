#include "stages/run_observer.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "reports/html_report.h"

namespace ulmfit::stages {
namespace {

std::int64_t saved_bytes(const nlohmann::json& saved, const char* key) {
  return saved.is_object() ? saved.value(key, std::int64_t{0}) : 0;
}

fs::path events_file(const fs::path& folder) {
  make_directories(folder / "tensorboard");
  return folder / "tensorboard" / "events.out.tfevents.0.ulmfit";
}

}  // namespace

RunObserver::RunObserver(fs::path folder, std::string title, reports::MetricNames names, std::int64_t total_steps,
                         std::vector<std::pair<std::string, std::string>> summary, std::string config_text,
                         const nlohmann::json& saved)
    : folder_(std::move(folder)),
      title_(std::move(title)),
      names_(names),
      summary_(std::move(summary)),
      config_text_(std::move(config_text)),
      metrics_(folder_ / "metrics.jsonl", saved_bytes(saved, "metrics_bytes")),
      events_(events_file(folder_), static_cast<std::uint64_t>(saved_bytes(saved, "event_bytes"))),
      progress_(total_steps, title_) {}

void RunObserver::on_step_report(const reports::StepReport& report) {
  metrics_.write(report);
  progress_.report(report);
  plot("train/loss", report.loss, report.step);
  plot("train/gradient_norm", report.grad_norm, report.step);
  plot(str("train/", report.names.rate), report.rate, report.step);
  for (std::size_t g = 0; g < report.lr.size(); ++g) plot("lr/" + report.groups[g], report.lr[g], report.step);
}

void RunObserver::on_evaluation(const reports::EvaluationReport& report) {
  metrics_.write(report);
  progress_.report(report);
  for (const auto& [name, value] : report.values) plot(report.split + "/" + name, value, report.step);
  write_report(report.classification, report.multilabel);
}

void RunObserver::plot(const std::string& tag, double value, std::int64_t step) {
  try {
    events_.add_scalar(tag, value, step);
  } catch (const FileError&) {  // a full disk; it stays in the buffer, and state() tells of it
  }
}

nlohmann::json RunObserver::state() {
  try {
    events_.flush();
  } catch (const FileError& e) {
    log::warn("metrics", e.what());
  }
  return {{"metrics_bytes", metrics_.bytes()}, {"event_bytes", events_.bytes()}};
}

void RunObserver::write_report(const std::optional<reports::Classification>& classification,
                               const std::optional<reports::Multilabel>& multilabel) {
  try {
    events_.flush();
    reports::write_html_report(folder_, {title_ + ": " + folder_.filename().string(), title_, summary_, names_,
                                         classification, config_text_, multilabel});
  } catch (const FileError& e) {
    log::warn("report", e.what());
  }
}

}  // namespace ulmfit::stages
