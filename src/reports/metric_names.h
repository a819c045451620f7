// How the results of a kind of model are called, in metrics.jsonl, on the screen and in charts. A task says which are its
// own (train::Task::metric_names).
#pragma once

#include <string_view>

namespace ulmfit::reports {

struct MetricNames {
  std::string_view rate;         // key of the throughput: "tokens_per_s"
  std::string_view target;       // what the loss is a mean over and throughput counts, for readers: "token"
  std::string_view score;        // the value of evaluations that is charted; lower is better: "perplexity"
  std::string_view score_title;  // of its chart
  std::string_view score_note;
  bool score_is_share = false;  // shown as a percentage
  bool has_perplexity = false;  // the exponential of the training loss has a meaning
};

inline constexpr MetricNames kLanguageModelMetrics{
    .rate = "tokens_per_s",
    .target = "token",
    .score = "perplexity",
    .score_title = "Perplexity on unseen text",
    .score_note = "Among how many equally likely words the model hesitates: lower is better.",
    .has_perplexity = true};

inline constexpr MetricNames kClassifierMetrics{.rate = "docs_per_s",
                                                .target = "text",
                                                .score = "error",
                                                .score_title = "Error on unseen texts",
                                                .score_note = "Share of texts that get a wrong label: lower is better.",
                                                .score_is_share = true};

}  // namespace ulmfit::reports
