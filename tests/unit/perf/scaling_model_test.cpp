#include "perf/scaling_model.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ulmfit::perf {
namespace {

TEST(ScalingModel, SumOfRanksInClosedForm) {
  const Network network{1e-5, 1e-9};
  EXPECT_EQ(all_reduce_seconds(network, 1, 1e6), 0);
  EXPECT_DOUBLE_EQ(all_reduce_seconds(network, 2, 1e6), 2e-5 + 1e-3);
  EXPECT_DOUBLE_EQ(all_reduce_seconds(network, 8, 1e6), 6e-5 + 1.75e-3);
  EXPECT_DOUBLE_EQ(all_reduce_seconds(network, 5, 0), 6e-5);  // three rounds for five ranks
}

TEST(ScalingModel, NodesSumTheirPartsBetweenThem) {
  const Cluster cluster{{1e-6, 1e-10}, {1e-5, 1e-9}, 8};
  EXPECT_DOUBLE_EQ(cluster.all_reduce_seconds(4, 8e6), all_reduce_seconds(cluster.in_node, 4, 8e6));
  EXPECT_DOUBLE_EQ(cluster.all_reduce_seconds(32, 8e6),
                   all_reduce_seconds(cluster.in_node, 8, 8e6) + all_reduce_seconds(cluster.between, 4, 1e6));
}

// 89 MB of bfloat16 gradients (60,000 words) on nodes of eight at 400 GB/s, 400 Gb/s a GPU used to 80 %.
TEST(ScalingModel, RanksShareTheNetworkCardsOfTheirNode) {
  const Network inside{};
  const Network card{0, 1e-9};
  const double each = Cluster{inside, card, 8, 8}.all_reduce_seconds(32, 8e6);
  EXPECT_DOUBLE_EQ(each, 2.0 * 3 / 4 * 1e6 * 1e-9) << "an eighth of the bytes through each card";
  EXPECT_DOUBLE_EQ((Cluster{inside, card, 8, 1}.all_reduce_seconds(32, 8e6)), 8 * each);
  EXPECT_DOUBLE_EQ((Cluster{inside, card, 1, 8}.all_reduce_seconds(4, 1e6)), each) << "one rank uses one card";
}

TEST(ScalingModel, LargeClusterFigures) {
  const Cluster cluster{{8e-6, 1 / 400e9}, {14e-6, 1 / 40e9}, 8};
  EXPECT_NEAR(cluster.all_reduce_seconds(8, 89e6) * 1e3, 0.44, 0.01);
  EXPECT_NEAR(cluster.all_reduce_seconds(64, 89e6) * 1e3, 1.02, 0.02);
  EXPECT_NEAR(cluster.all_reduce_seconds(1024, 89e6) * 1e3, 1.20, 0.02);
}

TEST(ScalingModel, FitFindsWhatMadeTheTimes) {
  const Network made{3e-5, 2e-9};
  for (const std::int64_t ranks : {2, 4, 6}) {
    std::vector<Timing> timings;
    for (double bytes = 1024; bytes < 1e8; bytes *= 4) timings.push_back({bytes, all_reduce_seconds(made, ranks, bytes)});
    const Network found = fit_network(timings, ranks);
    EXPECT_NEAR(found.alpha, made.alpha, 1e-6 * made.alpha);
    EXPECT_NEAR(found.beta, made.beta, 1e-6 * made.beta);
  }
}

TEST(ScalingModel, ExpectedMaximum) {
  EXPECT_EQ(expected_max_of_normals(1), 0);
  EXPECT_NEAR(expected_max_of_normals(2), 1 / std::sqrt(M_PI), 1e-4);
  EXPECT_NEAR(expected_max_of_normals(3), 1.5 / std::sqrt(M_PI), 1e-4);
  EXPECT_NEAR(expected_max_of_normals(8), 1.42360, 1e-4);  // tables of normal order statistics
  EXPECT_NEAR(expected_max_of_normals(16), 1.76599, 1e-4);
}

Training training() {
  Training t;
  t.compute_seconds = 0.1;
  t.gradient_bytes = 1e8;
  t.batch_tokens = 4480;
  return t;
}

TEST(ScalingModel, FreeNetworkAndEqualRanksScalePerfectly) {
  EXPECT_DOUBLE_EQ(efficiency(training(), Cluster(), 1024), 1);
  EXPECT_NEAR(quality_speedup(training(), Cluster(), 1024), 1024, 6);  // below the critical batch of 10^9
}

TEST(ScalingModel, OverlapHidesAtMostTwoThirdsOfAStep) {
  Training t = training();
  t.overlap = 1;
  const Cluster slow{{0, 1e-9}, {0, 1e-9}, 8};
  EXPECT_NEAR(exposed_seconds(t, slow, 8), 0.175 - 0.2 / 3, 1e-12);
  t.gradient_bytes = 1e6;
  EXPECT_DOUBLE_EQ(exposed_seconds(t, slow, 8), 0);
  t.overlap = 0;
  EXPECT_DOUBLE_EQ(exposed_seconds(t, slow, 8), 0.00175);
}

TEST(ScalingModel, BeyondTheCriticalBatchMoreRanksBringNothing) {
  Training t = training();
  t.critical_batch = 64 * t.batch_tokens;
  EXPECT_NEAR(quality_speedup(t, Cluster(), 64), 65.0 / 2, 1e-9);
  EXPECT_LT(quality_speedup(t, Cluster(), 1 << 20), 65);
}

// GNMT, eight LSTM layers of 1024, about 160 M parameters as 16-bit gradients, 141 k tokens/s and about 6.4 k tokens a step
// on one GPU (its sentences differ in length, so ranks wait for the longest). Published: 73 % on 8 A100 GPUs, 72 % on 16
// V100 of another machine. Transfer alone cannot explain that; with the jitter taken from 8 ranks, the model comes close
// to 16.
TEST(ScalingModel, PublishedScalingOfGnmt) {
  Training t;
  t.compute_seconds = 6400 / 140.9e3;
  t.gradient_bytes = 320e6;
  const Cluster node{{8e-6, 1 / 230e9}, {}, 16};
  EXPECT_GT(efficiency(t, node, 8), 0.9);
  const double transfer = node.all_reduce_seconds(8, t.gradient_bytes) / t.compute_seconds;
  t.jitter = (1 / 0.73 - 1 - transfer) / expected_max_of_normals(8);
  EXPECT_NEAR(efficiency(t, node, 8), 0.73, 1e-6);
  EXPECT_NEAR(efficiency(t, node, 16), 0.72, 0.05);
}

}  // namespace
}  // namespace ulmfit::perf
