#include "model/document_pooling.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>

#include <algorithm>
#include <set>
#include <vector>

#include "tests/support/model_checks.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::relative_difference;
using test::same_bits;
using test::tiny_model;

class PoolDocumentsTest : public ::testing::Test {
  test::OneThread one_thread_;
};

using Documents = std::vector<std::vector<std::int64_t>>;

constexpr DropoutRates kHighRates{0.4, 0.3, 0.4, 0.2, 0.5};

// Document d of `lengths[d]` tokens.
Documents documents_of(const std::vector<std::int64_t>& lengths) {
  Documents documents;
  for (const std::int64_t n : lengths) {
    std::vector<std::int64_t> tokens;
    for (std::int64_t i = 0; i < n; ++i) tokens.push_back(test::tiny_token(i * i + 5 * n));
    documents.push_back(std::move(tokens));
  }
  return documents;
}

at::Tensor pool(const AwdLstm& model, const Documents& documents, const Bpt3cOptions& options,
                const MaskKey* key = nullptr) {
  std::vector<const std::vector<std::int64_t>*> lists;
  for (const auto& tokens : documents) lists.push_back(&tokens);
  return pool_documents(model, lists, model.batch_weights(kHighRates.weight, key), options, kHighRates, key);
}

// The definition: the states [n, E] of document d alone as one unroll. With `window` > 0 the state is detached after every
// `window` tokens, and each window has its own masks, counted from the last.
at::Tensor unrolled(const AwdLstm& model, const Documents& documents, std::size_t d, const MaskKey* key,
                    std::int64_t window) {
  std::vector<at::Tensor> tops;
  LstmState state = model.zero_state(1);
  MaskKey mine;
  if (key != nullptr) mine = {key->seed, key->step, {key->streams[d]}};
  const auto weights = model.batch_weights(kHighRates.weight, key != nullptr ? &mine : nullptr);
  const MaskKey* masks = key != nullptr ? &mine : nullptr;
  const at::Tensor x = at::tensor(documents[d], at::kLong).unsqueeze(1);
  const std::int64_t step = window > 0 ? window : x.size(0);
  for (std::int64_t t = 0; t < x.size(0); t += step) {
    mine.window = static_cast<std::uint32_t>((x.size(0) - 1) / step - t / step);
    const EncoderOutput out =
        model.forward(x.narrow(0, t, std::min(step, x.size(0) - t)), state, weights, kHighRates, masks);
    tops.push_back(out.top.squeeze(1));
    state = window > 0 ? out.next.detached() : out.next;
  }
  return at::cat(tops);
}

// [last, max, mean] of them, or of the last so many.
at::Tensor long_unroll(const AwdLstm& model, const Documents& documents, const MaskKey* key = nullptr,
                       std::int64_t window = 0, std::int64_t last_tokens = 0) {
  std::vector<at::Tensor> rows;
  for (std::size_t d = 0; d < documents.size(); ++d) {
    at::Tensor states = unrolled(model, documents, d, key, window);
    if (last_tokens > 0) states = states.narrow(0, states.size(0) - last_tokens, last_tokens);
    rows.push_back(at::cat({states[states.size(0) - 1], std::get<0>(states.max(0)), states.mean(0)}));
  }
  return at::stack(rows);
}

// Gradients of all parameters of sum(features * factor).
template <class Features>
std::vector<at::Tensor> gradients(const AwdLstm& model, const Features& features) {
  test::zero_gradients(model.parameters());
  const at::Tensor pooled = features();
  torch::autograd::backward({(pooled * closed_form(50, pooled.sizes(), 1)).sum()}, {});
  return test::copied_gradients(model.parameters());
}

void expect_close(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i + 1 < found.size(); ++i) {  // but the decoder's bias, which has none
    EXPECT_LT(relative_difference(found[i], expected[i]), tolerance) << "parameter " << i;
  }
}

const std::vector<std::int64_t> kLengths{7, 3, 12, 5, 1, 4, 8, 12, 9};

