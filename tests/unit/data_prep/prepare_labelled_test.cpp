#include "data_prep/prepare_labelled.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "reports/baselines.h"
#include "tests/support/real_data.h"
#include "tests/unit/data_prep/prepared_texts.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string csv(int rows, const std::string& mark) {
  std::string text = "text,label,group\n";
  for (int i = 0; i < rows; ++i) {
    text += "\"" + mark + " " + (i % 2 == 0 ? "good" : "bad") + " film number n" + std::to_string(i) + "\"," +
            (i % 2 == 0 ? "pos" : "neg") + ",g" + std::to_string(i / 4) + "\n";
  }
  return text;
}

class PrepareLabelled : public PreparedTexts {};

TEST_F(PrepareLabelled, WritesBothCorporaOverOneVocabulary) {
  PrepareLabelledOptions o = options(csv(100, "train"));
  o.test = test::put(dir_ / "test.csv", csv(20, "test"));
  o.unlabelled = {test::put(dir_ / "more.txt", "more words\nand more\n")};
  const PreparedLabelled prepared = prepare_labelled(o);
  EXPECT_THAT(prepared.labels, ElementsAre("neg", "pos"));

  const data::CorpusInfo lm = data::open_corpus(o.output / "lm");
  const data::CorpusInfo labelled = data::open_corpus(o.output / "labelled");
  EXPECT_EQ(lm.kind, "lm");
  EXPECT_EQ(labelled.kind, "labelled");
  EXPECT_EQ(labelled.labels, prepared.labels);
  EXPECT_EQ(lm.vocabulary_fingerprint, labelled.vocabulary_fingerprint);
  EXPECT_EQ(lm.splits.at("train").documents, 92);
  EXPECT_EQ(lm.splits.at("valid").documents, 10);
  EXPECT_FALSE(lm.splits.contains("test"));
  EXPECT_EQ(labelled.splits.at("train").documents, 90);
  EXPECT_EQ(labelled.splits.at("valid").documents, 10);
  EXPECT_EQ(labelled.splits.at("test").documents, 20);
  EXPECT_FALSE(text::Vocabulary::load(o.output / "lm/vocab.txt").knows("test"));

  const data::ShardSet train = shards(o.output / "labelled", "train");
  EXPECT_EQ(train.label(0) + train.label(1), 1);
  const nlohmann::json report = nlohmann::json::parse(read_file(o.output / "report.json"));
  EXPECT_EQ(report.at("validation"), "held out");
  EXPECT_EQ(report.at("splits").at("valid").at("classes"), (nlohmann::json{{"neg", 5}, {"pos", 5}}));
  EXPECT_EQ(report.at("splits").at("unlabelled").at("documents"), 2);
  EXPECT_GT(report.at("splits").at("test").at("unknown_share"), 0);

  const auto bayes =
      reports::naive_bayes_baseline(train, shards(o.output / "labelled", "valid"), shards(o.output / "labelled", "test"));
  EXPECT_DOUBLE_EQ(bayes.error, 0);  // "good" and "bad" tell the classes
}

TEST_F(PrepareLabelled, TestTextEntersTheLanguageModelOnlyWhenAsked) {
  PrepareLabelledOptions o = options(csv(40, "train"));
  o.test = test::put(dir_ / "test.csv", csv(20, "test"));
  o.include_test_text = true;
  prepare_labelled(o);
  EXPECT_EQ(data::open_corpus(o.output / "lm").splits.at("train").documents, 56);
  EXPECT_TRUE(text::Vocabulary::load(o.output / "lm/vocab.txt").knows("test"));
  EXPECT_EQ(data::corpus_provenance(o.output / "lm").at("request").at("include_test_text"), true);
}

TEST_F(PrepareLabelled, EachFoldIsTestedOnOnce) {
  std::vector<std::string> places;
  for (std::int32_t k = 1; k <= 3; ++k) {
    PrepareLabelledOptions o = options(csv(60, "train"));
    o.fold = {k, 3};
    o.output = dir_ / str("fold", k);
    prepare_labelled(o);
    const data::CorpusInfo labelled = data::open_corpus(o.output / "labelled");
    EXPECT_EQ(labelled.splits.at("test").documents, 20);
    EXPECT_EQ(labelled.splits.at("valid").documents, 4);
    EXPECT_EQ(labelled.splits.at("train").documents, 36);
    EXPECT_EQ(read_lines(data::places_file(o.output / "labelled", "train")).size(), 36U);
    for (const std::string& line : read_lines(data::places_file(o.output / "labelled", "test"))) places.push_back(line);
    for (const Fold other : {Fold{k % 3 + 1, 3}, Fold{}}) {
      o.fold = other;
      EXPECT_THAT(test::message_of<DataError>([&] { prepare_labelled(o); }), HasSubstr("(different: fold)"));
    }
  }
  EXPECT_EQ(places.front().rfind("train.csv:", 0), 0U);
  std::sort(places.begin(), places.end());
  EXPECT_EQ(std::unique(places.begin(), places.end()) - places.begin(), 60);
}

