#include "data/lm_streams.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>
#include <utility>

#include "base/error.h"
#include "base/random.h"

namespace ulmfit::data {
namespace {

constexpr double kHalfProbability = 0.05;
constexpr double kSpread = 5.0;            // standard deviation of a window's length
constexpr std::int64_t kLengthStep = 5;    // lengths are multiples of this, so that kernels are reused
constexpr std::int64_t kLongestOver = 20;  // over the base

// Length of a window before the epoch's end cuts it. The two draws are streams 0 and 1 of the purpose, so that neither
// shares random bits with the other.
std::int64_t draw_length(const LmStreamOptions& options, std::int64_t epoch, std::int64_t window) {
  if (!options.variable_bptt) return options.bptt;
  RandomKey key{options.seed, Purpose::kBpttLength, static_cast<std::uint64_t>(epoch), 0};
  const auto index = static_cast<std::uint64_t>(window);
  const double base = static_cast<double>(options.bptt) * (random_uniform(key, index) < kHalfProbability ? 0.5 : 1.0);
  key.stream = 1;
  const double drawn = base + kSpread * random_normal(key, index);
  const std::int64_t rounded = std::llround(drawn / static_cast<double>(kLengthStep)) * kLengthStep;
  const std::int64_t longest = (options.bptt + kLongestOver) / kLengthStep * kLengthStep;
  return std::clamp(rounded, kLengthStep, longest);
}

}  // namespace

struct LmStreams::Impl {
  const ShardSet& shards;
  const LmStreamOptions options;
  std::int64_t length = 0;  // L

  // Of the epoch last asked for.
  std::int64_t epoch = -1;
  std::vector<Window> windows;
  std::vector<std::uint32_t> order;     // documents in their order of this epoch (shuffle only)
  std::vector<std::int64_t> positions;  // where each of them starts in the epoch's sequence, and its end (shuffle only)

  Impl(const ShardSet& s, const LmStreamOptions& o) : shards(s), options(o) {}

