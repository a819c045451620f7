// pretrain, finetune-lm, train-classifier.
#include "commands/call.h"
#include "stages/train_classifier.h"
#include "stages/train_lm.h"

namespace ulmfit::commands {
namespace {

Outcome outcome_of(const stages::StageResult& result, const std::string& stage) {
  if (result.end == stages::StageEnd::kStopped) return {.code = ExitCode::kStopped};
  if (result.end == stages::StageEnd::kPlanned) return {.planned_seconds = result.seconds};
  if (result.end != stages::StageEnd::kTrained) return {};
  return outcome(stages::to_json(result, stage));
}

// What people change in all three stages.
void add_common_of_training(config::OptionSet& set) {
  set.add_common({"output", "train.epochs", "optim.lr", "optim.unfreeze", "drop-mult", "train.seed", "train.select",
                  "device", "precision", "train.threads", "dry-run", "extend", "restart"});
}

class Pretrain : public Command {
 public:
  void declare(config::OptionSet& set) override {
    options_.declare_pretrain(set);
    add_common_of_training(set);
    set.add_common(
        {"direction", "model.embedding", "model.hidden", "model.layers", "train.streams", "train.streams-per-rank"});
  }
  std::string_view introduction() const override {
    return "Trains an AWD-LSTM language model on a prepared corpus, alone or data-parallel: mpirun -n 4 ulmfit pretrain "
           "...\n"
           "Started again with the same options it goes on from its last checkpoint. USR2 saves and stops (exit code 75).";
  }
  const stages::ComputeOptions* compute() const override { return &options_.run.compute; }
  bool on_all_ranks() const override { return true; }
  Outcome run(const config::OptionSet& set, comm::Communicator& comm) override {
    options_.resolve(set, comm);
    return outcome_of(stages::train_lm("pretrain", options_, set, comm), "pretrain");
  }

 private:
  stages::TrainLmOptions options_;
};

class FinetuneLm : public Command {
 public:
  void declare(config::OptionSet& set) override {
    options_.declare_finetune(set);
    add_common_of_training(set);
    set.add_common({"train.streams", "train.streams-per-rank"});
  }
  std::string_view introduction() const override {
    return "Tunes a language model on the target text: words that it knows keep their embedding, new ones start as the "
           "mean; "
           "each\n"
           "layer group trains with its own rate (discriminative), which follows a slanted triangle.";
  }
  const stages::ComputeOptions* compute() const override { return &options_.run.compute; }
  bool on_all_ranks() const override { return true; }
  Outcome run(const config::OptionSet& set, comm::Communicator& comm) override {
    options_.resolve(set, comm);
    return outcome_of(stages::train_lm("finetune-lm", options_, set, comm), "finetune-lm");
  }

 private:
  stages::TrainLmOptions options_;
};

class TrainClassifier : public Command {
 public:
  void declare(config::OptionSet& set) override {
    options_.declare(set);
    add_common_of_training(set);
    set.add_common({"train.batch-size"});
  }
  std::string_view introduction() const override {
    return "Trains a classifier on the encoder of a tuned language model: concat pooling over whole documents, gradual "
           "unfreezing,\n"
           "discriminative rates, slanted triangular schedule.";
  }
  const stages::ComputeOptions* compute() const override { return &options_.run.compute; }
  bool on_all_ranks() const override { return true; }
  Outcome run(const config::OptionSet& set, comm::Communicator& comm) override {
    return outcome_of(stages::train_classifier(options_, set, comm), "train-classifier");
  }

 private:
  stages::TrainClassifierOptions options_;
};

}  // namespace

std::unique_ptr<Command> pretrain() { return std::make_unique<Pretrain>(); }
std::unique_ptr<Command> finetune_lm() { return std::make_unique<FinetuneLm>(); }
std::unique_ptr<Command> train_classifier() { return std::make_unique<TrainClassifier>(); }

}  // namespace ulmfit::commands
