#include "data_prep/prepare_corpus.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/corpus_folder.h"
#include "tests/support/real_data.h"
#include "tests/unit/data_prep/test_files.h"
#include "text/text_pipeline.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string numbered_lines(int lines) {
  std::string text;
  for (int i = 0; i < lines; ++i) {
    for (int w = 0; w < 40; ++w) text += "word" + std::to_string(i * w % 701) + (w % 9 == 8 ? ". " : " ");
    text += "\n";
  }
  return text;
}

// All documents of a split as text.
std::vector<std::string> decoded(const fs::path& folder, const std::string& split) {
  const data::ShardSet shards = data::open_split(folder, data::open_corpus(folder), split);
  shards.verify();
  const text::Vocabulary vocabulary = text::Vocabulary::load(folder / "vocab.txt");
  std::vector<std::string> documents;
  for (std::int64_t d = 0; d < shards.document_count(); ++d) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(shards.document_start(d + 1) - shards.document_start(d)));
    shards.read(shards.document_start(d), ids);
    documents.emplace_back();
    for (const std::int32_t id : ids) documents.back() += (documents.back().empty() ? "" : " ") + vocabulary.token(id);
  }
  return documents;
}

class PrepareCorpus : public ::testing::Test {
 protected:
  PrepareCorpusOptions options(std::string_view content) {
    PrepareCorpusOptions o;
    o.inputs = {test::put(dir_ / "text.txt", content)};
    o.output = dir_ / "corpus";
    o.vocabulary.min_count = 1;
    o.threads = 2;
    return o;
  }
  std::string refusal(const PrepareCorpusOptions& o) {
    const std::string message = test::message_of<DataError>([&] { prepare_corpus(o); });
    EXPECT_FALSE(fs::exists(o.output));
    EXPECT_FALSE(fs::exists(o.output.string() + ".partial"));
    return message;
  }
  test::TempDir dir_;
};

TEST_F(PrepareCorpus, WritesWhatCanBeReadBack) {
  PrepareCorpusOptions o = options("The cat sat.\n\nA dog.\n");
  o.valid_inputs = {test::put(dir_ / "valid.txt.gz", test::compressed("The cat barked.\n", "gz"))};
  const PreparedCorpus prepared = prepare_corpus(o);
  EXPECT_EQ(decoded(o.output, "train"), (std::vector<std::string>{"xxbos xxmaj the cat sat .", "xxbos a dog ."}));
  EXPECT_EQ(decoded(o.output, "valid"), (std::vector<std::string>{"xxbos xxmaj the cat xxunk ."}));
  EXPECT_EQ(prepared.splits.at("train").tokens, 10);
  EXPECT_EQ(prepared.splits.at("valid").unknown, 1);
  EXPECT_EQ(prepared.vocabulary_size % 8, 0);
  const data::CorpusInfo info = data::open_corpus(o.output);
  EXPECT_EQ(info.kind, "lm");
  EXPECT_EQ(info.splits.at("train").documents, 2);
  const nlohmann::json request = data::corpus_provenance(o.output).at("request");
  EXPECT_EQ(request.at("inputs").at("first"), nlohmann::json({"text.txt"}));
  const auto lists = nlohmann::json::parse(read_file(o.output / "inputs.json"));
  EXPECT_EQ(lists.at("/request/inputs").at(0).at("name"), "text.txt");
  EXPECT_EQ(test::contents(dir_.path()).count("corpus/tokens-0.spool"), 0U);
}

TEST_F(PrepareCorpus, BytesDoNotDependOnThreads) {
  PrepareCorpusOptions o = options(numbered_lines(6000));
  o.shard_tokens = 100000;
  for (const int threads : {1, 2, 5}) {
    o.threads = threads;
    o.output = dir_ / ("corpus" + std::to_string(threads));
    prepare_corpus(o);
  }
  const auto one = test::contents(dir_ / "corpus1");
  EXPECT_GT(one.size(), 6U);  // several shards
  EXPECT_EQ(one, test::contents(dir_ / "corpus2"));
  EXPECT_EQ(one, test::contents(dir_ / "corpus5"));
}