  std::vector<Window> cut(std::int64_t e) const;
  void enter(std::int64_t e);
  LmBatch cut_out(const Window& window, std::int64_t first, std::int64_t count) const;  // of the epoch last asked for
  void read(std::int64_t first, std::span<std::int32_t> out) const;
  void read_document(std::int64_t document, std::int64_t first, std::span<std::int32_t> out) const;
};

std::vector<Window> LmStreams::Impl::cut(std::int64_t e) const {
  std::vector<Window> cuts;
  for (std::int64_t offset = 0; offset < length;) {
    const std::int64_t drawn = draw_length(options, e, static_cast<std::int64_t>(cuts.size()));
    cuts.push_back({offset, std::min(drawn, length - offset)});
    offset += cuts.back().length;
  }
  return cuts;
}

void LmStreams::Impl::enter(std::int64_t e) {
  if (e == epoch) return;
  windows = cut(e);
  if (options.shuffle) {
    const RandomKey key{options.seed, Purpose::kDocumentOrder, static_cast<std::uint64_t>(e), 0};
    order = random_permutation(key, static_cast<std::uint32_t>(shards.document_count()));
    positions.assign(1, 0);
    positions.reserve(order.size() + 1);
    const auto starts = shards.document_starts();
    for (const std::uint32_t document : order) {
      positions.push_back(positions.back() + starts[document + 1] - starts[document]);
    }
  }
  epoch = e;
}

// Tokens [first, first + out.size()) of one document in reading direction: backward, position 0 is the first token still
// and position i > 0 is token n - i.
void LmStreams::Impl::read_document(std::int64_t document, std::int64_t first, std::span<std::int32_t> out) const {
  const std::int64_t start = shards.document_start(document);
  if (!options.backward) return shards.read(start + first, out);
  if (first == 0) {
    shards.read(start, out.first(1));
    out = out.subspan(1);
    first = 1;
  }
  if (out.empty()) return;
  const std::int64_t end = shards.document_start(document + 1);
  shards.read(end - first + 1 - static_cast<std::int64_t>(out.size()), out);
  std::reverse(out.begin(), out.end());
}

// Tokens [first, first + out.size()) of the epoch's sequence.
void LmStreams::Impl::read(std::int64_t first, std::span<std::int32_t> out) const {
  if (!options.shuffle && !options.backward) return shards.read(first, out);
  const std::span<const std::int64_t> starts = options.shuffle ? positions : shards.document_starts();
  auto at = static_cast<std::size_t>(std::upper_bound(starts.begin(), starts.end(), first) - starts.begin()) - 1;
  for (; !out.empty(); ++at) {
    const std::int64_t document = options.shuffle ? order[at] : static_cast<std::int64_t>(at);
    const auto part = out.first(std::min(out.size(), static_cast<std::size_t>(starts[at + 1] - first)));
    read_document(document, first - starts[at], part);
    first = starts[at + 1];
    out = out.subspan(part.size());
  }
}

LmBatch LmStreams::Impl::cut_out(const Window& window, std::int64_t first, std::int64_t count) const {
  LmBatch batch;
  batch.T = window.length;
  batch.B = count;
  const auto T = static_cast<std::size_t>(batch.T);
  const auto B = static_cast<std::size_t>(batch.B);
  batch.x.resize(T * B);
  batch.y.resize(T * B);
  std::vector<std::int32_t> tokens(T + 1);
  for (std::size_t b = 0; b < B; ++b) {
    read((first + static_cast<std::int64_t>(b)) * length + window.offset, tokens);
    for (std::size_t t = 0; t < T; ++t) {
      batch.x[t * B + b] = tokens[t];
      batch.y[t * B + b] = tokens[t + 1];
    }
  }
  return batch;
}

LmStreams::LmStreams(const ShardSet& shards, const LmStreamOptions& options)
    : impl_(std::make_unique<Impl>(shards, options)) {
  if (options.streams < 1) throw ConfigError(str("cannot cut a corpus into ", options.streams, " streams: give 1 or more"));
  if (options.bptt < 1) throw ConfigError(str("cannot cut windows of ", options.bptt, " tokens: give a bptt of 1 or more"));
  const std::int64_t tokens = shards.token_count();
  if (tokens / 2 < options.streams) {
    throw DataError(str("cannot cut a corpus of ", tokens, " tokens into ", options.streams,
                        " streams: 2 tokens a stream are needed at least; use fewer streams or more text"));
  }
  if (shards.document_count() > std::numeric_limits<std::uint32_t>::max()) {
    throw DataError(str("cannot permute ", shards.document_count(), " documents: 2^32 - 1 at most; split the corpus"));
  }
  impl_->length = (tokens - 1) / options.streams;
}

LmStreams::~LmStreams() = default;

std::int64_t LmStreams::stream_length() const { return impl_->length; }

std::int64_t LmStreams::dropped_tokens() const {
  return impl_->shards.token_count() - impl_->length * impl_->options.streams;
}

std::vector<Window> LmStreams::windows(std::int64_t epoch) const { return impl_->cut(epoch); }

LmBatch LmStreams::batch(std::int64_t epoch, std::int64_t window, std::int64_t first, std::int64_t count) {
  impl_->enter(epoch);
  const auto windows = static_cast<std::int64_t>(impl_->windows.size());
  if (window < 0 || window >= windows || first < 0 || count < 0 || count > impl_->options.streams - first) {
    throw std::out_of_range(str("window ", window, " of ", windows, ", streams ", first, " to ", first + count, " of ",
                                impl_->options.streams));
  }
  LmBatch batch = impl_->cut_out(impl_->windows[static_cast<std::size_t>(window)], first, count);
  batch.epoch_start = window == 0;
  return batch;
}

std::vector<std::int64_t> LmStreams::words(std::int64_t epoch, std::int64_t window) {
  std::vector<std::int64_t> words = batch(epoch, window, 0, impl_->options.streams).x;
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return words;
}

LmBatch LmStreams::rest(std::int64_t epoch) {
  impl_->enter(epoch);
  return impl_->cut_out({impl_->length, dropped_tokens() - 1}, impl_->options.streams - 1, 1);
}

}  // namespace ulmfit::data
