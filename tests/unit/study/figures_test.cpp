#include "study/figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "reports/metrics.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::study {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Result result(const std::string& setting, std::int64_t labels, std::int64_t seed, double error) {
  const std::string name = setting + "-" + std::to_string(labels) + "-seed" + std::to_string(seed);
  Result r{.cell = {.name = name, .needs = {}, .setting = setting, .labels = labels, .seed = seed},
           .state = State::kDone,
           .record = {.state = State::kDone, .seconds = 10}};
  r.test_texts = 100;
  r.error = error;
  return r;
}

std::optional<double> error_of(const Result& r) { return r.error; }

const Study kLowShotStudy{
    .kind = kLowShot,
    .config = "seeds = 2\n",
    .sources = {},
    .cells = {},
    .notes = {"drawn from <train>.csv"},
    .tables = {{"Error by number of labels", "", {{"from scratch", "scratch"}, {"supervised", "supervised"}}}}};

TEST(Figure, OfSeveralRunsHasTheIntervalOfTheMean) {
  const std::vector<Result> results{result("scratch", 10, 1, 0.3), result("scratch", 10, 2, 0.5),
                                    result("scratch", 20, 1, 0.1)};
  const Figure figure = figure_of(results, "scratch", 10, error_of);
  EXPECT_EQ(figure.runs, 2U);
  EXPECT_DOUBLE_EQ(figure.mean, 0.4);
  EXPECT_EQ(figure.interval.low, 0) << "0.4 - 12.7 x 0.1 is no share";
  EXPECT_EQ(figure.interval.high, 1);
}

TEST(Figure, OfOneRunHasWilsons) {
  const Figure figure = figure_of({result("scratch", 10, 1, 0.2)}, "scratch", 10, error_of);
  const reports::Interval wilson = reports::wilson_interval(20, 100);
  EXPECT_DOUBLE_EQ(figure.interval.low, wilson.low);
  EXPECT_DOUBLE_EQ(figure.interval.high, wilson.high);
  EXPECT_EQ(figure.text(), "20.00 % (13.34 to 28.88)");
}

TEST(Figure, OfRunsThatAreAllAlikeHasNoInterval) {
  const std::vector<Result> results{result("scratch", 10, 1, 0.3), result("scratch", 10, 2, 0.3)};
  EXPECT_EQ(figure_of(results, "scratch", 10, error_of).text(), "30.00 % (all runs alike)");
}

TEST(Figure, CountsWhatIsDoneAlone) {
  Result broken = result("scratch", 10, 1, 0.2);
  broken.state = State::kBroken;
  const Figure figure = figure_of({broken}, "scratch", 10, error_of);
  EXPECT_EQ(figure.runs, 0U);
  EXPECT_EQ(figure.text(), "");
}

TEST(Tables, OfALowShotStudyHaveAColumnASize) {
  std::vector<Result> results;
  for (const std::int64_t labels : {10, 1000}) {
    results.push_back(result("scratch", labels, 1, 0.5));
    results.back().naive_bayes = 0.25;
    results.push_back(result("supervised", labels, 1, 0.2));
  }
  results.back().state = State::kBroken;
  const auto tables = tables_of(kLowShotStudy, results);
  ASSERT_EQ(tables.size(), 1U);
  EXPECT_THAT(tables[0].columns, ElementsAre("labels", "10", "1,000"));
  ASSERT_EQ(tables[0].rows.size(), 3U);
  EXPECT_THAT(tables[0].rows[1], ElementsAre("supervised", HasSubstr("20.00 % ("), "0 of 1 runs, the others broken"));
  EXPECT_THAT(tables[0].rows[2][0], HasSubstr("naive Bayes"));
  EXPECT_THAT(tables[0].rows[2][1], HasSubstr("25.00 %"));
  EXPECT_THAT(tables_text(tables), HasSubstr("  supervised                  20.00 % ("));
}

