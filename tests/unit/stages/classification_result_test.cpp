#include "stages/classification_result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ulmfit::stages {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

// Class c has 10 texts, c of which go to the next one.
std::string table_of(std::vector<std::string> labels) {
  const std::size_t count = labels.size();
  reports::Classification answers{.labels = std::move(labels), .confusion = {}, .split = "test"};
  answers.confusion.assign(count, std::vector<std::int64_t>(count));
  for (std::size_t c = 0; c < count; ++c) {
    const auto wrong = static_cast<std::int64_t>(c % 10);
    answers.confusion[c][c] = 10 - wrong;
    answers.confusion[c][(c + 1) % count] = wrong;
  }
  return classification_result(answers, 0).table;
}

TEST(ClassificationTable, KeepsItsColumnsBehindALabelOfAnyLength) {
  const std::string label(300, 'x');
  const std::string table = table_of({"short", label});
  EXPECT_THAT(table, ContainsRegex("\nshort +0.909 +1.000 +0.952 +10\n"));
  EXPECT_THAT(table, HasSubstr("\n" + label + "     1.000     0.900     0.947       10\n"));
  EXPECT_THAT(table, HasSubstr("\n" + label + "      1      9\n"));
}

TEST(ClassificationTable, OfManyClassesShowsTheMostFrequentMistakesAlone) {
  std::vector<std::string> labels;
  for (int c = 0; c < 40; ++c) labels.push_back("class" + std::to_string(c));
  const std::string table = table_of(labels);
  EXPECT_THAT(table, Not(HasSubstr("confusion (row")));
  EXPECT_THAT(table, HasSubstr("mistakes (texts: given, predicted)\n  9: class9, class10\n  9: class19, class20\n"));
}

}  // namespace
}  // namespace ulmfit::stages
