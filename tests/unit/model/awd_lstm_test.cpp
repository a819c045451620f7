#include "model/awd_lstm.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "model/softmax_head.h"
#include "tests/support/model_checks.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::relative_difference;
using test::same_bits;
using test::tiny_model;
using test::tiny_tokens;
using ::testing::ElementsAre;

class AwdLstmTest : public ::testing::Test {
  test::OneThread one_thread_;
};

LstmState some_state(const AwdLstm& model, std::int64_t columns) {
  LstmState state = model.zero_state(columns);
  for (std::size_t l = 0; l < state.h.size(); ++l) {
    state.h[l] = closed_form(static_cast<std::int64_t>(100 + l), state.h[l].sizes(), 0.5);
    state.c[l] = closed_form(static_cast<std::int64_t>(200 + l), state.c[l].sizes(), 0.8);
  }
  return state;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// One LSTM layer in plain loops and double: Hochreiter & Schmidhuber with forget gates, gates in the order i, f, g, o.
// x [T, B, I] -> [T, B, W]; h and c [B, W] are carried.
at::Tensor plain_layer(const at::Tensor& x, at::Tensor& h, at::Tensor& c, const std::vector<at::Tensor>& weights) {
  const std::int64_t T = x.size(0), B = x.size(1), I = x.size(2), W = h.size(1);
  const auto w_ih = weights[0].accessor<double, 2>();
  const auto w_hh = weights[1].accessor<double, 2>();
  const auto b_ih = weights[2].accessor<double, 1>();
  const auto b_hh = weights[3].accessor<double, 1>();
  at::Tensor out = at::empty({T, B, W}, at::kDouble);
  for (std::int64_t t = 0; t < T; ++t) {
    const at::Tensor before = h.clone();
    for (std::int64_t b = 0; b < B; ++b) {
      for (std::int64_t j = 0; j < W; ++j) {
        double gate[4];
        for (std::int64_t g = 0; g < 4; ++g) {
          gate[g] = b_ih[g * W + j] + b_hh[g * W + j];
          for (std::int64_t i = 0; i < I; ++i) gate[g] += w_ih[g * W + j][i] * x.accessor<double, 3>()[t][b][i];
          for (std::int64_t i = 0; i < W; ++i) gate[g] += w_hh[g * W + j][i] * before.accessor<double, 2>()[b][i];
        }
        double& cell = c.accessor<double, 2>()[b][j];
        cell = sigmoid(gate[1]) * cell + sigmoid(gate[0]) * std::tanh(gate[2]);
        h.accessor<double, 2>()[b][j] = sigmoid(gate[3]) * std::tanh(cell);
      }
    }
    out[t].copy_(h);
  }
  return out;
}

TEST_F(AwdLstmTest, ForwardIsAPlainLstmInLoops) {
  const AwdLstm model = tiny_model();
  at::NoGradGuard no_grad;
  const at::Tensor x = tiny_tokens(5, 3);
  const LstmState state = some_state(model, 3);
  const EncoderOutput out = model.forward(x, state, model.batch_weights(0, nullptr), {}, nullptr);

  at::Tensor activations = at::embedding(model.embedding(), x).to(at::kDouble);
  const auto groups = model.groups();
  for (std::size_t l = 0; l < 3; ++l) {
    std::vector<at::Tensor> weights;
    for (const auto& p : groups[l + 1].parameters) weights.push_back(p.tensor.detach().to(at::kDouble));
    at::Tensor h = state.h[l].to(at::kDouble).clone();
    at::Tensor c = state.c[l].to(at::kDouble).clone();
    activations = plain_layer(activations, h, c, weights);
    EXPECT_LT(relative_difference(out.next.h[l], h), 1e-5);
    EXPECT_LT(relative_difference(out.next.c[l], c), 1e-5);
  }
  EXPECT_LT(relative_difference(out.top, activations), 1e-5);
}

TEST_F(AwdLstmTest, TwoWindowsWithTheStateCarriedAreOneLongOne) {
  const AwdLstm model = tiny_model();
  for (const bool dropped : {false, true}) {
    const MaskKey key{1, 2, {4, 9, 1}};
    const MaskKey* masks = dropped ? &key : nullptr;
    const DropoutRates rates{0.4, 0.3, 0.4, 0.2, 0.5};
    const auto weights = model.batch_weights(rates.weight, masks);
    const at::Tensor x = tiny_tokens(9, 3);
    const EncoderOutput whole = model.forward(x, some_state(model, 3), weights, rates, masks);
    const EncoderOutput first = model.forward(x.narrow(0, 0, 4), some_state(model, 3), weights, rates, masks);
    const EncoderOutput second = model.forward(x.narrow(0, 4, 5), first.next, weights, rates, masks);
    EXPECT_LT(relative_difference(at::cat({first.top, second.top}), whole.top), 1e-6);
    for (std::size_t l = 0; l < 3; ++l) {
      EXPECT_LT(relative_difference(second.next.h[l], whole.next.h[l]), 1e-6);
      EXPECT_LT(relative_difference(second.next.c[l], whole.next.c[l]), 1e-6);
    }
  }
}

TEST_F(AwdLstmTest, AStateCarriesGradientsUntilItIsDetached) {
  const AwdLstm model = tiny_model();
  const auto weights = model.batch_weights(0, nullptr);
  const auto last_window_gradient = [&](bool detach) {
    test::zero_gradients(model.parameters());
    const EncoderOutput first = model.forward(tiny_tokens(4, 2), model.zero_state(2), weights, {}, nullptr);
    const LstmState state = detach ? first.next.detached() : first.next;
    for (const auto& t : state.h) EXPECT_EQ(t.requires_grad(), !detach);
    for (const auto& t : state.c) EXPECT_EQ(t.requires_grad(), !detach);
    torch::autograd::backward({model.forward(at::full({1, 2}, 7, at::kLong), state, weights, {}, nullptr).top.sum()}, {});
    return model.embedding().grad().clone();
  };
  // Only word 7 is in the second window.
  const at::Tensor cut = last_window_gradient(true);
  EXPECT_GT(cut[7].abs().max().item<float>(), 0);
  EXPECT_EQ(cut.index_select(0, at::tensor({3, 10, 6, 2})).count_nonzero().item<std::int64_t>(), 0);
  EXPECT_GT(last_window_gradient(false).index_select(0, at::tensor({3, 10, 6, 2})).count_nonzero().item<std::int64_t>(), 0);
}

TEST_F(AwdLstmTest, ColumnsDoNotSeeEachOther) {
  const AwdLstm model = tiny_model();
  at::NoGradGuard no_grad;
  const MaskKey all{3, 4, {10, 11, 12, 13, 14, 15}};
  const DropoutRates rates{0.4, 0.3, 0.4, 0.2, 0.5};
  const at::Tensor x = tiny_tokens(7, 6);
  const LstmState state = some_state(model, 6);
  const EncoderOutput whole = model.forward(x, state, model.batch_weights(rates.weight, &all), rates, &all);
  for (const auto& [first, count] : std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 2}, {2, 1}, {3, 3}}) {
    const MaskKey part{3, 4, {all.streams.begin() + first, all.streams.begin() + first + count}};
    const EncoderOutput slice = model.forward(x.narrow(1, first, count), state.narrow(first, count),
                                              model.batch_weights(rates.weight, &part), rates, &part);
    EXPECT_LT(relative_difference(slice.top, whole.top.narrow(1, first, count)), 1e-6);
    for (std::size_t l = 0; l < 3; ++l) {
      EXPECT_LT(relative_difference(slice.next.h[l], whole.next.h[l].narrow(0, first, count)), 1e-6);
      EXPECT_LT(relative_difference(slice.next.c[l], whole.next.c[l].narrow(0, first, count)), 1e-6);
    }
  }
}

