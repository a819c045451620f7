#include "stages/train_classifier.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "data/corpus_folder.h"
#include "model/softmax_head.h"
#include "reports/number_format.h"
#include "stages/classifier_info.h"
#include "stages/compute.h"
#include "stages/language_model_info.h"
#include "stages/run_folder.h"
#include "stages/run_identity.h"
#include "stages/stage_folder.h"
#include "stages/stage_run.h"
#include "stages/stage_sources.h"
#include "train/classifier_task.h"

namespace ulmfit::stages {
namespace {

std::vector<std::int64_t> head_widths(const TrainClassifierOptions& options, std::int64_t embedding, std::size_t classes) {
  std::vector<std::int64_t> widths{3 * embedding};
  for (const std::int64_t width : options.hidden) {
    if (width == 0 && options.hidden.size() > 1) {
      throw ConfigError("--head.hidden: 0 means no hidden layer, and stands alone; leave it out beside others");
    }
    if (width > 0) widths.push_back(width);
  }
  widths.push_back(static_cast<std::int64_t>(classes));
  return widths;
}

// By class, from "LABEL=2.5" (others 1), or "balanced": texts / (classes x texts of the class), so that each class counts
// the same. Empty: 1 each.
std::vector<double> weights_of_classes(const std::vector<std::string>& wanted, const std::vector<std::string>& labels,
                                       const data::ShardSet& texts) {
  if (wanted.empty()) return {};
  std::vector<double> weights(labels.size(), 1);
  if (wanted.size() == 1 && wanted[0] == "balanced") {
    std::vector<std::int64_t> counts(labels.size(), 0);
    for (std::int64_t d = 0; d < texts.document_count(); ++d) ++counts.at(static_cast<std::size_t>(texts.label(d)));
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (counts[i] == 0) continue;  // no text has it
      weights[i] = static_cast<double>(texts.document_count()) /
                   static_cast<double>(counts[i] * static_cast<std::int64_t>(labels.size()));
    }
    return weights;
  }
  for (const std::string& text : wanted) {
    const std::size_t equal = std::min(text.rfind('='), text.size());
    const std::string label = text.substr(0, equal), number = text.substr(std::min(equal + 1, text.size()));
    const auto found = std::find(labels.begin(), labels.end(), label);
    if (found == labels.end()) {
      std::vector<std::string> known = labels;
      if (equal == text.size()) known.emplace_back("balanced");
      throw ConfigError(str("--train.class-weights=", text, ": there is no label '", label, "' (did you mean ",
                            config::nearest(label, known), "?); expected LABEL=WEIGHT, or balanced"));
    }
    double weight = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), weight);
    if (error != std::errc{} || end != number.data() + number.size() || !std::isfinite(weight) || weight <= 0) {
      throw ConfigError(str("--train.class-weights=", text, ": expected LABEL=WEIGHT with a weight above 0"));
    }
    weights[static_cast<std::size_t>(found - labels.begin())] = weight;
  }
  return weights;
}

void copy_encoder(const TrainedModel& parent, model::AwdLstm& encoder) {
  at::NoGradGuard no_grad;
  const auto from = parent.encoder->parameters();
  const auto to = encoder.parameters();
  for (std::size_t i = 0; i < to.size(); ++i) {
    at::Tensor into = to[i].tensor;
    into.copy_(from[i].tensor);
  }
}

// What was learned for other texts: the head's layers as far as their widths agree, and the rows of the classes that both
// know. Told in words.
std::string copy_head(const TrainedModel& parent, const ClassifierInfo& ours, model::PoolingHead& head) {
  const std::vector<std::string>& known = parent.info.head_info_as<ClassifierInfo>()->labels;
  std::vector<std::int64_t> rows;
  std::string shared, others;
  for (const std::string& label : ours.labels) {
    const auto found = std::find(known.begin(), known.end(), label);
    rows.push_back(found == known.end() ? -1 : found - known.begin());
    std::string& list = found == known.end() ? others : shared;
    list += (list.empty() ? "" : ", ") + label;
  }
  const std::size_t copied = head.take_over(head_as<model::PoolingHead>(parent), rows);
  if (copied < head.blocks()) {
    return str(copied, " of ", head.blocks(),
               " layers taken over; the others have other widths (--head.hidden) and begin anew");
  }
  return str("taken over; classes that it knew: ", shared.empty() ? "none" : shared,
             "; that begin anew: ", others.empty() ? "none" : others);
}

