#include "optim/param_groups.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"

namespace ulmfit::optim {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(DiscriminativeFactors, FallByTheFactorFromTheLastGroupDown) {
  EXPECT_THAT(discriminative_factors(4),
              ElementsAre(DoubleEq(1 / (2.6 * 2.6 * 2.6)), DoubleEq(1 / (2.6 * 2.6)), DoubleEq(1 / 2.6), 1));
  EXPECT_THAT(discriminative_factors(3, 1), ElementsAre(1, 1, 1));
  EXPECT_THAT(discriminative_factors(1), ElementsAre(1));
}

TEST(DiscriminativeFactors, RefuseFactorsThatAreNotPositive) {
  for (const double bad : {0.0, -2.6, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THROW(discriminative_factors(3, bad), ConfigError);
  }
}

TEST(ParseFactors, NumbersAndFractions) {
  EXPECT_THAT(parse_factors("1/6,1/3,1,1/2", 4), ElementsAre(DoubleEq(1.0 / 6), DoubleEq(1.0 / 3), 1, 0.5));
  EXPECT_THAT(parse_factors("0.25,1e-2,2.5/5", 3), ElementsAre(0.25, 0.01, 0.5));
}

TEST(ParseFactors, RefuseNonsenseByName) {
  const auto refusal = [](std::string_view text, std::size_t groups) -> std::string {
    try {
      parse_factors(text, groups);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "accepted";
  };
  for (const std::string_view bad : {"", "1,,1", "0,1,1", "-1,1,1", "1/0,1,1", "x,1,1", "1/,1,1", "/2,1,1", "nan,1,1",
                                     "inf,1,1", "1/2/3,1,1", "1e300/1e-300,1,1", "1e-300/1e300,1,1", "1 ,1,1"}) {
    EXPECT_THAT(refusal(bad, 3), HasSubstr("is not a positive number")) << bad;
  }
  EXPECT_THAT(refusal("1,1", 3), HasSubstr("are 2, but the model has 3 layer groups"));
}

TEST(Gradients, AreThoseThatExistInOrder) {
  std::vector<LayerGroup> groups(2);
  for (int i = 0; i < 4; ++i) {
    at::Tensor parameter = at::zeros({2});
    if (i != 1) parameter.mutable_grad() = at::full({2}, i);
    groups[i < 2 ? 0 : 1].parameters.push_back({"p", parameter, true});
  }
  const std::vector<at::Tensor> found = gradients(groups);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0][0].item<int>(), 0);
  EXPECT_EQ(found[1][0].item<int>(), 2);
  EXPECT_EQ(found[2][0].item<int>(), 3);
}

}  // namespace
}  // namespace ulmfit::optim
