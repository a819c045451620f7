// evaluate, predict and embed.
#include <iostream>

#include "commands/call.h"
#include "stages/embed.h"
#include "stages/evaluate.h"
#include "stages/predict.h"

namespace ulmfit::commands {
namespace {

class Evaluate : public Command {
 public:
  void declare(config::OptionSet& set) override { options_.declare(set); }
  std::string_view introduction() const override {
    return "Measures finished stages on a split: perplexity of language models; error rate with its 95 % interval, "
           "macro-F1,\n"
           "per-class table and confusion matrix of classifiers. Prints a table for people, and on standard output, unless "
           "that\n"
           "is a terminal, a line of JSON for programs.";
  }
  const stages::ComputeOptions* compute() const override { return &options_.compute; }
  bool on_all_ranks() const override { return true; }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& comm) override {
    const stages::Evaluated evaluated = stages::evaluate(options_, comm);
    Outcome told = outcome(evaluated.metrics, evaluated.table);
    told.table_tells_all = !evaluated.table.empty();
    return told;
  }

 private:
  stages::EvaluateOptions options_;
};

// Answers as it reads, on standard output.
class Predict : public Command {
 public:
  void declare(config::OptionSet& set) override { options_.declare(set); }
  std::string_view introduction() const override {
    return "Classifies texts, of standard input or a file, one answer for each in the same order: label, probabilities and "
           "the\n"
           "share of words that the model does not know.";
  }
  const stages::ComputeOptions* compute() const override { return &options_.compute; }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& comm) override {
    stages::predict(options_, comm.device(), std::cin, std::cout);
    return {};
  }

 private:
  stages::PredictOptions options_;
};

class Embed : public Command {
 public:
  void declare(config::OptionSet& set) override { options_.declare(set); }
  std::string_view introduction() const override {
    return "Turns texts into vectors: what chosen layers of a stage make of them, pooled over each text. For search, "
           "clusters "
           "or\n"
           "another classifier.";
  }
  const stages::ComputeOptions* compute() const override { return &options_.compute; }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& comm) override {
    const stages::Embedded made = stages::embed(options_, comm.device(), std::cin);
    return outcome({{"output", options_.output}, {"texts", made.texts}, {"width", made.width}});
  }

 private:
  stages::EmbedOptions options_;
};

}  // namespace

std::unique_ptr<Command> evaluate() { return std::make_unique<Evaluate>(); }
std::unique_ptr<Command> embed() { return std::make_unique<Embed>(); }
std::unique_ptr<Command> predict() { return std::make_unique<Predict>(); }

}  // namespace ulmfit::commands
