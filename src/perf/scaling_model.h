// Time of data-parallel training on N ranks from a few measured numbers, in closed form.
//
// A sum over N ranks by reduce-scatter and all-gather takes 2 log2(N) steps and moves 2 (N - 1) / N of the bytes through
// each rank (Thakur, Rabenseifner, Gropp, "Optimization of collective communication operations in MPICH", 2005):
//   T(N, n) = 2 ceil(log2 N) alpha + 2 (N - 1) / N n beta
// Across nodes each of a node's R ranks then sums its R-th part with its peers on the other nodes. A step ends with the
// slowest rank: with steps that vary by a share `jitter` (standard deviation) that is jitter E[max of N normals] later.
// Steps to the same quality at a batch of B tokens: S(B) ~ 1 + critical / B (McCandlish et al., "An empirical model of
// large-batch training", 2018).
#pragma once

#include <cstdint>
#include <vector>

#include "model/shape.h"

namespace ulmfit::perf {

struct Network {
  double alpha = 0;  // seconds a step
  double beta = 0;   // seconds a byte
};

double all_reduce_seconds(const Network& network, std::int64_t ranks, double bytes);

struct Cluster {
  Network in_node;
  Network between;                  // through one network card
  std::int64_t ranks_per_node = 8;  // ranks up to that many share a node,
  std::int64_t node_cards = 8;      // and its network cards: all send at once
  double all_reduce_seconds(std::int64_t ranks, double bytes) const;
};

struct Timing {
  double bytes = 0;
  double seconds = 0;
};
// alpha and beta that come closest to the measured sums, errors taken relative to the time. Two timings of different size
// at least; negative results become 0.
Network fit_network(const std::vector<Timing>& timings, std::int64_t ranks);

// E[max] of N independent standard normals: 0 for N = 1.
double expected_max_of_normals(std::int64_t n);

struct Training {
  double compute_seconds = 0;  // a step of one rank alone
  double gradient_bytes = 0;
  double overlap = 0;           // share of the bytes whose sum may run beside backward (two thirds of a step)
  double jitter = 0;            // standard deviation of a rank's step time, as a share
  double batch_tokens = 0;      // of one rank
  double critical_batch = 1e9;  // tokens
};

double exposed_seconds(const Training& training, const Cluster& cluster, std::int64_t ranks);  // of the sum, a step
double step_seconds(const Training& training, const Cluster& cluster, std::int64_t ranks);
double efficiency(const Training& training, const Cluster& cluster, std::int64_t ranks);  // of 1
// Time of one rank over time of `ranks` to the same quality, each rank with batch_tokens of its own.
double quality_speedup(const Training& training, const Cluster& cluster, std::int64_t ranks);

}  // namespace ulmfit::perf
