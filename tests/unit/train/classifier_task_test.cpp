#include "train/classifier_task.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "comm/solo_communicator.h"
#include "tests/support/corpora.h"
#include "tests/support/model_checks.h"
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
  model::PoolingHead head_{{{18, 5, 3}, kBpt3c}, 5, at::kCPU};
};

TEST_F(ClassifierTaskTest, EveryDocumentIsPredictedOnceAsItIsAlone) {
  for (const std::int64_t batch : {1, 3, 4, 64}) {
    for (const std::int64_t parts : {1, 2, 5}) {
      data::DocumentBatchOptions batches;
      batches.batch_size = batch;
      const at::Tensor p = predict_probabilities(encoder_, head_, shards_, batches, {parts, 0, parts}, comm_);
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
  // Errors count first: what one text more or less answers rightly outweighs any loss.
  const double loss = result.values.at("loss"), documents = result.values.at("documents");
  EXPECT_NEAR(result.score, result.values.at("error") + loss / (1 + loss) / documents, 1e-12);
  EXPECT_LT(result.score, result.values.at("error") + 1 / documents);
}

TEST_F(ClassifierTaskTest, AnEpochTrainsOnEveryDocumentOnce) {
  ClassifierTaskOptions options;
  options.batches.batch_size = 4;
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

// Loss of a step without dropout against the formula, in double precision.
TEST_F(ClassifierTaskTest, WeighsClassesAndSmoothsLabels) {
  struct Case {
    double smoothing;
    std::vector<double> weights;
  };
  for (const Case& c : {Case{0, {}}, Case{0.1, {}}, Case{0, {0.5, 3, 1}}, Case{0.3, {2, 1, 0.25}}}) {
    ClassifierTaskOptions options;
    options.batches.batch_size = 11;
    options.dropout = {0, 0, 0, 0, 0};
    options.head_dropout = 0;
    options.label_smoothing = c.smoothing;
    options.class_weights = c.weights;
    ClassifierTask task(encoder_, head_, shards_, nullptr, options, {1, 0, 1}, comm_);
    comm::GradReducer reducer(comm_, task.reduced_parameters());
    task.seek({0, 0, 0});
    reducer.zero();
    const StepSums sums = task.accumulate_gradients({0, 0, 0}, reducer);

    std::vector<std::vector<std::int64_t>> tokens(kLengths.size());
    std::vector<const std::vector<std::int64_t>*> documents;
    for (std::size_t d = 0; d < tokens.size(); ++d) {
      for (std::int64_t i = 0; i < kLengths[d]; ++i)
        tokens[d].push_back(shards_.document_start(static_cast<std::int64_t>(d)) + i);
      documents.push_back(&tokens[d]);
    }
    const at::NoGradGuard no_grad;
    const model::MaskKey key{1, 0, std::vector<std::uint32_t>(kLengths.size(), 0)};  // batch norm as in training
    const at::Tensor features =
        model::pool_documents(encoder_, documents, encoder_.batch_weights(0, nullptr), kBpt3c, {}, nullptr);
    const at::Tensor log_p = at::log_softmax(head_.forward(features, {0, 0}, &key).to(at::kDouble), 1);
    double loss = 0;
    double weight = 0;
    const auto weight_of = [&](std::int64_t i) { return c.weights.empty() ? 1.0 : c.weights[static_cast<std::size_t>(i)]; };
    for (std::int64_t d = 0; d < log_p.size(0); ++d) {
      const std::int64_t label = d % 3;
      weight += weight_of(label);
      loss -= (1 - c.smoothing) * weight_of(label) * log_p[d][label].item<double>();
      for (std::int64_t i = 0; i < 3; ++i) loss -= c.smoothing / 3 * weight_of(i) * log_p[d][i].item<double>();
    }
    EXPECT_NEAR(sums.nats.at(0).item<double>() / sums.targets, loss / weight, 1e-5 * loss / weight) << c.smoothing;
  }
}

// A step without dropout: the sums that it reports, and the gradients of the encoder.
class Penalties : public ClassifierTaskTest {
 protected:
  std::pair<StepSums, std::vector<at::Tensor>> step(double ar, double tar, std::int64_t shards, int fixed_tree = 0,
                                                    bool frozen = false, double aux = 0) {
    ClassifierTaskOptions options;
    options.aux_lm_weight = aux;
    options.decoder_bias = test::closed_form(1, {encoder_.shape().vocabulary}, 0.3);
    options.batches.batch_size = 11;
    options.dropout = {0, 0, 0, 0, 0};
    options.head_dropout = 0;
    options.ar = ar;
    options.tar = tar;
    for (const auto& p : encoder_.parameters()) at::Tensor(p.tensor).set_requires_grad(true);
    ClassifierTask task(encoder_, head_, shards_, nullptr, options, {shards, 0, shards}, comm_);
    comm::GradReducer reducer(comm_, task.reduced_parameters());
    if (fixed_tree > 0) reducer.use_fixed_tree(fixed_tree);
    for (const auto& p : task.reduced_parameters()) at::Tensor(p.tensor).set_requires_grad(!frozen);
    reducer.set_trainable(std::vector<bool>(reducer.parameters().size(), !frozen));
    task.seek({0, 0, 0});
    reducer.zero();
    const StepSums sums = task.accumulate_gradients({0, 0, 0}, reducer);
    reducer.reduce();
    std::vector<at::Tensor> gradients;
    for (const auto& p : task.reduced_parameters()) {
      gradients.push_back(p.tensor.grad().defined() ? p.tensor.grad().clone() : at::zeros_like(p.tensor));
    }
    return {sums, gradients};
  }
};

TEST_F(Penalties, AreInTheGradientsButNotInTheLossThatIsTold) {
  const auto [plain, without] = step(0, 0, 1);
  for (const auto& [ar, tar] : {std::pair{2.0, 0.0}, std::pair{0.0, 1.0}}) {
    const auto [sums, with] = step(ar, tar, 1);
    EXPECT_EQ(sums.nats.at(0).item<double>(), plain.nats.at(0).item<double>());
    EXPECT_FALSE(at::allclose(with.front(), without.front()));
  }
}

TEST_F(Penalties, AreThoseOfTheWholeBatchInHoweverManyPasses) {
  const auto [whole, expected] = step(2, 1, 1);
  for (const std::int64_t shards : {2, 3, 8, 16}) {  // 16: some without a document
    const auto [sums, found] = step(2, 1, shards, shards >= 8 ? static_cast<int>(shards) : 0);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double difference = (found[i] - expected[i]).abs().max().item<double>();
      EXPECT_LE(difference, 1e-5 * expected[i].abs().max().item<double>())
          << "parameter " << i << " in " << shards << " passes";
    }
  }
}

TEST_F(Penalties, AFrozenEncoderHasNone) {
  const auto [sums, found] = step(2, 1, 1, 0, /*frozen=*/true, /*aux=*/1);
  const auto [plain, without] = step(0, 0, 1, 0, /*frozen=*/true);
  EXPECT_EQ(sums.nats.at(0).item<double>(), plain.nats.at(0).item<double>());
  for (const at::Tensor& gradient : found) EXPECT_EQ(gradient.abs().sum().item<double>(), 0);
}

// The mean over the tokens of the whole batch that have a next one, in however many passes.
TEST_F(Penalties, TheLossOfTheLanguageModelIsThatOfTheWholeBatch) {
  const auto [plain, without] = step(0, 0, 1);
  constexpr double kWeight = 100;  // so much that rounding of the classifier's part does not matter
  const auto [once, single] = step(0, 0, 1, 0, false, kWeight);
  const auto [twice, doubled] = step(0, 0, 1, 0, false, 2 * kWeight);
  EXPECT_EQ(once.nats.at(0).item<double>(), plain.nats.at(0).item<double>());
  for (std::size_t i = 0; i < single.size(); ++i) {
    const double largest = (doubled[i] - without[i]).abs().max().item<double>();
    EXPECT_GT(largest, 0) << i;
    EXPECT_LE((doubled[i] - without[i] - 2 * (single[i] - without[i])).abs().max().item<double>(), 1e-4 * largest) << i;
  }
  for (const std::int64_t shards : {2, 3, 8, 16}) {
    const auto [sums, found] = step(0, 0, shards, shards >= 8 ? static_cast<int>(shards) : 0, false, kWeight);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double difference = (found[i] - single[i]).abs().max().item<double>();
      EXPECT_LE(difference, 1e-5 * single[i].abs().max().item<double>())
          << "parameter " << i << " in " << shards << " passes";
    }
  }
}

// Documents of one token have no change from one to the next, and no next token.
TEST_F(Penalties, AreFiniteForDocumentsOfOneToken) {
  test::TempDir dir;
  const data::ShardSet ones = test::counting_corpus(dir.path(), {1, 1, 1}, 40, /*labelled=*/true);
  model::AwdLstm encoder{{3, 6, 8, 2}, 5, at::kCPU};
  ClassifierTaskOptions options;
  options.batches.batch_size = 3;
  options.ar = 2;
  options.tar = 1;
  ClassifierTask task(encoder, head_, ones, nullptr, options, {1, 0, 1}, comm_);
  comm::GradReducer reducer(comm_, task.reduced_parameters());
  task.seek({0, 0, 0});
  reducer.zero();
  task.accumulate_gradients({0, 0, 0}, reducer);
  for (const auto& p : task.reduced_parameters()) EXPECT_TRUE(at::isfinite(p.tensor.grad()).all().item<bool>()) << p.name;
}

}  // namespace
}  // namespace ulmfit::train
