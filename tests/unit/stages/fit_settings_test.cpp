#include "stages/fit_settings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace ulmfit::stages {
namespace {

std::string value(const std::vector<Setting>& settings, const std::string& key) {
  const auto found = std::find_if(settings.begin(), settings.end(), [&](const Setting& s) { return s.key == key; });
  return found == settings.end() ? "" : found->value;
}

model::Shape shape(std::int64_t hidden) {
  model::Shape shape;
  shape.hidden = hidden;
  return shape;
}

// What configs/quickstart-finetune-lm.cfg and configs/quickstart-classifier.cfg say, found for its sizes.
TEST(FitSettings, AreThoseOfTheQuickStartForItsTexts) {
  const FitFacts facts{.lm_tokens = 559'000, .texts = 900, .valid_texts = 100, .shape = shape(300)};
  const auto lm = language_model_settings(facts);
  EXPECT_EQ(value(lm, "train.streams"), "16");
  EXPECT_EQ(value(lm, "epochs"), "3");
  EXPECT_EQ(value(lm, "lr"), "0.005");
  EXPECT_EQ(value(lm, "optim.factor"), "1");
  EXPECT_EQ(value(lm, "drop-mult"), "0.3");
  EXPECT_EQ(value(lm, "train.select"), "best");
  EXPECT_EQ(value(lm, "train.patience"), "3");
  EXPECT_EQ(value(lm, "model.hidden"), "");
  const auto classifier = classifier_settings(facts);
  EXPECT_EQ(value(classifier, "train.batch-size"), "32");
  EXPECT_EQ(value(classifier, "lr"), "0.01");
  EXPECT_EQ(value(classifier, "epochs"), "11");  // there 10
  EXPECT_EQ(value(classifier, "optim.unfreeze"), "full");
  EXPECT_EQ(value(classifier, "optim.factor"), "1");
  EXPECT_EQ(value(classifier, "train.select"), "best");
}

TEST(FitSettings, HaveAReasonEach) {
  for (const bool pretrained : {false, true}) {
    const FitFacts facts{
        .lm_tokens = 50'000, .texts = 900, .valid_texts = 100, .pretrained = pretrained, .shape = shape(300)};
    for (const auto& settings : {language_model_settings(facts), classifier_settings(facts)}) {
      for (const Setting& setting : settings) EXPECT_NE(setting.reason, "") << setting.key;
    }
  }
}

TEST(FitSettings, FewTextsGetSmallBatchesAndMoreEpochs) {
  const FitFacts facts{.lm_tokens = 5'000, .texts = 90, .valid_texts = 10, .shape = shape(1150)};
  EXPECT_EQ(value(language_model_settings(facts), "train.streams"), "8");
  EXPECT_EQ(value(language_model_settings(facts), "epochs"), "15");
  EXPECT_EQ(value(classifier_settings(facts), "train.batch-size"), "8");
  EXPECT_EQ(value(classifier_settings(facts), "lr"), "0.005");
  EXPECT_EQ(value(classifier_settings(facts), "epochs"), "20");
  EXPECT_EQ(value(classifier_settings(facts), "train.select"), "last");
}

TEST(FitSettings, MuchTextGetsThePapersBatchesAndRates) {
  const FitFacts facts{.lm_tokens = 30'000'000, .texts = 100'000, .valid_texts = 10'000, .shape = shape(1150)};
  const auto lm = language_model_settings(facts);
  EXPECT_EQ(value(lm, "train.streams"), "64");
  EXPECT_EQ(value(lm, "epochs"), "3");
  EXPECT_EQ(value(lm, "lr"), "0.004");
  EXPECT_EQ(value(lm, "optim.factor"), "2.6");
  EXPECT_EQ(value(classifier_settings(facts), "train.batch-size"), "64");
  EXPECT_EQ(value(classifier_settings(facts), "epochs"), "4");
  EXPECT_EQ(value(classifier_settings(facts), "optim.factor"), "2.6");
}

TEST(FitSettings, StreamsAreDividedAmongAnyNumberOfRanks) {
  for (const std::int64_t ranks : {1, 2, 3, 5, 7, 12, 16, 100}) {
    const FitFacts facts{.lm_tokens = 50'000, .texts = 900, .valid_texts = 100, .ranks = ranks, .shape = shape(300)};
    const std::int64_t streams = std::stoll(value(language_model_settings(facts), "train.streams"));
    EXPECT_EQ(streams % ranks, 0) << ranks;
    EXPECT_GE(streams, 8);
  }
}

TEST(FitSettings, FromScratchTheShapeIsThatWhichTheTextFills) {
  FitFacts facts{.lm_tokens = 1'000'000, .texts = 1000, .valid_texts = 100, .pretrained = false, .shape = {}};
  EXPECT_EQ(value(language_model_settings(facts), "model.hidden"), "300");
  facts.lm_tokens = 100'000'000;
  EXPECT_EQ(value(language_model_settings(facts), "model.hidden"), "1152");
}

TEST(FitSettings, NothingIsDividedByZero) {
  for (const std::int64_t n : {0, 1, 2, 7}) {
    const FitFacts facts{.lm_tokens = n, .texts = n, .valid_texts = 0, .shape = shape(300)};
    EXPECT_EQ(value(language_model_settings(facts), "train.streams"), "8");
    EXPECT_EQ(value(classifier_settings(facts), "epochs"), "20");
  }
}

}  // namespace
}  // namespace ulmfit::stages