TEST_F(PoolDocumentsTest, IsOneLongUnrollInFeaturesAndGradients) {
  const AwdLstm model = tiny_model();
  const Documents documents = documents_of(kLengths);
  const MaskKey key{1, 2, {8, 3, 0, 5, 1, 4, 2, 6, 7}};
  for (const MaskKey* masks : {static_cast<const MaskKey*>(nullptr), &key}) {
    for (const std::int64_t window : {1, 4, 5, 12, 70}) {
      SCOPED_TRACE(window);
      const Bpt3cOptions options{
          .window = window, .length = 1000, .detach = false, .pool_all = true, .window_masks = false};
      EXPECT_LT(relative_difference(pool(model, documents, options, masks), long_unroll(model, documents, masks)), 1e-6);
      expect_close(gradients(model, [&] { return pool(model, documents, options, masks); }),
                   gradients(model, [&] { return long_unroll(model, documents, masks); }), 1e-5);
    }
  }
}

TEST_F(PoolDocumentsTest, DetachCutsTheGradientBetweenWindowsAndNothingElse) {
  const AwdLstm model = tiny_model();
  const Documents documents = documents_of(kLengths);
  const Bpt3cOptions options{.window = 4, .length = 1000, .detach = true, .pool_all = true};
  expect_close(gradients(model, [&] { return pool(model, documents, options); }),
               gradients(model, [&] { return long_unroll(model, documents, nullptr, 4); }), 1e-5);
}

TEST_F(PoolDocumentsTest, EachWindowHasItsMasksCountedFromTheDocumentsLast) {
  const AwdLstm model = tiny_model();
  const Documents documents = documents_of(kLengths);
  const MaskKey key{1, 2, {8, 3, 0, 5, 1, 4, 2, 6, 7}};
  const Bpt3cOptions options{.window = 4, .length = 1000, .detach = true, .pool_all = true};
  EXPECT_LT(relative_difference(pool(model, documents, options, &key), long_unroll(model, documents, &key, 4)), 1e-6);
  expect_close(gradients(model, [&] { return pool(model, documents, options, &key); }),
               gradients(model, [&] { return long_unroll(model, documents, &key, 4); }), 1e-5);

  Bpt3cOptions one_set = options;
  one_set.window_masks = false;
  const at::Tensor by_window = pool(model, documents, options, &key);
  const at::Tensor by_document = pool(model, documents, one_set, &key);
  for (std::size_t d = 0; d < kLengths.size(); ++d) {
    const auto row = static_cast<std::int64_t>(d);
    EXPECT_EQ(by_window[row].equal(by_document[row]), kLengths[d] <= 4) << "only a document of one window has the same";
  }
}

TEST_F(PoolDocumentsTest, DetachAndLengthChangeNoFeature) {
  const AwdLstm model = tiny_model();
  const Documents documents = documents_of(kLengths);
  const MaskKey key{1, 2, {8, 3, 0, 5, 1, 4, 2, 6, 7}};
  const at::Tensor features = pool(model, documents, {.window = 3, .length = 1000, .detach = true}, &key);
  for (const bool detach : {true, false}) {
    for (const std::int64_t length : {1, 3, 7, 1000}) {
      EXPECT_LT(
          relative_difference(pool(model, documents, {.window = 3, .length = length, .detach = detach}, &key), features),
          1e-6);
    }
  }
  at::NoGradGuard no_grad;
  const at::Tensor without_graph = pool(model, documents, {.window = 3, .length = 1000, .detach = false}, &key);
  EXPECT_FALSE(without_graph.requires_grad());
  EXPECT_LT(relative_difference(without_graph, features), 1e-6);
}

