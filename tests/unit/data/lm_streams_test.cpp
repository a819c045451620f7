#include "data/lm_streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "tests/support/corpora.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::data {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

// 13 documents of 1 to 30 tokens, 157 in all, over several shards.
const std::vector<std::int64_t> kLengths = {4, 1, 30, 7, 12, 2, 25, 9, 1, 18, 21, 16, 11};
constexpr std::int64_t kTokens = 157;

LmStreamOptions options(std::int64_t streams, std::int64_t bptt, bool variable, bool shuffle, bool backward) {
  LmStreamOptions o;
  o.streams = streams;
  o.bptt = bptt;
  o.variable_bptt = variable;
  o.shuffle = shuffle;
  o.backward = backward;
  o.seed = 17;
  return o;
}

// What stream g reads in an epoch (x) and the last target of it.
struct Stream {
  std::vector<std::int64_t> x;
  std::int64_t last_y = -1;
};

// Reads a whole epoch and checks on the way that y is x one token later, within and across windows.
std::vector<Stream> read_epoch(LmStreams& streams, std::int64_t G, std::int64_t epoch) {
  std::vector<Stream> all(static_cast<std::size_t>(G));
  const auto windows = streams.windows(epoch);
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const LmBatch batch = streams.batch(epoch, static_cast<std::int64_t>(w), 0, G);
    EXPECT_EQ(batch.T, windows[w].length);
    EXPECT_EQ(batch.B, G);
    EXPECT_EQ(batch.epoch_start, w == 0);
    EXPECT_EQ(batch.x.size(), static_cast<std::size_t>(batch.T * G));
    for (std::size_t g = 0; g < all.size(); ++g) {
      for (std::size_t t = 0; t < static_cast<std::size_t>(batch.T); ++t) {
        const std::int64_t x = batch.x[t * all.size() + g];
        if (!all[g].x.empty()) {
          EXPECT_EQ(x, all[g].last_y);
        }
        all[g].x.push_back(x);
        all[g].last_y = batch.y[t * all.size() + g];
      }
    }
  }
  return all;
}

// The epoch's sequence, as streams laid end to end; a stream's last target is the next stream's first token.
std::vector<std::int64_t> laid_end_to_end(const std::vector<Stream>& streams) {
  std::vector<std::int64_t> sequence;
  for (const Stream& stream : streams) {
    if (!sequence.empty()) {
      EXPECT_EQ(sequence.back(), stream.x.front());
      sequence.pop_back();
    }
    sequence.insert(sequence.end(), stream.x.begin(), stream.x.end());
    sequence.push_back(stream.last_y);
  }
  return sequence;
}

// Token 0, 1, 2, ... tells its document: the sequence must be whole documents, forward or reversed behind the first token,
// each once, but for the last that the dropped tail cuts.
void expect_documents(const std::vector<std::int64_t>& sequence, const std::vector<std::int64_t>& starts, bool backward) {
  std::map<std::int64_t, std::int64_t> end_of;  // start -> end
  for (std::size_t d = 0; d + 1 < starts.size(); ++d) end_of[starts[d]] = starts[d + 1];
  for (std::size_t at = 0; at < sequence.size();) {
    const auto document = end_of.extract(sequence[at]);
    ASSERT_FALSE(document.empty()) << "token " << sequence[at] << " begins no document, or one seen before";
    const std::int64_t first = document.key();
    const std::int64_t length = document.mapped() - first;
    for (std::int64_t i = 0; i < length && at < sequence.size(); ++i, ++at) {
      const std::int64_t expected = backward && i > 0 ? document.mapped() - i : first + i;
      ASSERT_EQ(sequence[at], expected) << "position " << at;
    }
  }
}

TEST(LmStreams, TellsTheWordsOfAllStreamsInAWindow) {
  const test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), kLengths, 40);
  LmStreams streams(shards, options(4, 10, false, true, false));
  const auto windows = static_cast<std::int64_t>(streams.windows(1).size());
  ASSERT_GT(windows, 1);
  for (std::int64_t w = 0; w < windows; ++w) {
    std::set<std::int64_t> expected;
    for (std::int64_t g = 0; g < 4; ++g) {
      for (const std::int64_t id : streams.batch(1, w, g, 1).x) expected.insert(id);
    }
    EXPECT_EQ(streams.words(1, w), std::vector<std::int64_t>(expected.begin(), expected.end()));
  }
}

