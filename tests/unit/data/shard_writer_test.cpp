#include "data/shard_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/shard_reader.h"
#include "tests/support/corpora.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::int32_t> all_tokens(const ShardSet& shards) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(shards.token_count()));
  shards.read(0, tokens);
  return tokens;
}

std::vector<std::string> write(const fs::path& folder, std::int64_t vocabulary, const std::vector<std::int32_t>& tokens) {
  ShardWriter writer(folder, "train", test::corpus_header(vocabulary));
  writer.add(tokens);
  return writer.finish();
}

TEST(ShardWriter, ReadsBackWhatWasWrittenInBothWidths) {
  for (const std::int32_t vocabulary : {65536, 65537, 3000000}) {
    test::TempDir dir;
    const std::vector<std::int32_t> first = {2, 7, vocabulary - 1};
    ShardWriter writer(dir.path(), "train", test::corpus_header(vocabulary, true));
    writer.add(first, 4);
    writer.add(std::vector<std::int32_t>{2, 0}, 0);
    EXPECT_EQ(writer.token_count(), 5);
    EXPECT_EQ(writer.document_count(), 2);
    EXPECT_THAT(writer.finish(), ElementsAre("train-00000.h5"));

    const ShardSet shards(dir.path(), "train");
    EXPECT_THAT(all_tokens(shards), ElementsAre(2, 7, vocabulary - 1, 2, 0));
    EXPECT_THAT(shards.document_starts(), ElementsAre(0, 3, 5));
    EXPECT_EQ(shards.label(0), 4);
    EXPECT_EQ(shards.label(1), 0);
    EXPECT_EQ(shards.header().vocabulary_size, vocabulary);
    EXPECT_EQ(shards.header().vocabulary_fingerprint, test::corpus_header(1).vocabulary_fingerprint);
    EXPECT_EQ(shards.header().text_fingerprint, test::corpus_header(1).text_fingerprint);
    EXPECT_TRUE(shards.header().labelled);
  }
}

TEST(ShardWriter, BytesDependOnTheContentAlone) {
  test::TempDir first;
  test::TempDir second;
  for (const bool labelled : {false, true}) {
    test::counting_corpus(first.path(), {3, 5, 4, 9}, 8, labelled);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5's times count seconds
    test::counting_corpus(second.path(), {3, 5, 4, 9}, 8, labelled);
    for (const char* name : {"train-00000.h5", "train-00001.h5"}) {
      EXPECT_EQ(read_file(first / name), read_file(second / name)) << name;
    }
  }
}

// The worked example of data_prep/FORMAT.md. Numbers: tests/reference/shard_example.py.
TEST(ShardWriter, WritesTheExampleOfTheSpecification) {
  test::TempDir dir;
  ShardWriter writer(dir.path(), "train", test::corpus_header(12, true));
  writer.add(std::vector<std::int32_t>{2, 7, 4}, 1);
  writer.add(std::vector<std::int32_t>{2, 9}, 0);
  writer.add(std::vector<std::int32_t>{2, 7, 7, 11, 3}, 1);
  writer.finish();
  EXPECT_EQ(ShardSet(dir.path(), "train").fingerprint(), "c8535fc8d3aec347e44d857003d39486");
  const std::string bytes = read_file(dir / "train-00000.h5");
  EXPECT_THAT(bytes, HasSubstr("6fb2dbfd1745c6ab36343e89e7079bfd"));                           // index_fingerprint
  EXPECT_THAT(bytes, HasSubstr("\x5f\xdb\x4f\x0d\x92\x38\xe2\x90"));                           // the block's checksum
  EXPECT_THAT(bytes, HasSubstr(std::string("\2\0\7\0\4\0\2\0\t\0\2\0\7\0\7\0\v\0\3\0", 20)));  // the tokens
}

TEST(ShardWriter, CutsAtTheDocumentThatReachesTheLimit) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {4, 3, 1, 20, 2, 6, 1}, 8);
  EXPECT_THAT(shards.document_starts(), ElementsAre(0, 4, 7, 8, 28, 30, 36, 37));
  const auto tokens_of = [&](int number) {
    test::TempDir alone;
    fs::copy_file(dir / shard_file_name("train", number), alone / "train-00000.h5");
    return ShardSet(alone.path(), "train").token_count();
  };
  EXPECT_EQ(tokens_of(0), 8);   // reached exactly
  EXPECT_EQ(tokens_of(1), 20);  // a long document stays whole
  EXPECT_EQ(tokens_of(2), 8);
  EXPECT_EQ(tokens_of(3), 1);
  EXPECT_FALSE(fs::exists(dir / "train-00004.h5"));
  std::vector<std::int32_t> expected(37);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(all_tokens(shards), expected);
}

