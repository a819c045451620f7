#include "study/cell_pipeline.h"

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "perf/measurements.h"

namespace ulmfit::study {
namespace {

constexpr double kSecondsASection = 2;  // start, reading, writing
constexpr double kBytesAWeight = 4;
constexpr double kBytesAToken = 5;    // of a shard
constexpr double kForward = 1.0 / 3;  // of the work of a training step

double number(const std::vector<stages::Setting>& settings, const std::string& key, double otherwise) {
  const auto found = std::find_if(settings.begin(), settings.end(), [&](const auto& s) { return s.key == key; });
  return found == settings.end() ? otherwise : std::strtod(found->value.c_str(), nullptr);
}

}  // namespace

void change(std::vector<stages::Setting>& settings, const std::string& key, const std::string& value,
            const std::string& reason) {
  const auto found = std::find_if(settings.begin(), settings.end(), [&](const auto& s) { return s.key == key; });
  if (found == settings.end()) {
    settings.push_back({key, value, reason});
  } else {
    *found = {key, value, reason};
  }
}

void CellPipeline::add(const std::string& section, const Values& values, const std::vector<stages::Setting>& settings,
                       bool computes) {
  config::IniSection written{section, values};
  if (computes) written.values.insert(written.values.end(), basis_.compute.begin(), basis_.compute.end());
  text_.add(written, settings);
  ++sections_;
}

void CellPipeline::prepare(const std::string& section, const Values& values, double tokens) {
  add(section, values, {}, /*computes=*/false);
  bytes_ += kBytesAToken * tokens;
}

void CellPipeline::tune(const Values& values, const std::vector<stages::Setting>& settings, std::int64_t seed,
                        double tokens) {
  Values all = values;
  all.emplace_back("seed", str(seed));
  add("finetune-lm", all, settings);
  const bool trained = number(settings, "train.steps", 0) == 0;
  const double epochs = number(settings, "epochs", 1);
  flop_ += perf::lm_training_flop(basis_.shape) * epochs * ((trained ? tokens : 0) + kForward * basis_.valid_tokens);
  bytes_ += kBytesAWeight * static_cast<double>(basis_.shape.encoder_parameters());
}

void CellPipeline::classify(const Values& values, const std::vector<stages::Setting>& settings, std::int64_t seed,
                            double tokens) {
  Values all = values;
  all.emplace_back("seed", str(seed));
  add("train-classifier", all, settings);
  const double epochs = number(settings, "epochs", 1);
  flop_ += perf::encoder_training_flop(basis_.shape) * epochs * (tokens + kForward * basis_.valid_tokens);
  bytes_ += kBytesAWeight * static_cast<double>(basis_.shape.encoder_parameters());
}

void CellPipeline::test(const std::vector<std::string>& models, const std::string& labelled, const std::string& report,
                        bool baselines) {
  Values values;
  for (const std::string& model : models) values.emplace_back("model", model);
  values.insert(values.end(), {{"data", labelled}, {"split", "test"}, {"report", report}});
  if (baselines) values.emplace_back("baselines", "true");
  add("evaluate", values, {});
  flop_ += perf::encoder_training_flop(basis_.shape) * kForward * basis_.test_tokens * static_cast<double>(models.size());
}

void CellPipeline::measure(const std::string& model, const std::string& corpus, double tokens) {
  add("evaluate", {{"model", model}, {"data", corpus}, {"split", "train"}}, {});
  flop_ += perf::lm_training_flop(basis_.shape) * kForward * tokens;
}

Cell CellPipeline::cell(Cell described) const {
  described.seconds = kSecondsASection * sections_ + flop_ / basis_.flop_a_second;
  described.bytes = bytes_;
  return described;
}

}  // namespace ulmfit::study
