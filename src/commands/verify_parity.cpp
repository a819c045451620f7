#include "stages/verify_parity.h"

#include "commands/call.h"
#include "commands/stage_word.h"

namespace ulmfit::commands {
namespace {

// ulmfit verify-parity [pretrain|finetune-lm|train-classifier] [options of that stage]
class VerifyParity : public Command {
 public:
  void take_words(Arguments& arguments) override { options_.stage.command = take_stage_word(arguments, "verify-parity"); }
  void declare(config::OptionSet& set) override {
    options_.declare(set);
    set.add_common({"parity.steps", "parity.states", "reproducible", "train.max-streams-per-pass", "train.seed", "device",
                    "precision", "train.threads"});
  }
  std::string_view introduction() const override {
    return "Shows that your ranks train as one rank does, with your configuration and on your machines:\n\n"
           "  mpirun -n 4 ulmfit verify-parity --config pretrain.cfg --corpus corpus\n"
           "  mpirun -n 4 ulmfit verify-parity train-classifier --config classifier.cfg --data data --from lm\n\n"
           "It takes the options of the stage (pretrain if none is named; the config.cfg of a run folder will do), trains\n"
           "a few steps of each unfreezing phase twice, on all ranks and on rank 0 alone, and compares: from a number of\n"
           "states one step must give the same loss (within 1e-4 nats) and the same gradients (within 1e-5 of each one's\n"
           "largest value). A language model trained by Adam must also keep its losses within 1e-4 nats through all\n"
           "steps; plain SGD at high rates multiplies rounding, and so does a classifier where it decides which of two\n"
           "equal values is the maximum over time: there only the single steps count, and a state that stands on such a\n"
           "kink is compared with weights nearby, and counted. With --reproducible every bit must be the same, through\n"
           "all steps. On one rank, --train.max-streams-per-pass compares micro-batches with the whole batch. Nothing is\n"
           "written. Exit code 0: they agree; 5: they do not, and the JSON lines on standard output say by how much, at\n"
           "which step, in which parameter.";
  }
  const stages::ComputeOptions* compute() const override { return &options_.stage.run().compute; }
  bool on_all_ranks() const override { return true; }
  Outcome run(const config::OptionSet& set, comm::Communicator& comm) override {
    const stages::ParityVerdict verdict = stages::verify_parity(options_, set, comm);
    Outcome told{.code = verdict.agree ? ExitCode::kDone : ExitCode::kComm};
    for (const auto& line : verdict.lines) told.result += line.dump() + "\n";
    return told;
  }

 private:
  stages::VerifyParityOptions options_;
};

}  // namespace

std::unique_ptr<Command> verify_parity() { return std::make_unique<VerifyParity>(); }

}  // namespace ulmfit::commands