TEST(ShardWriter, WritersThatShareTheShardsWriteTheBytesOfOne) {
  test::TempDir alone, together;
  const auto document = [](std::size_t d) {
    return std::vector<std::int32_t>(1 + d % 7, static_cast<std::int32_t>(d % 10));
  };
  constexpr std::size_t kDocuments = 100;
  ShardWriter one(alone.path(), "train", test::corpus_header(10), 30);
  for (std::size_t d = 0; d < kDocuments; ++d) one.add(document(d));
  const auto names = one.finish();
  ASSERT_GT(names.size(), 6U);
  std::size_t written = 0;
  for (const int index : {2, 0, 1}) {
    ShardWriter writer(together.path(), "train", test::corpus_header(10), 30, {index, 3});
    for (std::size_t d = 0; d < kDocuments; ++d) {
      if (writer.writes_next()) {
        writer.add(document(d));
      } else {
        EXPECT_THROW(writer.add(document(d)), std::logic_error);
        writer.pass_over(document(d).size());
      }
    }
    EXPECT_EQ(writer.token_count(), one.token_count());
    written += writer.finish().size();
  }
  EXPECT_EQ(written, names.size());
  for (const auto& name : names) EXPECT_EQ(read_file(together / name), read_file(alone / name)) << name;
}

TEST(ShardWriter, BlocksMeetWithoutASeam) {
  for (const std::int64_t extra : {-1, 0, 1, 12345}) {
    test::TempDir dir;
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(2 * kBlockTokens + extra));
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i * 2654435761U % 50000);
    ShardWriter writer(dir.path(), "train", test::corpus_header(50000));
    for (std::size_t at = 0; at < tokens.size(); at += 777777) {
      writer.add(std::span(tokens).subspan(at, std::min<std::size_t>(777777, tokens.size() - at)));
    }
    writer.finish();
    const ShardSet shards(dir.path(), "train");
    shards.verify();
    EXPECT_EQ(all_tokens(shards), tokens);
  }
}

TEST(ShardWriter, NoDocumentsNoShard) {
  test::TempDir dir;
  ShardWriter writer(dir.path(), "train", test::corpus_header(10));
  EXPECT_THAT(writer.finish(), IsEmpty());
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(ShardWriter, UnfinishedLeavesNothing) {
  test::TempDir dir;
  {
    ShardWriter writer(dir.path(), "train", test::corpus_header(10));
    writer.add(std::vector<std::int32_t>{1, 2});
  }
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

template <class Failure, class Action>
void expect_refused(Action action, const std::string& message) {
  try {
    action();
    ADD_FAILURE() << "accepted; expected: " << message;
  } catch (const Failure& e) {
    EXPECT_THAT(e.what(), HasSubstr(message));
  }
}

TEST(ShardWriter, RefusesWhatTheFormatCannotHold) {
  test::TempDir dir;
  ShardWriter plain(dir.path(), "train", test::corpus_header(10));
  ShardWriter labelled(dir.path(), "test", test::corpus_header(10, true));
  const auto add = [](ShardWriter& writer, std::vector<std::int32_t> tokens, std::int32_t label) {
    return [&writer, tokens, label] { writer.add(tokens, label); };
  };
  expect_refused<DataError>(add(plain, {1, 10}, -1), "document 0 of train: token id 10 is not below the vocabulary's 10");
  expect_refused<DataError>(add(plain, {-1}, -1), "token id -1");
  expect_refused<DataError>(add(plain, {}, -1), "it has no tokens");
  expect_refused<DataError>(add(plain, {1}, 0), "label 0 in a set without labels");
  expect_refused<DataError>(add(labelled, {1}, -1), "the set is labelled, its label is -1");
  plain.add(std::vector<std::int32_t>{9});  // a refused document leaves no trace
  EXPECT_EQ(plain.token_count(), 1);
  plain.finish();
  EXPECT_THAT(all_tokens(ShardSet(dir.path(), "train")), ElementsAre(9));

  expect_refused<FileError>([&] { ShardWriter(dir / "none", "train", test::corpus_header(10)); }, "no such folder");
  expect_refused<DataError>([&] { ShardWriter(dir.path(), "x", test::corpus_header(0)); }, "a vocabulary of 0 words");
  ShardHeader header = test::corpus_header(10);
  header.text_fingerprint.assign(200, 'f');
  expect_refused<DataError>([&] { ShardWriter(dir.path(), "x", header); }, "fingerprint has more than 128 bytes");
}

// Files limited to 10 kB for this process stand for a full disk.
TEST(ShardWriter, AFullDiskIsAnErrorAndLeavesNothing) {
  test::TempDir dir;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{10000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  try {
    write(dir.path(), 10, std::vector<std::int32_t>(100000, 3));
  } catch (const FileError& e) {
    message = e.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, HasSubstr("cannot write " + (dir / "train-00000.h5.tmp").string()));
  EXPECT_TRUE(fs::is_empty(dir.path()));
  EXPECT_THAT(write(dir.path(), 10, {1, 2, 3}), ElementsAre("train-00000.h5"));  // and HDF5 is usable still
}

}  // namespace
}  // namespace ulmfit::data
