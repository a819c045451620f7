#include "train/classifier_task.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "comm/solo_communicator.h"
#include "tests/support/corpora.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::train {
namespace {

const std::vector<std::int64_t> kLengths{5, 1, 30, 12, 7, 7, 19, 3, 26, 2, 11};  // 11 documents of 123 tokens
constexpr std::int64_t kTokens = 123;

class ClassifierTaskTest : public ::testing::Test {
 protected:
  // Class probabilities of document d by itself.
  at::Tensor alone(std::size_t d) {
    at::NoGradGuard no_grad;
    std::vector<std::int64_t> tokens;
    for (std::int64_t i = shards_.document_start(static_cast<std::int64_t>(d));
         tokens.size() < static_cast<std::size_t>(kLengths[d]); ++i)
      tokens.push_back(i);
    const std::vector<const std::vector<std::int64_t>*> documents{&tokens};
    const at::Tensor features =
        model::pool_documents(encoder_, documents, encoder_.batch_weights(0, nullptr), kBpt3c, {}, nullptr);
    return at::softmax(head_.forward(features, {}, nullptr), 1)[0];
  }

  static constexpr model::Bpt3cOptions kBpt3c{8, 16, true, true};
  test::TempDir dir_;
  data::ShardSet shards_ = test::counting_corpus(dir_.path(), kLengths, 40, /*labelled=*/true);
  comm::SoloCommunicator comm_;
  model::AwdLstm encoder_{{kTokens, 6, 8, 2}, 5, at::kCPU};
  model::PoolingHead head_{{18, 5, 3}, 5, at::kCPU};
};

TEST_F(ClassifierTaskTest, EveryDocumentIsPredictedOnceAsItIsAlone) {
  for (const std::int64_t batch : {1, 3, 4, 64}) {
    for (const std::int64_t parts : {1, 2, 5}) {
      data::DocumentBatchOptions batches;
      batches.batch_size = batch;
      const at::Tensor p = predict_probabilities(encoder_, head_, shards_, batches, kBpt3c, {parts, 0, parts}, comm_);
      ASSERT_EQ(p.size(0), static_cast<std::int64_t>(kLengths.size()));
      for (std::size_t d = 0; d < kLengths.size(); ++d) {
        EXPECT_TRUE(at::allclose(p[static_cast<std::int64_t>(d)], alone(d), 1e-4, 1e-6))
            << "document " << d << ", batches of " << batch << " in " << parts << " parts";
      }
    }
  }
}

TEST_F(ClassifierTaskTest, ValidationIsTheMeanOverDocuments) {
  ClassifierTaskOptions options;
  options.batches.batch_size = 4;
  options.bpt3c = kBpt3c;
  options.labels = {"a", "b", "c"};
  ClassifierTask task(encoder_, head_, shards_, &shards_, options, {2, 0, 2}, comm_);
  double nats = 0;
  double wrong = 0;
  for (std::size_t d = 0; d < kLengths.size(); ++d) {
    const at::Tensor p = alone(d);
    const auto label = static_cast<std::int64_t>(d % 3);
    nats -= std::log(p[label].item<double>());
    wrong += p.argmax().item<std::int64_t>() != label;
  }
  const Evaluation result = task.validate();
  const auto n = static_cast<double>(kLengths.size());
  EXPECT_EQ(result.values.at("documents"), n);
  EXPECT_DOUBLE_EQ(result.values.at("error"), wrong / n);
  EXPECT_NEAR(result.values.at("loss"), nats / n, 1e-5);
  EXPECT_EQ(result.score, result.values.at("loss"));
}

TEST_F(ClassifierTaskTest, AnEpochTrainsOnEveryDocumentOnce) {
  ClassifierTaskOptions options;
  options.batches.batch_size = 4;
  options.bpt3c = kBpt3c;
  ClassifierTask task(encoder_, head_, shards_, nullptr, options, {2, 0, 2}, comm_);
  comm::GradReducer reducer(comm_, task.reduced_parameters());
  EXPECT_EQ(task.tokens_in_epoch(), kTokens);
  EXPECT_EQ(task.validate().values.size(), 0U) << "no validation texts";
  task.seek({0, 0, 0});
  double documents = 0;
  for (std::int64_t step = 0; step < task.steps_in_epoch(0); ++step) {
    reducer.zero();
    documents += task.accumulate_gradients({step, 0, step}, reducer).targets;
  }
  EXPECT_EQ(documents, static_cast<double>(kLengths.size()));
}

}  // namespace
}  // namespace ulmfit::train
