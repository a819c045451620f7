#include "perf/synthetic_corpus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "data/shard_reader.h"

namespace ulmfit::perf {
namespace {

TEST(SyntheticCorpus, SameArgumentsSameTokens) {
  const SyntheticCorpus one(500, 20, 100, 0, 1), same(500, 20, 100, 0, 1), other(500, 20, 100, 0, 2);
  const data::ShardSet a(one.folder(), "train"), b(same.folder(), "train"), c(other.folder(), "train");
  EXPECT_EQ(a.fingerprint(), b.fingerprint());
  EXPECT_NE(a.fingerprint(), c.fingerprint());
  EXPECT_EQ(a.token_count(), 2000);
}

TEST(SyntheticCorpus, FrequentWordsAreFrequent) {
  const SyntheticCorpus corpus(1000, 20, 1000, 0, 1);
  const data::ShardSet shards(corpus.folder(), "train");
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(shards.token_count()));
  shards.read(0, tokens);
  const auto first = static_cast<double>(std::count(tokens.begin(), tokens.end(), 0)) / 20000;
  EXPECT_NEAR(first, 0.1, 0.015);  // ln 2 / ln 1000
}

TEST(SyntheticCorpus, LabelledDocumentsVaryInLength) {
  const SyntheticCorpus corpus(500, 400, 80, 4, 1);
  const data::ShardSet shards(corpus.folder(), "train");
  std::int64_t shortest = 1000, longest = 0;
  for (std::int64_t d = 0; d < 400; ++d) {
    const std::int64_t length = shards.document_start(d + 1) - shards.document_start(d);
    shortest = std::min(shortest, length);
    longest = std::max(longest, length);
    EXPECT_EQ(shards.label(d), d % 4);
  }
  EXPECT_GE(shortest, 20);
  EXPECT_LE(longest, 140);
  EXPECT_NEAR(static_cast<double>(shards.token_count()) / 400, 80, 5);
}

TEST(SyntheticCorpus, RemovesItsFolder) {
  fs::path folder;
  {
    const SyntheticCorpus corpus(100, 2, 10, 0, 1);
    folder = corpus.folder();
    EXPECT_TRUE(fs::exists(folder));
  }
  EXPECT_FALSE(fs::exists(folder));
}

}  // namespace
}  // namespace ulmfit::perf
