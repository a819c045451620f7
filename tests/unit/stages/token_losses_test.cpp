// Each token of a real text costs what it costs fastai's model with the same weights:
// tests/reference/fastai_token_losses.py made the numbers, and tells how weights and vocabulary are made.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "data_prep/text_source.h"
#include "model/awd_lstm.h"
#include "model/softmax_head.h"
#include "tests/support/real_data.h"

namespace ulmfit::model {
namespace {

// The ids of the first `count` words of a text, the commonest 0, ties in byte order.
std::vector<std::int64_t> ids_of_words(const std::string& text, std::size_t count) {
  std::istringstream in(text);
  std::vector<std::string> words;
  std::map<std::string, std::int64_t> counts;
  for (std::string word; words.size() < count && in >> word;) {
    ++counts[word];
    words.push_back(word);
  }
  std::vector<std::pair<std::int64_t, std::string>> order;
  for (const auto& [word, n] : counts) order.emplace_back(-n, word);
  std::sort(order.begin(), order.end());
  std::map<std::string, std::int64_t> ids;
  for (const auto& entry : order) ids.emplace(entry.second, static_cast<std::int64_t>(ids.size()));
  std::vector<std::int64_t> result;
  for (const auto& word : words) result.push_back(ids.at(word));
  return result;
}

void fill(at::Tensor tensor, std::int64_t number, double scale) {
  const at::Tensor i = at::arange(tensor.numel(), at::kLong);
  const at::Tensor values = scale * (2 * (i * i + 7919 * number).remainder(10007).to(at::kDouble) / 10007 - 1);
  tensor.copy_(values.reshape(tensor.sizes()));
}

TEST(TokenLosses, OfARealTextAreFastais) {
  ULMFIT_REAL_DATA(data);
  const auto stored = nlohmann::json::parse(read_file("tests/reference/fastai_token_losses.json"));
  const auto theirs = stored.at("losses").get<std::vector<double>>();
  const auto ids = ids_of_words(data_prep::read_text(data / "wikitext-2/valid.txt.xz"), theirs.size() + 1);
  const at::NoGradGuard no_grad;
  const AwdLstm encoder({.vocabulary = stored.at("vocabulary"), .embedding = 32, .hidden = 48, .layers = 3}, 1, at::kCPU);
  const SoftmaxHead head(encoder);
  std::int64_t number = 0;
  for (const auto& p : encoder.parameters()) fill(p.tensor, number++, p.name == "embedding.weight" ? 2.0 : 0.25);
  fill(head.bias(), number, 0.25);

  const auto weights = encoder.batch_weights(0, nullptr);
  LstmState state = encoder.zero_state(1);
  constexpr std::int64_t kWindow = 31;  // fastai's were 70: windows change nothing
  const at::Tensor text = at::tensor(ids, at::kLong);
  std::size_t token = 0;
  for (std::int64_t first = 0; first + 1 < text.numel(); first += kWindow) {
    const std::int64_t count = std::min(kWindow, text.numel() - 1 - first);
    const EncoderOutput out = encoder.forward(text.narrow(0, first, count).unsqueeze(1), state, weights, {}, nullptr);
    state = out.next;
    for (std::int64_t t = 0; t < count; ++t, ++token) {
      const at::Tensor target = text.narrow(0, first + t + 1, 1);
      const double ours = head.loss(out.top.select(0, t), target, 1, Precision::kFloat32).loss.item<double>();
      ASSERT_NEAR(ours, theirs[token], 1e-5 * (1 + theirs[token])) << "token " << token;
    }
  }
  EXPECT_EQ(token, theirs.size());
}

}  // namespace
}  // namespace ulmfit::model