TEST_F(PrepareLabelled, AClassOfOneTextIsNeverTestedOn) {
  for (std::int32_t k = 1; k <= 2; ++k) {
    PrepareLabelledOptions o = options("text,label\na,x\nb,x\nc,y\nd,y\ne,z\n");
    o.valid_share = 0;
    o.fold = {k, 2};
    o.output = dir_ / str("fold", k);
    prepare_labelled(o);
    EXPECT_EQ(data::open_corpus(o.output / "labelled").splits.at("test").documents, 2);
  }
  PrepareLabelledOptions alone = options("text,label,group\na,x,g\nb,z,g\nc,x,h\nd,y,h\n");
  alone.valid_share = 0;
  alone.columns.group = "group";
  alone.fold = {1, 2};
  EXPECT_THAT(refusal(alone), HasSubstr("has no text that can be tested on"));
  PrepareLabelledOptions o = options(csv(20, "t"));
  o.fold = {1, 2};
  o.test = test::put(dir_ / "test.csv", csv(20, "test"));
  EXPECT_THROW(prepare_labelled(o), ConfigError);
}

TEST_F(PrepareLabelled, GroupsStayTogether) {
  PrepareLabelledOptions o = options(csv(200, "train"));
  o.columns.group = "group";
  const PreparedLabelled prepared = prepare_labelled(o);
  EXPECT_EQ(prepared.report.leaking_groups, 0);
  EXPECT_EQ(prepared.report.splits.at("valid").documents % 4, 0);
  EXPECT_EQ(prepared.report.splits.at("valid").documents, 20);
}

TEST_F(PrepareLabelled, CopiesOfATextStayTogether) {
  std::string text = "text,label,group\n";
  for (int i = 0; i < 120; ++i) {
    const int distinct = i % 40;  // three copies of each, far apart
    text += str(distinct % 2 == 0 ? "good" : "bad", " film number n", distinct, ",", distinct % 2 == 0 ? "pos" : "neg", ",",
                i < 80 ? str("g", distinct / 2) : "", "\n");
  }
  const auto across = [](const PreparedLabelled& prepared) {
    std::int64_t copies = 0;
    for (const auto& pair : prepared.report.repeats) copies += pair.of == pair.repeats ? 0 : pair.exact;
    return copies;
  };
  PrepareLabelledOptions o = options(text);
  const PreparedLabelled prepared = prepare_labelled(o);
  EXPECT_EQ(across(prepared), 0);
  EXPECT_EQ(prepared.report.splits.at("valid").documents, 12);
  o.output = dir_ / "grouped";
  o.columns.group = "group";  // with what is in no group, but a copy of what is in one
  const PreparedLabelled grouped = prepare_labelled(o);
  EXPECT_EQ(across(grouped), 0);
  EXPECT_EQ(grouped.report.leaking_groups, 0);
  EXPECT_EQ(grouped.report.splits.at("valid").documents, 12);
  for (std::int32_t k = 1; k <= 3; ++k) {
    o.fold = {k, 3};
    o.output = dir_ / str("fold", k);
    EXPECT_EQ(across(prepare_labelled(o)), 0);
  }
  // Two texts that stand forty times each: there is no other way than to tear them apart.
  std::string two = "text,label\n";
  for (int i = 0; i < 80; ++i) two += i % 2 == 0 ? "good film,pos\n" : "bad film,neg\n";
  PrepareLabelledOptions torn = options(two);
  torn.output = dir_ / "torn";
  EXPECT_EQ(prepare_labelled(torn).report.splits.at("valid").documents, 8);
  // A text that many groups share does not tie them together.
  std::string shared = "text,label,group\n";
  for (int g = 0; g < 20; ++g) shared += str("yes,pos,g", g, "\nno number n", g, ",neg,g", g, "\n");
  torn = options(shared);
  torn.columns.group = "group";
  torn.output = dir_ / "shared";
  const PreparedLabelled in_groups = prepare_labelled(torn);
  EXPECT_EQ(in_groups.report.leaking_groups, 0);
  EXPECT_EQ(in_groups.report.splits.at("valid").documents, 4);
}

