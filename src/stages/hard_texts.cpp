#include "stages/hard_texts.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "data/corpus_folder.h"
#include "stages/explain.h"
#include "text/readable.h"

namespace ulmfit::stages {
namespace {

constexpr std::size_t kWords = 5;  // shown of those that an answer rests on

std::vector<std::int32_t> ids_of(const data::ShardSet& shards, std::int64_t document) {
  const std::int64_t start = shards.document_start(document);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(shards.document_start(document + 1) - start));
  shards.read(start, ids);
  return ids;
}

// A text as people read it, cut to its beginning.
std::string readable(const std::vector<std::int32_t>& ids, const TrainedModel& model) {
  constexpr std::size_t kMostTokens = 200;
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < std::min(ids.size(), kMostTokens + 1); ++i) tokens.push_back(model.vocabulary->token(ids[i]));
  const std::string text = text::readable_beginning(std::move(tokens), model.text->options().tokenizer, kMostTokens);
  return text.empty() ? "(empty)" : text;
}

// Where each document of the split came from; nothing, if the folder does not tell.
std::vector<std::string> places_of(const EvaluateOptions& options) {
  const fs::path file = data::places_file(options.data, options.split);
  return fs::exists(file) ? read_lines(file) : std::vector<std::string>();
}

// The models with their weights as a batch uses them, made once.
class Explainer {
 public:
  explicit Explainer(const std::vector<TrainedModel>& models) : models_(models) {
    for (const TrainedModel& model : models) weights_.push_back(model.encoder->batch_weights(0, nullptr));
  }

  std::vector<std::string> words_for(const std::vector<std::int32_t>& ids, std::int64_t label) const {
    Explanation explanation;
    for (std::size_t m = 0; m < models_.size(); ++m) {
      std::vector<std::int64_t> read(ids.begin(), ids.end());
      if (models_[m].info.backward) std::reverse(read.begin() + 1, read.end());  // as data::DocumentBatches does
      explanation.add(models_[m], weights_[m], read);
    }
    std::vector<std::string> words;
    for (const auto& entry : explanation.words_for(static_cast<std::size_t>(label), kWords)) words.push_back(entry.first);
    return words;
  }

 private:
  const std::vector<TrainedModel>& models_;
  std::vector<std::vector<model::LstmWeights>> weights_;
};

}  // namespace

std::vector<reports::HardText> hardest_texts(const std::vector<TrainedModel>& models, const at::Tensor& probabilities,
                                             const data::ShardSet& shards, const std::vector<std::string>& labels,
                                             const EvaluateOptions& options) {
  constexpr double kSmallest = 1e-38;  // of float32: a probability of 0 has no loss
  std::vector<std::int64_t> given;
  for (std::int64_t d = 0; d < shards.document_count(); ++d) given.push_back(shards.label(d));
  const at::Tensor p = probabilities.to(at::kCPU, at::kDouble);
  const at::Tensor losses = -p.gather(1, at::tensor(given, at::kLong).unsqueeze(1)).squeeze(1).clamp_min(kSmallest).log();
  const auto [probability, predicted] = p.max(1);
  const std::vector<std::string> places = places_of(options);
  const at::Tensor order = losses.argsort(/*stable=*/true, 0, /*descending=*/true);
  const Explainer explainer(models);
  std::vector<reports::HardText> texts;
  for (std::int64_t i = 0; i < std::min(options.top_losses, shards.document_count()); ++i) {
    const std::int64_t d = order[i].item<std::int64_t>();
    const auto at = static_cast<std::size_t>(d);
    const std::int64_t answer = predicted[d].item<std::int64_t>();
    const std::vector<std::int32_t> ids = ids_of(shards, d);
    texts.push_back({.document = d,
                     .place = at < places.size() ? places[at] : "",
                     .given = labels[static_cast<std::size_t>(given[at])],
                     .predicted = labels[static_cast<std::size_t>(answer)],
                     .loss = losses[d].item<double>(),
                     .probability = probability[d].item<double>(),
                     .text = readable(ids, models.front()),
                     .words = explainer.words_for(ids, answer)});
  }
  return texts;
}

}  // namespace ulmfit::stages
