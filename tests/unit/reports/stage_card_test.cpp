#include "reports/stage_card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "data/file_lists.h"

namespace ulmfit::reports {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

TEST(StageCard, TellsLineageFiguresAndWhatWasNotMeasured) {
  CardInfo info;
  info.lineage = {{"pretrain", "00ff", {{"steps", 7000}}}, {"finetune-lm", "", {{"seed", 3}}}};
  info.title = "AWD-LSTM language model";
  info.also_not_measured = "the weather";
  info.config_text = "seed = 3\n";
  EXPECT_THAT(
      stage_card(info),
      AllOf(HasSubstr("# AWD-LSTM language model\n"), HasSubstr("### 1. pretrain\n"), HasSubstr("| weights | 00ff |"),
            HasSubstr("| steps | 7,000 |"), HasSubstr("### 2. finetune-lm (this stage)"),
            HasSubstr("there was no validation split"), HasSubstr("authors, the weather."), HasSubstr("seed = 3")));
  info.labels = {"a", "b|c"};
  info.metrics = {{"error", 0.25}};
  EXPECT_THAT(stage_card(info), AllOf(HasSubstr("2 classes: a, b\\|c."), HasSubstr("| error | 0.25 |")));
}

TEST(StageCard, TellsLicensesOfTextsAndModel) {
  CardInfo info;
  info.lineage = {{"import", "00fe", {{"licence", "older"}}},
                  {"pretrain", "00ff", {{"corpus", {{"request", {{"license", "CC BY-SA 3.0"}}}}}, {"license", "other"}}},
                  {"train-classifier", "", {{"data", {{"request", json::object()}}}, {"license", "Apache-2.0"}}}};
  EXPECT_THAT(stage_card(info),
              AllOf(HasSubstr("| this model | Apache-2.0 |"), HasSubstr("| model of pretrain | other |"),
                    HasSubstr("| model of import | older |"), HasSubstr("| text of pretrain | CC BY-SA 3.0 |"),
                    HasSubstr("| text of train-classifier | not stated |")));
}

TEST(StageCard, TellsOfManyFilesTheirNumberAndTheFirst) {
  CardInfo info;
  json list = json::array();
  for (int i = 0; i < 1410; ++i)
    list.push_back({{"name", str("manual/page-", i, ".html")}, {"bytes", 1000}, {"xxh3", "00"}});
  const json request = {{"inputs", list},
                        {"format", "html"},
                        {"header", nullptr},
                        {"fastai_rules", true},
                        {"text_columns", {"title", "body"}},
                        {"train", {{"name", "t.csv"}, {"bytes", 12345}, {"xxh3", "f00d"}}}};
  info.lineage = {{"pretrain", "", {{"corpus", {{"request", request}, {"cleaned", {{"nul_bytes", 2}}}}}}}};
  info.lineage.front().facts = data::summarize_file_lists(info.lineage.front().facts);
  const std::string card = stage_card(info);
  EXPECT_THAT(
      card,
      AllOf(HasSubstr("| corpus, inputs | 1410 files, 1,410,000 bytes: manual/page-0.html, manual/page-1.html, "
                      "manual/page-2.html, ... (list "),
            HasSubstr("| corpus, format | html |"), HasSubstr("| corpus, header | none |"),
            HasSubstr("| corpus, fastai_rules | yes |"), HasSubstr("| corpus, text_columns | title, body |"),
            HasSubstr("| corpus, train | t.csv, 12,345 bytes (f00d) |"), HasSubstr("| corpus, cleaned, nul_bytes | 2 |")));
  EXPECT_LT(info.lineage.front().facts.dump().size() + card.size(), 3500U);
}

// Facts are free: a stage whose parent tells odd ones is trained for hours before its card is written.
TEST(StageCard, TellsFactsOfAnyType) {
  CardInfo info;
  const json odd = {{"inputs", {{"files", "many"}, {"bytes", 1}, {"list", 3}, {"first", 7}}},
                    {"test", {{"name", "a"}, {"bytes", "x"}, {"xxh3", 5}}},
                    {"big", 18446744073709551615U},
                    {"nested", {{{"a", {1, {{"b", 2}}}}}, 3}},
                    {"empty", json::object()},
                    {"none", nullptr}};
  info.lineage = {{"pretrain", "", odd}};
  EXPECT_THAT(stage_card(info), AllOf(HasSubstr("| inputs, files | many |"), HasSubstr("| test, bytes | x |")));
}

}  // namespace
}  // namespace ulmfit::reports