TEST_F(PrepareLabelled, HoldsOutEnoughTextsWhereThatIsNoMoreThanAFifth) {
  PrepareLabelledOptions o = options(csv(60, "train"));
  const auto held_out = [&](std::int64_t least) {
    o.valid_least = least;
    o.output = dir_ / std::to_string(least);
    return prepare_labelled(o).report.splits.at("valid").documents;
  };
  EXPECT_EQ(held_out(0), 6);
  EXPECT_EQ(held_out(5), 6);
  EXPECT_EQ(held_out(10), 10);
  EXPECT_EQ(held_out(11), 12) << "each class is rounded by itself";
  EXPECT_EQ(held_out(12), 12);
  EXPECT_EQ(held_out(13), 6) << "more than a fifth";
}

TEST_F(PrepareLabelled, LabelsThatAreProbablyMistakesAreTold) {
  PrepareLabelledOptions o = options(csv(20, "train") + "one more text,POS,\nand another,Pos,\n");
  EXPECT_THAT(prepare_labelled(o).report.doubts(),
              AllOf(Contains(HasSubstr("the labels 'pos' and 'POS' differ in capital letters alone")),
                    Contains(HasSubstr("the labels 'pos' and 'Pos' differ"))));
  std::string numbered = "text,label,group\n";
  for (int i = 0; i < 30; ++i) numbered += "text number " + std::to_string(i) + "," + std::to_string(i) + ",\n";
  o = options(numbered);
  o.output = dir_ / "numbered";
  EXPECT_THAT([&] { prepare_labelled(o); },
              ThrowsMessage<DataError>(
                  AllOf(HasSubstr("30 training texts have 30 different labels"), HasSubstr("is the label column right?"))));
  o = options(csv(20, "train"));
  o.columns.text = {"text", "label"};
  o.output = dir_ / "columns";
  EXPECT_THAT([&] { prepare_labelled(o); },
              ThrowsMessage<ConfigError>(HasSubstr("names 'label', which is the label column too")));
}

TEST_F(PrepareLabelled, BytesOfAnotherEncodingAreADoubt) {
  PrepareLabelledOptions o = options(csv(20, "train") + "caf\xE9 cr\xE8me,pos,\n");
  EXPECT_THAT(prepare_labelled(o).report.doubts(), Contains(HasSubstr("2 byte sequences were not UTF-8")));
}

TEST_F(PrepareLabelled, EmptyTextsAreTold) {
  PrepareLabelledOptions o = options(csv(20, "train") + "\"\",pos,\n\" \u00A0\n\",neg,\n");
  o.valid_share = 0;
  o.test = test::put(dir_ / "test.csv", csv(4, "test"));
  const PrepareReport report = prepare_labelled(o).report;
  EXPECT_EQ(report.splits.at("train").empty, 2);
  EXPECT_EQ(report.splits.at("test").empty, 0);
  EXPECT_THAT(report.doubts(), ElementsAre(HasSubstr("train: texts that are empty: 2, train.csv:22; train.csv:")));
  EXPECT_EQ(report.to_json().at("splits").at("train").at("empty"), 2);
  o.columns.text = {"text", "group"};
  o.output = dir_ / "two";
  EXPECT_EQ(prepare_labelled(o).report.splits.at("train").empty, 2) << "of two columns";
}

TEST_F(PrepareLabelled, AFirstRowThatLooksLikeAHeaderIsTold) {
  PrepareLabelledOptions o = options(csv(20, "train"));
  o.columns.text = {"1"};
  o.columns.label = "2";
  const auto doubts = [&](const char* output) {
    o.output = dir_ / output;
    return prepare_labelled(o).report.doubts();
  };
  EXPECT_THAT(doubts("unsaid"), ElementsAre(AllOf(HasSubstr("train.csv: no text but its first row has the label 'label'"),
                                                  HasSubstr("--header yes"))));
  o.columns.table.header = false;
  EXPECT_THAT(doubts("none"), ElementsAre());
  o.columns.table.header = true;
  EXPECT_THAT(doubts("header"), ElementsAre());
  o = options(csv(20, "train").substr(sizeof("text,label,group\n") - 1));
  o.columns.text = {"1"};
  o.columns.label = "2";
  EXPECT_THAT(doubts("plain"), ElementsAre());
}

