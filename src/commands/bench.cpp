// bench lm|classifier|predict|allreduce|checkpoint
#include <iostream>

#include "commands/commands.h"
#include "perf/bench_allreduce.h"
#include "perf/bench_checkpoint.h"
#include "perf/bench_classifier.h"
#include "perf/bench_lm.h"

namespace ulmfit::commands {
namespace {

struct Benchmark {
  std::string_view name;
  std::string_view summary;
  ExitCode (*run)(const Arguments& arguments);
};

template <class Options>
ExitCode run_with(const std::string& name, ExitCode (*run)(const Options&), std::string_view help,
                  const Arguments& arguments) {
  Options options;
  config::OptionSet set("bench " + name);
  options.declare(set);
  if (set.parse(arguments).help) {
    std::cout << set.help(help);
    return ExitCode::kDone;
  }
  return run(options);
}

ExitCode lm(const Arguments& arguments) {
  return run_with(
      "lm", perf::bench_lm,
      "Trains a language model of the given size, by default the paper's, and prints a table (standard error) and a\n"
      "JSON line (standard output):\n"
      "  tokens/s                 median, lowest and highest block; all ranks together\n"
      "  model GFLOP/s            of the arithmetic that the model needs, a rank, and its share of what large matrix\n"
      "                           products of the same type reach in the same run (recomputed work does not count)\n"
      "  outside products, ...    share of a step in neither products nor LSTM kernels nor the softmax\n"
      "  phase, operator          where a step's time goes, from a profile after the blocks\n"
      "--plain alternates each block with a plain torch loop on the same tokens and prints the ratio. Under mpirun it\n"
      "measures data-parallel training: compare 2 ranks of one thread with one rank of two.\n"
      "On a busy machine only ratios within one run mean something.",
      arguments);
}

ExitCode classifier(const Arguments& arguments) {
  return run_with(
      "classifier", perf::bench_classifier,
      "Trains a classifier, all layers, on made-up documents or on --data, and prints documents/s by block (a pass\n"
      "over the documents unless --block says otherwise) with the same table and JSON line as bench lm. FLOP are\n"
      "those of the encoder; documents differ in length, so passes compare better than single steps.",
      arguments);
}

ExitCode predict(const Arguments& arguments) {
  return run_with("predict", perf::bench_predict,
                  "Computes class probabilities of documents that are token ids already, in batches of like length, as\n"
                  "evaluate does, and prints documents/s by pass; reading and tokenizing are no part of it. The weights "
                  "are random: speed does not depend on them.",
                  arguments);
}

ExitCode allreduce(const Arguments& arguments) {
  return run_with("allreduce", perf::bench_allreduce,
                  "Times sums of float32 over the ranks of the job, from 1 KiB up, and fits the two numbers of\n"
                  "  T = 2 log2(ranks) alpha + 2 (ranks - 1) / ranks bytes beta\n"
                  "Keep its JSON line for ulmfit plan: once inside a node (--allreduce), once with one rank a node\n"
                  "(--allreduce-nodes):\n"
                  "  mpirun -n 8 ulmfit bench allreduce > node.json\n"
                  "  mpirun -n 4 --map-by ppr:1:node --hostfile hosts ulmfit bench allreduce > nodes.json",
                  arguments);
}

ExitCode checkpoint(const Arguments& arguments) {
  return run_with(
      "checkpoint", perf::bench_checkpoint,
      "Saves the state of a model of the given size, by default the paper's, as a run does: copied while the step\n"
      "waits, written by a thread. Prints how long the step stands still beside a warm copy of the same bytes taken\n"
      "just before each save, and how long the writing takes behind it. The bound is 100 ms or 1.5 copies.",
      arguments);
}

constexpr Benchmark kBenchmarks[] = {
    {"lm", "tokens/s of language-model training", lm},
    {"classifier", "documents/s of classifier training", classifier},
    {"predict", "documents/s of prediction", predict},
    {"allreduce", "cost of a sum over ranks, fitted to two numbers", allreduce},
    {"checkpoint", "how long a step stalls for a save", checkpoint},
};

void print_usage(std::ostream& out) {
  out << "Usage: ulmfit bench BENCHMARK [options]\n\n";
  for (const auto& b : kBenchmarks) out << "  " << b.name << std::string(12 - b.name.size(), ' ') << b.summary << '\n';
  out << "\nEach prints a table on standard error and one JSON line on standard output; ulmfit bench BENCHMARK --help "
         "tells more.\n";
}

}  // namespace

ExitCode bench(const Arguments& arguments) {
  if (arguments.empty() || arguments[0] == "--help") {
    print_usage(arguments.empty() ? std::cerr : std::cout);
    return arguments.empty() ? ExitCode::kConfig : ExitCode::kDone;
  }
  for (const auto& benchmark : kBenchmarks) {
    if (benchmark.name == arguments[0]) return benchmark.run({arguments.begin() + 1, arguments.end()});
  }
  std::vector<std::string> names;
  for (const auto& benchmark : kBenchmarks) names.emplace_back(benchmark.name);
  throw ConfigError(
      str("there is no benchmark '", arguments[0], "'; did you mean ", config::nearest(arguments[0], names), "?"));
}

}  // namespace ulmfit::commands
