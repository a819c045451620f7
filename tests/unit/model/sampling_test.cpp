#include "model/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "base/random.h"

namespace ulmfit::model {
namespace {

const std::vector<float> kLogits{0.5F, 2.0F, -1.0F, 1.0F, 2.0F};
const std::vector<bool> kAll(5, true);

// The share of each word among many draws with evenly spread uniforms: its probability, but for the spacing.
std::map<std::int64_t, double> shares(const std::vector<bool>& allowed, const SamplingOptions& options) {
  constexpr int kDraws = 100000;
  std::map<std::int64_t, double> found;
  for (int i = 0; i < kDraws; ++i) found[sample(kLogits, allowed, options, (i + 0.5) / kDraws)] += 1.0 / kDraws;
  return found;
}

void expect_softmax(const std::map<std::int64_t, double>& found, const std::vector<std::int64_t>& words,
                    double temperature) {
  double total = 0;
  for (const auto i : words) total += std::exp(static_cast<double>(kLogits[static_cast<std::size_t>(i)]) / temperature);
  ASSERT_EQ(found.size(), words.size());
  for (const auto i : words) {
    EXPECT_NEAR(found.at(i), std::exp(static_cast<double>(kLogits[static_cast<std::size_t>(i)]) / temperature) / total,
                2e-5);
  }
}

TEST(Sampling, DrawsEachWordWithItsProbability) {
  expect_softmax(shares(kAll, {}), {0, 1, 2, 3, 4}, 1);
  expect_softmax(shares(kAll, {.temperature = 0.3}), {0, 1, 2, 3, 4}, 0.3);
  expect_softmax(shares(kAll, {.temperature = 20}), {0, 1, 2, 3, 4}, 20);
}

TEST(Sampling, DrawsOnlyWhatIsAllowedAndAmongTheLikeliest) {
  expect_softmax(shares({true, false, true, true, false}, {}), {0, 2, 3}, 1);
  expect_softmax(shares(kAll, {.top_k = 3}), {1, 3, 4}, 1);
  expect_softmax(shares({true, false, true, true, true}, {.temperature = 0.5, .top_k = 2}), {3, 4}, 0.5);
  expect_softmax(shares(kAll, {.top_k = 9}), {0, 1, 2, 3, 4}, 1);
}

TEST(Sampling, IsTheLikeliestWordAtTemperatureZeroAndOfTopOne) {
  for (const double uniform : {0.0, 0.5, 0.999999}) {
    EXPECT_EQ(sample(kLogits, kAll, {.temperature = 0}, uniform), 1);  // the first of equals
    EXPECT_EQ(sample(kLogits, kAll, {.top_k = 1}, uniform), 1);
    EXPECT_EQ(sample(kLogits, {true, false, true, true, true}, {.temperature = 0}, uniform), 4);
  }
}

TEST(Sampling, BearsLogitsOfAnySize) {
  const std::vector<float> large{1e30F, -1e30F, 1e30F};
  EXPECT_EQ(sample(large, {true, true, true}, {.temperature = 1e-3}, 0.25), 0);
  EXPECT_EQ(sample(large, {true, true, true}, {.temperature = 1e-3}, 0.75), 2);
  EXPECT_EQ(sample(large, {false, true, false}, {}, 0.99), 1);
}

}  // namespace
}  // namespace ulmfit::model
