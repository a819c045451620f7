#include "train/lm_task.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "base/error.h"
#include "comm/solo_communicator.h"
#include "model/adaptive_softmax.h"
#include "model/linear_cross_entropy.h"
#include "model/sampled_softmax.h"
#include "tests/support/corpora.h"
#include "tests/support/plain_linear_cross_entropy.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::train {
namespace {

constexpr std::int64_t kTokens = 157;

class LmTaskTest : public ::testing::Test {
 protected:
  // Nats of tokens [first, first + count + 1) in one go, from an empty memory: the definition.
  double nats(std::int64_t first, std::int64_t count) const {
    at::NoGradGuard no_grad;
    const at::Tensor ids = at::arange(first, first + count + 1, at::kLong);  // token i of the corpus is i
    const auto out = model_.forward(ids.narrow(0, 0, count).unsqueeze(1), model_.zero_state(1),
                                    model_.batch_weights(0, nullptr), {}, nullptr);
    return test::plain_linear_cross_entropy(out.top.squeeze(1), head_.weight(), head_.bias(), ids.narrow(0, 1, count), 1.0)
        .item<double>();
  }
  LmTaskOptions options() const {
    LmTaskOptions o;
    o.streams = {.streams = 4, .bptt = 10, .variable_bptt = false, .shuffle = false, .backward = false, .seed = 1};
    o.dropout = {0, 0, 0, 0, 0};
    o.ar = 0;
    o.tar = 0;
    return o;
  }

  test::TempDir dir_;
  data::ShardSet shards_ = test::counting_corpus(dir_.path(), {50, 1, 80, 26});
  // A set has one reader at a time, and a task reads ahead as long as it lives.
  data::ShardSet again_{dir_.path(), "train"};
  comm::SoloCommunicator comm_;
  model::AwdLstm model_{{kTokens, 6, 8, 2}, 5, at::kCPU};
  model::SoftmaxHead head_{model_};
};

TEST_F(LmTaskTest, EvaluationCountsEveryTargetOnce) {
  for (const std::int64_t streams : {1, 2, 3, 4, 5}) {
    data::LmStreamOptions o = options().streams;
    o.streams = streams;
    o.bptt = 7;
    const std::int64_t length = (kTokens - 1) / streams;
    double expected = 0;
    for (std::int64_t g = 0; g + 1 < streams; ++g) expected += nats(g * length, length);
    expected += nats((streams - 1) * length, kTokens - 1 - (streams - 1) * length);  // to the last token
    for (const std::int64_t parts : {1, 2, 3}) {                                     // also more parts than streams
      const LmScore score = evaluate_lm(model_, head_, shards_, o, {parts, 0, parts}, comm_);
      EXPECT_EQ(score.targets, kTokens - 1);
      EXPECT_NEAR(score.nats, expected, 1e-5 * expected) << streams << " streams in " << parts << " parts";
    }
  }
}

struct MeetingsCounted : comm::SoloCommunicator {
  void barrier() override { ++meetings; }
  int meetings = 0;
};

// A rank without a stream would else wait for the others in one call for as long as the whole evaluation takes.
TEST_F(LmTaskTest, RanksWithAndWithoutStreamsMeetAlikeDuringAnEvaluation) {
  data::LmStreamOptions o = options().streams;
  o.streams = 1;
  o.bptt = 2;
  std::vector<int> meetings;
  for (const std::int64_t rank : {0, 1, 2}) {  // of three; the last has the stream
    MeetingsCounted comm;
    evaluate_lm(model_, head_, shards_, o, {3, rank, 1}, comm);
    meetings.push_back(comm.meetings);
  }
  EXPECT_EQ(meetings, std::vector<int>(3, 10)) << "78 windows, at most 8 without a meeting";
}

TEST_F(LmTaskTest, AStepSeesEachTokenWithTheNextAsItsTarget) {
  LmTask task(model_, head_, shards_, nullptr, options(), {1, 0, 1}, comm_);
  comm::GradReducer r(comm_, task.reduced_parameters());
  EXPECT_EQ(task.tokens_in_epoch(), 4 * 39);
  EXPECT_EQ(task.steps_in_epoch(0), 4);  // 39 tokens a stream in windows of 10
  task.seek({0, 0, 0});
  double sum = 0;
  double targets = 0;
  for (std::int64_t step = 0; step < 4; ++step) {
    r.zero();
    const StepSums sums = task.accumulate_gradients({step, 0, step}, r);
    for (const at::Tensor& nats : sums.nats) sum += nats.item<double>();
    targets += sums.targets;
  }
  EXPECT_EQ(targets, 4 * 39);
  double expected = 0;
  for (std::int64_t g = 0; g < 4; ++g) expected += nats(g * 39, 39);  // recurrent from window to window
  EXPECT_NEAR(sum, expected, 1e-5 * expected);
}

// AWD-LSTM: a window of another length than bptt trains with the rate times length / bptt.
TEST_F(LmTaskTest, RatesFollowTheLengthsOfWindows) {
  LmTaskOptions options;
  options.streams = {.streams = 4, .bptt = 10, .variable_bptt = true, .shuffle = true, .backward = false, .seed = 3};
  options.scale_lr_by_bptt = true;
  LmTask task(model_, head_, shards_, nullptr, options, {1, 0, 1}, comm_);
  data::LmStreams streams(shards_, options.streams);
  bool differs = false;
  for (const std::int64_t epoch : {0, 1}) {
    const auto windows = streams.windows(epoch);
    for (std::size_t i = 0; i < windows.size(); ++i) {
      const double expected = static_cast<double>(windows[i].length) / 10;
      EXPECT_DOUBLE_EQ(task.lr_scale({0, epoch, static_cast<std::int64_t>(i)}), expected);
      differs = differs || windows[i].length != windows[0].length;
    }
  }
  EXPECT_TRUE(differs);
}

TEST_F(LmTaskTest, PassesAddUpToTheGradientOfTheWholeBatch) {
  LmTaskOptions o = options();
  o.dropout = {0.1, 0.2, 0.3, 0.1, 0.4};
  o.ar = 2;
  o.tar = 1;
  std::vector<at::Tensor> whole;
  for (const std::int64_t passes : {1, 2, 4}) {
    LmTask task(model_, head_, shards_, nullptr, o, {passes, 0, passes}, comm_);
    comm::GradReducer r(comm_, task.reduced_parameters());
    r.zero();
    task.seek({0, 0, 0});
    task.accumulate_gradients({0, 0, 0}, r);
    const auto parameters = model_.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const at::Tensor& gradient = parameters[i].tensor.grad();
      if (passes == 1) whole.push_back(gradient.clone());
      EXPECT_TRUE(at::allclose(gradient, whole[i], 1e-4, 1e-7)) << parameters[i].name << " in " << passes << " passes";
    }
  }
  EXPECT_THROW(LmTask(model_, head_, shards_, nullptr, o, {3, 0, 3}, comm_), ConfigError);
}

