// generate.
#include "stages/generate.h"
#include "commands/call.h"

namespace ulmfit::commands {
namespace {

class Generate : public Command {
 public:
  void declare(config::OptionSet& set) override {
    options_.declare(set);
    set.add("json", json_, "one JSON object a text instead of the texts themselves");
  }
  std::string_view introduction() const override {
    return "Lets a language model go on with a text, or begin one: a quick look at what it has learned. A text a line.";
  }
  const stages::ComputeOptions* compute() const override { return &options_.compute; }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& comm) override {
    Outcome outcome;
    for (const std::string& text : stages::generate(options_, comm.device())) {
      outcome.result += (json_ ? nlohmann::json({{"text", text}}).dump() : text) + "\n";
    }
    return outcome;
  }

 private:
  stages::GenerateOptions options_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> generate() { return std::make_unique<Generate>(); }

}  // namespace ulmfit::commands
