// Sums that run beside backward see whole gradients, and nobody touches these meanwhile.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <future>
#include <random>
#include <thread>
#include <utility>
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

// Each sum on a thread of its own, which is done after a while: of two ranks that have the same. Until then its memory
// holds no numbers, so that what reads them shows, and what is added to them is lost.
class LateCommunicator : public comm::SoloCommunicator {
 public:
  explicit LateCommunicator(unsigned seed) : random_(seed) {}

  bool overlaps() const override { return true; }
  void start_sum(at::Tensor& tensor) override {
    ++started;
    auto* sum = tensor.mutable_data_ptr<float>();
    std::vector<float> mine(sum, sum + tensor.numel());
    std::fill_n(sum, mine.size(), std::nanf(""));
    const std::chrono::microseconds delay(std::uniform_int_distribution<int>(0, 3000)(random_));
    running_.push_back(std::async(std::launch::async, [sum, delay, mine = std::move(mine)] {
      std::this_thread::sleep_for(delay);
      std::transform(mine.begin(), mine.end(), sum, [](float value) { return 2 * value; });
    }));
  }
  void finish_sums() override {
    for (auto& sum : running_) sum.get();
    running_.clear();
  }
  std::size_t started = 0;

 private:
  std::mt19937 random_;
  std::vector<std::future<void>> running_;
};

// The gradients of the first step, of two passes. `apart`: each parameter is a bucket of its own.
template <class MakeTask>
std::vector<at::Tensor> first_gradients(comm::Communicator& comm, bool apart, MakeTask&& make_task,
                                        const std::function<void()>& after_backward) {
  auto task = make_task(comm);
  std::vector<comm::ReducedParameter> parameters = task.reduced_parameters();
  for (std::size_t i = 0; apart && i < parameters.size(); ++i) parameters[i].layer = static_cast<std::int64_t>(i);
  comm::GradReducer reducer(comm, parameters);
  task.seek({});
  task.accumulate_gradients({}, reducer);
  after_backward();
  reducer.reduce();
  std::vector<at::Tensor> gradients;
  for (const auto& p : reducer.parameters()) gradients.push_back(p.tensor.grad().clone());
  return gradients;
}

// `sums`: that start during backward, `layers` as the task's layers have them.
template <class MakeTask>
void expect_whole_sums(std::size_t sums, std::size_t layers, MakeTask&& make_task) {
  comm::SoloCommunicator plain;
  const auto expected = first_gradients(plain, true, make_task, [] {});
  for (const unsigned seed : {1U, 2U, 3U, 4U}) {
    const bool apart = seed % 2 == 0;
    LateCommunicator late(seed);
    const auto found = first_gradients(late, apart, make_task, [&] {
      EXPECT_EQ(late.started, apart ? sums : layers) << "sums that started during backward";
    });
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const float largest = expected[i].abs().max().template item<float>();
      EXPECT_GT(largest, 0) << "parameter " << i;
      EXPECT_LE((found[i] - expected[i] * 2).abs().max().template item<float>(), 1e-6F * largest) << "parameter " << i;
    }
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
  expect_whole_sums(model.parameters().size() + 2, 5, [&](comm::Communicator& comm) {
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
  expect_whole_sums(model.parameters().size() + 4, 5, [&](comm::Communicator& comm) {  // with the clusters' parameters
    return LmTask(model, adaptive, corpus, nullptr, options, {2, 0, 2}, comm);
  });
  model::SampledSoftmaxHead sampled(model, 40, 1);
  expect_whole_sums(model.parameters().size() + 2, 5, [&](comm::Communicator& comm) {
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
  expect_whole_sums(parameters, 3, [&](comm::Communicator& comm) {
    return ClassifierTask(encoder, head, corpus, nullptr, options, {2, 0, 2}, comm);
  });
}

}  // namespace
}  // namespace ulmfit::train