// The classifier computes shards of a batch apart and needs each document to come out the same.
TEST_F(PoolDocumentsTest, ADocumentDoesNotSeeItsBatch) {
  const AwdLstm model = tiny_model();
  const Documents documents = documents_of(kLengths);
  const MaskKey key{1, 2, {8, 3, 0, 5, 1, 4, 2, 6, 7}};
  const Bpt3cOptions options{.window = 4, .length = 8, .detach = true};
  const at::Tensor together = pool(model, documents, options, &key);
  for (std::size_t d = 0; d < documents.size(); ++d) {
    const MaskKey mine{1, 2, {key.streams[d]}};
    EXPECT_LT(relative_difference(pool(model, {documents[d]}, options, &mine),
                                  together.narrow(0, static_cast<std::int64_t>(d), 1)),
              1e-6)
        << d;
  }
  const Documents backwards(documents.rbegin(), documents.rend());
  const MaskKey turned{1, 2, {key.streams.rbegin(), key.streams.rend()}};
  EXPECT_LT(relative_difference(pool(model, backwards, options, &turned).flip(0), together), 1e-6);
}

TEST_F(PoolDocumentsTest, MasksBelongToTheSlot) {
  const AwdLstm model = tiny_model();
  const Documents twice = documents_of({9, 9});
  const Bpt3cOptions options{.window = 4};
  const MaskKey same{1, 2, {5, 5}};
  const MaskKey different{1, 2, {5, 6}};
  const at::Tensor a = pool(model, twice, options, &same);
  EXPECT_LT(relative_difference(a[0], a[1]), 1e-6);
  const at::Tensor b = pool(model, twice, options, &different);
  EXPECT_LT(relative_difference(b[0], a[0]), 1e-6);
  EXPECT_GT(relative_difference(b[1], b[0]), 1e-2);
}

TEST_F(PoolDocumentsTest, ADocumentOfOneToken) {
  const AwdLstm model = tiny_model();
  const at::Tensor features = pool(model, {{7}}, {.window = 70});
  ASSERT_EQ(features.sizes(), (std::vector<std::int64_t>{1, 18}));
  EXPECT_TRUE(same_bits(features.narrow(1, 0, 6), features.narrow(1, 6, 6)));
  EXPECT_TRUE(same_bits(features.narrow(1, 0, 6), features.narrow(1, 12, 6)));
}

TEST_F(PoolDocumentsTest, ADocumentOfVeryManyWindows) {
  const AwdLstm model = tiny_model();
  const Documents documents = documents_of({1500, 20, 701});
  const Bpt3cOptions options{.window = 7, .length = 1600, .detach = false};
  EXPECT_LT(relative_difference(pool(model, documents, options), long_unroll(model, documents)), 1e-5);
  expect_close(gradients(model, [&] { return pool(model, documents, options); }),
               gradients(model, [&] { return long_unroll(model, documents); }), 1e-4);
}

// Twenty words, each once: its row of the embedding's gradient tells whether the gradient reached its window.
std::set<std::int64_t> reached_words(const Bpt3cOptions& options) {
  const AwdLstm model({.vocabulary = 30, .embedding = 6, .hidden = 8, .layers = 3}, 1, at::kCPU);
  std::vector<std::int64_t> tokens;
  for (std::int64_t i = 0; i < 18; ++i) tokens.push_back(i);
  const auto grads = gradients(model, [&] { return pool(model, {tokens}, options); });
  std::set<std::int64_t> reached;
  for (std::int64_t i = 0; i < 30; ++i) {
    if (grads[0][i].count_nonzero().item<std::int64_t>() > 0) reached.insert(i);
  }
  return reached;
}

std::set<std::int64_t> words(std::int64_t first, std::int64_t last) {
  std::set<std::int64_t> all;
  for (std::int64_t i = first; i <= last; ++i) all.insert(i);
  return all;
}