TEST(LmStreams, EveryTokenOncePerEpochButTheDroppedTail) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), kLengths, 40);
  const std::vector<std::int64_t> starts(shards.document_starts().begin(), shards.document_starts().end());
  for (const std::int64_t G : {1, 2, 3, 5, 8, 13, 78}) {
    for (const std::int64_t bptt : {1, 4, 7, 70}) {
      for (int mode = 0; mode < 8; ++mode) {
        const bool shuffle = (mode & 1) != 0;
        const bool backward = (mode & 2) != 0;
        LmStreams streams(shards, options(G, bptt, (mode & 4) != 0, shuffle, backward));
        EXPECT_EQ(streams.stream_length(), (kTokens - 1) / G);
        EXPECT_EQ(streams.dropped_tokens(), kTokens - streams.stream_length() * G);
        EXPECT_LT(streams.dropped_tokens(), G + 1);
        for (const std::int64_t epoch : {0, 1, 5}) {
          const auto read = read_epoch(streams, G, epoch);
          for (const Stream& stream : read) EXPECT_EQ(static_cast<std::int64_t>(stream.x.size()), streams.stream_length());
          const auto sequence = laid_end_to_end(read);
          EXPECT_EQ(static_cast<std::int64_t>(sequence.size()), kTokens - streams.dropped_tokens() + 1);
          expect_documents(sequence, starts, backward);
        }
      }
    }
  }
}

TEST(LmStreams, KeepsTheOrderWithoutShuffle) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), kLengths, 40);
  LmStreams streams(shards, options(6, 7, true, false, false));
  std::vector<std::int64_t> counting(static_cast<std::size_t>(6 * 26 + 1));
  std::iota(counting.begin(), counting.end(), 0);
  EXPECT_EQ(laid_end_to_end(read_epoch(streams, 6, 0)), counting);
  EXPECT_EQ(laid_end_to_end(read_epoch(streams, 6, 3)), counting);
}

// fastai_settings.py: what LMDataLoader made.
TEST(LmStreams, FixedWindowsAreFastais) {
  const auto all = nlohmann::json::parse(read_file("tests/reference/fastai_settings.json"));
  for (const auto& expected : all.at("batches")) {
    SCOPED_TRACE(str(expected.at("lengths"), " in ", expected.at("bs"), " rows, windows of ", expected.at("seq_len")));
    test::TempDir dir;
    const ShardSet shards = test::counting_corpus(dir.path(), expected.at("lengths"), 40);
    const std::int64_t rows = expected.at("bs");
    LmStreams streams(shards, options(rows, expected.at("seq_len"), false, false, false));
    ASSERT_EQ(streams.windows(0).size(), expected.at("batches").size());
    for (std::size_t w = 0; w < expected.at("batches").size(); ++w) {
      const LmBatch batch = streams.batch(0, static_cast<std::int64_t>(w), 0, rows);
      const auto row_of = [&](const std::vector<std::int64_t>& ids, std::int64_t b) {
        std::vector<std::int64_t> row;
        for (std::int64_t t = 0; t < batch.T; ++t) row.push_back(ids[static_cast<std::size_t>(t * batch.B + b)]);
        return row;
      };
      for (std::int64_t b = 0; b < rows; ++b) {
        EXPECT_EQ(nlohmann::json(row_of(batch.x, b)), expected.at("batches")[w][0][static_cast<std::size_t>(b)]);
        EXPECT_EQ(nlohmann::json(row_of(batch.y, b)), expected.at("batches")[w][1][static_cast<std::size_t>(b)]);
      }
    }
  }
}

TEST(LmStreams, ShufflesByEpochAndSeed) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), kLengths, 40);
  const auto sequence = [&](std::uint64_t seed, std::int64_t epoch) {
    LmStreamOptions o = options(4, 10, true, true, false);
    o.seed = seed;
    LmStreams streams(shards, o);
    return laid_end_to_end(read_epoch(streams, 4, epoch));
  };
  EXPECT_EQ(sequence(1, 0), sequence(1, 0));
  EXPECT_NE(sequence(1, 0), sequence(1, 1));
  EXPECT_NE(sequence(1, 0), sequence(2, 0));
}

