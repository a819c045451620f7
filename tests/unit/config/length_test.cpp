#include "config/length.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace ulmfit::config {
namespace {

using Unit = Length::Unit;

TEST(Length, ReadsEveryUnit) {
  EXPECT_EQ(parse_length("5e", Unit::kSteps), (Length{Unit::kEpochs, 5}));
  EXPECT_EQ(parse_length("0.5e", Unit::kSteps), (Length{Unit::kEpochs, 0.5}));
  EXPECT_EQ(parse_length("10kt", Unit::kSteps), (Length{Unit::kTokens, 10000}));
  EXPECT_EQ(parse_length("1.5Mt", Unit::kSteps), (Length{Unit::kTokens, 1500000}));
  EXPECT_EQ(parse_length("7t", Unit::kSteps), (Length{Unit::kTokens, 7}));
  EXPECT_EQ(parse_length("200s", Unit::kEpochs), (Length{Unit::kSteps, 200}));
}

TEST(Length, ABareNumberHasTheUnitOfTheOption) {
  EXPECT_EQ(parse_length("12", Unit::kSteps), (Length{Unit::kSteps, 12}));
  EXPECT_EQ(parse_length("12", Unit::kEpochs), (Length{Unit::kEpochs, 12}));
}

TEST(Length, TextReadsBackTheSame) {
  for (const char* text : {"5e", "0.1e", "10kt", "1500Mt", "200s", "12", "0"}) {
    for (const Unit bare : {Unit::kEpochs, Unit::kSteps}) {
      const Length length = parse_length(text, bare);
      EXPECT_EQ(parse_length(to_text(length, bare), bare), length) << text << " as " << to_text(length, bare);
    }
  }
  EXPECT_EQ(to_text({Unit::kSteps, 1000000}, Unit::kSteps), "1000000");
  EXPECT_EQ(to_text({Unit::kEpochs, 5}, Unit::kSteps), "5e");
}

TEST(Length, RefusesNonsense) {
  for (const char* bad : {"", "e", "s", "5x", "5 e", "5ee", "-1e", "nan", "inf", "1e5", "1.5s", "99999999999999999999"}) {
    EXPECT_THROW(parse_length(bad, Unit::kSteps), ConfigError) << bad;
  }
}

}  // namespace
}  // namespace ulmfit::config
