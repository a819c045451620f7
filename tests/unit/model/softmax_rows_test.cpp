#include "model/softmax_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "base/random.h"

namespace ulmfit::model {
namespace {

struct Rows {
  std::int64_t rows, cols;
  std::vector<float> logits, bias, loss;
  std::vector<std::int64_t> target;
};

// Logits uniform in +-spread, bias in +-1; every fifth row is ignored.
Rows make_rows(std::int64_t rows, std::int64_t cols, double spread) {
  Rows made{rows, cols, {}, {}, std::vector<float>(static_cast<std::size_t>(rows), -1), {}};
  const auto draw = [&](std::uint32_t stream, std::int64_t i) {
    return 2 * random_uniform({7, Purpose::kBench, 0, stream}, static_cast<std::uint64_t>(i)) - 1;
  };
  for (std::int64_t i = 0; i < rows * cols; ++i) made.logits.push_back(static_cast<float>(spread * draw(0, i)));
  for (std::int64_t j = 0; j < cols; ++j) made.bias.push_back(static_cast<float>(draw(1, j)));
  for (std::int64_t r = 0; r < rows; ++r) made.target.push_back(r % 5 == 4 ? -1 : (r * 7919 + cols - 1) % cols);
  return made;
}

// The definition, in double, on the sums that the kernel sees.
void check_against_definition(const Rows& before, const Rows& after, float scale, bool with_gradient) {
  for (std::int64_t r = 0; r < before.rows; ++r) {
    const auto row = static_cast<std::size_t>(r);
    std::vector<double> z;
    for (std::int64_t j = 0; j < before.cols; ++j) {
      z.push_back(before.logits[static_cast<std::size_t>(r * before.cols + j)] + before.bias[static_cast<std::size_t>(j)]);
    }
    const double maximum = *std::max_element(z.begin(), z.end());
    double total = 0;
    for (const double value : z) total += std::exp(value - maximum);
    const bool ignored = before.target[row] < 0;
    const double loss = ignored ? 0 : std::log(total) + maximum - z[static_cast<std::size_t>(before.target[row])];
    // Half a unit in the last place of logits up to 80 is 4e-6.
    EXPECT_NEAR(after.loss[row], loss, 2e-6 * std::max(1.0, std::fabs(maximum)))
        << "row " << r << ", columns " << before.cols;
    if (!with_gradient) continue;
    for (std::int64_t j = 0; j < before.cols; ++j) {
      const double share = std::exp(z[static_cast<std::size_t>(j)] - maximum) / total;
      const double expected = ignored ? 0 : scale * (share - (j == before.target[row] ? 1 : 0));
      EXPECT_NEAR(after.logits[static_cast<std::size_t>(r * before.cols + j)], expected, scale * (1e-5 * share + 6e-8))
          << "row " << r << ", column " << j << " of " << before.cols;
    }
  }
}

Rows run(Rows rows, float scale, bool with_gradient) {
  softmax_rows(rows.logits.data(), rows.rows, rows.cols, rows.cols, rows.bias.data(), rows.target.data(), rows.loss.data(),
               scale, with_gradient);
  return rows;
}

TEST(SoftmaxRows, IsTheDefinitionOnManyShapes) {
  for (const std::int64_t cols : {1, 2, 10, 63, 64, 65, 127, 128, 1000, 33278}) {
    for (const double spread : {0.01, 5.0, 80.0}) {
      const Rows before = make_rows(cols > 10000 ? 2 : 11, cols, spread);
      check_against_definition(before, run(before, 0.25F, true), 0.25F, true);
      check_against_definition(before, run(before, 1.0F, false), 1.0F, false);
    }
  }
}

// The same arithmetic on logits that are rounded to begin with; only the gradient is rounded once more.
TEST(SoftmaxRows, InBfloat16IsTheFloatKernelToItsRounding) {
  for (const std::int64_t cols : {1, 63, 64, 65, 1000}) {
    Rows rows = make_rows(11, cols, 5);
    std::vector<c10::BFloat16> rounded(rows.logits.begin(), rows.logits.end());
    rows.logits.assign(rounded.begin(), rounded.end());
    const Rows expected = run(rows, 0.25F, true);
    softmax_rows(rounded.data(), rows.rows, cols, cols, rows.bias.data(), rows.target.data(), rows.loss.data(), 0.25F,
                 true);
    EXPECT_EQ(rows.loss, expected.loss);
    for (std::size_t i = 0; i < rounded.size(); ++i) {
      EXPECT_EQ(rounded[i].x, c10::BFloat16(expected.logits[i]).x) << expected.logits[i] << " at " << i << " of " << cols;
    }
  }
}

TEST(SoftmaxRows, GradientOfARowSumsToZero) {
  const Rows after = run(make_rows(4, 5000, 8), 1.0F, true);
  for (std::int64_t r = 0; r < 4; ++r) {
    EXPECT_NEAR(std::accumulate(after.logits.begin() + r * 5000, after.logits.begin() + (r + 1) * 5000, 0.0), 0, 1e-6);
  }
}

TEST(SoftmaxRows, OneLogitFarAboveTheOthersTakesAll) {
  Rows rows = make_rows(2, 100, 1);
  rows.target = {3, 4};
  rows.logits[3] = rows.logits[103] = 1e4F;
  const Rows after = run(rows, 1.0F, true);
  EXPECT_EQ(after.loss[0], 0.0F);
  EXPECT_NEAR(after.loss[1], 1e4, 3);
  EXPECT_EQ(after.logits[3], 0.0F);
  EXPECT_EQ(after.logits[103], 1.0F);
  EXPECT_EQ(after.logits[104], -1.0F);
}

TEST(SoftmaxRows, ARowIsTheSameWhereverItStands) {
  const Rows together = run(make_rows(7, 777, 5), 0.5F, true);
  const Rows all = make_rows(7, 777, 5);
  for (std::int64_t r = 0; r < 7; ++r) {
    Rows alone{1,        777, {all.logits.begin() + r * 777, all.logits.begin() + (r + 1) * 777},
               all.bias, {0}, {all.target[static_cast<std::size_t>(r)]}};
    alone = run(alone, 0.5F, true);
    EXPECT_EQ(alone.loss[0], together.loss[static_cast<std::size_t>(r)]);
    EXPECT_TRUE(std::equal(alone.logits.begin(), alone.logits.end(), together.logits.begin() + r * 777));
  }
}

TEST(SoftmaxRows, LeavesTheFloatsBetweenRowsAlone) {
  const Rows tight = make_rows(3, 70, 2);
  std::vector<float> wide(3 * 100, 42.0F);
  for (std::int64_t r = 0; r < 3; ++r) {
    std::copy(tight.logits.begin() + r * 70, tight.logits.begin() + (r + 1) * 70, wide.begin() + r * 100);
  }
  std::vector<float> loss(3);
  softmax_rows(wide.data(), 3, 70, 100, tight.bias.data(), tight.target.data(), loss.data(), 1.0F, true);
  const Rows expected = run(tight, 1.0F, true);
  EXPECT_EQ(loss, expected.loss);
  for (std::size_t i = 0; i < wide.size(); ++i) {
    if (i % 100 >= 70)
      EXPECT_EQ(wide[i], 42.0F);
    else
      EXPECT_EQ(wide[i], expected.logits[i / 100 * 70 + i % 100]);
  }
}

// A diverged model must be seen: the loss may not come out finite.
TEST(SoftmaxRows, NotANumberAndInfinityReachTheLoss) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const std::size_t where : {std::size_t{0}, std::size_t{65}, std::size_t{99}}) {
      Rows rows = make_rows(1, 100, 1);
      rows.target = {50};
      rows.logits[where] = bad;
      EXPECT_FALSE(std::isfinite(run(rows, 1.0F, true).loss[0])) << bad << " at " << where;
    }
  }
}

}  // namespace
}  // namespace ulmfit::model
