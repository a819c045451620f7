#include <iostream>

#include "commands/commands.h"
#include "commands/text_options.h"
#include "text/text_pipeline.h"

namespace ulmfit::commands {

ExitCode tokenize(const Arguments& arguments) {
  TextArguments text_arguments;
  config::OptionSet set("tokenize");
  text_arguments.declare(set);
  if (set.parse(arguments).help) {
    std::cout << set.help("One document a line on standard input; its tokens, joined by blanks, on standard output.");
    return ExitCode::kDone;
  }
  const text::TextPipeline pipeline(text_arguments.resolved());
  for (std::string line; std::cout && std::getline(std::cin, line);) {
    bool first = true;
    for (const auto& token : pipeline.tokenize(line)) {
      if (!first) std::cout << ' ';
      std::cout << token;
      first = false;
    }
    std::cout << '\n';
  }
  return ExitCode::kDone;
}

}  // namespace ulmfit::commands
