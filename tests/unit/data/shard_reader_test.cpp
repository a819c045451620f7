#include "data/shard_reader.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "tests/support/corpora.h"
#include "tests/support/hostile_hdf5.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::data {
namespace {

using test::Defect;
using test::HandMadeShard;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// All that a reader can learn from a set.
std::string content(const ShardSet& shards) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(shards.token_count()));
  shards.read(0, tokens);
  std::string all = str(shards.header().vocabulary_size, ' ', shards.header().vocabulary_fingerprint, ' ',
                        shards.header().text_fingerprint, ' ', shards.fingerprint());
  for (const std::int32_t token : tokens) all += str(' ', token);
  for (const std::int64_t start : shards.document_starts()) all += str(' ', start);
  for (std::int64_t d = 0; shards.header().labelled && d < shards.document_count(); ++d) all += str(' ', shards.label(d));
  return all;
}

std::string refusal(const fs::path& folder) {
  try {
    content(ShardSet(folder, "train"));
  } catch (const DataError& e) {
    return e.what();
  }
  return "accepted";
}

std::string refusal(const HandMadeShard& shard) {
  test::TempDir dir;
  HandMadeShard().write(dir / "other.h5");  // what links and virtual datasets point to
  shard.write(dir / "train-00000.h5");
  const std::string message = refusal(dir.path());
  if (message != "accepted") {
    EXPECT_THAT(message, HasSubstr("train-00000.h5"));
  }
  return message;
}

TEST(ShardSet, AcceptsTheHandMadeShard) {
  EXPECT_EQ(refusal(HandMadeShard()), "accepted");
  HandMadeShard labelled;
  labelled.labels = {0, 1, 0};
  EXPECT_EQ(refusal(labelled), "accepted");
}

TEST(ShardSet, TellsThatTooManyFilesAreOpenNotThatAShardIsBad) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer looks at memory through a pipe, which no file is left for";
#endif
  test::TempDir dir;
  HandMadeShard().write(dir / "train-00000.h5");
  const int free = ::open("/dev/null", O_RDONLY);
  ::close(free);
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit one_more = before;
  one_more.rlim_cur = static_cast<rlim_t>(free) + 1;
  ::setrlimit(RLIMIT_NOFILE, &one_more);
  std::string message;
  try {
    ShardSet(dir.path(), "train");
  } catch (const FileError& e) {
    message = e.what();
  } catch (const Error& e) {
    message = str("another error: ", e.what());
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_THAT(message, AllOf(HasSubstr("train-00000.h5: too many open files"), HasSubstr("ulimit -n")));
}

TEST(ShardSet, RefusesWhatOnlyLooksLikeADataset) {
  const std::vector<std::pair<Defect, std::string>> cases = {{Defect::kMissing, "no dataset NAME"},
                                                             {Defect::kBigEndian, "NAME does not have the element type"},
                                                             {Defect::kOtherWidth, "NAME does not have the element type"},
                                                             {Defect::kFloat, "NAME does not have the element type"},
                                                             {Defect::kRankTwo, "NAME is not an array of rank 1"},
                                                             {Defect::kExtensible, "NAME is not contiguous"},
                                                             {Defect::kCompact, "NAME is not contiguous"},
                                                             {Defect::kCompressed, "NAME is not contiguous"},
                                                             {Defect::kExternalStorage, "NAME lies in external files"},
                                                             {Defect::kVirtual, "NAME is not contiguous"},
                                                             {Defect::kSoftLink, "\"NAME\" is a soft or external link"},
                                                             {Defect::kExternalLink, "\"NAME\" is a soft or external link"},
                                                             {Defect::kGroup, "NAME is not a dataset"},
                                                             {Defect::kUnallocated, "NAME has no place in the file"}};
  for (const auto& [defect, message] : cases) {
    for (const std::string name : {kTokens, kDocumentStarts, kBlockChecksums, kLabels}) {
      if (name == kLabels && defect == Defect::kMissing) continue;  // a set without labels is one
      HandMadeShard shard;
      shard.labels = {0, 1, 0};
      shard.defect = defect;
      shard.where = name;
      std::string expected = message;
      expected.replace(expected.find("NAME"), 4, name);
      EXPECT_THAT(refusal(shard), HasSubstr(expected));
    }
  }
}

