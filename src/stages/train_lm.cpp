#include "stages/train_lm.h"

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/log.h"
#include "data/corpus_folder.h"
#include "model/vocabulary_transfer.h"
#include "stages/compute.h"
#include "stages/language_model_info.h"
#include "stages/run_folder.h"
#include "stages/run_identity.h"
#include "stages/stage_folder.h"
#include "stages/stage_run.h"
#include "stages/stage_sources.h"
#include "train/lm_task.h"

namespace ulmfit::stages {
namespace {

// Copies the parent's weights, words matched by their text; returns how many are known to it.
std::int64_t transfer(const TrainedModel& parent, const text::Vocabulary& vocabulary, const model::AwdLstm& encoder,
                      const model::SoftmaxHead& head) {
  at::NoGradGuard no_grad;
  std::vector<std::int64_t> source;
  std::int64_t known = 0;
  for (const auto& token : vocabulary.tokens()) {
    const bool found = parent.vocabulary->knows(token);
    known += found;
    source.push_back(found ? parent.vocabulary->id(token) : -1);
  }
  const auto from = model::tensors_of(*parent.encoder, *parent.head);
  const auto to = model::tensors_of(encoder, head);
  for (std::size_t i = 0; i < to.size(); ++i) {
    auto [name, into] = to[i];
    const bool by_word = name == "embedding.weight" || name == "decoder.bias";
    into.copy_(by_word ? model::transfer_rows(from[i].second, source) : from[i].second);
  }
  return known;
}

// A language model made ready to be trained.
class LmStage : public TrainingStage {
 public:
  LmStage(const std::string& command, const TrainLmOptions& options, const config::OptionSet& set,
          comm::Communicator& comm);

  train::Task& task() const override { return *task_; }
  void write(const StageResult& result) const override;

 private:
  void open_corpus();
  void read_parent(at::Device device);
  void describe();
  nlohmann::json facts(const StageResult& result, const std::map<std::string, double>& figures) const;