// The rule of data parallelism: what a rank reads are columns of what one rank would read.
TEST(LmStreams, RanksReadColumnsOfTheWholeBatch) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), kLengths, 40);
  constexpr std::int64_t G = 12;
  for (const bool backward : {false, true}) {
    LmStreams one(shards, options(G, 5, true, true, backward));
    for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
      for (std::size_t w = 0; w < one.windows(epoch).size(); ++w) {
        const auto window = static_cast<std::int64_t>(w);
        const LmBatch whole = one.batch(epoch, window, 0, G);
        for (const std::int64_t ranks : {1, 2, 3, 4, 6, 12}) {
          const std::int64_t B = G / ranks;
          for (std::int64_t rank = 0; rank < ranks; ++rank) {
            const LmBatch part = one.batch(epoch, window, rank * B, B);
            ASSERT_EQ(part.T, whole.T);
            for (std::int64_t t = 0; t < part.T; ++t) {
              for (std::int64_t b = 0; b < B; ++b) {
                const auto mine = static_cast<std::size_t>(t * B + b);
                const auto theirs = static_cast<std::size_t>(t * G + rank * B + b);
                ASSERT_EQ(part.x[mine], whole.x[theirs]);
                ASSERT_EQ(part.y[mine], whole.y[theirs]);
              }
            }
          }
        }
      }
    }
  }
}

// A run that resumes asks for a window in the middle first, maybe of a later epoch.
TEST(LmStreams, AnyWindowCanBeAskedForAtAnyTime) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), kLengths, 40);
  LmStreams in_order(shards, options(3, 10, true, true, true));
  struct Placed {
    std::int64_t epoch = 0;
    std::int64_t window = 0;
    LmBatch batch = {};
  };
  std::vector<Placed> all;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    const auto windows = static_cast<std::int64_t>(in_order.windows(epoch).size());
    for (std::int64_t w = 0; w < windows; ++w) all.push_back({epoch, w, in_order.batch(epoch, w, 0, 3)});
  }
  LmStreams jumping(shards, options(3, 10, true, true, true));
  for (auto placed = all.rbegin(); placed != all.rend(); ++placed) {
    const LmBatch again = jumping.batch(placed->epoch, placed->window, 0, 3);
    EXPECT_EQ(again.x, placed->batch.x);
    EXPECT_EQ(again.y, placed->batch.y);
  }
}

TEST(LmStreams, WindowsFillTheStream) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {5000, 3000, 2001});
  for (const bool variable : {false, true}) {
    for (const std::int64_t bptt : {3, 30, 70, 72, 20000}) {
      const LmStreams streams(shards, options(2, bptt, variable, true, false));
      for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
        std::int64_t at = 0;
        for (const Window& window : streams.windows(epoch)) {
          EXPECT_EQ(window.offset, at);
          EXPECT_GT(window.length, 0);
          at += window.length;
        }
        EXPECT_EQ(at, 5000);
      }
    }
  }
}

TEST(LmStreams, FixedWindowsAreTheBaseAndARemainder) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {1001});
  for (const std::int64_t bptt : {1, 7, 70, 500, 999, 1000, 1001}) {
    const auto windows = LmStreams(shards, options(1, bptt, false, true, false)).windows(0);
    EXPECT_EQ(static_cast<std::int64_t>(windows.size()), (1000 + bptt - 1) / bptt);
    for (std::size_t w = 0; w + 1 < windows.size(); ++w) EXPECT_EQ(windows[w].length, bptt);
    EXPECT_EQ(windows.back().length, 1000 - bptt * (static_cast<std::int64_t>(windows.size()) - 1));
  }
}

