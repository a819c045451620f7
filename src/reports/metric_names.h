// How the results of a kind of model are called, in metrics.jsonl, on the screen and in charts. A task says which are its
// own (train::Task::metric_names).
#pragma once

#include <string_view>

namespace ulmfit::reports {

struct MetricNames {
  std::string_view rate;            // key of the throughput: "tokens_per_s"
  std::string_view target;          // what the loss is a mean over and throughput counts, for readers: "token"
  std::string_view headline;        // the value of evaluations that is charted: "perplexity"; lower is better
  std::string_view headline_title;  // of its chart
  std::string_view headline_note;
  bool headline_is_share = false;  // shown as a percentage
  bool best_by_headline = false;   // what is best has the lowest headline, and among equals the lowest loss; else by loss
  bool has_perplexity = false;     // the exponential of the training loss has a meaning
};

inline constexpr MetricNames kLanguageModelMetrics{
    .rate = "tokens_per_s",
    .target = "token",
    .headline = "perplexity",
    .headline_title = "Perplexity on unseen text",
    .headline_note = "Among how many equally likely words the model hesitates: lower is better.",
    .has_perplexity = true};

// Where steps minimise an estimate of the loss (model/sampled_softmax.h): its exponential is no perplexity.
inline constexpr MetricNames kEstimatedLanguageModelMetrics = [] {
  MetricNames names = kLanguageModelMetrics;
  names.has_perplexity = false;
  return names;
}();

inline constexpr MetricNames kClassifierMetrics{.rate = "docs_per_s",
                                                .target = "text",
                                                .headline = "error",
                                                .headline_title = "Error on unseen texts",
                                                .headline_note = "Share of texts that get a wrong label: lower is better.",
                                                .headline_is_share = true,
                                                .best_by_headline = true};

inline constexpr MetricNames kMultilabelMetrics{
    .rate = "docs_per_s",
    .target = "text",
    .headline = "error",
    .headline_title = "Wrong decisions on unseen texts",
    .headline_note = "Share of the decisions whether a text has a class that are wrong: lower is better.",
    .headline_is_share = true};

}  // namespace ulmfit::reports
