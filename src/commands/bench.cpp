// bench lm|classifier|predict|rnn|allreduce|checkpoint
#include "commands/call.h"
#include "perf/bench_allreduce.h"
#include "perf/bench_checkpoint.h"
#include "perf/bench_classifier.h"
#include "perf/bench_lm.h"
#include "perf/bench_rnn.h"

namespace ulmfit::commands {
namespace {

template <class Options>
using Measure = perf::Measured (*)(const Options&, comm::Communicator&);

template <class Options>
class Benchmark : public Command {
 public:
  Benchmark(Measure<Options> measure, std::string_view introduction) : measure_(measure), introduction_(introduction) {}
  void declare(config::OptionSet& set) override { options_.declare(set); }
  std::string_view introduction() const override { return introduction_; }
  const stages::ComputeOptions* compute() const override { return &options_.run.compute; }
  bool on_all_ranks() const override { return true; }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& comm) override {
    const perf::Measured measured = measure_(options_, comm);
    return outcome(measured.line, measured.table);
  }

 private:
  Measure<Options> measure_;
  std::string_view introduction_;
  Options options_;
};

template <class Options>
std::unique_ptr<Command> benchmark(perf::Measured (*measure)(const Options&, comm::Communicator&), std::string_view help) {
  return std::make_unique<Benchmark<Options>>(measure, help);
}

constexpr std::string_view kLmHelp =
    "Trains a language model of the given size, by default the paper's, and prints a table (standard error) and a\n"
    "JSON line (standard output):\n"
    "  tokens/s                 median, lowest and highest block; all ranks together\n"
    "  model GFLOP/s            of the arithmetic that the model needs, a rank, and its share of what large matrix\n"
    "                           products of the same type reach in the same run (recomputed work does not count)\n"
    "  outside products, ...    share of a step in neither products nor LSTM kernels nor the softmax\n"
    "  activity, operator       where a step's time goes, from a profile after the blocks\n"
    "--softmax.kind adaptive or sampled: as pretrain has them; FLOP are then those of the encoder alone.\n"
    "--plain alternates each block with a plain torch loop on the same tokens and prints the ratio. Under mpirun it\n"
    "measures data-parallel training: compare 2 ranks of one thread with one rank of two.\n"
    "On a busy machine only ratios within one run mean something.";

constexpr std::string_view kClassifierHelp =
    "Trains a classifier, all layers, on made-up documents or on --data, and prints documents/s by block (a pass\n"
    "over the documents unless --block says otherwise) with the same table and JSON line as bench lm. FLOP are\n"
    "those of the encoder; documents differ in length, so passes compare better than single steps.";

constexpr std::string_view kPredictHelp =
    "Computes class probabilities of documents that are token ids already, in batches of like length, as\n"
    "evaluate does, and prints documents/s by pass; reading and tokenizing are no part of it. The weights "
    "are random: speed does not depend on them.";

constexpr std::string_view kRnnHelp =
    "Times one LSTM layer of the given widths on so many columns (streams or documents side by side): microseconds\n"
    "a time step, forward alone and with backward, and the share of what large matrix products reach. Its weights\n"
    "are laid out and rounded in each pass, as in a training step; masks are no part of it. On a GPU also by how much\n"
    "one call of the layer is longer where its weights lie apart: at::lstm then copies them into one buffer and asks\n"
    "cuDNN for the place of each gate in it, at every call. On a CPU it does not, and nothing is told of it.";

constexpr std::string_view kAllReduceHelp =
    "Times sums of float32 over the ranks of the job, from 1 KiB up, and fits the two numbers of\n"
    "  T = 2 log2(ranks) alpha + 2 (ranks - 1) / ranks bytes beta\n"
    "Keep its JSON line for ulmfit plan: once inside a node (--allreduce), once with one rank a node\n"
    "(--allreduce-nodes):\n"
    "  mpirun -n 8 ulmfit bench allreduce > node.json\n"
    "  mpirun -n 4 --map-by ppr:1:node --hostfile hosts ulmfit bench allreduce > nodes.json";

constexpr std::string_view kCheckpointHelp =
    "Saves the state of a model of the given size, by default the paper's, as a run does: copied while the step\n"
    "waits, written by a thread. Prints how long the step stands still beside a warm copy of the same bytes taken\n"
    "just before each save, and how long the writing takes behind it. The bound is 100 ms or 1.5 copies.";

const std::vector<Entry>& benchmarks() {
  static const std::vector<Entry> entries{
      {.name = "lm",
       .summary = "tokens/s of language-model training",
       .make = [] { return benchmark(perf::bench_lm, kLmHelp); },
       .under = "bench"},
      {.name = "classifier",
       .summary = "documents/s of classifier training",
       .make = [] { return benchmark(perf::bench_classifier, kClassifierHelp); },
       .under = "bench"},
      {.name = "predict",
       .summary = "documents/s of prediction",
       .make = [] { return benchmark(perf::bench_predict, kPredictHelp); },
       .under = "bench"},
      {.name = "rnn",
       .summary = "microseconds of an LSTM layer's time step",
       .make = [] { return benchmark(perf::bench_rnn, kRnnHelp); },
       .under = "bench"},
      {.name = "allreduce",
       .summary = "cost of a sum over ranks, fitted to two numbers",
       .make = [] { return benchmark(perf::bench_allreduce, kAllReduceHelp); },
       .under = "bench"},
      {.name = "checkpoint",
       .summary = "how long a step stalls for a save",
       .make = [] { return benchmark(perf::bench_checkpoint, kCheckpointHelp); },
       .under = "bench"},
  };
  return entries;
}

std::string usage() {
  return str(
      "Usage: ulmfit bench BENCHMARK [options]\n\n", list(benchmarks()),
      "\nEach prints a table on standard error and one JSON line on standard output; ulmfit bench BENCHMARK --help tells "
      "more.\n");
}

}  // namespace

ExitCode bench(const Arguments& arguments) {
  if (wants_list(arguments)) return print_list(arguments, usage());
  return call(require(benchmarks(), arguments[0], "benchmark", "ulmfit bench --help"),
              {arguments.begin() + 1, arguments.end()});
}

}  // namespace ulmfit::commands
