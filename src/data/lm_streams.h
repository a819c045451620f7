// The corpus as G global streams for truncated back-propagation. In each epoch the documents are permuted (or kept in
// order), concatenated, and cut into G contiguous streams of L = floor((tokens - 1) / G) tokens: stream g reads tokens
// [g L, (g + 1) L). Step after step all streams advance by the same window of T tokens; y is x one token later (at a
// stream's end it is the next stream's first token). Fewer than G + 1 tokens are dropped an epoch. Nothing here depends on
// ranks: a rank asks for any range of streams.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/shard_reader.h"

namespace ulmfit::data {

struct LmStreamOptions {
  std::int64_t streams = 64;  // G
  std::int64_t bptt = 70;     // base window length in tokens
  bool variable_bptt = true;  // draw T as AWD-LSTM does: base, or base/2 with p = 0.05, normal with spread 5, rounded to a
                              // multiple of 5, at least 5 and at most base + 20; else T = base
  bool shuffle = true;        // permute documents each epoch (training); validation keeps their order
  bool backward = false;      // each document reversed behind its first token (xxbos stays in front)
  std::uint64_t seed = 0;
};

// One rank's part of a step. Arrays are [T, B] row-major: element (t, b) at t * B + b.
struct LmBatch {
  std::int64_t T = 0;
  std::int64_t B = 0;
  bool epoch_start = false;  // state is zeroed before this window
  std::vector<std::int64_t> x;
  std::vector<std::int64_t> y;
};

// One window of an epoch: tokens [offset, offset + length) of every stream.
struct Window {
  std::int64_t offset = 0;
  std::int64_t length = 0;
};

class LmStreams {
 public:
  // Throws DataError when the corpus has fewer than 2 G tokens, ConfigError for G < 1 or bptt < 1. Keeps a reference to
  // `shards`. Memory: 12 bytes a document for the epoch's order.
  LmStreams(const ShardSet& shards, const LmStreamOptions& options);
  ~LmStreams();

  std::int64_t stream_length() const;   // L
  std::int64_t dropped_tokens() const;  // an epoch: those that are no stream's input (the first of them is still a target)

  // The windows of an epoch: a pure function of options, epoch and L, for any thread. Takes time in proportion to them.
  std::vector<Window> windows(std::int64_t epoch) const;

  // Streams [first, first + count) of window `window` of `epoch`. Not thread-safe (one reader thread).
  LmBatch batch(std::int64_t epoch, std::int64_t window, std::int64_t first, std::int64_t count);

  // The ids that all streams together have in that window as inputs, each once, in order. Not thread-safe either.
  std::vector<std::int64_t> words(std::int64_t epoch, std::int64_t window);

  // What the last stream leaves: its continuation to the epoch's last token, B = 1, T = dropped_tokens() - 1 (perhaps 0).
  // Evaluation, which counts every target, reads it behind the windows. Not thread-safe.
  LmBatch rest(std::int64_t epoch);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ulmfit::data