TEST_F(LmTaskTest, CarriedStateGoesOnBitForBit) {
  std::optional<LmTask> task;
  const auto begin = [&]() -> LmTask& {
    return task.emplace(model_, head_, shards_, nullptr, options(), MicroBatches{2, 0, 2}, comm_);
  };
  comm::GradReducer r(comm_, begin().reduced_parameters());
  const auto step = [&](std::int64_t s) {
    r.zero();
    double sum = 0;
    for (const at::Tensor& nats : task->accumulate_gradients({s, 0, s}, r).nats) sum += nats.item<double>();
    return sum;
  };
  task->seek({0, 0, 0});
  step(0);
  interop::NamedTensors recurrent;
  for (const auto& [name, tensor] : task->recurrent_state()) recurrent.emplace_back(name, tensor.clone());
  ASSERT_EQ(recurrent.size(), 4U);  // h and c of two layers
  const double next = step(1);

  begin().load_recurrent_state(recurrent);
  task->seek({1, 0, 1});
  EXPECT_EQ(step(1), next);
  begin().seek({1, 0, 1});
  EXPECT_NE(step(1), next) << "nothing is remembered";

  recurrent[0].second = at::zeros({3, 8});
  EXPECT_THROW(task->load_recurrent_state(recurrent), CheckpointError);
}

TEST_F(LmTaskTest, ValidationTouchesNoStateOfTraining) {
  LmTask task(model_, head_, shards_, &again_, options(), {1, 0, 1}, comm_);
  comm::GradReducer r(comm_, task.reduced_parameters());
  r.zero();
  task.seek({0, 0, 0});
  task.accumulate_gradients({0, 0, 0}, r);
  const auto before = task.recurrent_state();
  const Evaluation result = task.validate();
  EXPECT_EQ(result.values.at("tokens"), kTokens - 1);
  EXPECT_NEAR(result.values.at("perplexity"), std::exp(result.score), 1e-9);
  const auto after = task.recurrent_state();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(before[i].second, after[i].second));
}

TEST_F(LmTaskTest, PassesAddUpWithApproximateSoftmaxesToo) {
  LmTaskOptions o = options();
  o.dropout = {0.1, 0.2, 0.3, 0.1, 0.4};
  model::AdaptiveSoftmaxHead adaptive(model_, {20, 60});
  model::SampledSoftmaxHead sampled(model_, 30, 1);
  for (model::SoftmaxHead* head :
       {static_cast<model::SoftmaxHead*>(&adaptive), static_cast<model::SoftmaxHead*>(&sampled)}) {
    std::vector<at::Tensor> whole;
    for (const std::int64_t passes : {1, 2, 4}) {
      LmTask task(model_, *head, shards_, nullptr, o, {passes, 0, passes}, comm_);
      comm::GradReducer r(comm_, task.reduced_parameters());
      r.zero();
      task.seek({0, 0, 0});
      task.accumulate_gradients({0, 0, 0}, r);
      for (std::size_t i = 0; i < r.parameters().size(); ++i) {
        const at::Tensor& gradient = r.parameters()[i].tensor.grad();
        if (passes == 1) whole.push_back(gradient.clone());
        EXPECT_GT(gradient.abs().max().item<float>(), 0) << r.parameters()[i].name;
        EXPECT_TRUE(at::allclose(gradient, whole[i], 1e-4, 1e-7))
            << r.parameters()[i].name << " in " << passes << " passes";
      }
    }
  }
}

TEST_F(LmTaskTest, AFinishedAdaptiveModelIsValidatedWithTheFullSoftmaxToo) {
  model::AdaptiveSoftmaxHead adaptive(model_, {20, 60});
  LmTask task(model_, adaptive, shards_, &again_, options(), {1, 0, 1}, comm_);
  EXPECT_FALSE(task.validate().values.contains(kFullSoftmaxLoss));
  const Evaluation result = task.validate_finished();
  EXPECT_EQ(result.values.at("loss"), task.validate().score);
  EXPECT_EQ(result.score, task.validate().score);
  LmTask full(model_, head_, shards_, &again_, options(), {1, 0, 1}, comm_);  // the same weights, biases of zeros
  EXPECT_EQ(result.values.at(kFullSoftmaxLoss), full.validate().score);
  EXPECT_NEAR(result.values.at(kFullSoftmaxPerplexity), std::exp(full.validate().score), 1e-9);
  EXPECT_NE(result.score, full.validate().score);
  EXPECT_EQ(full.validate_finished().values.size(), 3U);
}

}  // namespace
}  // namespace ulmfit::train
