#include "reports/classification_html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ulmfit::reports {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

Classification classes(std::size_t count) {
  Classification result;
  result.split = "test";
  for (std::size_t c = 0; c < count; ++c) {
    result.labels.push_back("class " + std::to_string(c));
    result.confusion.emplace_back(count, 0);
    result.confusion[c][c] = 1000;
    result.confusion[c][(c + 1) % count] = 10 * static_cast<std::int64_t>(c + 1);
  }
  return result;
}

std::string sections(const Classification& result) {
  return classification_sections(result, classification_metrics(result.confusion));
}

TEST(ClassificationTiles, SayOverHowManyClassesTheMeanIs) {
  Classification result = classes(3);
  const auto tiles = [&] { return classification_tiles(result, classification_metrics(result.confusion)); };
  EXPECT_THAT(tiles(), HasSubstr("mean over 3 classes"));
  result.labels.push_back("never seen");
  for (auto& row : result.confusion) row.push_back(0);
  result.confusion.emplace_back(4, 0);
  EXPECT_THAT(tiles(), HasSubstr("mean over 3 of 4 classes"));
}

TEST(ClassificationSections, ShowCountsFiguresAndMistakes) {
  const std::string html = sections(classes(3));
  EXPECT_THAT(html, HasSubstr("3,000 of 3,060 texts got the label that the data gives them: accuracy 98.0%, error 2.0%"));
  EXPECT_THAT(html, HasSubstr("<td class=\"hit deep\" style=\"--share:1.00\">1,000</td>"));
  EXPECT_THAT(html, HasSubstr("<td class=\"\" style=\"--share:0.10\">10</td>"));  // root of 10 / 1010
  EXPECT_THAT(html, HasSubstr("<td class=\"none\">·</td>"));
  EXPECT_THAT(html, HasSubstr("97.1%"));  // recall of the last: 1000 / 1030
  const auto mistakes = html.substr(html.find("Most frequent mistakes"));
  EXPECT_LT(mistakes.find("class 2"), mistakes.find("class 1"));  // 30 texts before 20
}

TEST(ClassificationSections, TwoClassesNeedNoListOfMistakes) {
  EXPECT_THAT(sections(classes(2)), Not(HasSubstr("Most frequent mistakes")));
}

TEST(ClassificationSections, ManyClassesHaveNoMatrixButTheMistakes) {
  EXPECT_THAT(sections(classes(30)), HasSubstr("Confusion matrix"));
  const std::string many = sections(classes(31));
  EXPECT_THAT(many, Not(HasSubstr("Confusion matrix")));
  EXPECT_LT(many.find("Most frequent mistakes"), many.find("By class"));
}

TEST(ClassificationSections, LabelsAreTextNotMarkup) {
  Classification result = classes(3);
  result.labels[1] = "<script>alert(\"1\")</script>";
  result.split = "<b>";
  const std::string html = sections(result);
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("<b>")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;"));
}

TEST(ClassificationSections, NothingWithoutTexts) {
  Classification result{{"a", "b"}, {{0, 0}, {0, 0}}, "test"};
  EXPECT_EQ(sections(result), "");
  EXPECT_EQ(classification_tiles(result, classification_metrics(result.confusion)), "");
}

TEST(ClassificationSections, DrawNoChanceOfFewTexts) {
  const auto chart = [](int few) {
    Classification result{{"a", "b"}, {{40, 10}, {0, 50}}, "test"};
    for (int i = 0; i < 90; ++i) result.calibration.answers.push_back({0.97, true});
    for (int i = 0; i < few; ++i) result.calibration.answers.push_back({0.55, false});
    return classification_sections(result, classification_metrics(result.confusion));
  };
  const auto points = [](const std::string& html) {
    const std::string behind = html.substr(html.find("Can its probabilities"));
    return behind.substr(0, behind.find("</figure>"));
  };
  EXPECT_EQ(points(chart(0)), points(chart(9)));
  EXPECT_NE(points(chart(0)), points(chart(10)));
}

TEST(ClassificationTiles, ShowTheInterval) {
  const Classification result{{"a", "b"}, {{40, 10}, {0, 50}}, "test"};
  const std::string html = classification_tiles(result, classification_metrics(result.confusion));
  EXPECT_THAT(html, HasSubstr("90.0%"));
  EXPECT_THAT(html, HasSubstr("95% interval 82.6 to 94.5%"));
  // F1 of 80/90 and 100/110; (40 * 50 - 10 * 0) / sqrt(40 * 50 * 60 * 50).
  EXPECT_THAT(html, ContainsRegex("Macro F1.*89.9%.*mean over 2 classes; 95% interval 8[0-9.]+ to 9[0-9.]+%"));
  EXPECT_THAT(html, ContainsRegex("MCC.*0.816.*95% interval 0.[67][0-9]+ to 0.[89][0-9]+"));
}

}  // namespace
}  // namespace ulmfit::reports