TEST_F(PrepareLabelled, ReportsRepeatsLeaksAndDisagreement) {
  const std::string run = "one two three four five six seven eight nine ten eleven twelve";
  PrepareLabelledOptions o = options("text,label,group\nalpha,a,g1\nbeta,b,g2\nalpha,b,g3\n" + run + " x,a,g4\n");
  o.valid = test::put(dir_ / "valid.csv", "text,label,group\nalpha,a,g1\ngamma,b,g5\n");
  o.test = test::put(dir_ / "test.csv", "text,label,group\ny " + run + ",b,g4\nbeta,b,g6\n");
  o.columns.group = "group";
  const PrepareReport report = prepare_labelled(o).report;
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> repeats;
  for (const auto& pair : report.repeats) repeats[pair.repeats + " of " + pair.of] = {pair.exact, pair.near};
  EXPECT_EQ(repeats["train of train"], std::pair(std::int64_t{1}, std::int64_t{0}));
  EXPECT_EQ(repeats["valid of train"], std::pair(std::int64_t{1}, std::int64_t{0}));
  EXPECT_EQ(repeats["test of train"], std::pair(std::int64_t{1}, std::int64_t{1}));
  EXPECT_EQ(repeats["test of valid"], std::pair(std::int64_t{0}, std::int64_t{0}));
  EXPECT_EQ(report.disagreements, 1);
  EXPECT_THAT(report.disagreement_examples, ElementsAre("train.csv:2 a, train.csv:4 b"));
  EXPECT_EQ(report.leaking_groups, 2);
  EXPECT_THAT(report.leaking_group_examples, ElementsAre("g1", "g4"));
  EXPECT_TRUE(report.validation_given);
}

TEST_F(PrepareLabelled, BytesDoNotDependOnThreadsAndASecondRunIsSkipped) {
  PrepareLabelledOptions o = options(csv(3000, "train"));
  o.threads = 1;
  EXPECT_FALSE(prepare_labelled(o).already_prepared);
  const auto first = test::contents(o.output);
  EXPECT_TRUE(prepare_labelled(o).already_prepared);
  o.output = dir_ / "second";
  o.threads = 3;
  prepare_labelled(o);
  EXPECT_EQ(test::contents(o.output), first);
  o.seed = 9;
  EXPECT_THAT(test::message_of<DataError>([&] { prepare_labelled(o); }), HasSubstr("(different: seed)"));
}

TEST_F(PrepareLabelled, UnlabelledTextIsReadByItsEnding) {
  PrepareLabelledOptions o = options(csv(20, "train"));
  o.vocabulary.min_count = 1;
  const std::string object = R"({"text": "read me", "source": "http"})";
  test::put(dir_ / "folder/a.jsonl.gz", test::compressed(object, "gz"));
  o.unlabelled = {test::put(dir_ / "more.json", object), dir_ / "folder", test::put(dir_ / "page.html", "<p>a page</p>")};
  prepare_labelled(o);
  const text::Vocabulary vocabulary = text::Vocabulary::load(o.output / "lm/vocab.txt");
  for (const char* word : {"read", "page"}) EXPECT_TRUE(vocabulary.knows(word)) << word;
  for (const char* word : {"source", "http", "{", "p"}) EXPECT_FALSE(vocabulary.knows(word)) << word;
  test::put(dir_ / "folder/b.txt", "of another kind");
  EXPECT_THAT([&] { prepare_labelled(o); },
              ThrowsMessage<DataError>(AllOf(HasSubstr("folder/a.jsonl.gz looks like jsonl"), HasSubstr("folder/b.txt"))));
}

TEST_F(PrepareLabelled, IsTakenAsItIsWhereItsTextHasGone) {
  PrepareLabelledOptions o = options(csv(20, "train"));
  test::put(dir_ / "more/a.txt", "more");
  test::put(dir_ / "more/b.txt", "and more");
  o.unlabelled = {dir_ / "more"};
  prepare_labelled(o);
  fs::remove(o.train);
  fs::remove_all(dir_ / "more");
  EXPECT_TRUE(prepare_labelled(o).already_prepared);
  o.test = dir_ / "test.csv";  // that there was none of
  EXPECT_THAT([&] { prepare_labelled(o); }, ThrowsMessage<DataError>(HasSubstr("no such file")));
  o.test.clear();
  o.unlabelled.clear();
  EXPECT_THAT([&] { prepare_labelled(o); }, ThrowsMessage<DataError>(HasSubstr("no such file")));
}