// 18 tokens in windows of 4: the last holds words 16 and 17.
TEST_F(PoolDocumentsTest, GradientsReachAsManyWholeWindowsBackAsTheLengthHolds) {
  for (const bool detach : {true, false}) {
    for (const bool pool_all : {true, false}) {
      const auto reach = [&](std::int64_t length) { return reached_words({4, length, detach, pool_all}); };
      EXPECT_EQ(reach(1), words(16, 17));
      EXPECT_EQ(reach(4), words(16, 17));
      EXPECT_EQ(reach(7), words(16, 17));
      EXPECT_EQ(reach(8), words(12, 17));
      EXPECT_EQ(reach(16), words(4, 17));
      EXPECT_EQ(reach(20), words(0, 17));
    }
  }
}

// fastai keeps a chunk that begins at i of n tokens if n - i <= max_len.
TEST_F(PoolDocumentsTest, PoolingOfTheLastTokensAlone) {
  const AwdLstm model = tiny_model();
  const auto check = [&](std::int64_t tokens, std::int64_t pooled) {
    const Bpt3cOptions options{.window = 4, .length = 8, .detach = true, .pool_all = false};
    const Documents documents = documents_of({tokens, 3});
    const at::Tensor features = pool(model, documents, options);
    EXPECT_LT(relative_difference(features[0], long_unroll(model, {documents[0]}, nullptr, 0, pooled)[0]), 1e-6) << tokens;
    EXPECT_LT(relative_difference(features[1], long_unroll(model, {documents[1]})[0]), 1e-6) << tokens;
  };
  check(12, 8);
  check(10, 6);
  check(9, 5);
  check(8, 8);
  check(5, 5);
}

ActivationSums sums_of(const AwdLstm& model, const Documents& documents, const Bpt3cOptions& options, const MaskKey* key) {
  std::vector<const std::vector<std::int64_t>*> lists;
  for (const auto& tokens : documents) lists.push_back(&tokens);
  ActivationSums sums;
  pool_documents(model, lists, model.batch_weights(kHighRates.weight, key), options, kHighRates, key, &sums);
  return sums;
}

// Any loss of both sums.
at::Tensor mixed(const ActivationSums& sums) { return sums.squares * 0.3 + sums.changes * 0.7; }

std::vector<at::Tensor> gradients_of(const AwdLstm& model, const at::Tensor& loss) {
  test::zero_gradients(model.parameters());
  torch::autograd::backward({loss}, {});
  return test::copied_gradients(model.parameters());
}

// Documents of one token, of whole and of broken windows, joined at different times; windows beyond the reach count for
// nothing.
TEST_F(PoolDocumentsTest, ActivationSumsAreThoseOfEachDocumentAlone) {
  const AwdLstm model = tiny_model();
  const Documents documents = documents_of(kLengths);
  const MaskKey key{1, 2, {8, 3, 0, 5, 1, 4, 2, 6, 7}};
  for (const MaskKey* masks : {static_cast<const MaskKey*>(nullptr), &key}) {
    for (const std::int64_t length : {1, 8, 1000}) {
      SCOPED_TRACE(length);
      const Bpt3cOptions options{.window = 4, .length = length, .detach = true, .pool_all = true};
      at::Tensor squares = at::zeros({});
      at::Tensor changes = at::zeros({});
      std::int64_t tokens = 0;
      for (std::size_t d = 0; d < documents.size(); ++d) {
        const at::Tensor states = unrolled(model, documents, d, masks, 4);
        const std::int64_t n = reached_tokens(states.size(0), options);
        const at::Tensor reached = states.narrow(0, states.size(0) - n, n);
        squares = squares + reached.square().sum();
        changes = changes + (reached.narrow(0, 1, n - 1) - reached.narrow(0, 0, n - 1)).square().sum();
        tokens += n;
      }
      EXPECT_EQ(tokens, length == 1000 ? 61 : length == 8 ? 49 : 25);
      const ActivationSums sums = sums_of(model, documents, options, masks);
      EXPECT_NEAR(sums.squares.item<double>(), squares.item<double>(), 1e-5 * squares.item<double>());
      EXPECT_NEAR(sums.changes.item<double>(), changes.item<double>(), 1e-5 * changes.item<double>());
      expect_close(gradients_of(model, mixed(sums)), gradients_of(model, mixed({squares, changes})), 1e-5);
    }
  }
}

