#include "train/multilabel.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "comm/solo_communicator.h"
#include "tests/support/corpora.h"
#include "tests/support/temp_dir.h"
#include "train/classifier_task.h"

namespace ulmfit::train {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

const data::LabelSets kSets{{}, {0, 2}, {1}};  // counting_corpus labels document d by d % 3
const std::vector<std::int64_t> kLengths{5, 1, 30, 12, 7, 7, 19, 3, 26, 2, 11};
constexpr std::int64_t kTokens = 123;

bool has(std::size_t document, std::int64_t label) {
  const auto& set = kSets[document % 3];
  return std::find(set.begin(), set.end(), label) != set.end();
}

// The mean of -log of the probability of what is so, over documents and classes.
double cross_entropy(const at::Tensor& logits) {
  double sum = 0;
  for (std::int64_t d = 0; d < logits.size(0); ++d) {
    for (std::int64_t c = 0; c < logits.size(1); ++c) {
      const double z = logits[d][c].item<double>();
      sum += std::log1p(std::exp(has(static_cast<std::size_t>(d), c) ? -z : z));
    }
  }
  return sum / static_cast<double>(logits.numel());
}

class MultilabelTask : public ::testing::Test {
 protected:
  ClassifierTaskOptions options() const {
    ClassifierTaskOptions o;
    o.batches.batch_size = 11;
    o.dropout = {0, 0, 0, 0, 0};
    o.head_dropout = 0;
    o.labels = {"a", "b", "c"};
    o.label_sets = kSets;
    return o;
  }

  test::TempDir dir_;
  data::ShardSet shards_ = test::counting_corpus(dir_.path(), kLengths, 40, /*labelled=*/true);
  comm::SoloCommunicator comm_;
  model::AwdLstm encoder_{{kTokens, 6, 8, 2}, 5, at::kCPU};
  model::PoolingHead head_{{{18, 5, 3}, {8, 16, true, true}}, 5, at::kCPU};
};

TEST(Multilabel, TableHasTheClassesOfEachSet) {
  EXPECT_TRUE(
      at::equal(class_table(kSets, 3), at::tensor({0., 0., 0., 1., 0., 1., 0., 1., 0.}, at::kFloat).reshape({3, 3})));
}

TEST(Multilabel, LossIsTheMeanOverDocumentsAndClasses) {
  const at::Tensor logits = at::tensor({1., -2., 0.5, 30., 0.25, -40.}, at::kDouble).reshape({2, 3}).requires_grad_(true);
  const at::Tensor loss = multilabel_loss(logits, at::tensor({0, 1}, at::kLong), class_table(kSets, 3).to(at::kDouble));
  EXPECT_NEAR(loss.item<double>(), cross_entropy(logits.detach()), 1e-12);
  loss.backward();
  const at::Tensor expected = (at::sigmoid(logits.detach()) - at::tensor({0., 0., 0., 1., 0., 1.}).reshape({2, 3})) / 6;
  EXPECT_TRUE(at::allclose(logits.grad(), expected, 0, 1e-12));
}

TEST_F(MultilabelTask, StepHasTheLossOfTheFormulaAndMovesEveryLayer) {
  ClassifierTask task(encoder_, head_, shards_, nullptr, options(), {2, 0, 2}, comm_);
  EXPECT_EQ(task.metric_names().headline_title, reports::kMultilabelMetrics.headline_title);
  comm::GradReducer reducer(comm_, task.reduced_parameters());
  task.seek({0, 0, 0});
  reducer.zero();
  const StepSums sums = task.accumulate_gradients({0, 0, 0}, reducer);
  reducer.reduce();
  EXPECT_EQ(sums.targets, 11);
  for (const auto& group : task.groups()) {
    for (const auto& p : group.parameters) EXPECT_GT(p.tensor.grad().abs().sum().item<double>(), 0) << p.name;
  }

  std::vector<std::vector<std::int64_t>> tokens(kLengths.size());
  std::vector<const std::vector<std::int64_t>*> documents;
  for (std::size_t d = 0; d < tokens.size(); ++d) {
    for (std::int64_t i = 0; i < kLengths[d]; ++i) {
      tokens[d].push_back(shards_.document_start(static_cast<std::int64_t>(d)) + i);
    }
    documents.push_back(&tokens[d]);
  }
  const at::NoGradGuard no_grad;
  const model::MaskKey key{1, 0, std::vector<std::uint32_t>(kLengths.size(), 0)};  // batch norm as in training
  const at::Tensor features = head_.features(encoder_, documents, encoder_.batch_weights(0, nullptr), {}, nullptr);
  const double expected = cross_entropy(head_.forward(features, {0, 0}, &key));
  EXPECT_NEAR(sums.nats.at(0).item<double>() / sums.targets, expected, 1e-5 * expected);
}

TEST_F(MultilabelTask, ValidationTellsLossThresholdsAndFigures) {
  ClassifierTask task(encoder_, head_, shards_, &shards_, options(), {2, 0, 2}, comm_);
  const Evaluation result = task.validate();
  const at::Tensor logits = predict_logits(encoder_, head_, shards_, options().batches, {1, 0, 1}, comm_);
  EXPECT_NEAR(result.values.at("loss"), cross_entropy(logits), 1e-6);
  EXPECT_EQ(result.score, result.values.at("loss"));
  EXPECT_EQ(result.values.at("documents"), 11);
  EXPECT_FALSE(result.classification.has_value());
  ASSERT_TRUE(result.multilabel.has_value());
  ASSERT_EQ(result.multilabel->thresholds.size(), 3U);
  double wrong = 0;
  for (std::int64_t d = 0; d < 11; ++d) {
    for (std::int64_t c = 0; c < 3; ++c) {
      const double p = 1 / (1 + std::exp(-logits[d][c].item<double>()));
      const bool yes = p >= result.multilabel->thresholds[static_cast<std::size_t>(c)];
      wrong += yes != has(static_cast<std::size_t>(d), c) ? 1 : 0;
    }
  }
  EXPECT_DOUBLE_EQ(result.values.at("error"), wrong / 33);
  EXPECT_GT(result.values.at("macro_f1"), 0);
  EXPECT_GT(result.values.at("micro_f1"), 0);
}

// Thresholds by hand: the first class is told apart below 0.5, the second around it, no text has the third.
TEST_F(MultilabelTask, ThresholdsAreChosenOnTheTextsThatAreJudged) {
  const data::LabelSets sets{{}, {0}, {0, 1}};
  at::Tensor logits = at::zeros({11, 3});
  for (std::int64_t d = 0; d < 11; ++d) {
    logits[d][0] = d % 3 == 0 ? -1.5 : -0.5;
    logits[d][1] = d % 3 == 2 ? 2 : -2;
    logits[d][2] = -3;
  }
  const Evaluation result = evaluate_multilabel(logits, shards_, sets, {"a", "b", "c"}, "valid");
  const auto probability = [](double z) { return double{at::sigmoid(at::tensor(z, at::kFloat)).item<float>()}; };
  EXPECT_THAT(result.multilabel->thresholds, ElementsAre(DoubleNear((probability(-1.5) + probability(-0.5)) / 2, 1e-6),
                                                         DoubleNear(0.5, 1e-6), DoubleNear(0.5, 1e-6)));
  EXPECT_EQ(result.values.at("error"), 0);
  EXPECT_EQ(result.values.at("micro_f1"), 1);
}

}  // namespace
}  // namespace ulmfit::train
