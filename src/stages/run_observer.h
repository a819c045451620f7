// What rank 0 shows and writes of a run: screen, metrics.jsonl, TensorBoard events, report.html.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "interop/tensorboard.h"
#include "reports/metrics.h"
#include "reports/progress.h"
#include "train/trainer.h"

namespace ulmfit::stages {

class RunObserver : public train::Observer {
 public:
  // `saved` is what state() gave at the checkpoint that the run goes on from, or null: files are cut back to it.
  RunObserver(std::filesystem::path folder, std::string title, reports::MetricNames names, std::int64_t total_steps,
              std::vector<std::pair<std::string, std::string>> summary, std::string config_text,
              const nlohmann::json& saved);

  void on_step_report(const reports::StepReport& report) override;
  void on_evaluation(const reports::EvaluationReport& report) override;
  nlohmann::json state() override;

  // report.html, with the tables of a classifier's latest evaluation (one of the two, or none); a failure is a warning.
  void write_report(const std::optional<reports::Classification>& classification,
                    const std::optional<reports::Multilabel>& multilabel);

 private:
  void plot(const std::string& tag, double value, std::int64_t step);

  std::filesystem::path folder_;
  std::string title_;
  reports::MetricNames names_;
  std::vector<std::pair<std::string, std::string>> summary_;
  std::string config_text_;
  reports::MetricsLog metrics_;
  interop::EventWriter events_;
  reports::Progress progress_;
};

}  // namespace ulmfit::stages
