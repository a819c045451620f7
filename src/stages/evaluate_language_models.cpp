// Perplexity of language models.
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "model/softmax_head.h"
#include "stages/evaluate_kinds.h"
#include "stages/language_model_info.h"
#include "train/lm_task.h"

namespace ulmfit::stages {

Evaluated evaluate_language_models(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                                   const EvaluateOptions& options, const data::CorpusInfo& /*corpus*/,
                                   comm::Communicator& comm) {
  const std::pair<bool, const char*> of_classifiers[] = {
      {options.top_losses > 0, "--top-losses"}, {options.baselines, "--baselines"},
      {!options.report.empty(), "--report"},    {!options.against.empty(), "--against"},
      {options.calibration, "--calibration"},   {options.reject_below > 0, "--reject-below"}};
  for (const auto& [given, option] : of_classifiers) {
    if (given) throw ConfigError(str(option, " is for classifiers, and ", options.models.front(), " is a language model"));
  }
  nlohmann::json results = nlohmann::json::array();
  for (auto& model : models) {
    data::LmStreamOptions streams;
    streams.streams = options.batch_size;
    streams.backward = model.info.backward;
    const train::MicroBatches micro_batches{comm.size(), comm.rank(), 1};
    const train::LmScore score =
        train::evaluate_lm(*model.encoder, head_as<model::SoftmaxHead>(model), shards, streams, micro_batches, comm);
    const double loss = score.nats / score.targets;
    results.push_back({{"model", model.folder.string()},
                       {"split", options.split},
                       {"tokens", score.targets},
                       {"loss", loss},
                       {"perplexity", std::exp(loss)}});
    log::info("evaluate", str(model.folder.string(), ": perplexity ", std::exp(loss), " (", loss, " nats a token, ",
                              score.targets, " tokens)"));
    if (const std::string note = note_of_softmax(model.info); !note.empty()) {
      results.back()["note"] = note;
      log::warn("evaluate", str(model.folder.string(), " was ", note));
    }
  }
  return {results, ""};
}

}  // namespace ulmfit::stages
