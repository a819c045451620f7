#include "perf/bench_checkpoint.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "base/machine.h"
#include "base/stopwatch.h"
#include "base/temp_folder.h"
#include "model/awd_lstm.h"
#include "model/softmax_head.h"
#include "optim/optimizer.h"
#include "perf/measurements.h"
#include "perf/training_run.h"
#include "reports/number_format.h"
#include "stages/compute.h"
#include "train/checkpoint_store.h"
#include "train/finite.h"

namespace ulmfit::perf {
namespace {

constexpr double kAllowedMs = 100;     // a step may stall for that long,
constexpr double kAllowedRatio = 1.5;  // or for so many warm copies of the state

train::Snapshot snapshot_of(const model::AwdLstm& encoder, const model::SoftmaxHead& head,
                            const optim::Optimizer& optimizer, std::int64_t streams) {
  train::Snapshot snapshot;
  snapshot.model = model::tensors_of(encoder, head);
  snapshot.training = optimizer.state().moments;
  const model::LstmState state = encoder.zero_state(streams);
  for (std::size_t l = 0; l < state.h.size(); ++l) {
    snapshot.training.emplace_back(str("lstm.h.", l), state.h[l]);
    snapshot.training.emplace_back(str("lstm.c.", l), state.c[l]);
  }
  snapshot.state = {{"bench", true}};
  return snapshot;
}

// The same tensors into buffers that have been written before.
class WarmCopy {
 public:
  explicit WarmCopy(const train::Snapshot& snapshot) {
    for (const auto* list : {&snapshot.model, &snapshot.training}) {
      for (const auto& [name, tensor] : *list) {
        from_.push_back(tensor);
        to_.push_back(tensor.to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true));
        bytes += static_cast<double>(tensor.numel()) * 4;
      }
    }
  }
  double seconds() {
    const Stopwatch watch;
    for (std::size_t i = 0; i < to_.size(); ++i) to_[i].copy_(from_[i]);
    return watch.seconds();
  }
  double bytes = 0;

 private:
  std::vector<at::Tensor> from_, to_;
};

}  // namespace

void BenchCheckpointOptions::declare(config::OptionSet& set) {
  set.add("vocab", vocabulary, "words", {.min = 16, .max = 1e8});
  set.add("streams", streams, "streams whose LSTM state is saved", {.min = 1, .max = 1 << 24});
  set.add("saves", saves, "saves that count, after a first one", {.min = 1, .max = 1e6});
  set.add("folder", folder,
          "where to write (and remove) the checkpoints: the file system of your runs; default: temporary");
  declare_compute(set, run);
  stages::declare(set, shape);
}

Measured bench_checkpoint(const BenchCheckpointOptions& options, comm::Communicator& comm) {
  if (comm.size() > 1) throw ConfigError("bench checkpoint: rank 0 alone saves; run it outside mpirun");
  at::NoGradGuard no_grad;
  model::Shape shape = options.shape;
  shape.vocabulary = options.vocabulary;
  const model::AwdLstm encoder(shape, 1, comm.device());
  const model::SoftmaxHead head(encoder);
  const optim::Optimizer optimizer(head.groups(encoder), {});
  train::Snapshot snapshot = snapshot_of(encoder, head, optimizer, options.streams);
  const TempFolder folder(options.folder);
  train::CheckpointStore store(folder.path(), {.newest = 1});
  WarmCopy copy(snapshot);
  std::vector<double> stalls, copies, writes;
  double first = 0;
  store.prepare(snapshot);
  store.finish();
  for (std::int64_t i = 0; i <= options.saves; ++i) {
    snapshot.step = i + 1;
    const double copied = copy.seconds();
    Stopwatch watch;
    train::require_finite(snapshot.model, snapshot.step);
    train::require_finite(snapshot.training, snapshot.step);
    store.save(snapshot);
    const double stalled = watch.lap();
    if (!store.finish()) throw FileError(str("bench checkpoint: saving below ", folder.path().string(), " failed"));
    if (i == 0) {
      first = stalled;
      continue;
    }
    copies.push_back(copied * 1e3);
    stalls.push_back(stalled * 1e3);
    writes.push_back(watch.seconds());
  }
  const Spread stall = spread(stalls);
  const Spread ratio = ratio_spread(stalls, copies);
  const bool holds = stall.median <= kAllowedMs || ratio.median <= kAllowedRatio;
  nlohmann::json line = {{"bench", "checkpoint"},     {"state_mb", copy.bytes / 1e6}, {"first_stall_ms", first * 1e3},
                         {"vocab", shape.vocabulary}, {"embedding", shape.embedding}, {"hidden", shape.hidden},
                         {"layers", shape.layers},    {"streams", options.streams},   {"holds", holds},
                         {"cpu", cpu_model()}};
  add_spread(line, "stall_ms", stall);
  add_spread(line, "copy_ms", spread(copies));
  add_spread(line, "stall_over_copy", ratio);
  add_spread(line, "write_s", spread(writes));
  Table table(str("bench checkpoint: ", reports::grouped(std::llround(copy.bytes / 1e6)), " MB of state; ",
                  stages::describe_compute(comm)));
  table.add("a step stalls, ms", str(describe(stall), "; the first save: ", reports::significant(first * 1e3, 4)));
  table.add("a warm copy of the state, ms", describe(spread(copies)));
  table.add("stall over copy",
            str(describe(ratio), holds ? "; " : "; NOT ", "within ", kAllowedMs, " ms or ", kAllowedRatio, " copies"));
  table.add("written and synced behind it, s", describe(spread(writes)));
  return {line, table.text()};
}

}  // namespace ulmfit::perf
