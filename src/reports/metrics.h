// What a training run tells about itself, and OUT/metrics.jsonl, where it is kept: one JSON object a line.
//
//   {"type": "train", "step": 1200, "total_steps": 3580, "epoch": 1.34, "phase": 0, "loss": 4.512, "perplexity": 91.1,
//   "lr": 0.0032,
//    "lr_by_group": {"rnn_0": 0.0012, "rnn_1": 0.0032}, "beta1": 0.75, "grad_norm": 0.31, "tokens_per_s": 6540.2,
//    "data_wait": 0.003, "comm": 0.021, "memory_mb": 812.3, "skipped": 0, "elapsed_s": 412.5}
//   {"type": "valid", "step": 1500, "epoch": 1.67, "split": "valid", "loss": 4.1, "perplexity": 60.1}
//
// A number that is not finite is null. "perplexity" and the key of the throughput depend on the kind of model
// (MetricNames). Megabytes are 10^6 bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "reports/classification_metrics.h"
#include "reports/metric_names.h"
#include "reports/multilabel_metrics.h"

namespace ulmfit::reports {

// Training since the last report. NaN: not known, or not finite.
struct StepReport {
  std::int64_t step = 0;         // steps done
  std::int64_t total_steps = 0;  // of the run; 0: not known
  double epoch = 0;              // epochs done, with a fraction
  std::int64_t phase = 0;        // of the unfreezing plan
  double loss = 0;               // mean nats a target since the last report
  std::vector<double> lr;        // by group, of the last step; 0: frozen
  std::vector<std::string> groups;
  double beta1 = 0;
  double grad_norm = 0;        // before clipping
  double rate = 0;             // targets a second, over all ranks
  double data_wait_share = 0;  // of the time
  double comm_share = 0;
  std::uint64_t memory_bytes = 0;  // of rank 0
  std::int64_t skipped_steps = 0;  // in the whole run
  double elapsed_seconds = 0;      // of training up to here, before all restarts too
  MetricNames names;
};

struct EvaluationReport {
  std::int64_t step = 0;
  double epoch = 0;
  std::string split;                               // valid, test
  std::map<std::string, double> values;            // loss and perplexity, or loss, error, accuracy, macro_f1
  std::optional<Classification> classification{};  // for report.html; not in the file
  std::optional<Multilabel> multilabel{};          // the same where texts have several labels
};

// Appends to metrics.jsonl; rank 0 has one. Nothing here can stop a run: what cannot be written is left out, whole lines at
// a time, with one warning.
class MetricsLog {
 public:
  // Goes on behind the first `keep_bytes` bytes (a resumed run: bytes() as the checkpoint has it) and drops the rest, whose
  // steps are done again; 0 begins anew.
  explicit MetricsLog(fs::path path, std::int64_t keep_bytes = 0);

  void write(const StepReport& report);
  void write(const EvaluationReport& report);
  std::int64_t bytes() const { return bytes_; }

 private:
  void append(const std::string& line);
  void cut_back();
  void warn_once(const std::string& reason);

  fs::path path_;
  std::int64_t bytes_ = 0;
  std::optional<OutputFile> file_;
  bool warned_ = false;
};

struct MetricsHistory {
  std::vector<StepReport> train;  // in the order of the file
  std::vector<EvaluationReport> valid;
  // The first of the best evaluations of the validation split, as --train.select=best goes by; null: there is none.
  const EvaluationReport* best(const MetricNames& names) const;
};

// The headline value as people read it: "16.0%", "34.12"; "none" where an evaluation lacks it.
std::string headline_text(const MetricNames& names, const std::map<std::string, double>& values);

// The readable lines of metrics.jsonl, written under these names; lines that are cut or not such objects are passed over,
// so is a missing file.
MetricsHistory read_metrics(const fs::path& path, const MetricNames& names);

}  // namespace ulmfit::reports
