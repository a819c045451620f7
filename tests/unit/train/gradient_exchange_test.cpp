// Sums that run beside backward see whole gradients: with every sum doubled as it starts, what is added later is missing.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "comm/solo_communicator.h"
#include "model/adaptive_softmax.h"
#include "model/sampled_softmax.h"
#include "tests/support/corpora.h"
#include "tests/support/temp_dir.h"
#include "train/classifier_task.h"
#include "train/lm_task.h"

namespace ulmfit::train {
namespace {

class DoublingCommunicator : public comm::SoloCommunicator {
 public:
  bool overlaps() const override { return true; }
  void start_sum(at::Tensor& tensor) override {
    tensor.mul_(2);
    ++started;
  }
  std::size_t started = 0;
};

// The gradients of the first step; two passes, each parameter a bucket of its own.
template <class MakeTask>
std::vector<at::Tensor> first_gradients(comm::Communicator& comm, MakeTask&& make_task,
                                        const std::function<void()>& after_backward) {
  auto task = make_task(comm);
  comm::GradReducer reducer(comm, task.reduced_parameters(), /*bucket_bytes=*/4);
  task.seek({});
  task.accumulate_gradients({}, reducer);
  after_backward();
  reducer.reduce();
  std::vector<at::Tensor> gradients;
  for (const auto& p : reducer.parameters()) gradients.push_back(p.tensor.grad().clone());
  return gradients;
}

template <class MakeTask>
void expect_whole_sums(std::size_t sums, MakeTask&& make_task) {
  comm::SoloCommunicator plain;
  DoublingCommunicator doubling;
  const auto expected = first_gradients(plain, make_task, [] {});
  const auto found = first_gradients(doubling, make_task,
                                     [&] { EXPECT_EQ(doubling.started, sums) << "sums that started during backward"; });
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const float largest = expected[i].abs().max().template item<float>();
    EXPECT_GT(largest, 0) << "parameter " << i;
    EXPECT_LE((found[i] - expected[i] * 2).abs().max().template item<float>(), 1e-6F * largest) << "parameter " << i;
  }
}

TEST(GradientExchange, LanguageModelWithTiedHead) {
  const test::TempDir folder;
  const data::ShardSet corpus = test::counting_corpus(folder.path(), {90, 110});
  model::AwdLstm model({200, 6, 8, 2}, 1, at::kCPU);
  model::SoftmaxHead head(model);
  LmTaskOptions options;
  options.streams.streams = 4;
  options.streams.bptt = 10;
  // The head has its bias, and its part of the tied matrix a sum of its own.
  expect_whole_sums(model.parameters().size() + 2, [&](comm::Communicator& comm) {
    return LmTask(model, head, corpus, nullptr, options, {2, 0, 2}, comm);
  });
}

TEST(GradientExchange, LanguageModelWithApproximateSoftmaxes) {
  const test::TempDir folder;
  const data::ShardSet corpus = test::counting_corpus(folder.path(), {90, 110});
  model::AwdLstm model({200, 6, 8, 2}, 1, at::kCPU);
  LmTaskOptions options;
  options.streams.streams = 4;
  options.streams.bptt = 10;
  model::AdaptiveSoftmaxHead adaptive(model, {30, 80});
  expect_whole_sums(model.parameters().size() + 4, [&](comm::Communicator& comm) {  // with the clusters' parameters
    return LmTask(model, adaptive, corpus, nullptr, options, {2, 0, 2}, comm);
  });
  model::SampledSoftmaxHead sampled(model, 40, 1);
  expect_whole_sums(model.parameters().size() + 2, [&](comm::Communicator& comm) {
    return LmTask(model, sampled, corpus, nullptr, options, {2, 0, 2}, comm);
  });
}

TEST(GradientExchange, EncoderOfAClassifier) {
  const test::TempDir folder;
  const data::ShardSet corpus = test::counting_corpus(folder.path(), {30, 12, 25, 17, 9, 40}, data::kShardTokens, true);
  model::AwdLstm encoder({133, 6, 8, 2}, 1, at::kCPU);
  model::PoolingHead head({{18, 3}, {.window = 7}}, 1, at::kCPU);
  ClassifierTaskOptions options;
  options.batches.batch_size = 6;
  const std::size_t parameters = 1 + 2 * 4;
  expect_whole_sums(parameters, [&](comm::Communicator& comm) {
    return ClassifierTask(encoder, head, corpus, nullptr, options, {2, 0, 2}, comm);
  });
}

}  // namespace
}  // namespace ulmfit::train
