#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/error.h"
#include "config/ini.h"
#include "study/plan.h"

namespace ulmfit::study {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

LabelledTexts texts(int count, const std::string& what) {
  LabelledTexts made;
  for (int i = 0; i < count; ++i) {
    made.texts.push_back(what + " text number " + std::to_string(i));
    made.classes.push_back(i % 2);
    made.labels.emplace_back(i % 2 == 0 ? "no" : "yes");
  }
  return made;
}

class Grid : public ::testing::Test {
 protected:
  Grid() {
    request_.output = "out";
    request_.from = {"general"};
    request_.labels = {10, 40};
    request_.seeds = 2;
    request_.compute = {{"train.threads", "1"}};
    request_.sources.train = "train.csv";
  }
  Material material() {
    Material made{.request = request_, .sources = {}, .models = {}, .basis = {}};
    made.sources.train = texts(200, "training");
    made.sources.test = texts(30, "test");
    made.sources.classes = {"no", "yes"};
    for (const std::string& from : request_.from) {
      stages::StartingModel start;
      start.from = from;
      start.model.vocabulary = vocabulary_;
      start.model.text = text_;
      start.model.info.backward = from == "backward";
      start.suffix = request_.from.size() < 2 ? "" : start.model.info.backward ? "-backward" : "-forward";
      made.models.push_back(std::move(start));
    }
    made.basis.shape = {.vocabulary = 1000, .embedding = 40, .hidden = 60, .layers = 3};
    made.basis.writer = "study";
    made.basis.compute = request_.compute;
    return made;
  }
  Plan low_shot() {
    Material made = material();
    request_.kind = kLowShot;
    return plan_low_shot(made);
  }
  Plan ablation() {
    Material made = material();
    request_.kind = kAblation;
    return plan_ablation(made);
  }
  static std::vector<std::string> names(const Plan& plan) {
    std::vector<std::string> all;
    for (const Cell& cell : plan.cells) all.push_back(cell.name);
    return all;
  }
  static const Cell& cell(const Plan& plan, const std::string& name) {
    return *std::find_if(plan.cells.begin(), plan.cells.end(), [&](const Cell& c) { return c.name == name; });
  }
  // Every need stands before who needs it, names are folders of their own, and every pipeline can be read.
  static void check(const Plan& plan) {
    std::set<std::string> before;
    std::map<std::string, std::set<std::string>> reach;
    for (const Cell& c : plan.cells) {
      for (const std::string& need : c.needs) EXPECT_TRUE(before.contains(need)) << c.name << " needs " << need;
      EXPECT_TRUE(before.insert(c.name).second) << c.name << " is there twice";
      EXPECT_GT(c.seconds, 0) << c.name;
      const auto sections = config::read_ini(plan.pipelines.at(c.name), c.name);
      EXPECT_FALSE(sections.empty()) << c.name;
      std::set<std::string>& readable = reach[c.name] = {c.name};  // itself, and what is done before it
      for (const std::string& need : c.needs) readable.insert(reach[need].begin(), reach[need].end());
      for (const auto& [key, value] : config::flat(sections)) {
        const std::string prefix = "cells/";
        if (!value.starts_with(prefix)) continue;
        const std::string name = value.substr(prefix.size(), value.find('/', prefix.size()) - prefix.size());
        EXPECT_TRUE(readable.contains(name)) << c.name << ": " << key << " = " << value;
        const bool written = key.ends_with(".output") || key.ends_with(".report");
        EXPECT_TRUE(!written || name == c.name) << c.name << ": " << key << " = " << value;
      }
    }
  }