TEST_F(PrepareCorpus, HoldsOutAShareOfTheDocuments) {
  PrepareCorpusOptions o = options(numbered_lines(500));
  o.valid_share = 0.1;
  EXPECT_EQ(prepare_corpus(o).splits.at("valid").documents, 50);
  o.output = dir_ / "all";
  o.valid_share = 0;
  EXPECT_EQ(prepare_corpus(o).splits.size(), 1U);
}

TEST_F(PrepareCorpus, ReusesAVocabulary) {
  PrepareCorpusOptions o = options("The cat sat.\nA dog.\n");
  o.valid_share = 0;
  prepare_corpus(o);
  PrepareCorpusOptions second = options("A cow sat\nA cat sat\n");
  second.known.from = o.output;
  second.output = dir_ / "second";
  second.valid_share = 0;
  second.text.tokenizer = text::TokenizerKind::kWhitespace;  // the folder's rules count
  EXPECT_EQ(prepare_corpus(second).splits.at("train").unknown, 1);
  EXPECT_EQ(read_file(second.output / "vocab.txt"), read_file(o.output / "vocab.txt"));
  EXPECT_EQ(read_file(second.output / "text.json"), read_file(o.output / "text.json"));
  second.known.from = o.output / "vocab.txt";
  second.output = dir_ / "third";
  EXPECT_EQ(prepare_corpus(second).splits.at("train").unknown, 1);
}

TEST_F(PrepareCorpus, ExtendsAVocabularyByItsText) {
  PrepareCorpusOptions o = options("the cat sat\nthe dog\n");
  o.valid_share = 0;
  prepare_corpus(o);
  PrepareCorpusOptions second = options("a cow sat\na cow sat\nold dog\n");
  second.vocabulary.min_count = 2;
  second.known = {o.output, true};
  second.output = dir_ / "second";
  second.valid_share = 0;
  const SplitSummary train = prepare_corpus(second).splits.at("train");
  EXPECT_EQ(train.unknown, 1);     // "old": once, and not known
  EXPECT_EQ(train.known_only, 1);  // "dog": once, but known
  const text::Vocabulary vocabulary = text::Vocabulary::load(second.output / "vocab.txt");
  for (const char* word : {"a", "cow", "sat", "the", "cat", "dog"}) EXPECT_TRUE(vocabulary.knows(word)) << word;
  EXPECT_LT(vocabulary.id("cow"), vocabulary.id("dog"));
  EXPECT_LT(vocabulary.id("dog"), vocabulary.id("the"));  // what the text has comes first
  EXPECT_TRUE(prepare_corpus(second).already_prepared);
  PrepareCorpusOptions small = second;
  small.vocabulary.max_words = 13;
  small.output = dir_ / "small";
  ::testing::internal::CaptureStderr();
  prepare_corpus(small);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("have no room in 16"));
  PrepareCorpusOptions alone = second;
  alone.known = {};
  EXPECT_THAT(test::message_of<DataError>([&] { prepare_corpus(alone); }), HasSubstr("it was prepared from other text or"));
  second.known.extend = false;
  EXPECT_THAT(test::message_of<DataError>([&] { prepare_corpus(second); }),
              HasSubstr("it was prepared from other text or"));
}

TEST_F(PrepareCorpus, IsSkippedWhenDoneAndRefusedWhenOther) {
  PrepareCorpusOptions o = options("one two\nthree four\n");
  EXPECT_FALSE(prepare_corpus(o).already_prepared);
  for (const auto rules : {text::TextRules::kFastai1, text::TextRules::kNone}) {
    o.text.rules = rules;
    EXPECT_THAT(test::message_of<DataError>([&] { prepare_corpus(o); }), HasSubstr("(different: fastai_rules)"));
  }
  o.text.rules = text::TextRules::kFastai;
  const auto before = test::contents(o.output);
  o.threads = 1;
  EXPECT_TRUE(prepare_corpus(o).already_prepared);
  o.vocabulary.max_words = 20;
  EXPECT_THAT(test::message_of<DataError>([&] { prepare_corpus(o); }), HasSubstr("(different: max_words)"));
  o = options("one two\nthree five\n");
  EXPECT_THAT(test::message_of<DataError>([&] { prepare_corpus(o); }), HasSubstr("(different: inputs)"));
  EXPECT_EQ(test::contents(o.output), before);
  fs::remove(o.output / "vocab.txt");
  EXPECT_THAT(test::message_of<DataError>([&] { prepare_corpus(o); }), HasSubstr("vocab.txt"));
}

