// find-lr.
#include "stages/find_lr.h"

#include "commands/call.h"
#include "commands/stage_word.h"

namespace ulmfit::commands {
namespace {

// ulmfit find-lr [pretrain|finetune-lm|train-classifier] [options of that stage]
class FindLr : public Command {
 public:
  void take_words(Arguments& arguments) override { options_.stage.command = take_stage_word(arguments, "find-lr"); }
  void declare(config::OptionSet& set) override {
    options_.declare(set);
    set.add_common({"find.lowest", "find.highest", "find.steps", "report", "optim.unfreeze", "optim.train-groups", "device",
                    "precision", "train.threads", "train.seed"});
  }
  std::string_view introduction() const override {
    return "Looks for a learning rate: trains a stage (pretrain if none is named) for some steps while the rate rises "
           "from\n"
           "far too low to far too high, and suggests three from the course of the loss. It takes the options of the\n"
           "stage; all layer groups train, or those of --groups last or --train-groups. Nothing is kept.\n\n"
           "  ulmfit find-lr finetune-lm --corpus data/lm --from general-lm --report rates\n"
           "  ulmfit find-lr train-classifier --data data/labelled --from target-lm --optim.unfreeze last";
  }
  const stages::ComputeOptions* compute() const override { return &options_.stage.run().compute; }
  bool on_all_ranks() const override { return true; }
  Outcome run(const config::OptionSet& set, comm::Communicator& comm) override {
    const stages::RatesFound found = stages::find_lr(options_, set, comm);
    if (comm.rank() != 0) return {};
    return outcome(found.line, found.table);
  }

 private:
  stages::FindLrOptions options_;
};

}  // namespace

std::unique_ptr<Command> find_lr() { return std::make_unique<FindLr>(); }

}  // namespace ulmfit::commands
