#include "perf/plan.h"

#include "commands/call.h"

namespace ulmfit::commands {
namespace {

class Plan : public Command {
 public:
  void declare(config::OptionSet& set) override { options_.declare(set); }
  std::string_view introduction() const override {
    return "Tells what pretraining on 1 to 1,024 ranks would take, before you wait in the queue. Measure two things "
           "first:\n"
           "  ulmfit bench lm > speed.json                             (one rank as it will run: its GPU, or its threads)\n"
           "  mpirun -n 8 ulmfit bench allreduce > node.json           (a node; --allreduce-nodes: one rank on each of "
           "several)\n"
           "  ulmfit plan --speed speed.json --allreduce node.json --tokens 103e6 --epochs 14\n"
           "Each rank brings its own streams, so the batch grows with the ranks (in training: --train.streams-per-rank, "
           "and\n"
           "--optim.lr-rule for the rate). A step takes\n"
           "  compute x (1 + jitter x E[max of N normals]) + what backward does not hide of the sum\n"
           "  sum = 2 log2(N) alpha + 2 (N - 1) / N bytes beta, inside a node and then between nodes\n"
           "efficiency is compute over that. `quality x` is the speed-up to the same quality: larger batches need fewer "
           "steps,\n"
           "but never fewer than some, so from a point on more ranks bring nothing. Unequal work weighs more than the "
           "network\n"
           "(published: GNMT on 8 GPUs 73 %, of which sums explain about 5 points): set --jitter from the spread of your "
           "steps.\n"
           "Without files the network is taken as NVLink and 400 Gb/s a GPU.";
  }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& /*comm*/) override {
    const perf::Measured planned = perf::plan(options_);
    return outcome(planned.line, planned.table);
  }

 private:
  perf::PlanOptions options_;
};

}  // namespace

std::unique_ptr<Command> plan() { return std::make_unique<Plan>(); }

}  // namespace ulmfit::commands