TEST_F(PrepareCorpus, IsTakenAsItIsWhereItsTextHasGone) {
  PrepareCorpusOptions o = options("one two\nthree four\n");
  prepare_corpus(o);
  fs::remove(dir_ / "text.txt");
  EXPECT_TRUE(prepare_corpus(o).already_prepared);
  o.vocabulary.max_words = 20;
  EXPECT_THAT(test::message_of<DataError>([&] { prepare_corpus(o); }), HasSubstr("(different: max_words)"));
  o.vocabulary.max_words = PrepareCorpusOptions().vocabulary.max_words;
  o.inputs = {dir_ / "txet.txt"};  // a slip of the pen
  EXPECT_THAT(test::message_of<DataError>([&] { prepare_corpus(o); }), HasSubstr("txet.txt: no such file"));
  o.inputs = {dir_ / "text.txt", test::put(dir_ / "other.txt", "there")};
  EXPECT_THAT(test::message_of<DataError>([&] { prepare_corpus(o); }), HasSubstr("text.txt: no such file"));
  o.output = dir_ / "another";
  EXPECT_THAT(refusal(o), HasSubstr("no such file"));
}

TEST_F(PrepareCorpus, TextThatIsTrainedOnDoesNotValidate) {
  PrepareCorpusOptions o = options("");
  o.inputs = {dir_ / "wt"};
  test::put(dir_ / "wt/train.txt", "one two\n");
  o.valid_inputs = {test::put(dir_ / "wt/valid.txt", "three four\n")};
  EXPECT_THAT(refusal(o), AllOf(HasSubstr("valid.txt is among the training files"), HasSubstr("(wt/valid.txt)")));
  o.inputs = {dir_ / "wt/train.txt"};
  EXPECT_FALSE(prepare_corpus(o).already_prepared);
}

TEST_F(PrepareCorpus, IsNotWrittenIntoTheFolderThatItReads) {
  PrepareCorpusOptions o = options("one two\n");
  o.inputs = {dir_.path()};
  EXPECT_THAT(test::message_of<ConfigError>([&] { prepare_corpus(o); }), HasSubstr("that texts are read from"));
  EXPECT_FALSE(fs::exists(dir_ / "corpus.partial"));
}

TEST_F(PrepareCorpus, ADocumentThatIsTooLongIsNamed) {
  PrepareCorpusOptions o = options("");
  o.format = CorpusFormat::kFiles;
  fs::resize_file(test::put(dir_ / "long.txt", "text"), text::kLongestDocument + 1);  // takes no room on the disk
  o.inputs = {dir_ / "long.txt"};
  EXPECT_THAT(refusal(o), AllOf(HasSubstr("long.txt"), HasSubstr("split it")));
}

TEST_F(PrepareCorpus, UndoesWikitextMarksOnlyWithTheRules) {
  PrepareCorpusOptions o = options(" = T = \n \n 1 @,@ 000 well @-@ known <unk> \n");
  o.format = CorpusFormat::kWikitext;
  o.valid_share = 0;
  o.text.tokenizer = text::TokenizerKind::kWhitespace;
  prepare_corpus(o);
  EXPECT_EQ(decoded(o.output, "train")[0], "xxbos = t = 1, xxrep 3 0 well-known xxunk");
  o.text.rules = text::TextRules::kNone;
  o.output = dir_ / "plain";
  prepare_corpus(o);
  EXPECT_EQ(decoded(o.output, "train")[0], "xxbos = T = 1 @,@ 000 well @-@ known xxunk");
}