TEST(Tables, OfAnAblationFollowThePlanAndShowWhatIsForgotten) {
  const Study study{.kind = kAblation,
                    .config = "",
                    .sources = {},
                    .cells = {},
                    .notes = {},
                    .tables = {{"Pretraining", "", {{"none", "no-pretraining"}, {"given", "ulmfit"}}}}};
  std::vector<Result> results{result("no-pretraining", 0, 1, 0.4), result("ulmfit", 0, 1, 0.1),
                              result("general-lm-untuned", 0, 1, 0), result("general-lm-tuned", 0, 1, 0)};
  results[2].general_perplexity = 50;
  results[3].general_perplexity = 80.25;
  const auto tables = tables_of(study, results);
  ASSERT_EQ(tables.size(), 2U);
  EXPECT_THAT(tables[0].rows[1][1], HasSubstr("10.00 % ("));
  EXPECT_THAT(tables[1].rows,
              ElementsAre(ElementsAre("the given model, untuned", "50.0"), ElementsAre("full + discr + stlr", "80.2")));
}

TEST(Csv, HasALineACellAndQuotesWhatItMust) {
  std::vector<Result> results{result("scratch", 10, 1, 0.125)};
  results[0].error_interval = {0.1, 0.2};
  results.push_back(
      {.cell = {.name = "lm", .needs = {}, .setting = "language model", .seed = 2},
       .state = State::kBroken,
       .record = {.state = State::kBroken, .seconds = 2.5, .exit_code = 3, .message = "cannot read \"a\", b"}});
  EXPECT_EQ(
      to_csv(results),
      "cell,setting,labels,seed,state,error,error_low,error_high,error_forward,error_backward,macro_f1,naive_bayes_error,"
      "general_perplexity,test_texts,seconds,exit_code,message\n"
      "scratch-10-seed1,scratch,10,1,done,0.125,0.1,0.2,,,,,,100,10,0,\n"
      "lm,language model,,2,broken,,,,,,,,,,2.5,3,\"cannot read \"\"a\"\", b\"\n");
}

TEST(Page, EscapesTextsAndDrawsTheFigure) {
  test::TempDir dir;
  const StudyFolder folder(dir.path());
  std::vector<Result> results;
  for (const std::int64_t labels : {10, 100}) {
    results.push_back(result("scratch", labels, 1, 0.5));
    results.push_back(result("supervised", labels, 1, 0.2));
  }
  results.back().state = State::kBroken;
  results.back().record = {.state = State::kBroken, .exit_code = 6, .message = "<b>diverged</b>"};
  const std::string page = study_page(folder, kLowShotStudy, results);
  EXPECT_THAT(page,
              AllOf(HasSubstr("class=\"spread c0\""), HasSubstr("data-x-low"), HasSubstr("drawn from &lt;train&gt;.csv"),
                    HasSubstr("exit code 6: &lt;b&gt;diverged"), HasSubstr("50.00 % <small>(")));
  EXPECT_THAT(page, Not(HasSubstr("<b>diverged")));
  EXPECT_THAT(page, Not(HasSubstr("://")));
  write_results(folder, kLowShotStudy, results);
  EXPECT_EQ(read_file(dir / "study.html"), page);
  EXPECT_THAT(read_file(dir / "results.csv"), HasSubstr("supervised-100-seed1,supervised,100,1,broken"));
}

TEST(Page, TheErrorByEpochHasAnIntervalWhereThereAreSeveralSeeds) {
  test::TempDir dir;
  const StudyFolder folder(dir.path());
  Study study = kLowShotStudy;
  study.kind = kAblation;
  std::vector<Result> results;
  const auto add = [&](const std::string& setting, std::int64_t seed, double error) {
    results.push_back(result(setting, 0, seed, error));
    make_directories(folder.cell(results.back().cell.name) / "classifier");
    reports::MetricsLog log(folder.cell(results.back().cell.name) / "classifier" / "metrics.jsonl");
    for (const double epoch : {1.0, 2.0}) {
      log.write(reports::EvaluationReport{10, epoch, "valid", {{"loss", 0.5}, {"error", error / epoch}}});
    }
  };
  add("ulmfit", 1, 0.2);
  EXPECT_THAT(study_page(folder, study, results), Not(HasSubstr("class=\"spread")));
  add("ulmfit", 2, 0.4);
  EXPECT_THAT(study_page(folder, study, results), HasSubstr("class=\"spread c0\""));
}

}  // namespace
}  // namespace ulmfit::study