TEST_F(AwdLstmTest, NothingIsDroppedInEvaluation) {
  const AwdLstm model = tiny_model();
  at::NoGradGuard no_grad;
  const DropoutRates high{0.9, 0.9, 0.9, 0.9, 0.9};
  const at::Tensor x = tiny_tokens(5, 3);
  const auto raw = model.batch_weights(0.9, nullptr);
  for (std::size_t l = 0; l < 3; ++l) EXPECT_TRUE(raw[l].weight_hh.is_same(model.groups()[l + 1].parameters[1].tensor));
  EXPECT_TRUE(same_bits(model.forward(x, model.zero_state(3), raw, high, nullptr).top,
                        model.forward(x, model.zero_state(3), raw, {0, 0, 0, 0, 0}, nullptr).top));
  const MaskKey key{1, 1, {0, 1, 2}};
  EXPECT_TRUE(same_bits(model.forward(x, model.zero_state(3), model.batch_weights(0, &key), {0, 0, 0, 0, 0}, &key).top,
                        model.forward(x, model.zero_state(3), raw, high, nullptr).top));
}

TEST(AwdLstm, InBfloat16IsTheFloatModelToItsRounding) {
  const DropoutRates rates{0, 0.2, 0.2, 0.1, 0.3};
  const MaskKey key{1, 1, {0, 1, 2}};
  const auto run = [&](std::int64_t hidden, Precision precision) {
    AwdLstm model({.vocabulary = 11, .embedding = 6, .hidden = hidden, .layers = 3}, 1, at::kCPU);
    model.set_precision(precision);
    test::zero_gradients(model.parameters());
    const EncoderOutput out =
        model.forward(tiny_tokens(9, 3), model.zero_state(3), model.batch_weights(rates.weight, &key), rates, &key);
    out.top.square().mean().backward();
    std::vector<at::Tensor> found{out.top.detach(), out.next.h[0].detach(), out.next.c[2].detach()};
    for (const auto& p : model.parameters()) found.push_back(p.tensor.grad());
    return found;
  };
  for (const std::int64_t hidden : {8, 9}) {  // 9: not for the block kernels, which multiply pairs
    const auto found = run(hidden, Precision::kBfloat16);
    const auto expected = run(hidden, Precision::kFloat32);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double difference = relative_difference(found[i], expected[i]);
      EXPECT_LE(difference, 0.05) << i << ", " << hidden;
      EXPECT_GT(difference, 0) << i << " was not rounded, " << hidden;
      EXPECT_EQ(found[i].scalar_type(), at::kFloat) << i;
    }
  }
}

