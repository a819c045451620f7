// The whole tiny model against PyTorch in float64: tests/reference/awd_lstm.py makes the numbers and tells what each is.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/awd_lstm.h"
#include "model/document_pooling.h"
#include "model/dropout.h"
#include "model/linear_cross_entropy.h"
#include "model/pooling_head.h"
#include "tests/support/model_checks.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::relative_difference;

// Of the largest value of a tensor. The classifier's gradients end in a batch norm, which ignores a shift common to all
// documents: what is left of them is a difference of nearly equal sums.
constexpr double kTolerance = 1e-5;
constexpr double kClassifierGradientTolerance = 3e-5;
constexpr DropoutRates kRates{.output = 0.4, .hidden = 0.3, .input = 0.4, .embedding = 0.3, .weight = 0.5};
constexpr std::int64_t kT = 5, kB = 3, kV = 11, kE = 6;

MaskKey key_of(std::vector<std::uint32_t> streams) {
  return {0x0123456789ABCDEFULL, (3ULL << 32) + 17, std::move(streams)};
}

// The parameters of both.
std::vector<optim::NamedParameter> with_zero_gradients(const AwdLstm& model, const Head& head) {
  std::vector<optim::NamedParameter> parameters = model.parameters();
  for (const auto& p : head.parameters()) parameters.push_back(p);
  test::zero_gradients(parameters);
  return parameters;
}

LstmState closed_form_state(const AwdLstm& model) {
  LstmState state = model.zero_state(kB);
  for (std::size_t l = 0; l < 3; ++l) {
    state.h[l] = closed_form(static_cast<std::int64_t>(100 + l), state.h[l].sizes(), 0.5);
    state.c[l] = closed_form(static_cast<std::int64_t>(200 + l), state.c[l].sizes(), 0.8);
  }
  return state;
}

class ReferenceTest : public ::testing::Test {
 protected:
  ReferenceTest() : all_(nlohmann::json::parse(read_file("tests/reference/awd_lstm.json"))) {}

  static void expect_same(const at::Tensor& found, const nlohmann::json& numbers, const std::string& what,
                          double tolerance = kTolerance) {
    const at::Tensor expected = at::tensor(numbers.get<std::vector<double>>(), at::kDouble);
    ASSERT_EQ(found.numel(), expected.numel()) << what;
    EXPECT_LT(relative_difference(found.reshape({-1}), expected), tolerance) << what;
  }

  static void expect_gradients(const std::vector<optim::NamedParameter>& parameters, const nlohmann::json& numbers,
                               double tolerance = kTolerance) {
    std::size_t compared = 0;
    for (const auto& p : parameters) {
      if (!numbers.contains(p.name)) continue;
      expect_same(p.tensor.grad(), numbers.at(p.name), "gradient of " + p.name, tolerance);
      ++compared;
    }
    EXPECT_EQ(compared, numbers.size());
  }

  nlohmann::json all_;
};

TEST_F(ReferenceTest, Masks) {
  const auto& masks = all_.at("masks");
  const MaskKey key = key_of({5, 2, 70000});
  const at::Tensor types = embed(at::arange(kV, at::kLong).unsqueeze(1), at::ones({kV, 1}), kRates.embedding, &key);
  expect_same(types, masks.at("embedding"), "embedding");
  expect_same(locked_mask(key, Purpose::kInputDropout, 0, kRates.input, kE, at::kCPU), masks.at("input"), "input");
  expect_same(locked_mask(key, Purpose::kOutputDropout, 0, kRates.output, kE, at::kCPU), masks.at("output"), "output");
  for (std::uint32_t l = 0; l < 2; ++l) {
    expect_same(locked_mask(key, Purpose::kHiddenDropout, l, kRates.hidden, 8, at::kCPU), masks.at("hidden")[l], "hidden");
  }
  for (std::uint32_t l = 0; l < 3; ++l) {
    const std::int64_t width = l == 2 ? kE : 8;
    expect_same(shared_mask(key, Purpose::kWeightDropout, l, kRates.weight, 4 * width, width), masks.at("weight")[l],
                "weight");
  }
}

