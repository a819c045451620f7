#include "study/study_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::study {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

class Folder : public ::testing::Test {
 protected:
  Folder() {
    make_directories(folder_.path());
    write_file_atomic(dir_ / "train.csv", "label,text\na,b\n");
    request_.kind = kLowShot;
    request_.output = folder_.path();
    request_.sources.train = dir_ / "train.csv";
    request_.sources.test = dir_ / "train.csv";
    settings_.add("seeds", seeds_, "");
    settings_.add("output", output_, "", config::OnResume::kMayChange);
    settings_.add("train.threads", threads_, "", {}, config::OnResume::kMayChange);
    plan_.cells = {{.name = "texts", .needs = {}, .setting = "texts", .seconds = 2.5, .bytes = 100},
                   {.name = "lm", .needs = {"texts"}, .setting = "language model", .labels = 10, .seed = 3}};
    plan_.pipelines = {{"texts", "[evaluate]\n"}, {"lm", "[finetune-lm]\n"}};
    plan_.files = {{"texts/valid.jsonl", "{}\n"}};
  }
  Study study() {
    return {request_.kind,
            settings_.to_config(),
            sources_of(request_),
            places_of(request_),
            plan_.cells,
            {"a note"},
            {{"Title", "note", {{"row", "lm"}}}}};
  }

  test::TempDir dir_;
  StudyFolder folder_{dir_ / "study"};
  Request request_;
  std::int64_t seeds_ = 3, threads_ = 0;
  std::string output_ = "study";
  config::OptionSet settings_{"study"};
  Plan plan_;
};

TEST_F(Folder, KeepsTheStudy) {
  EXPECT_FALSE(folder_.exists());
  folder_.write(study(), plan_);
  ASSERT_TRUE(folder_.exists());
  const Study read = folder_.read();
  EXPECT_EQ(read.kind, kLowShot);
  EXPECT_EQ(read.config, settings_.to_config());
  EXPECT_EQ(read.sources, study().sources);
  ASSERT_EQ(read.cells.size(), 2U);
  EXPECT_EQ(read.cells[1].needs, std::vector<std::string>{"texts"});
  EXPECT_EQ(read.cells[1].labels, 10);
  EXPECT_EQ(read.cells[1].seed, 3);
  EXPECT_EQ(read.cells[0].seconds, 2.5);
  EXPECT_EQ(read.tables[0].rows[0].setting, "lm");
  EXPECT_EQ(read_file(folder_.cell("lm") / "pipeline.cfg"), "[finetune-lm]\n");
  EXPECT_TRUE(require_same_study(folder_, read, request_, settings_));
}

TEST_F(Folder, AStudyGrowsByMoreCellsOfWhichNoneChanges) {
  folder_.write(study(), plan_);
  const Study read = folder_.read();
  seeds_ = 5;
  EXPECT_FALSE(require_same_study(folder_, read, request_, settings_));
  Plan larger = plan_;
  larger.pipelines["lm-5"] = "[finetune-lm]\n";
  EXPECT_TRUE(grows(folder_, read, larger));
  Plan smaller = plan_;
  smaller.pipelines.erase("lm");
  EXPECT_FALSE(grows(folder_, read, smaller)) << "a worker's command from before it grew";
  larger.pipelines["lm"] = "[finetune-lm]\nlr = 1\n";
  EXPECT_THAT(
      [&] { grows(folder_, read, larger); },
      ThrowsMessage<ConfigError>(HasSubstr("the cell lm, which would be another one now: it was begun by a version")));
  larger.pipelines.erase("lm");
  EXPECT_THAT([&] { grows(folder_, read, larger); },
              ThrowsMessage<ConfigError>(HasSubstr("the cell lm, which is not among those")));
}

TEST_F(Folder, AnotherStudyIsRefusedByWhatDiffers) {
  folder_.write(study(), plan_);
  const Study read = folder_.read();
  seeds_ = 5;
  threads_ = 2;
  output_ = "elsewhere";
  EXPECT_THAT(
      [&] { require_same_study(folder_, read, request_, settings_); },
      ThrowsMessage<ConfigError>(AllOf(HasSubstr("--seeds: 3 there, 5 now"), HasSubstr("--train.threads: 0 there, 2 now"),
                                       Not(HasSubstr("elsewhere")), HasSubstr("give another --output"))));
  seeds_ = 3;
  threads_ = 0;
  write_file_atomic(dir_ / "train.csv", "label,text\na,c\n");
  EXPECT_THAT([&] { require_same_study(folder_, read, request_, settings_); },
              ThrowsMessage<ConfigError>(HasSubstr("--train: its content has changed")));
  request_.kind = kAblation;
  EXPECT_THAT([&] { require_same_study(folder_, read, request_, settings_); },
              ThrowsMessage<ConfigError>(HasSubstr("low-shot, not ablation")));
}

TEST_F(Folder, WithOtherContentIsNoPlaceForAStudy) {
  write_file_atomic(folder_.path() / "thesis.tex", "x");
  EXPECT_THAT([&] { folder_.write(study(), plan_); }, ThrowsMessage<DataError>(HasSubstr("it holds thesis.tex")));
  EXPECT_FALSE(folder_.exists());
}

TEST_F(Folder, WhatAKilledWorkerWasWritingIsNoOtherContent) {
  for (const char* name : {"study.json.tmp", "results.csv.tmp", "study.html.tmp"}) {
    write_file_atomic(folder_.path() / name, "{\"form");
  }
  folder_.write(study(), plan_);
  EXPECT_EQ(folder_.read().cells.size(), 2U);
  write_file_atomic(folder_.path() / "thesis.tmp", "x");
  EXPECT_THAT([&] { check_parts(folder_.path()); }, ThrowsMessage<DataError>(HasSubstr("it holds thesis.tmp")));
}

TEST_F(Folder, ADamagedStudyIsRefused) {
  for (const char* text :
       {"", "{", "{}", "[]", R"({"format":"ulmfit-study","version":99})", R"({"format":"ulmfit-study","version":1})"}) {
    write_file_atomic(folder_.path() / "study.json", text);
    EXPECT_THROW(folder_.read(), DataError) << text;
  }
}

TEST_F(Folder, KeepsHowACellEnded) {
  folder_.write(study(), plan_);
  EXPECT_EQ(folder_.record("lm").state, State::kOpen);
  folder_.keep("lm",
               {.state = State::kBroken, .seconds = 4.5, .exit_code = 137, .message = "no \xff text", .ended = 1.5e9});
  const Record record = folder_.record("lm");
  EXPECT_EQ(record.state, State::kBroken);
  EXPECT_EQ(record.seconds, 4.5);
  EXPECT_EQ(record.exit_code, 137);
  EXPECT_EQ(record.ended, 1.5e9);
  EXPECT_EQ(folder_.records(plan_.cells).at("texts").state, State::kOpen);
  write_file_atomic(folder_.cell("lm") / "state.json", "{\"state\":");
  EXPECT_EQ(folder_.record("lm").state, State::kOpen) << "it is run again";
}

}  // namespace
}  // namespace ulmfit::study