// Rows of the classifier's vocabulary must be the parent's: train-classifier does not transfer words.
void check_vocabulary(const TrainedModel& parent, const text::Vocabulary& vocabulary,
                      const TrainClassifierOptions& options) {
  if (parent.vocabulary->fingerprint() != vocabulary.fingerprint()) {
    throw CheckpointError(str("the vocabulary of ", options.from, " (", parent.vocabulary->size(), " words, ",
                              parent.vocabulary->fingerprint(), ") is not that of ", options.data, " (", vocabulary.size(),
                              " words, ", vocabulary.fingerprint(),
                              "); tune the language model on the lm folder that lies beside it, or prepare "
                              "the data with --vocab ",
                              options.from, " (of a classifier, that alone)"));
  }
}

// The columns that prepare-labelled joined into one text.
std::vector<std::string> text_columns(const nlohmann::json& provenance) {
  const nlohmann::json request = provenance.value("request", nlohmann::json::object());
  return request.value("text_columns", std::vector<std::string>{"text"});
}

// What stands between the labels of a training text; predict writes it between those of an answer.
std::string label_delimiter(const nlohmann::json& provenance) {
  const nlohmann::json request = provenance.value("request", nlohmann::json::object());
  const auto found = request.find("label_delimiter");
  const bool known = found != request.end() && found->is_string() && found->get<std::string>().size() == 1;
  return known ? found->get<std::string>() : ";";  // of another program's folder
}

constexpr const char* kCommand = "train-classifier";
constexpr std::int64_t kFewestValidated = 100;

// A classifier made ready to be trained.
class ClassifierStage : public TrainingStage {
 public:
  ClassifierStage(const TrainClassifierOptions& options, const config::OptionSet& set, comm::Communicator& comm);

  train::Task& task() const override { return *task_; }
  void write(const StageResult& result) const override;

 private:
  void open_corpus();
  void refuse_options_of_one_label() const;
  void read_parent(at::Device device);
  at::Tensor decoder_bias() const;
  void describe();

  const TrainClassifierOptions& options_;
  std::optional<TrainingText> text_;
  std::optional<TrainedModel> parent_;
  model::Shape shape_;
  bool backward_;
  std::shared_ptr<ClassifierInfo> classifier_ = std::make_shared<ClassifierInfo>();
  std::optional<model::AwdLstm> encoder_;
  std::unique_ptr<model::PoolingHead> head_;
  std::unique_ptr<train::ClassifierTask> task_;
  std::string head_of_parent_;  // what of it was taken over; empty: the parent is a language model, or there is none
};

ClassifierStage::ClassifierStage(const TrainClassifierOptions& options, const config::OptionSet& set,
                                 comm::Communicator& comm)
    : TrainingStage(kCommand, options.run, options.optim, set),
      options_(options),
      shape_(options.shape),
      backward_(options.backward) {
  micro_batches = micro_batches_of(options.run, options.task.batches.batch_size, /*exact=*/false, comm);
  if (options.optim.nt_asgd > 0) {
    throw ConfigError(
        "--optim.nt-asgd averages the weights of language models; a classifier's batch norm would keep the statistics of "
        "other weights: leave it out");
  }
  train::ClassifierTaskOptions task_options = options.task;
  task_options.dropout = options.dropout.resolved();
  open_corpus();
  if (options.from != "none") read_parent(comm.device());
  shape_.vocabulary = text_->vocabulary.size();
  const auto seed = static_cast<std::uint64_t>(options.run.seed);
  encoder_.emplace(shape_, seed, comm.device());
  encoder_->set_precision(use_precision(options.run.compute.precision, comm.device()));
  if (parent_) copy_encoder(*parent_, *encoder_);
  classifier_->labels = text_->corpus.labels;
  const auto* former = parent_ ? parent_->info.head_info_as<ClassifierInfo>() : nullptr;
  classifier_->head = {head_widths(options, shape_.embedding, text_->corpus.labels.size()), options.bpt3c,
                       former != nullptr && former->head.bias};
  classifier_->text_columns = text_columns(text_->provenance);
  if (text_->corpus.multilabel()) classifier_->label_delimiter = label_delimiter(text_->provenance);
  head_ = std::make_unique<model::PoolingHead>(classifier_->head, seed, comm.device());
  if (former != nullptr) head_of_parent_ = copy_head(*parent_, *classifier_, *head_);
  task_options.batches = {options.task.batches.batch_size, /*shuffle=*/true, backward_, seed};
  task_options.seed = seed;
  task_options.labels = text_->corpus.labels;
  task_options.label_sets = text_->corpus.label_sets;
  if (task_options.aux_lm_weight > 0) task_options.decoder_bias = decoder_bias();
  task_options.class_weights = weights_of_classes(options.class_weights, task_options.labels, text_->train);
  task_ = std::make_unique<train::ClassifierTask>(*encoder_, *head_, text_->train, text_->valid ? &*text_->valid : nullptr,
                                                  task_options, micro_batches, comm);
  describe();
  inputs = run_inputs(options.data, options.from);
}