TEST_F(ReferenceTest, LanguageModel) {
  for (const bool dropped : {false, true}) {
    SCOPED_TRACE(dropped ? "with dropout" : "without dropout");
    const auto& expected = all_.at(dropped ? "lm_dropped" : "lm");
    const AwdLstm model = test::tiny_model();
    const SoftmaxHead head = test::tiny_softmax_head(model);
    const auto parameters = with_zero_gradients(model, head);
    // The matrix in both its roles, one gradient.
    at::Tensor(head.weight()).mutable_grad() = model.embedding().grad();
    const MaskKey key = key_of({5, 2, 70000});
    const MaskKey* masks = dropped ? &key : nullptr;
    const LstmState state = closed_form_state(model);
    const EncoderOutput out =
        model.forward(test::tiny_tokens(kT, kB), state, model.batch_weights(kRates.weight, masks), kRates, masks);
    at::Tensor top = out.top;
    if (dropped) top = top * locked_mask(key, Purpose::kOutputDropout, 0, kRates.output, kE, at::kCPU);
    const CrossEntropy ce = head.loss(top.reshape({kT * kB, kE}), test::tiny_tokens(kT, kB, 5).reshape({-1}),
                                      1.0 / (kT * kB), Precision::kFloat32);
    const at::Tensor ar = 2 * top.square().mean();
    const at::Tensor tar = (out.top.narrow(0, 1, kT - 1) - out.top.narrow(0, 0, kT - 1)).square().mean();
    torch::autograd::backward({ce.loss + ar + tar}, {});

    expect_same(ce.loss, nlohmann::json::array({expected.at("cross_entropy")}), "cross-entropy");
    expect_same(ar, nlohmann::json::array({expected.at("ar")}), "AR");
    expect_same(tar, nlohmann::json::array({expected.at("tar")}), "TAR");
    expect_same(out.top, expected.at("top"), "top");
    for (std::size_t l = 0; l < 3; ++l) {
      expect_same(out.next.h[l], expected.at("h")[l], "h");
      expect_same(out.next.c[l], expected.at("c")[l], "c");
    }
    expect_gradients(parameters, expected.at("gradients"));
  }
}

TEST_F(ReferenceTest, Classifier) {
  std::vector<std::vector<std::int64_t>> documents;
  for (const std::int64_t n : {7, 3, 12, 5, 1, 9, 4, 6}) {
    const auto d = static_cast<std::int64_t>(documents.size());
    auto& tokens = documents.emplace_back();
    for (std::int64_t i = 0; i < n; ++i) tokens.push_back(test::tiny_token(i + 13 * d));
  }
  std::vector<const std::vector<std::int64_t>*> lists;
  for (const auto& tokens : documents) lists.push_back(&tokens);
  Bpt3cOptions options{.window = 4, .length = 1000, .detach = false, .pool_all = true};

  for (const char* name : {"classifier", "classifier_dropped", "classifier_dropped_by_window"}) {
    SCOPED_TRACE(name);
    const auto& expected = all_.at(name);
    const bool dropped = std::string_view(name) != "classifier";
    options.window_masks = std::string_view(name).ends_with("by_window");
    const AwdLstm model = test::tiny_model();
    PoolingHead head({{3 * kE, 5, 3}}, 1, at::kCPU);
    test::set_closed_form(head);
    const auto parameters = with_zero_gradients(model, head);

    const MaskKey key = key_of({9, 0, 4, 1, 30, 12, 7, 2});
    const MaskKey* masks = dropped ? &key : nullptr;
    const at::Tensor features =
        pool_documents(model, lists, model.batch_weights(kRates.weight, masks), options, kRates, masks);
    const std::vector<double> drops = dropped ? std::vector<double>{0.4, 0.2} : std::vector<double>{0, 0};
    const at::Tensor logits = head.forward(features, drops, &key);
    const at::Tensor loss = at::cross_entropy_loss(logits, at::tensor({2, 0, 1, 2, 1, 0, 0, 2}, at::kLong));
    torch::autograd::backward({loss}, {});

    expect_same(features, expected.at("features"), "features");
    expect_same(logits, expected.at("logits"), "logits");
    expect_same(loss, nlohmann::json::array({expected.at("loss")}), "loss");
    for (std::size_t k = 0; k < 2; ++k) {
      expect_same(head.buffers()[2 * k].second, expected.at("running_mean")[k], "running mean");
      expect_same(head.buffers()[2 * k + 1].second, expected.at("running_var")[k], "running variance");
    }
    expect_gradients(parameters, expected.at("gradients"), kClassifierGradientTolerance);
    at::NoGradGuard no_grad;
    const at::Tensor plain = pool_documents(model, lists, model.batch_weights(0, nullptr), options, {}, nullptr);
    expect_same(head.forward(plain, {}, nullptr), expected.at("evaluation_logits"), "logits in evaluation");
  }
}

// fastai's own numbers for the same masks (fastai_training.py). Plain float32 is as far from float64 as "float32" tells;
// three times that is allowed, and two last bits of a loss near 1, since plain losses happen to be rounded to the nearest.
class FastaiTraining : public ::testing::Test {
 protected:
  static constexpr double kAllowed = 3;
  static constexpr double kLastBits = 0x1p-22;

