#include "reports/paired_comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace ulmfit::reports {
namespace {

// `both`, `first`, `second`, `none`: how many texts are answered rightly by both, by one alone, by none.
PairedComparison compared(int both, int first, int second, int none) {
  std::vector<bool> a, b;
  const auto add = [&](int count, bool a_right, bool b_right) {
    a.insert(a.end(), static_cast<std::size_t>(count), a_right);
    b.insert(b.end(), static_cast<std::size_t>(count), b_right);
  };
  add(both, true, true);
  add(first, true, false);
  add(second, false, true);
  add(none, false, false);
  return paired_comparison(a, b);
}

TEST(PairedComparison, McNemarIsTheSignTestOfTheTextsOnWhichTheyDiffer) {
  EXPECT_NEAR(compared(90, 5, 0, 5).p, 2 * std::pow(0.5, 5), 1e-12);
  EXPECT_NEAR(compared(90, 1, 4, 5).p, 2 * 6 * std::pow(0.5, 5), 1e-12);  // (5 over 0) + (5 over 1) of 32
  EXPECT_NEAR(compared(0, 2, 8, 0).p, 2 * (1 + 10 + 45) / 1024.0, 1e-12);
  EXPECT_EQ(compared(90, 3, 3, 4).p, 1);
  EXPECT_EQ(compared(100, 0, 0, 7).p, 1);
  EXPECT_NEAR(compared(0, 4900, 5100, 0).p, 0.0466, 2e-4);  // by the normal approximation 0.0465, continuity corrected
  EXPECT_EQ(compared(90, 1, 4, 5).p, compared(3, 4, 1, 0).p) << "who is first does not matter, nor do the others";
}

TEST(PairedComparison, TheDifferenceIsThatOfTheErrors) {
  const PairedComparison c = compared(70, 4, 16, 10);
  EXPECT_EQ(c.only_first, 4);
  EXPECT_EQ(c.only_second, 16);
  EXPECT_DOUBLE_EQ(c.difference, 0.12);
  // Agresti and Min: (16 - 4) / 102, and 1.96 sqrt(4.5 + 16.5 - 12^2 / 102) / 102.
  EXPECT_NEAR(c.interval.low, 12 / 102.0 - 1.959963984540054 * std::sqrt(21 - 144 / 102.0) / 102, 1e-12);
  EXPECT_NEAR(c.interval.high, 12 / 102.0 + 1.959963984540054 * std::sqrt(21 - 144 / 102.0) / 102, 1e-12);
  EXPECT_DOUBLE_EQ(compared(70, 16, 4, 10).difference, -0.12);
  EXPECT_TRUE(std::isnan(paired_comparison({}, {}).difference));
  EXPECT_THROW(paired_comparison({true}, {}), std::invalid_argument);
}

}  // namespace
}  // namespace ulmfit::reports
