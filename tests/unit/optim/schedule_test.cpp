#include "optim/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/error.h"
#include "base/file.h"

namespace ulmfit::optim {
namespace {

using ::testing::HasSubstr;

double triangle(std::int64_t t, std::int64_t T, double cut_frac = 0.1, double ratio = 32) {
  return rate_at({.kind = ScheduleKind::kSlantedTriangular, .cut_frac = cut_frac, .ratio = ratio}, t, T).lr_factor;
}

// Reference values, stored with the script that made them.
nlohmann::json reference(const char* schedule) {
  return nlohmann::json::parse(read_file("tests/reference/schedules.json")).at(schedule);
}

TEST(SlantedTriangular, WrittenOutFractions) {
  // T = 10: cut = 1, then (10 - t) / 9.
  EXPECT_DOUBLE_EQ(triangle(0, 10), 1.0 / 32);
  EXPECT_DOUBLE_EQ(triangle(1, 10), 1.0);
  EXPECT_DOUBLE_EQ(triangle(4, 10), (1 + 6.0 / 9 * 31) / 32);
  EXPECT_DOUBLE_EQ(triangle(9, 10), (1 + 1.0 / 9 * 31) / 32);
  // T = 40: cut = 4.
  EXPECT_DOUBLE_EQ(triangle(1, 40), (1 + 31.0 / 4) / 32);
  EXPECT_DOUBLE_EQ(triangle(3, 40), (1 + 31.0 * 3 / 4) / 32);
  EXPECT_DOUBLE_EQ(triangle(4, 40), 1.0);
  EXPECT_DOUBLE_EQ(triangle(22, 40), (1 + 31.0 / 2) / 32);
  // The released classifier phases: ratio 8, a third of the steps up.
  EXPECT_DOUBLE_EQ(triangle(0, 9, 1.0 / 3, 8), 1.0 / 8);
  EXPECT_DOUBLE_EQ(triangle(1, 9, 1.0 / 3, 8), (1 + 7.0 / 3) / 8);
  EXPECT_DOUBLE_EQ(triangle(3, 9, 1.0 / 3, 8), 1.0);
  EXPECT_DOUBLE_EQ(triangle(6, 9, 1.0 / 3, 8), (1 + 7.0 / 2) / 8);
}

TEST(SlantedTriangular, TinyPhases) {
  EXPECT_DOUBLE_EQ(triangle(0, 1), 1.0 / 32);
  EXPECT_DOUBLE_EQ(triangle(0, 2), 1.0 / 32);
  EXPECT_DOUBLE_EQ(triangle(1, 2), 1.0);
  EXPECT_DOUBLE_EQ(triangle(2, 3), (1 + 31.0 / 2) / 32);
  EXPECT_DOUBLE_EQ(triangle(4, 5, 1.0), (1 + 31.0 * 4 / 5) / 32);  // only rises
}

TEST(SlantedTriangular, StaysInItsBoundsRisesToTheCutAndFallsAfterIt) {
  for (const double cut_frac : {0.01, 0.1, 0.125, 0.29, 1.0 / 3, 0.5, 0.9, 1.0}) {
    for (std::int64_t T = 1; T <= 2000; T += T < 200 || cut_frac == 0.1 ? 1 : 37) {
      const auto cut =
          std::max<std::int64_t>(1, static_cast<std::int64_t>(std::floor(static_cast<double>(T) * cut_frac + 1e-9)));
      for (std::int64_t t = 0; t < T; ++t) {
        const double now = triangle(t, T, cut_frac);
        ASSERT_GE(now, 1.0 / 32) << t << " of " << T;
        ASSERT_LE(now, 1.0) << t << " of " << T;
        if (t == cut) {
          ASSERT_DOUBLE_EQ(now, 1.0) << t << " of " << T;
        }
        if (t > 0 && t <= cut) {
          ASSERT_GT(now, triangle(t - 1, T, cut_frac)) << t << " of " << T;
        }
        if (t > cut) {
          ASSERT_LT(now, triangle(t - 1, T, cut_frac)) << t << " of " << T;
        }
      }
    }
  }
}

TEST(SlantedTriangular, IsThePapersFormulaWhereTheCutIsWhole) {
  for (std::int64_t T = 10; T <= 200; T += 10) {
    const auto cut = static_cast<double>(T / 10);
    for (std::int64_t t = T / 10; t < T; ++t) {
      const double p = 1 - (static_cast<double>(t) - cut) / (cut * (1 / 0.1 - 1));
      EXPECT_NEAR(triangle(t, T), (1 + p * 31) / 32, 1e-14);
    }
  }
}

TEST(SlantedTriangular, ReferenceValues) {
  const nlohmann::json cases = reference("slanted_triangular");
  ASSERT_EQ(cases.size(), 5U);
  for (const auto& r : cases) {
    const auto T = r.at("steps").get<std::int64_t>();
    for (std::int64_t t = 0; t < T; ++t) {
      EXPECT_NEAR(triangle(t, T, r.at("cut_frac").get<double>(), r.at("ratio").get<double>()),
                  r.at("lr")[static_cast<std::size_t>(t)].get<double>(), 1e-14);
    }
  }
}

TEST(SlantedTriangular, LeavesMomentumAlone) {
  EXPECT_FALSE(rate_at({}, 0, 10).beta1.has_value());
  EXPECT_FALSE(rate_at({.kind = ScheduleKind::kConstant}, 0, 10).beta1.has_value());
}

double factor(ScheduleKind kind, std::int64_t t, std::int64_t T, double cut_frac = 0.1) {
  return rate_at({.kind = kind, .cut_frac = cut_frac}, t, T).lr_factor;
}

TEST(Schedules, LinearAndCosineFallToZero) {
  for (std::int64_t T = 1; T <= 300; ++T) {
    for (std::int64_t t = 0; t < T; ++t) {
      const double position = static_cast<double>(t) / static_cast<double>(T);
      ASSERT_NEAR(factor(ScheduleKind::kLinear, t, T), 1 - position, 1e-15);
      ASSERT_NEAR(factor(ScheduleKind::kCosine, t, T), std::pow(std::cos(M_PI / 2 * position), 2), 1e-15);
    }
  }
  EXPECT_EQ(factor(ScheduleKind::kCosine, 0, 8), 1);
  EXPECT_DOUBLE_EQ(factor(ScheduleKind::kCosine, 4, 8), 0.5);
}

TEST(Schedules, ReverseAnnealingRisesAndFallsByACosine) {
  // T = 40, a quarter up: cut = 10.
  EXPECT_EQ(factor(ScheduleKind::kReverseAnnealing, 0, 40, 0.25), 0);
  EXPECT_DOUBLE_EQ(factor(ScheduleKind::kReverseAnnealing, 5, 40, 0.25), 0.5);
  EXPECT_DOUBLE_EQ(factor(ScheduleKind::kReverseAnnealing, 10, 40, 0.25), 1);
  EXPECT_DOUBLE_EQ(factor(ScheduleKind::kReverseAnnealing, 25, 40, 0.25), 0.5);
  for (std::int64_t T = 1; T <= 300; ++T) {
    const std::int64_t cut = std::max<std::int64_t>(1, T / 4);
    for (std::int64_t t = 0; t < T; ++t) {
      const double angle = t < cut ? M_PI / 2 * static_cast<double>(t) / static_cast<double>(cut)
                                   : M_PI / 2 * (1 + static_cast<double>(t - cut) / static_cast<double>(T - cut));
      ASSERT_NEAR(factor(ScheduleKind::kReverseAnnealing, t, T, 0.25), std::pow(std::sin(angle), 2), 1e-14)
          << t << " of " << T;
    }
  }
}

TEST(Schedules, ExponentialRisesInEqualFactors) {
  const ScheduleOptions options{.kind = ScheduleKind::kExponential, .ratio = 1e8};
  EXPECT_DOUBLE_EQ(rate_at(options, 0, 1).lr_factor, 1);
  EXPECT_DOUBLE_EQ(rate_at(options, 0, 101).lr_factor, 1e-8);
  EXPECT_DOUBLE_EQ(rate_at(options, 100, 101).lr_factor, 1);
  for (std::int64_t t = 0; t < 100; ++t) {
    ASSERT_NEAR(rate_at(options, t + 1, 101).lr_factor / rate_at(options, t, 101).lr_factor, std::pow(1e8, 0.01), 1e-12);
  }
}

TEST(OneCycle, FastaiValues) {
  const nlohmann::json cases = reference("one_cycle");
  ASSERT_EQ(cases.size(), 5U);
  for (const auto& r : cases) {
    const ScheduleOptions options{.kind = ScheduleKind::kOneCycle,
                                  .pct_start = r.at("pct_start"),
                                  .div = r.at("div"),
                                  .div_final = r.at("div_final"),
                                  .momentum_high = r.at("momentum_high"),
                                  .momentum_low = r.at("momentum_low")};
    const auto T = r.at("steps").get<std::int64_t>();
    for (std::int64_t t = 0; t < T; ++t) {
      const Rate rate = rate_at(options, t, T);
      EXPECT_NEAR(rate.lr_factor, r.at("lr")[static_cast<std::size_t>(t)].get<double>(), 1e-14);
      EXPECT_NEAR(rate.beta1.value(), r.at("beta1")[static_cast<std::size_t>(t)].get<double>(), 1e-14);
    }
  }
}

TEST(OneCycle, BoundsAndPieces) {
  const ScheduleOptions options{.kind = ScheduleKind::kOneCycle};
  for (std::int64_t T = 1; T <= 200; ++T) {
    EXPECT_DOUBLE_EQ(rate_at(options, 0, T).lr_factor, 1.0 / 25);
    EXPECT_DOUBLE_EQ(rate_at(options, 0, T).beta1.value(), 0.8);
    for (std::int64_t t = 0; t < T; ++t) {
      const Rate now = rate_at(options, t, T);
      ASSERT_GE(now.lr_factor, 1e-5);
      ASSERT_LE(now.lr_factor, 1.0);
      ASSERT_GE(now.beta1.value(), 0.7 - 1e-15);
      ASSERT_LE(now.beta1.value(), 0.8);
      if (4 * t == T) {
        ASSERT_DOUBLE_EQ(now.lr_factor, 1.0);
      }
      if (t == 0) continue;
      const Rate before = rate_at(options, t - 1, T);
      if (4 * t <= T) {
        ASSERT_GT(now.lr_factor, before.lr_factor);
      }
      if (4 * t <= T) {
        ASSERT_LT(now.beta1.value(), before.beta1.value());
      }
      if (4 * (t - 1) >= T) {
        ASSERT_LT(now.lr_factor, before.lr_factor);
      }
      if (4 * (t - 1) >= T) {
        ASSERT_GT(now.beta1.value(), before.beta1.value());
      }
    }
  }
}

TEST(Constant, IsTheHighestRate) {
  for (std::int64_t t = 0; t < 5; ++t) EXPECT_EQ(rate_at({.kind = ScheduleKind::kConstant}, t, 5).lr_factor, 1.0);
}

TEST(Schedule, StepsOutsideThePhaseAreRefused) {
  EXPECT_THROW(rate_at({}, 10, 10), std::out_of_range);
  EXPECT_THROW(rate_at({}, -1, 10), std::out_of_range);
  EXPECT_THROW(rate_at({}, 0, 0), std::out_of_range);
}

TEST(Schedule, OptionsOutsideTheirRangesAreRefusedByName) {
  const auto refusal = [](const ScheduleOptions& options) -> std::string {
    try {
      check_options(options);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal({}), "accepted");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, -0.1, 1.1, nan}) EXPECT_THAT(refusal({.cut_frac = bad}), HasSubstr("cut_frac is"));
  for (const double bad : {0.0, 0.5, inf, nan}) EXPECT_THAT(refusal({.ratio = bad}), HasSubstr("ratio is"));
  for (const double bad : {0.0, 1.0, nan}) EXPECT_THAT(refusal({.pct_start = bad}), HasSubstr("pct_start is"));
  for (const double bad : {0.0, -1.0, inf, nan}) EXPECT_THAT(refusal({.div = bad}), HasSubstr("div is"));
  for (const double bad : {0.0, inf, nan}) EXPECT_THAT(refusal({.div_final = bad}), HasSubstr("div_final is"));
  for (const double bad : {-0.1, 1.0, nan}) EXPECT_THAT(refusal({.momentum_high = bad}), HasSubstr("momentum_high is"));
  for (const double bad : {-0.1, 1.0, nan}) EXPECT_THAT(refusal({.momentum_low = bad}), HasSubstr("momentum_low is"));
}

}  // namespace
}  // namespace ulmfit::optim
