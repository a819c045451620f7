#include <iostream>

#include "commands/commands.h"
#include "stages/bench_lm.h"

namespace ulmfit::commands {

ExitCode bench(const Arguments& arguments) {
  if (arguments.empty() || arguments[0] != "lm") {
    std::cerr << "Usage: ulmfit bench lm [options]\n\n  lm   tokens a second of language-model training\n";
    return arguments.empty() || arguments[0] == "--help" ? ExitCode::kDone : ExitCode::kConfig;
  }
  stages::BenchLmOptions options;
  config::OptionSet set("bench lm");
  options.declare(set);
  if (set.parse({arguments.begin() + 1, arguments.end()}).help) {
    std::cout << set.help(
        "Trains a language model of the given size on random tokens and prints tokens a second, model FLOP/s against the\n"
        "matrix-product peak measured in the same run, and memory, as a JSON line.");
    return ExitCode::kDone;
  }
  return stages::bench_lm(options);
}

}  // namespace ulmfit::commands
