#include "data/document_batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "tests/support/corpora.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::data {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

using Order = std::vector<std::vector<std::int64_t>>;

DocumentBatchOptions options(std::int64_t batch_size, bool shuffle = true) {
  DocumentBatchOptions o;
  o.batch_size = batch_size;
  o.shuffle = shuffle;
  o.seed = 3;
  return o;
}

// n lengths between 1 and 400, skewed towards the short as reviews are.
std::vector<std::int64_t> skewed_lengths(std::int64_t n) {
  const RandomKey key{11, Purpose::kBench, 0, 0};
  std::vector<std::int64_t> lengths;
  for (std::int64_t d = 0; d < n; ++d) {
    const double u = random_uniform(key, static_cast<std::uint64_t>(d));
    lengths.push_back(1 + static_cast<std::int64_t>(399 * u * u * u));
  }
  return lengths;
}

std::int64_t length(const ShardSet& shards, std::int64_t document) {
  return shards.document_start(document + 1) - shards.document_start(document);
}

TEST(DocumentBatches, EveryDocumentOnceAnEpochForAnyRankCount) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), skewed_lengths(131), 3000, true);
  for (const std::int64_t batch_size : {1, 2, 10, 13, 65, 130, 131, 500}) {
    for (const bool shuffle : {false, true}) {
      DocumentBatches batches(shards, options(batch_size, shuffle));
      const Order order = batches.order(2);
      ASSERT_THAT(order, SizeIs(static_cast<std::size_t>(batches.batches_per_epoch())));
      for (const int size : {1, 2, 3, 8}) {
        std::vector<int> seen(131);
        for (std::size_t b = 0; b < order.size(); ++b) {
          std::vector<std::int64_t> global(order[b].size(), -1);
          for (int rank = 0; rank < size; ++rank) {
            std::int64_t before = -1;
            for (const Document& document : batches.batch(2, static_cast<std::int64_t>(b), rank, size)) {
              EXPECT_GT(document.slot, before);
              before = document.slot;
              EXPECT_EQ(document.slot % size, rank);
              global[static_cast<std::size_t>(document.slot)] = document.index;
              seen[static_cast<std::size_t>(document.index)] += 1;
              EXPECT_EQ(document.label, document.index % 3);
              ASSERT_THAT(document.tokens, SizeIs(static_cast<std::size_t>(length(shards, document.index))));
              EXPECT_EQ(document.tokens.front(), shards.document_start(document.index));
              EXPECT_EQ(document.tokens.back(), shards.document_start(document.index + 1) - 1);
            }
          }
          EXPECT_EQ(global, order[b]);
        }
        EXPECT_THAT(seen, ::testing::Each(1));
      }
    }
  }
}

TEST(DocumentBatches, SizesAreTheBatchSizeButForTheRest) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), skewed_lengths(131));
  const auto sizes = [&](std::int64_t batch_size) {
    std::vector<std::size_t> all;
    for (const auto& batch : DocumentBatches(shards, options(batch_size, false)).order(0)) all.push_back(batch.size());
    return all;
  };
  EXPECT_THAT(sizes(60), ElementsAre(60, 60, 11));
  EXPECT_THAT(sizes(65), ElementsAre(65, 66));  // 131 = 2 * 65 + 1: the single one joins
  EXPECT_THAT(sizes(130), ElementsAre(131));
  EXPECT_THAT(sizes(131), ElementsAre(131));
  EXPECT_THAT(sizes(132), ElementsAre(131));
  EXPECT_THAT(sizes(1), SizeIs(131));
  for (const auto& batch : DocumentBatches(shards, options(10)).order(0))
    EXPECT_THAT(batch, SizeIs(::testing::AnyOf(10, 11)));
}

TEST(DocumentBatches, ASetOfOneDocumentIsOneBatch) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {5});
  DocumentBatches batches(shards, options(64));
  EXPECT_EQ(batches.batches_per_epoch(), 1);
  EXPECT_THAT(batches.batch(0, 0, 0, 2), SizeIs(1));
  EXPECT_THAT(batches.batch(0, 0, 1, 2), SizeIs(0));
  EXPECT_EQ(batches.batch(0, 0, 0, 2).front().label, -1);
}