void ClassifierStage::open_corpus() {
  const std::string& data = options_.data;
  data::CorpusInfo corpus = data::open_corpus(data);
  if (!corpus.has_labels()) {
    throw DataError(str(data, " has no labels; train-classifier needs the labelled folder of prepare-labelled"));
  }
  text_ = open_training_text(data, std::move(corpus));
  if (text_->train.document_count() < 2) {
    throw DataError(str(data, " has ", text_->train.document_count(), " training text; batch norm needs two"));
  }
  if (text_->corpus.multilabel()) refuse_options_of_one_label();
}

void ClassifierStage::refuse_options_of_one_label() const {
  const std::pair<bool, const char*> of_one_label[] = {{!options_.class_weights.empty(), "--train.class-weights"},
                                                       {options_.task.label_smoothing > 0, "--train.label-smoothing"}};
  for (const auto& [given, option] : of_one_label) {
    if (given) throw ConfigError(str(option, " is for texts of one label, and those of ", options_.data, " have several"));
  }
}

void ClassifierStage::read_parent(at::Device device) {
  parent_ = read_stage(options_.from, device);
  check_vocabulary(*parent_, text_->vocabulary, options_);
  check_same_text(*parent_, text_->corpus, options_.data);
  shape_ = parent_->info.shape;
  shape_of_parent = true;
  backward_ = parent_->info.backward;
}

at::Tensor ClassifierStage::decoder_bias() const {
  if (!parent_ || parent_->info.head->kind().name != LanguageModelInfo::kName) {
    throw ConfigError(str("--aux-lm-weight=", options_.task.aux_lm_weight,
                          " needs a language model as --from, and that is ",
                          parent_ ? str(options_.from, ", a ", parent_->info.head->kind().what) : "none",
                          "; leave it out, or start from the language model that was tuned on these texts"));
  }
  return head_as<model::SoftmaxHead>(*parent_).bias().detach();
}

void ClassifierStage::describe() {
  batch_size = options_.task.batches.batch_size;
  batch_option = "--train.batch-size";
  // Of texts as long as the mean: a batch of long ones needs more.
  const std::int64_t length =
      std::min(text_->train.token_count() / text_->train.document_count(), classifier_->head.bpt3c.length);
  bytes = model::training_bytes(shape_, static_cast<double>(batch_size * length / micro_batches.total), 1);
  summary = {
      {"data", str(options_.data, ": ", text_->train.document_count(), " texts, ", text_->train.token_count(), " tokens, ",
                   text_->corpus.labels.size(), " classes", text_->corpus.multilabel() ? ", several a text" : "")},
      {"model", str("AWD-LSTM ", shape_.embedding, "/", shape_.hidden, " x ", shape_.layers, backward_ ? ", backward" : "",
                    ", ", text_->vocabulary.size(), " words, ", parent_ ? "from " + options_.from : "from scratch")},
      {"batches", str(batch_size, " texts, windows of ", classifier_->head.bpt3c.window, " tokens, gradients over ",
                      classifier_->head.bpt3c.length)}};
  for (const std::string& doubt : data::doubts_of(options_.data)) summary.emplace_back("doubt", doubt);
  if (!head_of_parent_.empty()) summary.emplace_back("head", head_of_parent_);
  if (options_.task.aux_lm_weight > 0) {
    summary.emplace_back("loss",
                         str("of the classifier, and ", options_.task.aux_lm_weight, " times the language model's"));
  }
  if (!options_.class_weights.empty()) {
    std::string told;
    const auto weights = weights_of_classes(options_.class_weights, text_->corpus.labels, text_->train);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      told += str(told.empty() ? "" : ", ", text_->corpus.labels[i], " ", reports::significant(weights[i], 3));
    }
    summary.emplace_back("class weights", told);
  }
  const std::int64_t validated = text_->valid ? text_->valid->document_count() : 0;
  if (validated > 0 && validated < kFewestValidated) {
    const std::string why = text_->corpus.multilabel()
                                ? "thresholds that are chosen on so few may not suit other texts"
                                : str("each is ", std::llround(100.0 / static_cast<double>(validated)), " % of the error");
    // Not where that would leave too few to train on.
    const bool can_be_more = text_->train.document_count() + validated >= 5 * kFewestValidated;
    const std::string more = str(kFewestValidated, " or more can be held out by --valid-share of prepare-labelled or fit");
    doubts.push_back(str("there are ", validated, " validation texts: ", why, "; ",
                         can_be_more                  ? more
                         : text_->corpus.multilabel() ? "give more labelled texts"
                                                      : "give more labelled texts, or fit --folds 5, which judges by all"));
  }
}