// Shares of the rounded normal mixture in closed form: P(length = l) = P(l - 2.5 <= N(base, 5) < l + 2.5), weighted.
TEST(LmStreams, VariableLengthsFollowTheirDistribution) {
  test::TempDir dir;
  ShardWriter writer(dir.path(), "train", test::corpus_header(10));
  writer.add(std::vector<std::int32_t>(4000000, 1));
  writer.finish();
  const ShardSet shards(dir.path(), "train");
  const LmStreams streams(shards, options(1, 70, true, true, false));
  std::map<std::int64_t, double> counts;
  double total = 0;
  for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
    auto windows = streams.windows(epoch);
    windows.pop_back();  // the remainder
    for (const Window& window : windows) {
      counts[window.length] += 1;
      total += 1;
    }
  }
  const auto below = [](double x, double mean) { return 0.5 * std::erfc((mean - x) / (5.0 * std::sqrt(2.0))); };
  for (std::int64_t length = 5; length <= 90; length += 5) {
    const double low = length == 5 ? -1e9 : static_cast<double>(length) - 2.5;  // the bounds collect their tails
    const double high = length == 90 ? 1e9 : static_cast<double>(length) + 2.5;
    const double share = 0.95 * (below(high, 70) - below(low, 70)) + 0.05 * (below(high, 35) - below(low, 35));
    const double deviation = std::sqrt(share * (1 - share) / total);
    EXPECT_NEAR(counts[length] / total, share, 4.5 * deviation + 1e-9) << "length " << length << " of " << total;
    counts.erase(length);
  }
  EXPECT_TRUE(counts.empty()) << "a length of " << counts.begin()->first;
}

TEST(LmStreams, LengthsAreMultiplesOfFiveWithinTheBounds) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {60001});
  for (const std::int64_t bptt : {1, 8, 33, 72}) {
    auto windows = LmStreams(shards, options(1, bptt, true, true, false)).windows(0);
    windows.pop_back();
    std::vector<std::int64_t> rests;
    for (const Window& window : windows) {
      rests.push_back(window.length % 5);
      EXPECT_GE(window.length, 5);
      EXPECT_LE(window.length, bptt + 20);
    }
    EXPECT_THAT(rests, Each(0));
  }
}

TEST(LmStreams, WindowsDifferByEpochAndSeedOnly) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {20001});
  const auto lengths = [&](std::uint64_t seed, std::int64_t epoch, bool backward) {
    LmStreamOptions o = options(1, 70, true, true, backward);
    o.seed = seed;
    std::vector<std::int64_t> all;
    for (const Window& window : LmStreams(shards, o).windows(epoch)) all.push_back(window.length);
    return all;
  };
  EXPECT_EQ(lengths(1, 0, false), lengths(1, 0, true));
  EXPECT_NE(lengths(1, 0, false), lengths(1, 1, false));
  EXPECT_NE(lengths(1, 0, false), lengths(2, 0, false));
}

TEST(LmStreams, TheRestContinuesTheLastStreamToTheLastToken) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), kLengths, 40);
  for (const bool backward : {false, true}) {
    // All of the epoch as one stream.
    LmStreams whole(shards, options(1, kTokens, false, false, backward));
    const LmBatch all = whole.batch(0, 0, 0, 1);
    EXPECT_EQ(whole.rest(0).T, 0);
    for (const std::int64_t count : {2, 4, 5, 11, 60}) {
      LmStreams streams(shards, options(count, 7, false, false, backward));
      const LmBatch rest = streams.rest(0);
      EXPECT_EQ(rest.T, (kTokens - 1) % count);
      EXPECT_EQ(rest.B, 1);
      EXPECT_EQ(rest.x, std::vector<std::int64_t>(all.x.end() - rest.T, all.x.end())) << count << " streams";
      EXPECT_EQ(rest.y, std::vector<std::int64_t>(all.y.end() - rest.T, all.y.end())) << count << " streams";
    }
  }
}

TEST(LmStreams, RefusesWhatCannotBeCut) {
  test::TempDir dir;
  const ShardSet shards = test::counting_corpus(dir.path(), {10});
  const auto build = [&](std::int64_t streams, std::int64_t bptt) {
    return LmStreams(shards, options(streams, bptt, true, true, false));
  };
  EXPECT_NO_THROW(build(5, 1));
  EXPECT_THROW(build(0, 70), ConfigError);
  EXPECT_THROW(build(5, 0), ConfigError);
  try {
    build(6, 70);
    ADD_FAILURE();
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr("a corpus of 10 tokens into 6 streams"));
  }
  LmStreams streams(shards, options(2, 3, false, false, false));  // L = 4: windows of 3 and 1
  EXPECT_NO_THROW(streams.batch(0, 1, 1, 1));
  EXPECT_THROW(streams.batch(0, 2, 0, 1), std::out_of_range);
  EXPECT_THROW(streams.batch(0, 0, 1, 2), std::out_of_range);
  EXPECT_THROW(streams.batch(0, 0, -1, 2), std::out_of_range);
}

}  // namespace
}  // namespace ulmfit::data