  Request request_;
  std::shared_ptr<const text::Vocabulary> vocabulary_ =
      std::make_shared<text::Vocabulary>(text::Vocabulary::build({{"word", 5}}, {}));
  std::shared_ptr<const text::TextPipeline> text_ = std::make_shared<text::TextPipeline>(text::TextOptions());
};

TEST_F(Grid, OfALowShotStudyHasThreeSettingsASubset) {
  const Plan plan = low_shot();
  check(plan);
  EXPECT_EQ(plan.cells.size(), 1U + 2 * (1 + 2 * 4));
  EXPECT_THAT(cell(plan, "scratch-10-seed2").needs, ElementsAre("texts-10-seed2"));
  EXPECT_THAT(cell(plan, "supervised-10-seed2").needs, ElementsAre("texts-10-seed2"));
  EXPECT_THAT(cell(plan, "semi-supervised-40-seed1").needs, ElementsAre("lm-all-seed1"));
  EXPECT_THAT(cell(plan, "lm-all-seed1").needs, ElementsAre("texts-all"));
  EXPECT_EQ(cell(plan, "supervised-40-seed2").labels, 40);
  EXPECT_THAT(plan.pipelines.at("scratch-10-seed2"), HasSubstr("from = none"));
  EXPECT_THAT(plan.pipelines.at("scratch-10-seed2"), HasSubstr("baselines = true"));
  EXPECT_THAT(plan.pipelines.at("scratch-10-seed2"), HasSubstr("model.hidden = 60"));
  EXPECT_THAT(plan.pipelines.at("supervised-10-seed2"), HasSubstr("seed = 2"));
  EXPECT_THAT(plan.pipelines.at("supervised-10-seed2"), HasSubstr("train.threads = 1"));
  EXPECT_THAT(plan.pipelines.at("texts-10-seed2"), Not(HasSubstr("train.threads"))) << "prepares, computes nothing";
}

TEST_F(Grid, OfALowShotStudyWritesItsSubsetsAsLines) {
  const Plan plan = low_shot();
  const auto count = [&](const std::string& name) {
    const std::string& text = plan.files.at("texts/" + name + ".jsonl");
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(count("10-seed1"), 10);
  EXPECT_EQ(count("40-seed2"), 40);
  EXPECT_EQ(count("valid"), 20);
  EXPECT_EQ(count("pool"), 180);
  EXPECT_EQ(count("test"), 30);
  EXPECT_NE(plan.files.at("texts/10-seed1.jsonl"), plan.files.at("texts/10-seed2.jsonl"));
  EXPECT_THAT(plan.files.at("texts/valid.jsonl"), HasSubstr("\"label\":\"yes\""));
}

TEST_F(Grid, TwoDirectionsAreTunedInOneCellAndTestedTogetherAndApart) {
  request_.from = {"general", "backward"};
  const Plan plan = low_shot();
  check(plan);
  EXPECT_EQ(plan.cells.size(), 1U + 2 * (1 + 2 * 4));
  const std::string& pipeline = plan.pipelines.at("semi-supervised-10-seed1");
  for (const char* line :
       {"from = cells/lm-all-seed1/lm-forward", "from = cells/lm-all-seed1/lm-backward",
        "report = cells/semi-supervised-10-seed1/evaluation\n", "evaluation-forward\n", "evaluation-backward\n"}) {
    EXPECT_THAT(pipeline, HasSubstr(line));
  }
  EXPECT_THAT(plan.pipelines.at("scratch-10-seed1"), HasSubstr("direction = backward"));
}

TEST_F(Grid, ALowShotStudyRefusesWhatItCannotDraw) {
  request_.sources.valid_share = 0;
  EXPECT_THROW(low_shot(), ConfigError);
  EXPECT_THROW(ablation(), ConfigError);
  request_.sources.valid_share = 0.1;
  request_.labels = {10, 400};
  EXPECT_THROW(low_shot(), DataError);
}

TEST_F(Grid, OfAnAblationHasThePapersRows) {
  const Plan plan = ablation();
  check(plan);
  EXPECT_EQ(plan.cells.size(), 1U + 2 * (5 + 1 + 9 + 1 + 3));
  const auto all = names(plan);
  EXPECT_THAT(all, Not(Contains("vanilla-seed1")));
  EXPECT_THAT(all, Not(Contains("both-seed1")));
  EXPECT_THAT(all, Not(Contains("general")));
  EXPECT_THAT(plan.notes, Contains(HasSubstr("--vanilla")));
  EXPECT_THAT(plan.notes, Contains(HasSubstr("other direction")));
  for (const Table& table : plan.tables) {
    for (const Row& row : table.rows) EXPECT_THAT(all, Contains(row.setting + "-seed2")) << row.label;
  }
  EXPECT_THAT(plan.pipelines.at("chain-thaw-seed1"), HasSubstr("optim.group-factors = 0.1,0.1,0.1,0.1,1"));
  EXPECT_THAT(plan.pipelines.at("full-seed1"), HasSubstr("schedule.kind = constant"));
  EXPECT_THAT(plan.pipelines.at("full-seed1"), HasSubstr("train.patience = 10"));
  EXPECT_THAT(plan.pipelines.at("ulmfit-seed1"), Not(HasSubstr("train.patience")));
  // Unfreezing, highest rate, factor between layers, schedule, as the paper has them.
  const std::vector<std::array<std::string, 5>> rows{{"full", "full", "0.001", "1", "constant"},
                                                     {"full-discr", "full", "0.01", "2.6", "constant"},
                                                     {"last", "last", "0.001", "1", "constant"},
                                                     {"chain-thaw", "chain-thaw", "0.001", "1", "constant"},
                                                     {"freez", "paper", "0.001", "1", "constant"},
                                                     {"freez-discr", "paper", "0.01", "2.6", "constant"},
                                                     {"freez-stlr", "paper", "0.01", "1", "slanted-triangular"},
                                                     {"freez-cos", "paper", "0.001", "1", "cosine"},
                                                     {"ulmfit", "paper", "0.01", "2.6", "slanted-triangular"},
                                                     {"scratch", "full", "0.001", "1", "constant"}};
  for (const auto& [setting, unfreeze, lr, factor, schedule] : rows) {
    const std::string& pipeline = plan.pipelines.at(setting + "-seed1");
    EXPECT_THAT(pipeline, HasSubstr("\noptim.unfreeze = " + unfreeze + "\n")) << setting;
    EXPECT_THAT(pipeline, HasSubstr("\nlr = " + lr + "\n")) << setting;
    EXPECT_THAT(pipeline, HasSubstr("\noptim.factor = " + factor + "\n")) << setting;
    EXPECT_THAT(pipeline, HasSubstr("\nschedule.kind = " + schedule + "\n")) << setting;
    EXPECT_EQ(pipeline.find("train.patience = 10") != std::string::npos, setting != "ulmfit") << setting;
    EXPECT_EQ(pipeline.find("\nepochs = 42\n") != std::string::npos, setting != "ulmfit") << setting;
  }
  EXPECT_THAT(plan.pipelines.at("lm-untuned-seed1"), HasSubstr("lr = 0\n"));
  EXPECT_THAT(plan.pipelines.at("lm-untuned-seed1"), HasSubstr("train.steps = 1"));
  EXPECT_THAT(plan.pipelines.at("lm-no-pretraining-seed1"), HasSubstr("model.embedding = 40"));
}

TEST_F(Grid, GeneralTextIsReadByEveryLanguageModel) {
  request_.general = "/proc/self/cmdline";
  request_.from = {"general", "backward"};
  const Plan plan = ablation();
  check(plan);
  EXPECT_THAT(cell(plan, "lm-full-seed1").needs, ElementsAre("texts")) << "no classifier waits for general text";
  EXPECT_THAT(cell(plan, "general-lm-full-seed1").needs, ElementsAre("lm-full-seed1", "general"));
  EXPECT_THAT(cell(plan, "both-seed1").needs, ElementsAre("ulmfit-seed1", "other-direction-seed1"));
  EXPECT_THAT(plan.pipelines.at("general-lm-full-seed1"), HasSubstr("data = cells/general/corpus"));
  EXPECT_THAT(plan.pipelines.at("lm-other-direction-seed1"), HasSubstr("from = backward"));
}

TEST_F(Grid, ModelsThatAreNotAlikeAreNotCompared) {
  request_.from = {"general", "backward"};
  request_.kind = kAblation;
  Material made = material();
  made.models[1].model.info.shape.hidden = 61;
  EXPECT_THROW(plan_ablation(made), ConfigError);
}

TEST_F(Grid, CopiesOfTestTextsAreTold) {
  request_.kind = kLowShot;
  Material made = material();
  made.sources.test.texts[0] = made.sources.train.texts[0];
  EXPECT_THAT(plan_low_shot(made).notes, Contains(HasSubstr("1 of the training texts are test texts too")));
}

TEST_F(Grid, APlanIsToldWithWhatIsLeft) {
  const Plan plan = low_shot();
  std::map<std::string, Record> records{{"texts-all", {.state = State::kDone}}};
  const auto lines = describe(plan.cells, states_of(plan.cells, records), plan.notes);
  EXPECT_THAT(lines, Contains(HasSubstr("19 cells, 18 of them to be run: about ")));
  EXPECT_THAT(lines, Contains(HasSubstr("2 classes; 20 texts validate, drawn from train.csv, 10 of each class")));
}

}  // namespace
}  // namespace ulmfit::study
