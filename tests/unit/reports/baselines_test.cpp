#include "reports/baselines.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/shard_writer.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::reports {
namespace {

struct Row {
  std::vector<std::int32_t> tokens;
  std::int32_t label;
};

class Baselines : public ::testing::Test {
 protected:
  data::ShardSet set(const std::string& split, const std::vector<Row>& rows) {
    data::ShardHeader header;
    header.vocabulary_size = 6;
    header.vocabulary_fingerprint = "v";
    header.text_fingerprint = "t";
    header.labelled = true;
    data::ShardWriter writer(dir_.path(), split, header);
    for (const Row& row : rows) writer.add(row.tokens, row.label);
    writer.finish();
    return {dir_.path(), split};
  }
  test::TempDir dir_;
};

TEST_F(Baselines, MajorityCountsItsErrors) {
  const auto train = set("train", {{{2, 3}, 1}, {{2}, 0}, {{2}, 1}});
  const auto result = majority_baseline(train, set("test", {{{2}, 0}, {{2}, 1}, {{3}, 0}, {{4}, 2}}));
  EXPECT_EQ(result.predictions, (std::vector<std::int32_t>{1, 1, 1, 1}));
  EXPECT_EQ(result.correct, 1);
  EXPECT_EQ(result.total, 4);
  EXPECT_DOUBLE_EQ(result.error, 0.75);
}

TEST_F(Baselines, MajorityTakesTheSmallestLabelAmongEquals) {
  const auto train = set("train", {{{2}, 1}, {{2}, 0}});
  EXPECT_EQ(majority_baseline(train, set("test", {{{2}, 1}})).predictions[0], 0);
}

// Manning, Raghavan, Schuetze, example 13.1: with alpha 1 the document is of class c (here 0) by 0.0003 to 0.0001. Words:
// 0 Chinese, 1 Beijing, 2 Shanghai, 3 Macao, 4 Tokyo, 5 Japan. With less smoothing it is class 1.
TEST_F(Baselines, NaiveBayesIsTheTextbooks) {
  const auto train = set("train", {{{0, 1, 0}, 0}, {{0, 0, 2}, 0}, {{0, 3}, 0}, {{4, 5, 0}, 1}});
  const std::vector<Row> document{{{0, 0, 0, 4, 5}, 0}};
  const auto result = naive_bayes_baseline(train, set("valid", document), set("test", document));
  EXPECT_EQ(result.name, "naive Bayes (alpha 1)");
  EXPECT_EQ(result.predictions, (std::vector<std::int32_t>{0}));
  EXPECT_DOUBLE_EQ(result.error, 0);
}

// The same document by hand: alpha = 0.3: class 0: 3/4 (5.3/9.8)^3 (0.3/9.8)^2; class 1: 1/4 (1.3/4.8)^5, which is larger.
TEST_F(Baselines, AlphaIsChosenOnTheValidationSet) {
  const auto log_posterior = [](double prior, double chinese, double tokyo, double all) {
    return std::log(prior) + 3 * std::log(chinese / all) + 2 * std::log(tokyo / all);
  };
  ASSERT_LT(log_posterior(0.75, 5.3, 0.3, 9.8), log_posterior(0.25, 1.3, 1.3, 4.8));
  const auto train = set("train", {{{0, 1, 0}, 0}, {{0, 0, 2}, 0}, {{0, 3}, 0}, {{4, 5, 0}, 1}});
  const std::vector<Row> document{{{0, 0, 0, 4, 5}, 1}};
  const auto result = naive_bayes_baseline(train, set("valid", document), set("test", document));
  EXPECT_EQ(result.name, "naive Bayes (alpha 0.3)");
  EXPECT_EQ(result.correct, 1);
}

}  // namespace
}  // namespace ulmfit::reports
