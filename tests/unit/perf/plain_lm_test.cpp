// The plain loop is a fair comparison only if it computes what our model computes.
#include "perf/plain_lm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "comm/solo_communicator.h"
#include "data/lm_streams.h"
#include "perf/synthetic_corpus.h"
#include "perf/training_run.h"
#include "train/lm_task.h"

namespace ulmfit::perf {
namespace {

TEST(PlainLm, LearnsARepeatedBatchWithAllDropouts) {
  const model::AwdLstm start({50, 12, 16, 3}, 1, at::kCPU);
  stages::OptimOptions optim;
  optim.lr = 0.02;
  PlainLm plain(start, {}, optim, 2, 1, 4, 1);
  const at::Tensor x = at::randint(50, {10, 4}, at::kLong);
  const at::Tensor y = at::randint(50, {10, 4}, at::kLong);
  const double first = plain.train_step(x, y);
  EXPECT_NEAR(first, std::log(50.0), 0.1);
  double last = first;
  for (int i = 0; i < 60; ++i) last = plain.train_step(x, y);
  EXPECT_LT(last, first - 0.3);
}

TEST(PlainLm, SameSeedSameLosses) {
  const model::AwdLstm start({50, 12, 16, 2}, 7, at::kCPU);
  const at::Tensor x = at::randint(50, {10, 4}, at::kLong);
  const auto run = [&] {
    PlainLm plain(start, {}, stages::OptimOptions(), 2, 1, 4, 7);
    plain.train_step(x, x);
    return plain.train_step(x, x);
  };
  EXPECT_EQ(run(), run());
}

// A comparison in bfloat16 is one of bfloat16: its loss is near that in float32, and not the same. By libtorch's own LSTM:
// oneDNN's has bfloat16 on some CPUs alone.
TEST(PlainLm, ComputesInTheGivenPrecision) {
  at::globalContext().setUserEnabledMkldnn(false);
  const auto loss = [](model::Precision precision) {
    model::AwdLstm start({50, 12, 16, 2}, 7, at::kCPU);
    start.set_precision(precision);
    PlainLm plain(start, {0, 0, 0, 0, 0}, stages::OptimOptions(), 2, 1, 4, 7);
    const at::Tensor x = at::arange(40, at::kLong).reshape({10, 4});
    return plain.train_step(x, x);
  };
  const double whole = loss(model::Precision::kFloat32), rounded = loss(model::Precision::kBfloat16);
  at::globalContext().setUserEnabledMkldnn(true);
  EXPECT_NE(rounded, whole);
  EXPECT_NEAR(rounded, whole, 0.01);
}

// Without dropout nothing is random: loss, regularisation, clipping and AdamW of both are the same step after step.
TEST(PlainLm, HasTheLossesOfOurTaskWithoutDropout) {
  const SyntheticCorpus corpus(157, 20, 100, 0, 1);
  const data::ShardSet shards(corpus.folder(), "train");
  const data::ShardSet plain_shards(corpus.folder(), "train");  // a set has one reading thread, and the task's prefetches
  comm::SoloCommunicator comm;
  model::AwdLstm model({157, 24, 32, 3}, 5, at::kCPU);
  model::SoftmaxHead head(model);
  train::LmTaskOptions options;
  options.streams = {.streams = 4, .bptt = 10, .variable_bptt = false, .shuffle = true, .backward = false, .seed = 1};
  options.dropout = {0, 0, 0, 0, 0};
  const at::Tensor before = model.embedding().detach().clone();
  PlainLm plain(model, options.dropout, bench_optim(), options.ar, options.tar, 4, 1);

  BlockOptions blocks;
  blocks.warmup = 1;
  blocks.blocks = 9;
  blocks.block = 1;
  blocks.profile = 0;
  data::LmStreams streams(plain_shards, options.streams);
  std::int64_t window = 0;
  std::vector<double> expected;
  const auto plain_step = [&](std::int64_t) {
    const data::LmBatch batch = streams.batch(0, window++, 0, 4);
    expected.push_back(
        plain.train_step(at::tensor(batch.x, at::kLong).view({-1, 4}), at::tensor(batch.y, at::kLong).view({-1, 4})));
  };
  train::LmTask task(model, head, shards, nullptr, options, {1, 0, 1}, comm);
  const TrainingMeasurements measurements = measure_training(task, {}, {1, 0, 1}, blocks, comm, plain_step);
  ASSERT_EQ(expected.size(), 10U);
  ASSERT_EQ(measurements.losses.size(), 9U);
  EXPECT_GT((model.embedding() - before).abs().max().item<float>(), 1e-3);
  for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(measurements.losses[i], expected[i + 1], 1e-5) << "after step " << i + 1;
}

}  // namespace
}  // namespace ulmfit::perf