// Each token that gradients reach predicts the next of its document, also over the edge of a window: loss and gradients are
// those of torch's cross-entropy on each document alone.
TEST_F(PoolDocumentsTest, NextTokensArePredictedAsOfEachDocumentAlone) {
  const AwdLstm model = tiny_model();
  const Documents documents = documents_of(kLengths);
  const MaskKey key{1, 2, {8, 3, 0, 5, 1, 4, 2, 6, 7}};
  const at::Tensor bias = closed_form(3, {model.shape().vocabulary}, 0.3);
  std::vector<const std::vector<std::int64_t>*> lists;
  for (const auto& tokens : documents) lists.push_back(&tokens);
  for (const MaskKey* masks : {static_cast<const MaskKey*>(nullptr), &key}) {
    for (const std::int64_t length : {1, 8, 1000}) {
      SCOPED_TRACE(length);
      const Bpt3cOptions options{.window = 4, .length = length, .detach = true, .pool_all = true};
      at::Tensor nats = at::zeros({});
      std::int64_t predicted = 0;
      for (std::size_t d = 0; d < documents.size(); ++d) {
        const at::Tensor states = unrolled(model, documents, d, masks, 4);
        const std::int64_t n = states.size(0), reached = reached_tokens(n, options);
        const at::Tensor logits = at::addmm(bias, states.narrow(0, n - reached, reached - 1), model.embedding().t());
        const at::Tensor next = at::tensor(documents[d], at::kLong).narrow(0, n - reached + 1, reached - 1);
        nats = nats - at::log_softmax(logits, 1).gather(1, next.unsqueeze(1)).sum();
        predicted += reached - 1;
      }
      EXPECT_EQ(predicted, (length == 1000 ? 61 : length == 8 ? 49 : 25) - static_cast<std::int64_t>(kLengths.size()));
      const std::vector<at::Tensor> expected = gradients_of(model, nats * 0.25);

      test::zero_gradients(model.parameters());
      NextTokenLoss found{bias, 0.25, {}};
      pool_documents(model, lists, model.batch_weights(kHighRates.weight, masks), options, kHighRates, masks, nullptr,
                     &found);
      EXPECT_NEAR(found.loss.item<double>(), 0.25 * nats.item<double>(), 1e-5 * nats.item<double>());
      torch::autograd::backward({found.loss}, {});
      expect_close(test::copied_gradients(model.parameters()), expected, 1e-5);
    }
  }
}

TEST_F(PoolDocumentsTest, ThereAreNoActivationSumsWithoutGradients) {
  const AwdLstm model = tiny_model();
  const at::NoGradGuard no_grad;
  const ActivationSums sums = sums_of(model, documents_of(kLengths), {.window = 4}, nullptr);
  EXPECT_FALSE(sums.squares.defined() || sums.changes.defined());
}

std::size_t graph_nodes(const at::Tensor& tensor) {
  std::set<const torch::autograd::Node*> seen;
  std::vector<const torch::autograd::Node*> open{tensor.grad_fn().get()};
  while (!open.empty()) {
    const torch::autograd::Node* node = open.back();
    open.pop_back();
    if (node == nullptr || !seen.insert(node).second) continue;
    for (const auto& edge : node->next_edges()) open.push_back(edge.function.get());
  }
  return seen.size();
}

TEST_F(PoolDocumentsTest, TheGraphIsBoundedByTheLengthNotByTheDocument) {
  const AwdLstm model = tiny_model();
  for (const bool detach : {true, false}) {
    const auto nodes = [&](std::int64_t tokens, std::int64_t length) {
      return graph_nodes(pool(model, documents_of({tokens, 40}), {.window = 4, .length = length, .detach = detach}));
    };
    EXPECT_EQ(nodes(80, 8), nodes(320, 8));
    EXPECT_LT(nodes(80, 8), nodes(80, 80));
  }
}

}  // namespace
}  // namespace ulmfit::model
