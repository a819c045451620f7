// A training run on the screen: a bar that is redrawn on a terminal, plain log lines elsewhere. Rank 0 has one.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "reports/metrics.h"

namespace ulmfit::reports {

// "step 1200/5000 epoch 1.34  loss 4.512  ppl 91.1  lr 3.2e-03  |g| 0.31  6,540 tokens/s  data 0.3%  comm 2.1%  mem 812 MB
// left 12m": parts that say nothing (no wait for data, nothing skipped, the perplexity of a classifier) are left out.
// `seconds_left` is estimated from the mean pace of the run if not given.
std::string format_report_line(const StepReport& report, std::optional<double> seconds_left = std::nullopt);

// "step 1500 epoch 1.67  valid: loss 4.097  perplexity 60.1". Accuracy, error and F1 are percentages.
std::string format_evaluation_line(const EvaluationReport& report);

// "pretrain  24% [=====>              ]  1200/5000  loss 4.512  ppl 91.1  6,540 tokens/s  left 12m" in at most `width`
// columns: the bar shrinks first, then parts at the end are dropped. `title` is ASCII.
std::string format_bar_line(const std::string& title, const StepReport& report, double seconds_left, int width);

// Columns of the terminal that standard error is, asked anew for each line; empty where it is none.
std::function<int()> standard_error_width();

class Progress {
 public:
  // `width` as above: without it there are plain lines.
  Progress(std::int64_t total_steps, std::string title, std::function<int()> width = standard_error_width());
  ~Progress();  // takes the bar away
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void report(StepReport report);
  void report(const EvaluationReport& report);

 private:
  double seconds_left(const StepReport& report);
  void draw() const;
  void erase() const;

  std::int64_t total_steps_;
  std::string title_;
  std::function<int()> width_;
  std::deque<std::pair<std::int64_t, double>> recent_;  // steps and elapsed seconds of the last reports
  std::optional<StepReport> shown_;                     // in the bar
  double shown_seconds_left_ = 0;
};

}  // namespace ulmfit::reports
