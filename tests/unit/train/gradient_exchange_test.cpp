// Sums that run beside backward see whole gradients: with every sum doubled as it starts, what is added later is missing.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "comm/solo_communicator.h"
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
std::vector<at::Tensor> first_gradients(comm::Communicator& comm, const std::vector<optim::NamedParameter>& parameters,
                                        MakeTask&& make_task, const std::function<void()>& after_backward) {
  std::vector<comm::ReducedParameter> reduced;
  for (const auto& p : parameters) reduced.push_back({p.name, p.tensor});
  comm::GradReducer reducer(comm, reduced, /*bucket_bytes=*/4);
  auto task = make_task(comm);
  task.seek({});
  task.accumulate_gradients({}, reducer);
  after_backward();
  reducer.reduce();
  std::vector<at::Tensor> gradients;
  for (const auto& p : parameters) gradients.push_back(p.tensor.grad().clone());
  return gradients;
}

template <class MakeTask>
void expect_whole_sums(const std::vector<optim::NamedParameter>& parameters, MakeTask&& make_task) {
  comm::SoloCommunicator plain;
  DoublingCommunicator doubling;
  const auto expected = first_gradients(plain, parameters, make_task, [] {});
  const auto found = first_gradients(doubling, parameters, make_task, [&] {
    EXPECT_EQ(doubling.started, parameters.size()) << "sums that did not start during backward";
  });
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_GT(expected[i].abs().max().template item<float>(), 0) << parameters[i].name;
    EXPECT_TRUE(at::equal(found[i], expected[i] * 2)) << parameters[i].name;
  }
}

TEST(GradientExchange, LanguageModelWithTiedHead) {
  const test::TempDir folder;
  const data::ShardSet corpus = test::counting_corpus(folder.path(), {90, 110});
  model::AwdLstm model({200, 6, 8, 2}, 1, at::kCPU);
  LmTaskOptions options;
  options.streams.streams = 4;
  options.streams.bptt = 10;
  expect_whole_sums(model.parameters(), [&](comm::Communicator& comm) {
    return LmTask(model, corpus, nullptr, options, {2, 0, 2}, comm);
  });
}

TEST(GradientExchange, EncoderOfAClassifier) {
  const test::TempDir folder;
  const data::ShardSet corpus = test::counting_corpus(folder.path(), {30, 12, 25, 17, 9, 40}, data::kShardTokens, true);
  model::AwdLstm encoder({133, 6, 8, 2}, 1, at::kCPU);
  model::PoolingHead head({18, 3}, 1, at::kCPU);
  ClassifierTaskOptions options;
  options.batches.batch_size = 6;
  options.bpt3c.window = 7;
  std::vector<optim::NamedParameter> parameters;
  for (const auto& group : encoder.encoder_groups()) {
    parameters.insert(parameters.end(), group.parameters.begin(), group.parameters.end());
  }
  expect_whole_sums(parameters, [&](comm::Communicator& comm) {
    return ClassifierTask(encoder, head, corpus, nullptr, options, {2, 0, 2}, comm);
  });
}

}  // namespace
}  // namespace ulmfit::train
