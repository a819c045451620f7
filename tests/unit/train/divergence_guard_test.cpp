#include "train/divergence_guard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace ulmfit::train {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(DivergenceGuard, AdmitsStepsWhoseNormAndLossAreFinite) {
  DivergenceGuard guard(10);
  EXPECT_TRUE(guard.admits(0, 1e30, 1e30));
  EXPECT_FALSE(guard.admits(1, std::nan(""), 1));
  EXPECT_FALSE(guard.admits(2, 1, kInfinity));
  EXPECT_FALSE(guard.admits(3, kInfinity, std::nan("")));
  EXPECT_TRUE(guard.admits(4, 0, 0));
  EXPECT_EQ(guard.skipped(), 3);
}

TEST(DivergenceGuard, EndsARunThatHasTooManyOfTheOthersInARow) {
  DivergenceGuard guard(3);
  for (std::int64_t step = 0; step < 18; ++step) {  // two in a row
    const bool sound = step % 3 == 2;
    EXPECT_EQ(guard.admits(step, sound ? 1 : kInfinity, 1), sound);
  }
  EXPECT_FALSE(guard.admits(18, kInfinity, 1));
  EXPECT_FALSE(guard.admits(19, kInfinity, 1));
  EXPECT_THROW(guard.admits(20, kInfinity, 1), DivergedError);
}

TEST(DivergenceGuard, CountsOverRestarts) {
  DivergenceGuard before(3);
  before.admits(0, kInfinity, 1);
  before.admits(1, kInfinity, 1);
  nlohmann::json counters;
  before.save(counters);
  DivergenceGuard after(3);
  after.load(counters);
  EXPECT_EQ(after.skipped(), 2);
  EXPECT_THROW(after.admits(2, kInfinity, 1), DivergedError);
}

}  // namespace
}  // namespace ulmfit::train