  const TrainLmOptions& options_;
  std::optional<TrainingText> text_;
  std::optional<TrainedModel> parent_;
  std::int64_t known_to_parent_ = 0;  // words
  model::Shape shape_;
  bool backward_;
  std::optional<model::AwdLstm> encoder_;
  std::unique_ptr<model::SoftmaxHead> head_;
  std::unique_ptr<train::LmTask> task_;
};

LmStage::LmStage(const std::string& command, const TrainLmOptions& options, const config::OptionSet& set,
                 comm::Communicator& comm)
    : TrainingStage(command, options.run, options.optim, set),
      options_(options),
      shape_(options.shape),
      backward_(options.backward) {
  micro_batches = micro_batches_of(options.run, options.task.streams.streams, /*exact=*/true, comm);
  train::LmTaskOptions task_options = options.task;
  task_options.dropout = options.dropout.resolved();
  open_corpus();
  if (options.from != "none") read_parent(comm.device());
  shape_.vocabulary = text_->vocabulary.size();
  options.softmax.check(shape_.vocabulary);  // before memory is taken
  const auto seed = static_cast<std::uint64_t>(options.run.seed);
  encoder_.emplace(shape_, seed, comm.device());
  head_ = options.softmax.make(*encoder_, seed);
  encoder_->set_precision(use_precision(options.run.compute.precision, comm.device()));
  if (parent_) {
    known_to_parent_ = transfer(*parent_, text_->vocabulary, *encoder_, *head_);
    log::info(command, str(known_to_parent_, " of ", text_->vocabulary.size(), " words are known to ", options.from,
                           "; the others start as the mean"));
  }
  task_options.streams.backward = backward_;
  task_options.streams.seed = seed;
  task_options.seed = seed;
  const auto make_task = [&] {
    task_ = std::make_unique<train::LmTask>(*encoder_, *head_, text_->train, text_->valid ? &*text_->valid : nullptr,
                                            task_options, micro_batches, comm);
  };
  make_task();
  if (options.run.dry_run && std::exchange(task_options.cuda_graph, false)) make_task();  // its few steps would be recorded
  describe();
  inputs = run_inputs(options.corpus, options.from);
}

void LmStage::open_corpus() {
  data::CorpusInfo corpus = data::open_corpus(options_.corpus);
  if (corpus.kind != "lm") {
    throw DataError(
        str(options_.corpus, " is a ", corpus.kind, " set; ", title, " needs the lm folder of a prepared corpus"));
  }
  text_ = open_training_text(options_.corpus, std::move(corpus));
  if (optim.nt_asgd > 0 && optim.optimizer.kind != optim::OptimizerKind::kSgd) {
    throw ConfigError("--optim.nt-asgd is averaged SGD: give --optim.kind sgd");
  }
  if (optim.nt_asgd > 0 && !text_->valid) {
    throw ConfigError(str("--optim.nt-asgd begins when validation stops improving, and ", options_.corpus,
                          " has no validation text; prepare it with some"));
  }
}

void LmStage::read_parent(at::Device device) {
  parent_ = read_language_model(title, options_.from, device);
  if (const std::string note = note_of_softmax(parent_->info); !note.empty()) {
    log::info(title, str(options_.from, " was ", note));
  }
  check_same_text(*parent_, text_->corpus, options_.corpus);
  shape_ = parent_->info.shape;
  shape_of_parent = true;
  backward_ = parent_->info.backward;
}

void LmStage::describe() {
  const data::LmStreamOptions& streams = options_.task.streams;
  batch_size = streams.streams;
  batch_option = "--train.streams";
  bytes = model::training_bytes(shape_, static_cast<double>(streams.streams * streams.bptt / micro_batches.total), 1);
  if (optim.nt_asgd > 0) bytes += 4.0 * static_cast<double>(shape_.encoder_parameters() + shape_.vocabulary);  // the mean
  summary = {{"corpus", str(options_.corpus, ": ", text_->train.token_count(), " tokens, ", text_->train.document_count(),
                            " documents, ", text_->vocabulary.size(), " words")},
             {"model",
              str("AWD-LSTM ", shape_.embedding, "/", shape_.hidden, " x ", shape_.layers, backward_ ? ", backward" : "")},
             {"streams", str(streams.streams, " of ", (text_->train.token_count() - 1) / streams.streams,
                             " tokens, windows of ", streams.variable_bptt ? "about " : "", streams.bptt)}};
  if (options_.softmax.kind == SoftmaxKind::kFull) return;
  SoftmaxOptions::Outlook outlook = options_.softmax.outlook(text_->train, shape_.vocabulary);
  summary.emplace_back("softmax", std::move(outlook.summary));
  if (!outlook.doubt.empty()) doubts.push_back(std::move(outlook.doubt));
}

// The stage is read with the softmax over all words, and tells what it reaches with that one.
std::map<std::string, double> figures_of_stage(std::map<std::string, double> reached) {
  if (!reached.contains(train::kFullSoftmaxLoss)) return reached;
  for (const auto& [name, full] :
       {std::pair{"loss", train::kFullSoftmaxLoss}, std::pair{"perplexity", train::kFullSoftmaxPerplexity}}) {
    reached[str("adaptive_", name)] = reached.at(name);
    reached[name] = reached.at(full);
    reached.erase(full);
  }
  return reached;
}

nlohmann::json LmStage::facts(const StageResult& result, const std::map<std::string, double>& figures) const {
  nlohmann::json own = {{"corpus_fingerprint", text_->train.fingerprint()},
                        {"corpus", text_->provenance},
                        {"tokens", text_->train.token_count()},
                        {"steps", result.steps},
                        {"tokens_seen", result.items},
                        {"seed", static_cast<std::uint64_t>(run.seed)},
                        {"figures", figures}};
  if (options_.softmax.kind != SoftmaxKind::kFull) own[kSoftmaxFact] = name_in(kSoftmaxKinds, options_.softmax.kind);
  if (!run.license.empty()) own["license"] = run.license;
  if (parent_) own["words_known_to_parent"] = known_to_parent_;
  return own;
}

void LmStage::write(const StageResult& result) const {
  StageInfo info;
  info.head = std::make_shared<LanguageModelInfo>();
  info.shape = shape_;
  info.backward = backward_;
  info.metrics = figures_of_stage(result.evaluation.values);
  info.lineage = lineage_of(parent_, {title, "", facts(result, info.metrics)});
  model::SoftmaxHead full = head_->full();
  write_stage(result.run_folder / "stage", info, *encoder_, full, text_->files, shown_config());
  if (const std::string note = note_of_softmax(info); !note.empty()) log::warn(title, note);
}

}  // namespace

std::unique_ptr<TrainingStage> prepare_lm(const std::string& command, const TrainLmOptions& options,
                                          const config::OptionSet& set, comm::Communicator& comm) {
  return std::make_unique<LmStage>(command, options, set, comm);
}

StageResult train_lm(const std::string& command, const TrainLmOptions& options, const config::OptionSet& set,
                     comm::Communicator& comm) {
  const auto known_inputs = [&] { return known_run_inputs(options.corpus, options.from); };
  if (nothing_to_do(options.run, command, set, known_inputs, comm)) return StageEnd::kNothingToDo;
  return run_stage(*prepare_lm(command, options, set, comm), comm);
}

void TrainLmOptions::resolve(const config::OptionSet& set, const comm::Communicator& comm) {
  if (streams_per_rank == 0) return;
  if (set.given("train.streams")) {
    throw ConfigError(
        "--train.streams is the global batch and --train.streams-per-rank a rank's part of it: give one of them");
  }
  task.streams.streams = streams_per_rank * comm.size();
  streams_per_rank = 0;  // it is said, and the saved configuration can be given back
}

void TrainLmOptions::declare_common(config::OptionSet& set) {
  set.add("corpus", corpus, "prepared text: a folder of prepare-corpus, or the lm folder of prepare-labelled",
          config::OnResume::kMayChange);
  set.require("corpus");
  run.declare(set);
  dropout.declare(set);
  declare(set, task);
  set.add("train.streams-per-rank", streams_per_rank,
          "streams of each rank instead of --train.streams: the global batch grows with the ranks (see --optim.lr-rule)",
          {.min = 0, .max = 1 << 24}, config::OnResume::kMayChange);
  optim.declare(set);
}

void TrainLmOptions::declare_pretrain(config::OptionSet& set) {
  set.add("direction", backward, kBackward, "read the text forward, or each document from its end");
  declare(set, shape);
  softmax.declare(set);
  declare_common(set);
}

void TrainLmOptions::declare_finetune(config::OptionSet& set) {
  optim = finetune_optim();
  set.add("from", from, "stage of the language model to start from, or none", config::OnResume::kMayChange);
  set.require("from");
  set.add("direction", backward, kBackward, "with --from none: read the text forward, or each document from its end");
  declare(set, shape);
  declare_common(set);
}

}  // namespace ulmfit::stages