// fastai's test of its WeightDropout: from a zero state the recurrent weights first act in the second time step.
TEST_F(AwdLstmTest, WeightDropLeavesTheFirstTimeStepAlone) {
  const AwdLstm model = tiny_model();
  at::NoGradGuard no_grad;
  const auto top = [&](std::uint64_t step) {
    const MaskKey key{1, step, {0, 1, 2}};
    return model.forward(tiny_tokens(5, 3), model.zero_state(3), model.batch_weights(0.5, &key), {0, 0, 0, 0, 0.5}, &key)
        .top;
  };
  const at::Tensor a = top(1);
  const at::Tensor b = top(2);
  EXPECT_TRUE(same_bits(a[0], b[0]));
  for (std::int64_t t = 1; t < 5; ++t) EXPECT_GT(relative_difference(a[t], b[t]), 1e-4) << t;
  EXPECT_TRUE(same_bits(a, top(1)));
}

TEST_F(AwdLstmTest, WeightDropReachesTheRawWeightsThroughItsMask) {
  const AwdLstm model = tiny_model();
  test::zero_gradients(model.parameters());
  const MaskKey key{1, 5, {0, 1}};
  const at::Tensor x = tiny_tokens(4, 2);
  const auto loss = [&] {
    return model.forward(x, model.zero_state(2), model.batch_weights(0.5, &key), {0, 0, 0, 0, 0.5}, &key)
        .top.square()
        .sum();
  };
  torch::autograd::backward({loss()}, {});
  for (std::size_t l = 0; l < 3; ++l) {
    const at::Tensor raw = model.groups()[l + 1].parameters[1].tensor;
    const at::Tensor dropped = model.batch_weights(0.5, &key)[l].weight_hh.detach().eq(0);
    EXPECT_EQ(raw.grad().masked_select(dropped).count_nonzero().item<std::int64_t>(), 0);
    const at::Tensor differences =
        test::finite_differences(raw.detach(), 2e-2, [&] { return loss().to(at::kDouble).item<double>(); });
    EXPECT_LT(relative_difference(raw.grad(), differences), 5e-3) << l;
  }
}