TEST(ShardSet, RefusesBadAttributes) {
  const std::string integers[] = {kVersion, kTokenCount, kDocumentCount, kVocabularySize, kChecksumBlock};
  const std::string texts[] = {kFormat, kVocabularyFingerprint, kTextFingerprint, kIndexFingerprint};
  const auto expect = [](const std::string& name, Defect defect, const std::string& message) {
    HandMadeShard shard;
    shard.defect = defect;
    shard.where = name;
    EXPECT_THAT(refusal(shard), HasSubstr(message));
  };
  for (const std::string& name : integers) {
    expect(name, Defect::kAttributeMissing, "no attribute " + name);
    expect(name, Defect::kAttributeArray, "attribute " + name + " is not a single value");
    expect(name, Defect::kAttributeNarrow, "attribute " + name + " is not a little-endian int64");
  }
  for (const std::string& name : texts) {
    expect(name, Defect::kAttributeMissing, "no attribute " + name);
    expect(name, Defect::kAttributeVariableText, "attribute " + name + " is not a text of fixed length");
    expect(name, Defect::kAttributeLongText, "attribute " + name + " has 10000 bytes, at most 128");
  }
}

template <class Change>
std::string refusal_after(Change change) {
  HandMadeShard shard;
  change(shard);
  return refusal(shard);
}

TEST(ShardSet, RefusesValuesThatContradictEachOther) {
  using S = HandMadeShard;
  EXPECT_THAT(refusal_after([](S& s) { s.format = "other"; }), HasSubstr("its format is \"other\""));
  EXPECT_THAT(refusal_after([](S& s) { s.version = 2; }), HasSubstr("version 2, this program knows version 1"));
  EXPECT_THAT(refusal_after([](S& s) { s.checksum_block_tokens = 1000; }), HasSubstr("is not 1048576"));
  EXPECT_THAT(refusal_after([](S& s) { s.vocabulary_size = 0; }), HasSubstr("vocabulary_size is 0"));
  EXPECT_THAT(refusal_after([](S& s) { s.vocabulary_size = 70000; }), HasSubstr("tokens does not have the element type"));
  EXPECT_THAT(refusal_after([](S& s) { s.vocabulary_size = 9; }),
              HasSubstr("holds token id 9, not below the vocabulary's 9"));
  EXPECT_THAT(refusal_after([](S& s) { s.token_count = 0; }), HasSubstr("token_count is 0"));
  EXPECT_THAT(refusal_after([](S& s) { s.token_count = -8; }), HasSubstr("token_count is -8"));
  EXPECT_THAT(refusal_after([](S& s) { s.token_count = INT64_MAX; }), HasSubstr("token_count is 9223372036854775807"));
  EXPECT_THAT(refusal_after([](S& s) { s.token_count = 9; }), HasSubstr("tokens has 8 elements, 9 expected"));
  EXPECT_THAT(refusal_after([](S& s) { s.document_count = 0; }), HasSubstr("document_count is 0"));
  EXPECT_THAT(refusal_after([](S& s) { s.document_count = 9; }), HasSubstr("document_count is 9 for 8 tokens"));
  EXPECT_THAT(refusal_after([](S& s) { s.document_count = 2; }), HasSubstr("document_starts has 3 elements, 2 expected"));
  EXPECT_THAT(refusal_after([](S& s) { s.checksums = {1, 2}; }), HasSubstr("block_checksums has 2 elements, 1 expected"));
  EXPECT_THAT(refusal_after([](S& s) { s.checksums = {1}; }), HasSubstr("the checksum of block 0"));
  EXPECT_THAT(refusal_after([](S& s) { s.labels = {0, 1}; }), HasSubstr("labels has 2 elements, 3 expected"));
  EXPECT_THAT(refusal_after([](S& s) { s.labels = {0, -1, 1}; }), HasSubstr("label -1 is negative"));
  EXPECT_THAT(refusal_after([](S& s) { s.starts = {1, 3, 5}; }), HasSubstr("the first document starts at 1"));
  EXPECT_THAT(refusal_after([](S& s) { s.starts = {0, 5, 5}; }), HasSubstr("document 2 starts at 5, not after document 1"));
  EXPECT_THAT(refusal_after([](S& s) { s.starts = {0, 5, 3}; }), HasSubstr("document 2 starts at 3"));
  EXPECT_THAT(refusal_after([](S& s) { s.starts = {0, 5, 8}; }), HasSubstr("the last document starts at 8 of 8 tokens"));
  EXPECT_THAT(refusal_after([](S& s) { s.index_fingerprint = "0"; }),
              HasSubstr("index_fingerprint is 0, but its datasets give"));
  EXPECT_THAT(refusal_after([](S& s) { s.defect = Defect::kExtraDataset; }), HasSubstr("unknown object \"extra\""));
  EXPECT_THAT(refusal_after([](S& s) { s.defect = Defect::kOldSuperblock; }), HasSubstr("superblock version 2"));
}

