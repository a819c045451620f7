// evaluate and predict.
#include <iostream>

#include "commands/call.h"
#include "stages/evaluate.h"

namespace ulmfit::commands {
namespace {

class Evaluate : public Command {
 public:
  void declare(config::OptionSet& set) override { options_.declare(set); }
  std::string_view introduction() const override {
    return "Measures finished stages on a split: perplexity of language models; error rate with its 95 % interval, "
           "macro-F1,\n"
           "per-class table and confusion matrix of classifiers. Prints a JSON line on standard output.";
  }
  const stages::ComputeOptions* compute() const override { return &options_.compute; }
  bool on_all_ranks() const override { return true; }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& comm) override {
    const stages::Evaluated evaluated = stages::evaluate(options_, comm);
    return outcome(evaluated.metrics, evaluated.table);
  }

 private:
  stages::EvaluateOptions options_;
};

// Answers as it reads, on standard output.
class Predict : public Command {
 public:
  void declare(config::OptionSet& set) override { options_.declare(set); }
  std::string_view introduction() const override {
    return "Classifies text from standard input: one text a line in, one JSON object a line out, in the same order, with "
           "label,\n"
           "probabilities and the share of words that the model does not know.";
  }
  const stages::ComputeOptions* compute() const override { return &options_.compute; }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& comm) override {
    stages::predict(options_, comm.device(), std::cin, std::cout);
    return {};
  }

 private:
  stages::PredictOptions options_;
};

}  // namespace

std::unique_ptr<Command> evaluate() { return std::make_unique<Evaluate>(); }
std::unique_ptr<Command> predict() { return std::make_unique<Predict>(); }

}  // namespace ulmfit::commands