TEST_F(AwdLstmTest, WithoutGradientModeThereIsNoGraph) {
  const AwdLstm model = tiny_model();
  at::NoGradGuard no_grad;
  const EncoderOutput out =
      model.forward(tiny_tokens(5, 3), model.zero_state(3), model.batch_weights(0, nullptr), {}, nullptr);
  EXPECT_FALSE(out.top.requires_grad());
  EXPECT_FALSE(out.next.h[0].requires_grad());
}

std::vector<std::string> names(const optim::LayerGroup& group) {
  std::vector<std::string> all;
  for (const auto& p : group.parameters) all.push_back(p.name);
  return all;
}

TEST_F(AwdLstmTest, GroupsOfTheLanguageModelEndWithTheTiedEmbedding) {
  const AwdLstm model({.vocabulary = 20, .embedding = 4, .hidden = 5, .layers = 2}, 1, at::kCPU);
  const auto groups = SoftmaxHead(model).groups(model);
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups[0].name, "rnn0");
  EXPECT_EQ(groups[1].name, "rnn1");
  EXPECT_EQ(groups[2].name, "embedding+decoder");
  EXPECT_THAT(names(groups[1]), ElementsAre("rnn.1.weight_ih", "rnn.1.weight_hh", "rnn.1.bias_ih", "rnn.1.bias_hh"));
  EXPECT_THAT(names(groups[2]), ElementsAre("embedding.weight", "decoder.bias"));
  EXPECT_TRUE(groups[0].parameters[2].decay);  // fastai decays the biases of the LSTM
  EXPECT_FALSE(groups[2].parameters[1].decay);
  EXPECT_TRUE(groups[2].parameters[0].tensor.is_same(model.embedding()));
}

TEST_F(AwdLstmTest, GroupsOfTheEncoderBeginWithTheEmbedding) {
  const AwdLstm model({.vocabulary = 20, .embedding = 4, .hidden = 5, .layers = 3}, 1, at::kCPU);
  const auto groups = model.groups();
  ASSERT_EQ(groups.size(), 4U);
  EXPECT_THAT(names(groups[0]), ElementsAre("embedding.weight"));
  EXPECT_EQ(groups[3].name, "rnn2");
  // Each parameter is in the list once, in the order of the groups.
  std::set<std::string> all;
  std::int64_t count = 0;
  for (const auto& p : model.parameters()) {
    EXPECT_TRUE(all.insert(p.name).second) << p.name;
    EXPECT_TRUE(p.tensor.requires_grad() && p.tensor.is_leaf());
    count += p.tensor.numel();
  }
  EXPECT_EQ(all.size(), 13U);
  EXPECT_EQ(count, model.shape().encoder_parameters());
}

TEST(SoftmaxHead, IsTheEmbeddingAsAnotherLeafAndABiasOfZeros) {
  const AwdLstm encoder({.vocabulary = 20, .embedding = 4, .hidden = 5, .layers = 2}, 1, at::kCPU);
  const SoftmaxHead head(encoder);
  EXPECT_EQ(head.weight().data_ptr(), encoder.embedding().data_ptr());
  EXPECT_FALSE(head.weight().is_same(encoder.embedding()));
  EXPECT_TRUE(head.weight().is_leaf() && head.weight().requires_grad());
  EXPECT_EQ(head.bias().sizes(), at::IntArrayRef({20}));
  EXPECT_EQ(head.bias().count_nonzero().item<std::int64_t>(), 0);
  const auto tensors = tensors_of(encoder, head);
  EXPECT_EQ(tensors.size(), encoder.parameters().size() + 1) << "the matrix is the encoder's: once in a file";
  EXPECT_EQ(tensors.back().first, "decoder.bias");
}