TEST_F(PrepareLabelled, BadInputIsRefusedAndLeavesNothing) {
  EXPECT_THAT(refusal(options("text,label\n")), HasSubstr("it has no rows"));
  EXPECT_THAT(refusal(options("")), HasSubstr("it has no rows"));
  EXPECT_THAT(refusal(options("text,label\na,x\nb,x\n")), HasSubstr("all training texts have the label 'x'"));
  EXPECT_THAT(refusal(options("text,label\na,x\nb,\n")), AllOf(HasSubstr("train.csv:3"), HasSubstr("the label is empty")));
  EXPECT_THAT(refusal(options("body,label\na,x\n")), HasSubstr("'body', 'label'"));
  EXPECT_THAT(refusal(options("text,label\n\"a,x\n")), HasSubstr("never closed"));
  PrepareLabelledOptions o = options(csv(20, "t"));
  o.test = test::put(dir_ / "test.csv", "text,label\na,neutral\n");
  EXPECT_THAT(refusal(o), AllOf(HasSubstr("test.csv"), HasSubstr("'neutral' at line 2")));
  o = options(csv(20, "t"));
  o.unlabelled = {test::put(dir_ / "none.txt", "\n\n")};
  EXPECT_THAT(refusal(o), HasSubstr("none.txt: it holds no text"));
  o = options(csv(4, "t"));
  o.columns.group = "group";
  EXPECT_THAT(refusal(o), HasSubstr("in 1 groups"));
}

TEST_F(PrepareLabelled, NothingIsHeldOutAtAShareOfZero) {
  PrepareLabelledOptions o = options(csv(20, "t"));
  o.valid_share = 0;
  prepare_labelled(o);
  const data::CorpusInfo labelled = data::open_corpus(o.output / "labelled");
  EXPECT_FALSE(labelled.splits.contains("valid"));
  EXPECT_EQ(labelled.splits.at("train").documents, 20);
  EXPECT_EQ(nlohmann::json::parse(read_file(o.output / "report.json")).at("validation"), "none");
}

TEST_F(PrepareLabelled, OptionsOutOfRangeAreRefused) {
  PrepareLabelledOptions o = options(csv(20, "t"));
  o.valid_share = 1;
  EXPECT_THROW(prepare_labelled(o), ConfigError);
  o = options(csv(20, "t"));
  o.include_test_text = true;
  EXPECT_THROW(prepare_labelled(o), ConfigError);
}

TEST_F(PrepareLabelled, RealTrec) {
  ULMFIT_REAL_DATA(data);
  PrepareLabelledOptions o;
  o.train = data / "trec/train_5500.label.xz";
  o.test = data / "trec/TREC_10.label.xz";
  o.output = dir_ / "trec";
  const PreparedLabelled prepared = prepare_labelled(o);
  EXPECT_THAT(prepared.labels, ElementsAre("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"));
  EXPECT_EQ(prepared.report.splits.at("train").documents + prepared.report.splits.at("valid").documents, 5452);
  EXPECT_EQ(prepared.report.splits.at("valid").classes.at("ABBR"), 9);  // a tenth of 86, rounded
  EXPECT_EQ(prepared.report.splits.at("test").documents, 500);
  EXPECT_EQ(prepared.cleaned.invalid_utf8, 1U);
  const auto train = shards(o.output / "labelled", "train");
  const auto test = shards(o.output / "labelled", "test");
  EXPECT_DOUBLE_EQ(reports::majority_baseline(train, test).error, 1 - 94.0 / 500);  // always ENTY
  const double bayes = reports::naive_bayes_baseline(train, shards(o.output / "labelled", "valid"), test).error;
  EXPECT_GT(bayes, 0.1);
  EXPECT_LT(bayes, 0.35);
}

// The set is known to repeat 8 reviews in train and 10 in test to the byte, one more in each but for white space.
TEST_F(PrepareLabelled, RealImdbRepeatsAreFound) {
  ULMFIT_REAL_DATA(data);
  PrepareLabelledOptions o;
  o.train = data / "imdb/train.csv.xz";
  o.test = data / "imdb/test.csv.xz";
  o.output = dir_ / "imdb";
  std::map<std::string, std::int64_t> exact;
  for (const auto& pair : prepare_labelled(o).report.repeats) exact[pair.repeats + " of " + pair.of] = pair.exact;
  EXPECT_EQ(exact["train of train"] + exact["valid of train"] + exact["valid of valid"], 9);
  EXPECT_EQ(exact["test of test"], 11);
}

TEST(ParseFold, ReadsANumberOfSeveral) {
  const Fold fold = parse_fold("2/5");
  EXPECT_EQ(fold.number, 2);
  EXPECT_EQ(fold.of, 5);
  for (const char* bad : {"", "2", "2/", "0/5", "6/5", "1/1", "-1/5", "2/5x", "2:5", "x/5"}) {
    EXPECT_THROW(parse_fold(bad), ConfigError) << bad;
  }
}

}  // namespace
}  // namespace ulmfit::data_prep
