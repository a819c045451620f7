#include "optim/range_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

#include "base/file.h"

namespace ulmfit::optim {
namespace {

TEST(RangeTest, RunningMeansWrittenOut) {
  const std::vector<double> means = running_means({4, 2, 1}, 0.5);
  ASSERT_EQ(means.size(), 3U);
  EXPECT_DOUBLE_EQ(means[0], 4);
  EXPECT_DOUBLE_EQ(means[1], (0.25 * 4 + 0.5 * 2) / 0.75);
  EXPECT_DOUBLE_EQ(means[2], (0.125 * 4 + 0.25 * 2 + 0.5 * 1) / 0.875);
  const std::vector<double> constant(500, 7.25);
  for (const double mean : running_means(constant)) EXPECT_NEAR(mean, 7.25, 1e-12);
}

// Rates in equal factors of ten.
std::vector<double> decades(std::size_t count) {
  std::vector<double> rates;
  for (std::size_t i = 0; i < count; ++i) rates.push_back(std::pow(10, static_cast<double>(i) - 6));
  return rates;
}

TEST(RangeTest, SuggestionsByHand) {
  //                                 0    1    2    3    4    5    6    7    8    9
  const std::vector<double> losses{5.0, 5.1, 5.0, 4.8, 4.0, 3.5, 3.2, 3.1, 6.0, 9.0};
  const RateSuggestions found = suggest_rates(decades(10), losses, 0, 2);
  EXPECT_DOUBLE_EQ(found.steepest, 1e-3);        // from 4.8 at 1e-3 to 4.0
  EXPECT_DOUBLE_EQ(found.tenth_of_lowest, 1.0);  // 3.1 at 10
  // The longest descent has seven losses (5.1, 5.0, 4.8, ... 3.1) and ends at 7: it starts at 0, a third is 7 / 3, and the
  // place is 0 + 2 + 1.
  EXPECT_DOUBLE_EQ(found.valley, 1e-3);
}

// fastai's own functions; stored with the script that made them.
TEST(RangeTest, SuggestionsAreFastais) {
  const nlohmann::json reference = nlohmann::json::parse(read_file("tests/reference/range_test.json"));
  const auto rates = reference.at("rates").get<std::vector<double>>();
  ASSERT_EQ(reference.at("cases").size(), 5U);
  for (const auto& c : reference.at("cases")) {
    const RateSuggestions found = suggest_rates(rates, c.at("losses").get<std::vector<double>>(), 10, 5);
    const auto expect = [&](double value, const char* name) {
      const double expected = c.at(name).get<double>();
      EXPECT_NEAR(value, expected, 1e-6 * expected) << name << " of " << c.at("name");
    };
    expect(found.valley, "valley");
    expect(found.steepest, "steep");
    expect(found.tenth_of_lowest, "minimum");
  }
}

TEST(RangeTest, WhatDoesNotCountChangesNothing) {
  const std::vector<double> inner{5.0, 4.8, 4.0, 3.5, 3.2, 3.4, 3.1};
  std::vector<double> more{1.0, 0.5};
  more.insert(more.end(), inner.begin(), inner.end());
  more.insert(more.end(), {0.1, 0.01, 0.001});
  std::vector<double> rates = decades(12);
  const RateSuggestions whole = suggest_rates(rates, more, 2, 3);
  const RateSuggestions part = suggest_rates({rates.begin() + 2, rates.end() - 3}, inner, 0, 0);
  EXPECT_EQ(whole.valley, part.valley);
  EXPECT_EQ(whole.steepest, part.steepest);
  EXPECT_EQ(whole.tenth_of_lowest, part.tenth_of_lowest);
  EXPECT_THROW(suggest_rates(decades(7), {1, 2, 3, 4, 5, 6, 7}, 0, 5), std::invalid_argument);
}

TEST(RangeTest, AllSuggestionsLieWhereTheLossFalls) {
  // A course as trainings have it: flat, a smooth descent, a steep rise.
  std::vector<double> rates;
  std::vector<double> losses;
  for (int i = 0; i < 100; ++i) {
    const double x = -7 + 8.0 * i / 99;
    rates.push_back(std::pow(10, x));
    losses.push_back(5 - 2 / (1 + std::exp(-3 * (x + 3))) + std::exp(4 * (x + 0.5)));
  }
  const RateSuggestions found = suggest_rates(rates, losses, 10, 5);
  for (const double rate : {found.valley, found.steepest, found.tenth_of_lowest}) {
    EXPECT_GT(rate, 1e-5);
    EXPECT_LT(rate, 1e-1);
  }
  EXPECT_NEAR(std::log10(found.steepest), -3, 0.1);
}

}  // namespace
}  // namespace ulmfit::optim
