// The ranks of a job prepare a corpus together: the same bytes as one process alone.
#include "data_prep/prepare_corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/file.h"
#include "commands/rank_team.h"
#include "data/corpus_folder.h"
#include "tests/distributed/ranks.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::HasSubstr;

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
  }
  return files;
}

// About 60 bytes a document; words of very different frequency, so that every rank meets words that no other has.
std::string document(int n) {
  std::string text = "Document " + std::to_string(n) + " has";
  for (int w = 0; w < 8; ++w) text += " word" + std::to_string((n * 7919 + w * w * 104729) % (50 + n % 5000));
  return text + " .";
}

class PreparedTogether : public ::testing::Test {
 protected:
  PreparedTogether() {
    if (team_.rank() == 0) own_.emplace();
    std::string path = own_ ? own_->path().string() : "";
    team_.broadcast(path, 0);
    dir_ = path;
  }
  ~PreparedTogether() override { team_.barrier(); }  // rank 0's folder outlives what the others read

  void write(const std::string& name, const std::string& content) {
    if (team_.rank() == 0) {
      make_directories((dir_ / name).parent_path());
      write_file_atomic(dir_ / name, content);
    }
    team_.barrier();
  }

  PrepareCorpusOptions options(const std::string& input, CorpusFormat format) const {
    PrepareCorpusOptions o;
    o.inputs = {dir_ / input};
    o.format = format;
    o.vocabulary = {.max_words = 900, .min_count = 2};
    o.valid_share = 0.1;
    o.shard_tokens = 60000;
    o.output = dir_ / "together";
    return o;
  }

  // Prepares with all ranks, and on rank 0 alone, and compares every byte and the figures.
  void expect_the_bytes_of_one(PrepareCorpusOptions o) {
    o.threads = 1 + team_.rank() % 2;
    const PreparedCorpus together = prepare_corpus(o, team_);
    if (team_.rank() == 0) {
      o.output = dir_ / "alone";
      const PreparedCorpus alone = prepare_corpus(o);
      EXPECT_TRUE(contents(dir_ / "together") == contents(dir_ / "alone"));
      for (const char* split : {"train", "valid"}) {
        EXPECT_EQ(together.splits.at(split).documents, alone.splits.at(split).documents);
        EXPECT_EQ(together.splits.at(split).tokens, alone.splits.at(split).tokens);
        EXPECT_EQ(together.splits.at(split).unknown, alone.splits.at(split).unknown);
      }
      EXPECT_EQ(together.text_bytes, alone.text_bytes);
      EXPECT_FALSE(fs::exists(dir_ / "together.partial"));
    }
    team_.barrier();
  }

  commands::RankTeam team_{test::ranks()};
  std::optional<test::TempDir> own_;
  fs::path dir_;
};

TEST_F(PreparedTogether, LinesInManyBatchesAndShards) {
  std::string text;
  for (int n = 0; n < 60000; ++n) text += document(n) + '\n';
  ASSERT_GT(text.size(), 4U << 20);  // a batch is a megabyte: every rank of four has one
  write("text", text);
  expect_the_bytes_of_one(options("text", CorpusFormat::kLines));
  EXPECT_GE(data::open_corpus(dir_ / "together").splits.at("train").tokens, 4 * 60000);
}

TEST_F(PreparedTogether, CsvWithValidationTextAndAVocabularyThatIsGiven) {
  std::string table = "id,text\n";
  for (int n = 0; n < 40000; ++n) table += std::to_string(n) + ",\"" + document(n) + "\nsecond \"\"line\"\"\"\n";
  write("table.csv", table);
  write("valid.csv", table.substr(0, table.find("\n400,") + 1));
  PrepareCorpusOptions o = options("table.csv", CorpusFormat::kCsv);
  o.valid_inputs = {dir_ / "valid.csv"};
  expect_the_bytes_of_one(o);
  o.known.from = dir_ / "together";
  o.output = dir_ / "reused";
  prepare_corpus(o, team_);
  EXPECT_EQ(read_file(dir_ / "reused/train-00001.h5"), read_file(dir_ / "together/train-00001.h5"));
  write("other", "words of another text\nwords of another text\n");
  o = options("other", CorpusFormat::kLines);
  o.known = {dir_ / "reused", true};
  o.vocabulary.min_count = 1;
  o.output = dir_ / "extended";
  const PreparedCorpus extended = prepare_corpus(o, team_);
  if (team_.rank() == 0) {
    EXPECT_EQ(extended.splits.at("train").unknown, 0);
    EXPECT_EQ(extended.vocabulary_size, text::Vocabulary::load(dir_ / "extended/vocab.txt").size());
  }
}

TEST_F(PreparedTogether, FilesFewerThanBatches) {
  for (int f = 0; f < 3; ++f) {
    std::string text = "\xef\xbb\xbf";
    for (int n = 0; n < 20; ++n) text += document(f * 20 + n) + "\r\n";
    write("folder/" + std::to_string(f), text);
  }
  PrepareCorpusOptions o = options("folder", CorpusFormat::kFiles);
  o.vocabulary.min_count = 1;
  expect_the_bytes_of_one(o);
}

TEST_F(PreparedTogether, StartedAgainThereIsNothingToDo) {
  write("text", document(1) + '\n' + document(2) + '\n');
  PrepareCorpusOptions o = options("text", CorpusFormat::kLines);
  EXPECT_FALSE(prepare_corpus(o, team_).already_prepared);
  EXPECT_TRUE(prepare_corpus(o, team_).already_prepared);
}

TEST_F(PreparedTogether, RanksThatReadOtherTextAreRefused) {
  write("text", document(1) + '\n' + document(2) + '\n');
  write("other", document(3) + '\n');
  if (team_.size() == 1) return;  // alone, there is none to differ from
  const bool odd = team_.rank() == team_.size() - 1;
  PrepareCorpusOptions o = options(odd ? "other" : "text", CorpusFormat::kLines);
  try {
    prepare_corpus(o, team_);
    ADD_FAILURE() << "nothing was refused";
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr("rank " + std::to_string(team_.size() - 1) + " has read 1 documents"));
  }
  team_.barrier();
  EXPECT_FALSE(fs::exists(dir_ / "together"));
}

}  // namespace
}  // namespace ulmfit::data_prep