TEST(ShardSet, RefusesEveryTruncation) {
  test::TempDir dir;
  test::counting_corpus(dir.path(), {300, 500, 200}, kShardTokens, true);
  const std::string whole = read_file(dir / "train-00000.h5");
  for (std::size_t part = 0; part < 24; ++part) {
    write_file_atomic(dir / "train-00000.h5", whole.substr(0, whole.size() * part / 24));
    EXPECT_THAT(refusal(dir.path()), HasSubstr("train-00000.h5")) << part;
  }
  write_file_atomic(dir / "train-00000.h5", whole.substr(0, whole.size() - 1));
  EXPECT_THAT(refusal(dir.path()), HasSubstr("HDF5 cannot open it"));
}

TEST(ShardSet, AFlippedBitIsRefusedOrHarmless) {
  test::TempDir dir;
  const std::string before = content(test::counting_corpus(dir.path(), {30, 50, 20}, kShardTokens, true));
  const std::string whole = read_file(dir / "train-00000.h5");
  int refused = 0;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    // Every bit of the first kilobyte (superblock, root group), every ninth of the rest.
    if (bit >= 8192 && bit % 9 != 0) continue;
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    {
      OutputFile out(dir / "train-00000.h5");
      out.write(flipped);
    }
    try {
      EXPECT_EQ(content(ShardSet(dir.path(), "train")), before) << "bit " << bit;
    } catch (const DataError& e) {
      EXPECT_THAT(e.what(), HasSubstr("train-00000.h5"));
      ++refused;
    }
  }
  EXPECT_GT(refused, 500);
}

TEST(ShardSet, RefusesFilesOfAnotherKind) {
  test::TempDir dir;
  write_file_atomic(dir / "train-00000.h5", std::string(5000, 'x'));
  EXPECT_THAT(refusal(dir.path()), HasSubstr("does not begin as an HDF5 1.8 file"));
  write_file_atomic(dir / "train-00000.h5", "");
  EXPECT_THAT(refusal(dir.path()), HasSubstr("it has only 0 bytes"));
  fs::remove(dir / "train-00000.h5");
  fs::create_directory(dir / "train-00000.h5");
  EXPECT_THAT(refusal(dir.path()), HasSubstr("not a regular file"));
}

TEST(ShardSet, NamesTheShardsThatAreMissing) {
  test::TempDir dir;
  EXPECT_THAT(refusal(dir / "nowhere"), HasSubstr("no shards train-00000.h5"));
  test::counting_corpus(dir.path(), {5, 5, 5}, 5);
  EXPECT_TRUE(ShardSet::exists(dir.path(), "train"));
  EXPECT_FALSE(ShardSet::exists(dir.path(), "valid"));
  fs::remove(dir / "train-00001.h5");
  EXPECT_THAT(refusal(dir.path()), HasSubstr("train-00001.h5 is missing, though train-00002.h5 is there"));
  fs::remove(dir / "train-00000.h5");
  EXPECT_THAT(refusal(dir.path()), HasSubstr("train-00000.h5 is missing"));
}

