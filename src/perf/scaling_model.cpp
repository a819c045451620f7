#include "perf/scaling_model.h"

#include <algorithm>
#include <cmath>

namespace ulmfit::perf {
namespace {

double steps(std::int64_t ranks) { return 2 * std::ceil(std::log2(static_cast<double>(ranks))); }
double volume(std::int64_t ranks) { return 2 * static_cast<double>(ranks - 1) / static_cast<double>(ranks); }

}  // namespace

double all_reduce_seconds(const Network& network, std::int64_t ranks, double bytes) {
  return steps(ranks) * network.alpha + volume(ranks) * bytes * network.beta;
}

double Cluster::all_reduce_seconds(std::int64_t ranks, double bytes) const {
  const std::int64_t local = std::min(ranks, ranks_per_node);
  const std::int64_t nodes = (ranks + local - 1) / local;
  const auto cards = static_cast<double>(std::min(local, node_cards));
  return perf::all_reduce_seconds(in_node, local, bytes) + perf::all_reduce_seconds(between, nodes, bytes / cards);
}

Network fit_network(const std::vector<Timing>& timings, std::int64_t ranks) {
  // Least squares of (a + b n - t) / t: the normal equations of two unknowns with weights 1 / t^2.
  double w0 = 0, w1 = 0, w2 = 0, r0 = 0, r1 = 0;
  for (const Timing& timing : timings) {
    const double w = 1 / (timing.seconds * timing.seconds);
    w0 += w;
    w1 += w * timing.bytes;
    w2 += w * timing.bytes * timing.bytes;
    r0 += w * timing.seconds;
    r1 += w * timing.seconds * timing.bytes;
  }
  const double det = w0 * w2 - w1 * w1;
  const double a = (r0 * w2 - r1 * w1) / det;
  const double b = (w0 * r1 - w1 * r0) / det;
  return {std::max(a, 0.0) / steps(ranks), std::max(b, 0.0) / volume(ranks)};
}

double expected_max_of_normals(std::int64_t n) {
  if (n <= 1) return 0;
  // E[max] = integral of 1 - F^n over x > 0 less the integral of F^n over x < 0.
  constexpr double kStep = 1e-3;
  double sum = 0;
  for (double x = kStep / 2; x < 9; x += kStep) {
    const auto power = [n](double at) { return std::pow(0.5 * std::erfc(-at / std::sqrt(2.0)), static_cast<double>(n)); };
    sum += (1 - power(x) - power(-x)) * kStep;
  }
  return sum;
}

double exposed_seconds(const Training& training, const Cluster& cluster, std::int64_t ranks) {
  const double sum = cluster.all_reduce_seconds(ranks, training.gradient_bytes);
  return sum - std::min(training.overlap * sum, training.compute_seconds * 2 / 3);
}

double step_seconds(const Training& training, const Cluster& cluster, std::int64_t ranks) {
  return training.compute_seconds * (1 + training.jitter * expected_max_of_normals(ranks)) +
         exposed_seconds(training, cluster, ranks);
}

double efficiency(const Training& training, const Cluster& cluster, std::int64_t ranks) {
  return training.compute_seconds / step_seconds(training, cluster, ranks);
}

double quality_speedup(const Training& training, const Cluster& cluster, std::int64_t ranks) {
  const auto steps_needed = [&](double n) { return 1 + training.critical_batch / (n * training.batch_tokens); };
  return steps_needed(1) / steps_needed(static_cast<double>(ranks)) * efficiency(training, cluster, ranks);
}

}  // namespace ulmfit::perf
