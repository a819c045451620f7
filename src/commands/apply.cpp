// evaluate and predict.
#include <iostream>

#include "commands/commands.h"
#include "stages/evaluate.h"

namespace ulmfit::commands {

ExitCode evaluate(const Arguments& arguments) {
  stages::EvaluateOptions options;
  config::OptionSet set("evaluate");
  options.declare(set);
  if (set.parse(arguments).help) {
    std::cout << set.help(
        "Measures finished stages on a split: perplexity of language models; error rate with its 95 % interval, macro-F1,\n"
        "per-class table and confusion matrix of classifiers. Prints a JSON line on standard output.");
    return ExitCode::kDone;
  }
  return stages::evaluate(options);
}

ExitCode predict(const Arguments& arguments) {
  stages::PredictOptions options;
  config::OptionSet set("predict");
  options.declare(set);
  if (set.parse(arguments).help) {
    std::cout << set.help(
        "Classifies text from standard input: one text a line in, one JSON object a line out, in the same order, with "
        "label,\n"
        "probabilities and the share of words that the model does not know.");
    return ExitCode::kDone;
  }
  return stages::predict(options, std::cin, std::cout);
}

}  // namespace ulmfit::commands