TEST(ShardSet, RefusesShardsOfDifferentCorpora) {
  const auto together = [](auto change) {
    test::TempDir dir;
    HandMadeShard shard;
    shard.write(dir / "train-00000.h5");
    change(shard);
    shard.write(dir / "train-00001.h5");
    return refusal(dir.path());
  };
  using S = HandMadeShard;
  EXPECT_EQ(together([](S&) {}), "accepted");
  EXPECT_THAT(together([](S& s) { s.vocabulary_fingerprint = "else"; }),
              HasSubstr("train-00001.h5: its vocabulary fingerprint is else, the first shard's is vocabulary"));
  EXPECT_THAT(together([](S& s) { s.text_fingerprint = "else"; }), HasSubstr("its text rules' fingerprint is else"));
  EXPECT_THAT(together([](S& s) { s.vocabulary_size = 101; }), HasSubstr("its vocabulary size is 101"));
  EXPECT_THAT(together([](S& s) { s.labels = {1, 2, 3}; }), HasSubstr("its having labels (0 or 1) is 1"));
}

TEST(ShardSet, ReadsAnyRangeAcrossShards) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {3, 4, 1, 9, 2, 2, 5}, 6);
  const std::int64_t total = shards.token_count();
  ASSERT_EQ(total, 26);
  for (std::int64_t first = 0; first <= total; ++first) {
    for (std::int64_t end = first; end <= total; ++end) {
      std::vector<std::int32_t> read(static_cast<std::size_t>(end - first));
      shards.read(first, read);
      std::vector<std::int32_t> expected(read.size());
      std::iota(expected.begin(), expected.end(), static_cast<std::int32_t>(first));
      ASSERT_EQ(read, expected) << first << ' ' << end;
    }
  }
  std::vector<std::int32_t> two(2);
  EXPECT_THROW(shards.read(25, two), std::out_of_range);
  EXPECT_THROW(shards.read(-1, two), std::out_of_range);
  EXPECT_THROW(shards.label(0), DataError);
}

TEST(ShardSet, LooksAtABlockWhenItIsTouched) {
  test::TempDir dir;
  test::counting_corpus(dir.path(), {3 * kBlockTokens});
  const fs::path path = dir / "train-00000.h5";
  std::string bytes = read_file(path);
  const std::int32_t inside = static_cast<std::int32_t>(kBlockTokens + 777);  // ids are stored as uint32 here
  const auto at = bytes.find(std::string(reinterpret_cast<const char*>(&inside), 4));
  ASSERT_NE(at, std::string::npos);
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  write_file_atomic(path, bytes);

  const ShardSet shards(dir.path(), "train");
  std::vector<std::int32_t> ten(10);
  shards.read(0, ten);
  shards.read(2 * kBlockTokens, ten);
  EXPECT_EQ(ten.front(), 2 * kBlockTokens);
  const auto refused = [](auto action) {
    try {
      action();
      return std::string("accepted");
    } catch (const DataError& e) {
      return std::string(e.what());
    }
  };
  const std::string message = "train-00000.h5: the checksum of block 1 (tokens from 1048576) does not match";
  EXPECT_THAT(refused([&] { shards.read(kBlockTokens - 1, ten); }), HasSubstr(message));
  EXPECT_THAT(refused([&] { shards.verify(); }), HasSubstr(message));
}

TEST(ShardSet, AFileThatShrinksWhileOpenIsAnError) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {5000});
  ASSERT_EQ(::truncate((dir / "train-00000.h5").c_str(), 100), 0);
  std::vector<std::int32_t> ten(10);
  EXPECT_THROW(shards.read(0, ten), DataError);
}

TEST(ShardSet, FingerprintTellsContentApart) {
  const auto print = [](const std::vector<std::int64_t>& lengths, bool labelled) {
    test::TempDir dir;
    return test::counting_corpus(dir.path(), lengths, kShardTokens, labelled).fingerprint();
  };
  EXPECT_EQ(print({3, 4}, false), print({3, 4}, false));
  EXPECT_NE(print({3, 4}, false), print({4, 3}, false));  // the same tokens, other documents
  EXPECT_NE(print({3, 4}, false), print({3, 5}, false));
  EXPECT_NE(print({3, 4}, false), print({3, 4}, true));
}

TEST(ShardSet, CanBeMoved) {
  test::TempDir dir;
  ShardSet shards = test::counting_corpus(dir.path(), {3, 4});
  const ShardSet moved = std::move(shards);
  std::vector<std::int32_t> tokens(7);
  moved.read(0, tokens);
  EXPECT_THAT(tokens, ElementsAre(0, 1, 2, 3, 4, 5, 6));
}

}  // namespace
}  // namespace ulmfit::data
