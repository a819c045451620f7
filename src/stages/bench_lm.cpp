#include "stages/bench_lm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/random.h"
#include "base/stopwatch.h"
#include "comm/grad_reducer.h"
#include "data/shard_writer.h"
#include "stages/compute.h"
#include "train/lm_task.h"
#include "train/trainer.h"

namespace ulmfit::stages {
namespace {

// A corpus of random words in a temporary folder, removed with the object.
class RandomCorpus {
 public:
  RandomCorpus(std::int64_t vocabulary, std::int64_t tokens) {
    std::string name = (fs::temp_directory_path() / "ulmfit-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw FileError("cannot make a temporary folder for the benchmark's corpus");
    folder_ = name;
    data::ShardHeader header;
    header.vocabulary_size = vocabulary;
    header.vocabulary_fingerprint = "bench";
    header.text_fingerprint = "bench";
    data::ShardWriter writer(folder_, "train", header);
    std::vector<std::int32_t> document(1000);
    std::uint64_t index = 0;
    for (std::int64_t written = 0; written < tokens; written += 1000) {
      for (auto& id : document)
        id = static_cast<std::int32_t>(
            random_below({0, Purpose::kBench, 0, 0}, index++, static_cast<std::uint64_t>(vocabulary)));
      writer.add(document);
    }
    writer.finish();
  }
  ~RandomCorpus() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  RandomCorpus(const RandomCorpus&) = delete;
  RandomCorpus& operator=(const RandomCorpus&) = delete;
  const fs::path& folder() const { return folder_; }

 private:
  fs::path folder_;
};

// Keeps the rate of every step.
struct Rates : train::Observer {
  std::vector<double> rates;
  void on_step_report(const train::StepReport& report) override { rates.push_back(report.rate); }
  void on_evaluation(const train::EvaluationReport&) override {}
  nlohmann::json state() override { return nullptr; }
};

// The most that a large product of this machine reaches with the threads of this rank, in FLOP/s.
double product_peak(at::Device device) {
  at::NoGradGuard no_grad;
  constexpr std::int64_t kSize = 1024;
  const at::Tensor a = at::randn({kSize, kSize}, at::TensorOptions(device));
  at::Tensor out = at::empty_like(a);
  double best = 0;
  for (int i = 0; i < 12; ++i) {
    const Stopwatch watch;
    at::mm_out(out, a, a);
    static_cast<void>(out[0][0].item<float>());
    best = std::max(best, 2.0 * kSize * kSize * kSize / watch.seconds());
  }
  return best;
}

// Multiply-adds of a token, forward and backward, as 2 FLOP each: three times the forward products.
double training_flop(const model::Shape& shape) {
  double forward = 2.0 * static_cast<double>(shape.vocabulary * shape.embedding);
  for (std::int64_t l = 0; l < shape.layers; ++l) {
    forward += 8.0 * static_cast<double>(shape.output_width(l) * (shape.input_width(l) + shape.output_width(l)));
  }
  return 3 * forward;
}

}  // namespace

void BenchLmOptions::declare(config::OptionSet& set) {
  run.output = "-";
  set.add("vocab", vocabulary, "words", {.min = 16});
  set.add("streams", streams, "streams of the global batch", {.min = 1});
  set.add("bptt", bptt, "tokens of a window", {.min = 1});
  set.add("steps", steps, "steps that count", {.min = 1});
  set.add("warmup", warmup, "steps before them", {.min = 0});
  set.add("train.threads", run.threads, "CPU threads a rank; 0: cores / ranks", {.min = 0, .max = 4096});
  set.add("reproducible", run.reproducible, "measure the reproducible mode");
  set.add_choice("device", run.device, {"auto", "cpu", "cuda"}, "where to compute");
  model.declare(set);
  dropout.declare(set);
}

ExitCode bench_lm(const BenchLmOptions& options) {
  return on_ranks(options.run, [&](comm::Communicator& comm) {
    model::Shape shape = options.model.shape;
    shape.vocabulary = options.vocabulary;
    const std::int64_t steps = options.warmup + options.steps;
    const RandomCorpus corpus(options.vocabulary, (steps + 1) * options.streams * options.bptt + options.streams);
    const data::ShardSet shards(corpus.folder(), "train");
    model::AwdLstm model(shape, 1, comm.device());
    train::LmTaskOptions task_options;
    task_options.streams = {options.streams,  options.bptt,       /*variable_bptt=*/false,
                            /*shuffle=*/true, /*backward=*/false, 1};
    task_options.dropout = options.dropout.resolved();
    const train::ShardPlan plan = shard_plan(options.run, options.streams, /*exact=*/true, comm);
    train::LmTask task(model, shards, nullptr, task_options, plan, comm);
    OptimOptions optim;
    optim.max_steps.amount = static_cast<double>(steps);
    const train::TrainingPlan training(optim.plan(task), task);
    optim::Optimizer optimizer(task.groups(), optim.optimizer());
    std::vector<optim::NamedParameter> reduced;
    std::vector<comm::ReducedParameter> flat;
    for (const auto& group : task.groups()) {
      for (const auto& p : group.parameters) {
        reduced.push_back(p);
        flat.push_back({p.name, p.tensor});
      }
    }
    comm::GradReducer reducer(comm, flat);
    if (options.run.reproducible) reducer.use_fixed_tree(static_cast<int>(plan.total));
    Rates rates;
    train::TrainerOptions trainer_options;
    trainer_options.log_every = 1;
    trainer_options.checkpoint_every = 0;
    train::Trainer trainer(task, training, optimizer, reducer, reduced, comm, nullptr, &rates, trainer_options);
    const double before = product_peak(comm.device());
    trainer.run();
    const double peak = std::max(before, product_peak(comm.device()));
    if (comm.rank() != 0) return ExitCode::kDone;
    std::vector<double> counted(rates.rates.begin() + options.warmup, rates.rates.end());
    std::sort(counted.begin(), counted.end());
    const double median = counted[counted.size() / 2];
    const double flops = median * training_flop(shape) / comm.size();
    const nlohmann::json line = {{"bench", "lm"},
                                 {"tokens_per_s", median},
                                 {"lowest", counted.front()},
                                 {"highest", counted.back()},
                                 {"steps", options.steps},
                                 {"vocab", options.vocabulary},
                                 {"streams", options.streams},
                                 {"bptt", options.bptt},
                                 {"embedding", shape.embedding},
                                 {"hidden", shape.hidden},
                                 {"layers", shape.layers},
                                 {"ranks", comm.size()},
                                 {"threads", at::get_num_threads()},
                                 {"reproducible", options.run.reproducible},
                                 {"model_gflops_per_rank", flops / 1e9},
                                 {"product_peak_gflops", peak / 1e9},
                                 {"share_of_peak", flops / peak},
                                 {"peak_memory_mb", static_cast<double>(peak_resident_bytes()) / 1e6},
                                 {"cpu", cpu_model()}};
    std::cout << line.dump() << std::endl;
    return ExitCode::kDone;
  });
}

}  // namespace ulmfit::stages
