#include "stages/fit_settings.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "reports/number_format.h"

namespace ulmfit::stages {
namespace {

// The rules are those of configs/quickstart-*.cfg, which were measured on 900 texts and 0.6 M tokens, stretched to other
// sizes so that the number of steps, on which learning depends, stays about the same.
constexpr std::int64_t kBptt = 70;
constexpr std::int64_t kLmStepsAnEpoch = 250;
constexpr std::int64_t kLmSteps = 1500;
constexpr std::int64_t kLmStepsFromScratch = 4000;
// Validations. Of 47 tunings of 8 to 15 epochs none became better after so many that were worse (tests/bench/patience).
constexpr std::int64_t kLmPatience = 3;
constexpr std::int64_t kClassifierStepsAnEpoch = 20;
constexpr std::int64_t kClassifierSteps = 300;
constexpr std::int64_t kFewClassifierSteps = 1000;
constexpr std::int64_t kTokensForTheLargeModel = 20'000'000;
constexpr std::int64_t kSmallHidden = 600;  // narrower ones are called small
constexpr std::int64_t kTextsToSelectBy = 100;

std::int64_t divided_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The largest power of two from `least` to `most` with which `items` make at least `steps` steps.
std::int64_t batch_for(std::int64_t items, std::int64_t steps, std::int64_t least, std::int64_t most) {
  std::int64_t batch = most;
  while (batch > least && items / batch < steps) batch /= 2;
  return batch;
}

// The epochs that make about `steps` steps, from `least` to `most`.
std::int64_t epochs_for(std::int64_t steps, std::int64_t steps_an_epoch, std::int64_t least, std::int64_t most) {
  return std::clamp(divided_up(steps, std::max<std::int64_t>(steps_an_epoch, 1)), least, most);
}

model::Shape shape_of(const FitFacts& facts) {
  if (facts.pretrained || facts.lm_tokens >= kTokensForTheLargeModel) return facts.shape;
  model::Shape small;
  small.embedding = 200;
  small.hidden = 300;
  small.layers = 3;
  return small;
}

bool is_small(const model::Shape& shape) { return shape.hidden < kSmallHidden; }

void add_shape(const FitFacts& facts, std::vector<Setting>& settings) {
  if (facts.pretrained) return;
  const model::Shape shape = shape_of(facts);
  const std::string reason = is_small(shape) ? str("less than ", kTokensForTheLargeModel / 1'000'000,
                                                   " million tokens do not fill the paper's model")
                                             : "the paper's";
  settings.push_back({"model.embedding", str(shape.embedding), reason});
  settings.push_back({"model.hidden", str(shape.hidden), reason});
  settings.push_back({"model.layers", str(shape.layers), reason});
}

// The default is that of the quick start's batches; Adam's rate follows the square root of smaller ones (measured on 100
// and 500 labels: tests/bench/README.md).
Setting classifier_rate(std::int64_t batch) {
  constexpr double kRate = 0.01;
  constexpr std::int64_t kBatch = 32;
  if (batch >= kBatch)
    return {"lr", str(kRate), "the default of train-classifier; what suits your texts, ulmfit find-lr tells"};
  const double rate = kRate * std::sqrt(static_cast<double>(batch) / kBatch);
  return {"lr", reports::significant(rate, 1),
          str("batches of ", kBatch, " have ", kRate, "; it follows their square root")};
}

void add_selection(const FitFacts& facts, std::vector<Setting>& settings) {
  if (facts.valid_texts >= kTextsToSelectBy) {
    settings.push_back({"train.select", "best", str(facts.valid_texts, " validation texts tell when it was best")});
  } else {
    settings.push_back({"train.select", "last", str(facts.valid_texts, " validation texts cannot tell when it was best")});
  }
}

}  // namespace

std::vector<Setting> language_model_settings(const FitFacts& facts) {
  std::vector<Setting> settings;
  add_shape(facts, settings);
  const bool small = is_small(shape_of(facts));
  const std::int64_t streams =
      divided_up(batch_for(facts.lm_tokens / kBptt, kLmStepsAnEpoch, 8, 64), facts.ranks) * facts.ranks;
  const std::int64_t steps = divided_up(facts.lm_tokens, streams * kBptt);
  const std::int64_t wanted = facts.pretrained ? kLmSteps : kLmStepsFromScratch;
  const std::int64_t epochs = epochs_for(wanted, steps, 3, 15);
  const bool few = steps * epochs < 2 * kLmSteps;
  settings.push_back({"train.streams", str(streams), str("about ", steps, " steps an epoch")});
  settings.push_back(
      {"epochs", str(epochs), str("about ", steps * epochs, " steps; ", wanted, " are aimed at, in 3 to 15 epochs")});
  settings.push_back(
      {"lr", small ? "0.005" : "0.004", small ? "the model is small" : "the model is as large as the paper's"});
  settings.push_back(
      {"optim.factor", few ? "1" : "2.6",
       few ? "in so few steps the lower layers need the full rate" : "discriminative rates, as in the paper"});
  settings.push_back({"schedule.kind", "one-cycle", "as fastai"});
  settings.push_back(
      {"drop-mult", small ? "0.3" : "0.5", small ? "little dropout for a small model" : "the model is large"});
  if (facts.valid_texts > 0) {
    settings.push_back({"train.select", "best", "of more epochs than the text can bear the best is kept"});
    settings.push_back({"train.patience", str(kLmPatience), "what has become worse that often does not become better"});
  }
  return settings;
}

std::vector<Setting> classifier_settings(const FitFacts& facts) {
  std::vector<Setting> settings;
  const std::int64_t batch = batch_for(facts.texts, kClassifierStepsAnEpoch, 8, 64);
  const std::int64_t steps = divided_up(facts.texts, batch);
  const std::int64_t epochs = epochs_for(kClassifierSteps, steps, 4, 20);
  settings.push_back({"train.batch-size", str(batch), str(steps, " steps an epoch")});
  settings.push_back(
      {"epochs", str(epochs), str(steps * epochs, " steps; ", kClassifierSteps, " are aimed at, in 4 to 20 epochs")});
  const bool few = steps * epochs < kFewClassifierSteps;
  settings.push_back({"optim.unfreeze", "full",
                      few ? "all layers at once: in so few steps, one by one leaves too few to each"
                          : "all layers at once; whether one by one is better, ulmfit study ablation tells"});
  settings.push_back(
      {"optim.factor", few ? "1" : "2.6",
       few ? "one rate: in so few steps the lower layers would hardly move" : "discriminative rates, as in the paper"});
  settings.push_back(classifier_rate(batch));
  settings.push_back({"schedule.kind", "one-cycle", "as fastai"});
  settings.push_back({"drop-mult", "0.7", "as in configs/quickstart-classifier.cfg"});
  add_selection(facts, settings);
  return settings;
}

}  // namespace ulmfit::stages