TEST_F(PrepareCorpus, BadInputIsRefusedAndLeavesNothing) {
  EXPECT_THAT(refusal(options("\n  \n")), HasSubstr("the input files hold no text"));
  EXPECT_THAT(refusal(options("one document\n")), HasSubstr("cannot hold out validation text from 1 document"));
  PrepareCorpusOptions o = options("a\nb\n");
  o.valid_inputs = {test::put(dir_ / "blank.txt", "\n")};
  EXPECT_THAT(refusal(o), HasSubstr("the validation files hold no text"));
  o = options("a\nb\n");
  o.inputs.push_back(dir_ / "missing.txt");
  EXPECT_THAT(refusal(o), HasSubstr("missing.txt"));
  o = options("a\nb\n");
  o.inputs.push_back(test::put(dir_ / "cut.xz", test::compressed(numbered_lines(100), "xz").substr(0, 200)));
  EXPECT_THAT(refusal(o), AllOf(HasSubstr("cut.xz"), HasSubstr("cut off")));
  o = options("a\nb\n");
  o.format = CorpusFormat::kCsv;
  EXPECT_THAT(refusal(o), HasSubstr("cannot find column 'text'"));
  o.known.from = dir_ / "none";
  EXPECT_THAT(refusal(o), HasSubstr("cannot take the vocabulary of"));
  o.known.from = dir_.path();
  EXPECT_THAT(refusal(o), HasSubstr("expected vocab.txt and text.json"));
}

TEST_F(PrepareCorpus, OptionsOutOfRangeAreRefused) {
  for (const double share : {-0.5, 1.0, std::nan("")}) {
    PrepareCorpusOptions o = options("a\nb\n");
    o.valid_share = share;
    EXPECT_THAT(test::message_of<ConfigError>([&] { prepare_corpus(o); }), HasSubstr("validation share"));
  }
  PrepareCorpusOptions o = options("a\nb\n");
  o.shard_tokens = 0;
  EXPECT_THROW(prepare_corpus(o), ConfigError);
  o = options("a\n");
  o.inputs.clear();
  EXPECT_THROW(prepare_corpus(o), ConfigError);
  o = options("a\nb\n");
  o.output = "/proc/no/corpus";
  EXPECT_THAT(test::message_of<FileError>([&] { prepare_corpus(o); }), HasSubstr("/proc/no/corpus"));
}

TEST_F(PrepareCorpus, RealWikitextHasThePublishedCounts) {
  ULMFIT_REAL_DATA(data);
  PrepareCorpusOptions o = options("");
  o.inputs = {data / "wikitext-2/train.txt.xz"};
  o.valid_inputs = {data / "wikitext-2/valid.txt.xz"};
  o.format = CorpusFormat::kWikitext;
  o.text = {.tokenizer = text::TokenizerKind::kWhitespace, .rules = text::TextRules::kNone};
  const PreparedCorpus prepared = prepare_corpus(o);
  // Each article has one xxbos in front.
  EXPECT_EQ(prepared.splits.at("train").documents, 600);
  EXPECT_EQ(prepared.splits.at("train").tokens - 600, 2051910);
  EXPECT_EQ(prepared.splits.at("valid").documents, 60);
  EXPECT_EQ(prepared.splits.at("valid").tokens - 60, 213886);
  EXPECT_EQ(prepared.splits.at("train").unknown, 54625);
  EXPECT_EQ(prepared.splits.at("valid").unknown, 11718);
  // 33,277 words: <unk> is xxunk, eight more specials, then padding to a multiple of 8.
  EXPECT_EQ(prepared.vocabulary_size, (33277 + 8 + 7) / 8 * 8);
}

TEST_F(PrepareCorpus, RealNovelsWithMarksAndCarriageReturns) {
  ULMFIT_REAL_DATA(data);
  const fs::path folder = dir_ / "novels";
  fs::create_directories(folder);
  const std::string unpack =
      "tar -xJf '" + (data / "english_novels/english_novels.tar.xz").string() + "' -C '" + folder.string() +
      "' --strip-components=1 english_novels/Anon_Clara_1864.txt english_novels/Barclay_Postern_1911.txt";
  ASSERT_EQ(std::system(unpack.c_str()), 0);
  PrepareCorpusOptions o = options("");
  o.inputs = {folder};
  o.format = CorpusFormat::kFiles;
  o.valid_share = 0.5;
  const PreparedCorpus prepared = prepare_corpus(o);
  EXPECT_EQ(prepared.splits.at("train").documents, 1);
  EXPECT_EQ(prepared.cleaned.byte_order_marks, 2U);
  EXPECT_EQ(prepared.cleaned.carriage_returns, 5128U);
  EXPECT_EQ(prepared.cleaned.invalid_utf8, 0U);
}

}  // namespace
}  // namespace ulmfit::data_prep