void ClassifierStage::write(const StageResult& result) const {
  StageInfo info;
  info.shape = shape_;
  info.backward = backward_;
  const auto classifier = std::make_shared<ClassifierInfo>(*classifier_);
  if (text_->corpus.multilabel()) {
    const auto& validated = result.evaluation.multilabel;
    classifier->thresholds = validated ? validated->thresholds : std::vector<double>(classifier->labels.size(), 0.5);
  }
  info.head = classifier;
  info.metrics = result.evaluation.values;
  nlohmann::json own = {{"data_fingerprint", text_->train.fingerprint()}, {"data", text_->provenance},
                        {"texts", text_->train.document_count()},         {"steps", result.steps},
                        {"seed", static_cast<std::uint64_t>(run.seed)},   {"figures", result.evaluation.values}};
  if (!run.license.empty()) own["license"] = run.license;
  info.lineage = lineage_of(parent_, {kCommand, "", own});
  write_stage(result.run_folder / "stage", info, *encoder_, *head_, text_->files, shown_config());
}

}  // namespace

std::unique_ptr<TrainingStage> prepare_classifier(const TrainClassifierOptions& options, const config::OptionSet& set,
                                                  comm::Communicator& comm) {
  return std::make_unique<ClassifierStage>(options, set, comm);
}

StageResult train_classifier(const TrainClassifierOptions& options, const config::OptionSet& set,
                             comm::Communicator& comm) {
  const auto known_inputs = [&] { return known_run_inputs(options.data, options.from); };
  if (nothing_to_do(options.run, kCommand, set, known_inputs, comm)) return StageEnd::kNothingToDo;
  return run_stage(*prepare_classifier(options, set, comm), comm);
}

void TrainClassifierOptions::declare(config::OptionSet& set) {
  set.add("data", data, "the labelled folder of prepare-labelled", config::OnResume::kMayChange);
  set.require("data");
  set.add(
      "from", from,
      "stage to start from: a language model, or a classifier, of whose head as much is taken over as agrees in widths and "
      "classes; none: from scratch",
      config::OnResume::kMayChange);
  set.require("from");
  set.add("direction", backward, kBackward, "with --from none: read the texts forward or from their end");
  set.add("train.batch-size", task.batches.batch_size, "texts of the global batch", {.min = 2, .max = 1 << 24});
  set.add_alias("batch-size", "train.batch-size");
  set.add("head.hidden", hidden, "widths of the head's hidden layers; 0: none", {.min = 0, .max = 65536});
  set.add("head.dropout", task.head_dropout, "share dropped before the head's later layers (not scaled by drop-mult)",
          {.min = 0, .max = 0.999});
  set.add("train.label-smoothing", task.label_smoothing, "share of the target that all classes have evenly",
          {.min = 0, .max = 0.999});
  set.add("train.aux-lm-weight", task.aux_lm_weight,
          "what the language model's loss on the texts counts beside the classifier's; 0: none", {.min = 0});
  set.add_alias("aux-lm-weight", "train.aux-lm-weight");
  set.add("train.class-weights", class_weights,
          "what a text of a class counts: LABEL=WEIGHT for some (others 1), or balanced: all classes the same");
  for (const char* key : {"train.label-smoothing", "train.aux-lm-weight"}) set.add_value_of_older_runs(key, "0");
  stages::declare(set, shape);
  run.declare(set);
  dropout.declare(set);
  stages::declare(set, bpt3c);
  optim.declare(set);
  set.add("optim.ar", task.ar, "activation regularisation alpha; 0: none", {.min = 0});
  set.add("optim.tar", task.tar, "temporal activation regularisation beta; 0: none", {.min = 0});
  for (const char* key : {"optim.ar", "optim.tar"}) set.add_value_of_older_runs(key, "0");
  set.add_value_of_older_runs("bpt3c.masks", "document");
}

}  // namespace ulmfit::stages
