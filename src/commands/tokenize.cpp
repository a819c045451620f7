#include <iostream>

#include "base/read_line.h"
#include "commands/call.h"
#include "commands/text_options.h"
#include "stages/table_options.h"
#include "text/text_pipeline.h"

namespace ulmfit::commands {
namespace {

// Writes as it reads, on standard output.
class Tokenize : public Command {
 public:
  void declare(config::OptionSet& set) override {
    text_.declare(set);
    stages::declare_max_line_bytes(set, max_line_bytes_);
  }
  std::string_view introduction() const override {
    return "One document a line on standard input; its tokens, joined by blanks, on standard output.";
  }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& /*comm*/) override {
    const text::TextPipeline pipeline(text_.resolved());
    std::string line;
    for (std::int64_t number = 1; std::cout; ++number) {
      const LineRead read = read_line(std::cin, line, max_line_bytes_);
      if (read == LineRead::kEnd) break;
      if (read == LineRead::kTooLong) {
        throw DataError(str("cannot tokenize line ", number, ": it has more than ", max_line_bytes_,
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
    return {};
  }

 private:
  TextArguments text_;
  std::int64_t max_line_bytes_ = kMaxLineBytes;
};

}  // namespace

std::unique_ptr<Command> tokenize() { return std::make_unique<Tokenize>(); }

}  // namespace ulmfit::commands