  static std::int64_t word(std::int64_t i) {  // 1 is fastai's padding
    return test::tiny_token(i) == 1 ? 2 : test::tiny_token(i);
  }
  static void expect_near(const at::Tensor& found, const nlohmann::json& numbers, double distance,
                          const std::string& what) {
    const at::Tensor expected = at::tensor(numbers.get<std::vector<double>>(), at::kDouble);
    EXPECT_LE(relative_difference(found.reshape({-1}), expected), kAllowed * distance) << what;
  }
  void expect_step(const std::string& kind, const nlohmann::json& expected, const at::Tensor& losses,
                   const std::vector<optim::NamedParameter>& parameters) {
    const auto& float32 = all_.at("float32").at(kind);
    expect_near(losses, {expected.at("cross_entropy"), expected.at("ar"), expected.at("tar")},
                std::max(float32.at("losses").get<double>(), kLastBits / kAllowed), "losses");
    std::size_t compared = 0;
    for (const auto& p : parameters) {
      if (!expected.at("gradients").contains(p.name)) continue;
      expect_near(p.tensor.grad(), expected.at("gradients").at(p.name), float32.at("gradients"), p.name);
      ++compared;
    }
    EXPECT_EQ(compared, expected.at("gradients").size());
  }

  const nlohmann::json all_ = nlohmann::json::parse(read_file("tests/reference/fastai_training.json"));
};

TEST_F(FastaiTraining, LanguageModel) {
  const AwdLstm model = test::tiny_model();
  const SoftmaxHead head = test::tiny_softmax_head(model);
  const auto parameters = with_zero_gradients(model, head);
  at::Tensor(head.weight()).mutable_grad() = model.embedding().grad();  // the matrix in both its roles, one gradient
  const MaskKey key = key_of({5, 2, 70000});
  const LstmState state = closed_form_state(model);
  const auto words = [](std::int64_t first) {
    at::Tensor ids = test::tiny_tokens(kT, kB, first);
    return ids.masked_fill_(ids == 1, 2);
  };
  const EncoderOutput out = model.forward(words(0), state, model.batch_weights(kRates.weight, &key), kRates, &key);
  const at::Tensor dropped = out.top * locked_mask(key, Purpose::kOutputDropout, 0, kRates.output, kE, at::kCPU);
  const CrossEntropy ce =
      head.loss(dropped.reshape({kT * kB, kE}), words(5).reshape({-1}), 1.0 / (kT * kB), Precision::kFloat32);
  const at::Tensor ar = 2 * dropped.square().mean();
  const at::Tensor tar = (out.top.narrow(0, 1, kT - 1) - out.top.narrow(0, 0, kT - 1)).square().mean();
  torch::autograd::backward({ce.loss + ar + tar}, {});
  expect_step("lm", all_.at("lm"), at::stack({ce.loss.detach().reshape({}), ar.detach(), tar.detach()}), parameters);
}

TEST_F(FastaiTraining, ClassifierOfOneTwoAndThreeWindows) {
  const Bpt3cOptions options{.window = 4, .length = 8, .detach = true, .pool_all = false};
  for (const std::int64_t length : {4, 8, 12}) {
    for (const bool drops : {false, true}) {
      const std::string name = std::to_string(length) + (drops ? "_dropped" : "");
      SCOPED_TRACE(name);
      const AwdLstm model = test::tiny_model();
      PoolingHead head({{3 * kE, 5, 3}}, 1, at::kCPU);
      test::set_closed_form(head);
      const auto parameters = with_zero_gradients(model, head);
      std::vector<std::vector<std::int64_t>> documents(6);
      std::vector<const std::vector<std::int64_t>*> lists;
      for (std::int64_t d = 0; d < 6; ++d) {
        auto& document = documents[static_cast<std::size_t>(d)];
        for (std::int64_t i = 0; i < length; ++i) document.push_back(word(i + 13 * d));
        lists.push_back(&document);
      }
      ActivationSums sums;
      const MaskKey key = key_of({0, 1, 2, 3, 4, 5});
      const MaskKey* masks = drops ? &key : nullptr;
      const DropoutRates rates = drops ? kRates : DropoutRates{};
      const at::Tensor features =
          pool_documents(model, lists, model.batch_weights(rates.weight, masks), options, rates, masks, &sums);
      const std::vector<double> head_rates = drops ? std::vector<double>{0.4, 0.2} : std::vector<double>{0, 0};
      const at::Tensor loss =
          at::cross_entropy_loss(head.forward(features, head_rates, &key), at::tensor({2, 0, 1, 2, 1, 0}, at::kLong));
      const std::int64_t reached = std::min<std::int64_t>(length, 8);
      const at::Tensor ar = sums.squares * (2.0 / static_cast<double>(6 * reached * kE));
      const at::Tensor tar = sums.changes * (1.0 / static_cast<double>(6 * (reached - 1) * kE));
      torch::autograd::backward({loss + ar + tar}, {});
      expect_step(
          "classifier", all_.at(name),
          at::stack({loss.detach(), ar.detach().reshape({}).to(at::kFloat), tar.detach().reshape({}).to(at::kFloat)}),
          parameters);
    }
  }
}

}  // namespace
}  // namespace ulmfit::model