TEST_F(AwdLstmTest, ShapesOfThePaperAndOfFastai) {
  // 400-1150-1150-400: 4 * 1150 * (400 + 1150 + 2) + 4 * 1150 * (2 * 1150 + 2) + 4 * 400 * (1150 + 400 + 2).
  const Shape paper{.vocabulary = 100, .embedding = 400, .hidden = 1150, .layers = 3};
  EXPECT_EQ(paper.encoder_parameters(), 40000 + 7139200 + 10589200 + 2483200);
  const Shape one{.vocabulary = 100, .embedding = 400, .hidden = 1152, .layers = 1};
  EXPECT_EQ(one.output_width(0), 400);
  EXPECT_EQ(one.input_width(0), 400);
}

TEST_F(AwdLstmTest, WeightsAreDrawnUniformlyAndBySeed) {
  const Shape shape{.vocabulary = 500, .embedding = 20, .hidden = 30, .layers = 3};
  const AwdLstm a(shape, 1, at::kCPU);
  const auto again = AwdLstm(shape, 1, at::kCPU).parameters();
  const auto other = AwdLstm(shape, 2, at::kCPU).parameters();
  const auto parameters = a.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, tensor, decay] = parameters[i];
    const double width = name.starts_with("rnn.2") ? 20 : 30;
    const double bound = name == "embedding.weight" ? 0.1 : 1 / std::sqrt(width);
    const auto n = static_cast<double>(tensor.numel());
    EXPECT_LE(tensor.abs().max().item<double>(), bound + 1e-7) << name;
    EXPECT_NEAR(tensor.mean().item<double>(), 0, 4 * bound / std::sqrt(3 * n)) << name;
    // The variance of u^2 for u uniform in +-1 is 4 / 45.
    EXPECT_NEAR(tensor.square().mean().item<double>(), bound * bound / 3, 4 * bound * bound * std::sqrt(4 / 45.0 / n))
        << name;
    EXPECT_FALSE(same_bits(tensor, other[i].tensor)) << name;
    EXPECT_TRUE(same_bits(tensor, again[i].tensor)) << name;
  }
}

TEST(Shape, MemoryOfThePaperModel) {
  const Shape shape{60000, 400, 1152, 3};
  const double state = 16.0 * 44.3e6;
  EXPECT_NEAR(training_bytes(shape, 0, 1), state, 0.01 * state);
  // Sharded moments: half of the state goes, but for one rank's part.
  EXPECT_NEAR(training_bytes(shape, 0, 1) - training_bytes(shape, 0, 8), 7.0 / 8 * state / 2, 0.01 * state);
  EXPECT_GT(training_bytes(shape, 4480, 1), training_bytes(shape, 0, 1) + 4480 * 4 * 20000);
}

TEST(AwdLstmLayers, AreThoseThatTheTopIsMadeOf) {
  const test::OneThread one_thread;
  const at::NoGradGuard no_grad;
  const AwdLstm model = test::tiny_model();
  const at::Tensor x = test::tiny_tokens(7, 3);
  const auto weights = model.batch_weights(0, nullptr);
  const EncoderOutput plain = model.forward(x, model.zero_state(3), weights, {}, nullptr);
  const EncoderOutput kept = model.forward(x, model.zero_state(3), weights, {}, nullptr, /*keep_layers=*/true);
  EXPECT_TRUE(plain.layers.empty());
  ASSERT_EQ(kept.layers.size(), 4U);  // the words and three layers
  EXPECT_LT(test::relative_difference(kept.top, plain.top), 1e-6);
  EXPECT_TRUE(test::same_bits(kept.layers.back(), kept.top));
  EXPECT_TRUE(test::same_bits(kept.layers.front(), model.embedding().index_select(0, x.reshape({-1})).reshape({7, 3, 6})));
  for (std::size_t l = 0; l < 3; ++l) EXPECT_TRUE(test::same_bits(kept.layers[l + 1][6], kept.next.h[l])) << l;
}

}  // namespace
}  // namespace ulmfit::model