TEST(DocumentBatches, OrderIsAFunctionOfSeedAndEpoch) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), skewed_lengths(200));
  const auto order = [&](std::uint64_t seed, std::int64_t epoch, bool shuffle) {
    DocumentBatchOptions o = options(8, shuffle);
    o.seed = seed;
    return DocumentBatches(shards, o).order(epoch);
  };
  EXPECT_EQ(order(1, 4, true), order(1, 4, true));
  EXPECT_NE(order(1, 4, true), order(1, 5, true));
  EXPECT_NE(order(1, 4, true), order(2, 4, true));
  EXPECT_EQ(order(1, 4, false), order(2, 5, false));
}

TEST(DocumentBatches, EvaluationGoesByDecreasingLength) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {2, 9, 4, 9, 1, 4});
  EXPECT_EQ(DocumentBatches(shards, options(2, false)).order(0), (Order{{1, 3}, {2, 5}, {0, 4}}));
}

TEST(DocumentBatches, TheLongestDocumentComesFirst) {
  test::TempDir dir;
  const auto lengths = skewed_lengths(5000);
  const ShardSet shards = test::counting_corpus(dir.path(), lengths);
  const std::int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  for (std::int64_t epoch = 0; epoch < 5; ++epoch) {
    const Order order = DocumentBatches(shards, options(16)).order(epoch);
    EXPECT_EQ(length(shards, order[0][0]), longest);  // batches are sorted within
  }
}

// Padding as a share of all cells, if each batch is padded to its longest document.
double padding_share(const ShardSet& shards, const Order& order) {
  double cells = 0;
  double tokens = 0;
  for (const auto& batch : order) {
    std::int64_t most = 0;
    for (const std::int64_t document : batch) {
      most = std::max(most, length(shards, document));
      tokens += static_cast<double>(length(shards, document));
    }
    cells += static_cast<double>(most) * static_cast<double>(batch.size());
  }
  return 1.0 - tokens / cells;
}

TEST(DocumentBatches, BucketsLeaveLittlePadding) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), skewed_lengths(20000));
  constexpr std::uint32_t kSize = 32;
  const auto permutation = random_permutation({5, Purpose::kBench, 1, 0}, 20000);
  Order random;
  for (std::size_t d = 0; d < permutation.size(); ++d) {
    if (d % kSize == 0) random.emplace_back();
    random.back().push_back(permutation[d]);
  }
  const double without = padding_share(shards, random);
  const double with = padding_share(shards, DocumentBatches(shards, options(kSize)).order(0));
  EXPECT_GT(without, 0.6);
  EXPECT_LT(with, 0.1);
}

TEST(DocumentBatches, ShufflingMixesDocumentsOfOneLengthAndBatches) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), skewed_lengths(4000));
  const DocumentBatches batches(shards, options(8));
  const Order first = batches.order(0);
  const Order second = batches.order(1);
  std::set<std::set<std::int64_t>> companions;
  for (const auto& batch : first) companions.emplace(batch.begin(), batch.end());
  int same = 0;
  for (const auto& batch : second) same += companions.contains({batch.begin(), batch.end()}) ? 1 : 0;
  EXPECT_LT(same, 5);
  int shorter = 0;  // neighbours: about half should get longer, half shorter
  for (std::size_t b = 1; b < first.size(); ++b)
    shorter += length(shards, first[b][0]) < length(shards, first[b - 1][0]) ? 1 : 0;
  EXPECT_NEAR(shorter, static_cast<int>(first.size()) / 2, 60);
}

TEST(DocumentBatches, Backward) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {5, 1, 2});
  const auto tokens = [&](bool backward) {
    DocumentBatchOptions o = options(3, false);
    o.backward = backward;
    std::vector<std::vector<std::int64_t>> all(3);
    for (const Document& document : DocumentBatches(shards, o).batch(0, 0, 0, 1)) {
      all[static_cast<std::size_t>(document.index)] = document.tokens;
    }
    return all;
  };
  EXPECT_EQ(tokens(false), (Order{{0, 1, 2, 3, 4}, {5}, {6, 7}}));
  EXPECT_EQ(tokens(true), (Order{{0, 4, 3, 2, 1}, {5}, {6, 7}}));
}

TEST(DocumentBatches, RefusesBadOptionsAndPlaces) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {5, 1, 2});
  EXPECT_THROW(DocumentBatches(shards, options(0)), ConfigError);
  DocumentBatches batches(shards, options(2));
  EXPECT_EQ(batches.batches_per_epoch(), 1);
  EXPECT_THROW(batches.batch(0, 1, 0, 1), std::out_of_range);
  EXPECT_THROW(batches.batch(0, -1, 0, 1), std::out_of_range);
  EXPECT_THROW(batches.batch(0, 0, 1, 1), std::out_of_range);
}

}  // namespace
}  // namespace ulmfit::data
