#include <iostream>

#include "base/read_line.h"
#include "commands/commands.h"
#include "commands/text_options.h"
#include "stages/options.h"
#include "text/text_pipeline.h"

namespace ulmfit::commands {

ExitCode tokenize(const Arguments& arguments) {
  TextArguments text_arguments;
  config::OptionSet set("tokenize");
  text_arguments.declare(set);
  std::int64_t max_line_bytes = kMaxLineBytes;
  stages::declare_max_line_bytes(set, max_line_bytes);
  if (set.parse(arguments).help) {
    std::cout << set.help("One document a line on standard input; its tokens, joined by blanks, on standard output.");
    return ExitCode::kDone;
  }
  const text::TextPipeline pipeline(text_arguments.resolved());
  std::string line;
  for (std::int64_t number = 1; std::cout; ++number) {
    const LineRead read = read_line(std::cin, line, max_line_bytes);
    if (read == LineRead::kEnd) break;
    if (read == LineRead::kTooLong) {
      throw DataError(str("cannot tokenize line ", number, ": it has more than ", max_line_bytes,
                          " bytes; --max-line-bytes allows longer lines"));
    }
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
