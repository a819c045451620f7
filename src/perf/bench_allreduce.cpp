#include "perf/bench_allreduce.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/machine.h"
#include "base/stopwatch.h"
#include "perf/measurements.h"
#include "perf/scaling_model.h"
#include "perf/training_run.h"
#include "reports/number_format.h"
#include "stages/compute.h"

namespace ulmfit::perf {
namespace {

constexpr std::int64_t kSmallestBytes = 1 << 10;
constexpr double kBytesOfMb = 1e6;

// Seconds of one sum of `bytes` of float32: the slowest rank's.
double sum_seconds(comm::Communicator& comm, at::Tensor& values) {
  comm.barrier();
  const Stopwatch watch;
  comm.all_reduce(values, comm::ReduceOp::kSum);
  if (values.is_cuda()) static_cast<void>(values[0].item<float>());
  at::Tensor slowest = at::tensor({watch.seconds()}, at::kDouble);
  comm.all_reduce(slowest, comm::ReduceOp::kMax);
  return slowest.item<double>();
}

}  // namespace

void BenchAllReduceOptions::declare(config::OptionSet& set) {
  set.add("max-mb", max_mb, "largest sum, in MB; sizes go by factors of four from 1 KiB up to it",
          {.min = 0.1, .max = 4096});
  set.add("repeats", repeats, "sums of each size that count; the median is taken", {.min = 1, .max = 1e6});
  declare_compute(set, run);
}

Measured bench_allreduce(const BenchAllReduceOptions& options, comm::Communicator& comm) {
  if (comm.size() == 1) {
    throw ConfigError("bench allreduce: one rank has nobody to sum with; start it as mpirun -n 2 ulmfit bench allreduce");
  }
  at::NoGradGuard no_grad;
  std::vector<Timing> timings;
  nlohmann::json sizes = nlohmann::json::array();
  Table table(str("bench allreduce: float32 sums; ", stages::describe_compute(comm)));
  for (double bytes = kSmallestBytes; bytes <= options.max_mb * kBytesOfMb; bytes *= 4) {
    at::Tensor values = at::zeros({static_cast<std::int64_t>(bytes / 4)}, at::TensorOptions(comm.device()));
    sum_seconds(comm, values);
    std::vector<double> seconds;
    for (std::int64_t i = 0; i < options.repeats; ++i) seconds.push_back(sum_seconds(comm, values));
    const Spread time = spread(seconds);
    timings.push_back({bytes, time.median});
    sizes.push_back({{"bytes", bytes}, {"seconds", time.median}, {"lowest", time.lowest}, {"highest", time.highest}});
    table.add(str(reports::grouped(std::llround(bytes / 1024)), " KiB"),
              str(reports::significant(time.median * 1e3, 4), " ms (", reports::significant(time.lowest * 1e3, 4), " .. ",
                  reports::significant(time.highest * 1e3, 4), ")"));
  }
  const Network network = fit_network(timings, comm.size());
  if (network.beta <= 0) {
    throw DataError(str("bench allreduce: the sums up to ", options.max_mb,
                        " MB take no longer the larger they are, so no speed ",
                        "can be told; give a larger --max-mb, or measure on a quieter machine"));
  }
  double worst = 0;
  for (const Timing& t : timings) {
    worst = std::max(worst, std::abs(all_reduce_seconds(network, comm.size(), t.bytes) / t.seconds - 1));
  }
  if (comm.rank() != 0) return {};
  table.add("alpha", str(reports::significant(network.alpha * 1e6, 4), " us a step"));
  table.add("beta", str(reports::significant(network.beta * 1e9, 4),
                        " ns a byte = ", reports::significant(1e-9 / network.beta, 4), " GB/s"));
  table.add("farthest size from the fit", reports::percent(worst));
  const nlohmann::json line = {{"bench", "allreduce"},
                               {"ranks", comm.size()},
                               {"local_ranks", comm.local_size()},
                               {"alpha_us", network.alpha * 1e6},
                               {"gb_per_s", 1e-9 / network.beta},
                               {"worst_relative_error", worst},
                               {"sizes", sizes},
                               {"cpu", cpu_model()}};
  return {line, table.text()};
}

}  // namespace ulmfit::perf
