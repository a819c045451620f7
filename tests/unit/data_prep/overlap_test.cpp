#include "data_prep/overlap.h"

#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::ElementsAre;

constexpr const char* kRun = "a b c d e f g h i j k l";  // 12 words
constexpr std::uint8_t kApart = 3;

Overlaps overlaps_of(const std::vector<std::string>& texts, const std::vector<std::uint8_t>& split, bool rules = true) {
  test::TempDir dir;
  const text::TextPipeline pipeline({.rules = rules ? text::TextRules::kFastai : text::TextRules::kNone});
  TokenSpool spool(dir / "spool", pipeline, 1);
  for (const std::string& text : texts) spool.add(text);
  spool.finish();
  return find_overlaps(spool, split, kApart, first_copies(spool));
}

TEST(Overlaps, ExactRepeatsWithinAndAcrossSplits) {
  const Overlaps found = overlaps_of({"one two", "three", "one two", "one two", ""}, {0, 0, 0, 2, 2});
  EXPECT_THAT(found.exact, ElementsAre(4, 0, 5, 1, 0));
  EXPECT_THAT(found.near, ElementsAre(0, 0, 0, 0, 0));
  EXPECT_THAT(found.first, ElementsAre(0, 1, 0, 0, 4));
}

TEST(Overlaps, EmptyTextsRepeatNothing) {
  const Overlaps found = overlaps_of({"", "", "..."}, {0, 1, 1});
  EXPECT_THAT(found.exact, ElementsAre(0, 0, 0));
  EXPECT_THAT(found.first, ElementsAre(0, 1, 2));
}

TEST(Overlaps, TwelveWordsInCommonAreANearRepeat) {
  const std::string run = kRun;
  EXPECT_THAT(overlaps_of({"start " + run + " end", "other words, " + run + "!"}, {0, 1}).near, ElementsAre(2, 1));
  EXPECT_THAT(overlaps_of({"start " + run.substr(2), run.substr(2) + " other"}, {0, 1}).near, ElementsAre(0, 0));
  EXPECT_THAT(overlaps_of({run, "x y", run + " z"}, {0, 0, 0}).near, ElementsAre(0, 0, 1));
}

TEST(Overlaps, CaseAndMarksDoNotMatter) {
  EXPECT_THAT(overlaps_of({kRun, "A B, c D -- e f (G) h i. J k l"}, {0, 1}).near, ElementsAre(2, 1));
  EXPECT_THAT(overlaps_of({kRun, "A B, c D -- e f (G) h i. J k l"}, {0, 1}, false).near, ElementsAre(2, 1));
}

TEST(Overlaps, TextsThatAreApartAreComparedWithTheOthersAlone) {
  const std::string run = kRun, other = "m n o p q r s t u v w x";
  EXPECT_THAT(overlaps_of({run, run + " y", other, other + " z", run + " and " + other}, {0, 3, 3, 3, 2}).near,
              ElementsAre(4, 5, 4, 4, 1));
  EXPECT_THAT(overlaps_of({run, run + " y"}, {3, 3}).near, ElementsAre(0, 0));
}

TEST(Overlaps, ARunTwiceInOneTextIsNoRepeat) {
  EXPECT_THAT(overlaps_of({std::string(kRun) + " " + kRun}, {0}).near, ElementsAre(0));
}

}  // namespace
}  // namespace ulmfit::data_prep
