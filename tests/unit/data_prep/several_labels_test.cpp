// prepare_labelled of texts that have several labels, or none.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/unit/data_prep/prepared_texts.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// Texts of two classes, of both or none; every tenth has a class of its own beside them.
std::string several_csv(int rows) {
  constexpr const char* kSets[] = {"", "pos", "neg;pos", " pos ;neg; pos"};
  std::string text = "text,label,group\n";
  for (int i = 0; i < rows; ++i) {
    text += str("film number n", i, ",", kSets[i % 4], i % 10 == 0 ? str(";rare", i) : "", ",g", i / 2, "\n");
  }
  return text;
}

class SeveralLabels : public PreparedTexts {};

TEST_F(SeveralLabels, SeveralLabelsATextAreKeptAsSets) {
  PrepareLabelledOptions o = options(several_csv(4) + "c,neg,\nd,pos,\n");
  o.columns.label_delimiter = ';';
  o.valid_share = 0;
  const PreparedLabelled prepared = prepare_labelled(o);
  EXPECT_THAT(prepared.labels, ElementsAre("neg", "pos", "rare0"));
  const data::CorpusInfo labelled = data::open_corpus(o.output / "labelled");
  EXPECT_EQ(labelled.kind, "multilabel");
  EXPECT_EQ(data::open_corpus(o.output / "lm").kind, "lm");
  EXPECT_EQ(labelled.label_sets, (data::LabelSets{{0}, {0, 1}, {1}, {2}}));  // in the order of their numbers
  const data::ShardSet train = shards(o.output / "labelled", "train");
  EXPECT_THAT(std::vector(train.labels().begin(), train.labels().end()), ElementsAre(3, 2, 1, 1, 0, 2));
  EXPECT_THAT(prepared.report.splits.at("train").classes,
              ElementsAre(Pair("neg", 3), Pair("pos", 4), Pair("rare0", 1)));  // memberships
  EXPECT_EQ(prepared.report.splits.at("train").of_no_class, 0);
  const nlohmann::json request = data::corpus_provenance(o.output / "labelled").at("request");
  EXPECT_EQ(request.at("label_delimiter"), ";");
  EXPECT_TRUE(prepare_labelled(o).already_prepared);
  o.columns.label_delimiter.reset();
  EXPECT_THAT(test::message_of<DataError>([&] { prepare_labelled(o); }), HasSubstr("(different: label_delimiter)"));
}

TEST_F(SeveralLabels, OneLabelATextIsAskedForAsBefore) {
  const PrepareLabelledOptions o = options("text,label\na,x\nb,x\nc,y\nd,y\n");
  prepare_labelled(o);
  EXPECT_TRUE(data::corpus_provenance(o.output / "labelled").at("request").at("label_delimiter").is_null());
  EXPECT_FALSE(nlohmann::json::parse(read_file(o.output / "labelled/corpus.json")).contains("label_sets"));
}

TEST_F(SeveralLabels, EveryClassOfSeveralStaysInTheTrainingTexts) {
  for (const bool folds : {false, true}) {
    PrepareLabelledOptions o = options(several_csv(200));
    o.columns.label_delimiter = ';';
    o.columns.group = "group";
    o.output = dir_ / (folds ? "fold" : "out");
    if (folds) o.fold = {2, 5};
    const PreparedLabelled prepared = prepare_labelled(o);
    EXPECT_EQ(prepared.report.leaking_groups, 0);
    const auto& splits = prepared.report.splits;
    EXPECT_EQ(splits.at("train").classes.size(), prepared.labels.size()) << "20 of them rare";
    EXPECT_GE(splits.at("valid").documents, 10);
    EXPECT_LE(splits.at("valid").documents, 20);
    if (folds) {
      EXPECT_GE(splits.at("test").documents, 20);
      EXPECT_EQ(splits.at("test").classes.size(), 2U);
    }
  }
}

TEST_F(SeveralLabels, WrongSetsOfLabelsAreRefusedOrTold) {
  const auto refused = [&](std::string_view train, std::string_view test = "") {
    PrepareLabelledOptions o = options(train);
    o.columns.label_delimiter = '|';
    o.valid_share = 0;
    if (!test.empty()) o.test = test::put(dir_ / "test.csv", test);
    return refusal(o);
  };
  EXPECT_THAT(refused("text,label\na,\nb, | \n"), HasSubstr("the training texts have no label; expected two or more"));
  EXPECT_THAT(refused("text,label\na,x\nb,x|x\n"), AllOf(HasSubstr("have one label, 'x'"), HasSubstr("--label-delimiter")));
  EXPECT_THAT(refused("text,label\na,x\nb,x|y\n", "text,label\nc,\nd,x|z\n"),
              AllOf(HasSubstr("test.csv: the label 'z' at line 3"), HasSubstr("cannot learn it")));
  PrepareLabelledOptions o = options("text,label\nalpha,x|y\nalpha,y|x\nalpha,\nbeta,x\n");
  o.columns.label_delimiter = '|';
  o.valid_share = 0;
  const PrepareReport report = prepare_labelled(o).report;
  EXPECT_EQ(report.disagreements, 1);
  EXPECT_THAT(report.disagreement_examples, ElementsAre("train.csv:2 x + y, train.csv:4 none"));
  EXPECT_EQ(report.splits.at("train").of_no_class, 1);
}

TEST_F(SeveralLabels, LabelsMadeOfOthersAreDoubtedWithoutADelimiter) {
  const auto doubts = [&](const std::string& rows) {
    PrepareLabelledOptions o = options("text,label\n" + rows);
    o.valid_share = 0;
    const auto told = prepare_labelled(o).report.doubts();
    fs::remove_all(o.output);
    return std::count_if(told.begin(), told.end(), [](const std::string& d) {
      return ::testing::Value(
          d, HasSubstr("2 labels are made of others, such as 'x;y': if these are texts with several labels, give "
                       "--label-delimiter ';'"));
    });
  };
  EXPECT_EQ(doubts("a,x;y\nb,y;z\nc,z\nd,x\n"), 1);
  EXPECT_EQ(doubts("a,x;y\nb,y;z\nc,x\n"), 0) << "z stands in one alone";
  EXPECT_EQ(doubts("a,x\nb,y\n"), 0);
}

TEST_F(SeveralLabels, ADelimiterThatNeverDividesIsDoubted) {
  PrepareLabelledOptions o = options("text,label\na,x;y\nb,x\nc,\nd,y\n");
  o.valid_share = 0;
  for (const char delimiter : {';', '|'}) {
    o.columns.label_delimiter = delimiter;
    o.output = dir_ / std::string(1, delimiter);
    const auto doubts = prepare_labelled(o).report.doubts();
    const auto never = HasSubstr("no text has more than one label: is --label-delimiter right?");
    EXPECT_EQ(std::count_if(doubts.begin(), doubts.end(), [&](const auto& d) { return ::testing::Value(d, never); }),
              delimiter == ';' ? 0 : 1);
  }
}

}  // namespace
}  // namespace ulmfit::data_prep
