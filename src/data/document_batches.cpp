#include "data/document_batches.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "base/error.h"
#include "base/random.h"

namespace ulmfit::data {
namespace {

constexpr std::int64_t kRunBatches = 50;  // documents are sorted by length within this many batches

using Batches = std::vector<std::vector<std::int64_t>>;

// Consecutive batches of `size`; a single document left over joins the batch before it.
Batches cut(const std::vector<std::int64_t>& documents, std::int64_t size) {
  Batches batches;
  for (auto at = documents.begin(); at != documents.end();) {
    const std::int64_t left = documents.end() - at;
    const std::int64_t take = left == size + 1 && size > 1 ? left : std::min(left, size);
    batches.emplace_back(at, at + take);
    at += take;
  }
  return batches;
}

}  // namespace

struct DocumentBatches::Impl {
  const ShardSet& shards;
  const DocumentBatchOptions options;

  // Of the epoch last asked for.
  std::int64_t epoch = -1;
  Batches batches;

  Impl(const ShardSet& s, const DocumentBatchOptions& o) : shards(s), options(o) {}

  std::int64_t length(std::int64_t document) const {
    return shards.document_start(document + 1) - shards.document_start(document);
  }
  void sort_by_length(std::span<std::int64_t> documents) const {
    std::stable_sort(documents.begin(), documents.end(),
                     [this](std::int64_t a, std::int64_t b) { return length(a) > length(b); });
  }
  Batches shuffled(std::int64_t e) const;
  Batches ordered() const;
  std::vector<std::int64_t> tokens(std::int64_t document) const;
};

Batches DocumentBatches::Impl::ordered() const {
  std::vector<std::int64_t> documents(static_cast<std::size_t>(shards.document_count()));
  std::iota(documents.begin(), documents.end(), 0);
  sort_by_length(documents);
  return cut(documents, options.batch_size);
}

Batches DocumentBatches::Impl::shuffled(std::int64_t e) const {
  RandomKey key{options.seed, Purpose::kBatchOrder, static_cast<std::uint64_t>(e), 0};
  const auto order = random_permutation(key, static_cast<std::uint32_t>(shards.document_count()));
  std::vector<std::int64_t> documents(order.begin(), order.end());
  const auto run = static_cast<std::size_t>(options.batch_size * kRunBatches);
  for (std::size_t first = 0; first < documents.size(); first += run) {
    sort_by_length(std::span(documents).subspan(first, std::min(run, documents.size() - first)));
  }
  Batches sorted = cut(documents, options.batch_size);

  key.stream = 1;  // stream 0 has ordered the documents
  Batches mixed;
  for (const std::uint32_t at : random_permutation(key, static_cast<std::uint32_t>(sorted.size()))) {
    mixed.push_back(std::move(sorted[at]));
  }
  const auto longest = [this](const auto& batch) {
    std::int64_t most = 0;
    for (const std::int64_t document : batch) most = std::max(most, length(document));
    return most;
  };
  const auto first =
      std::max_element(mixed.begin(), mixed.end(), [&](const auto& a, const auto& b) { return longest(a) < longest(b); });
  std::iter_swap(mixed.begin(), first);
  return mixed;
}

std::vector<std::int64_t> DocumentBatches::Impl::tokens(std::int64_t document) const {
  std::vector<std::int32_t> narrow(static_cast<std::size_t>(length(document)));
  shards.read(shards.document_start(document), narrow);
  if (options.backward) std::reverse(narrow.begin() + 1, narrow.end());
  return {narrow.begin(), narrow.end()};
}

DocumentBatches::DocumentBatches(const ShardSet& shards, const DocumentBatchOptions& options)
    : impl_(std::make_unique<Impl>(shards, options)) {
  if (options.batch_size < 1) {
    throw ConfigError(str("cannot make batches of ", options.batch_size, " documents: give a batch size of 1 or more"));
  }
  if (shards.document_count() > std::numeric_limits<std::uint32_t>::max()) {
    throw DataError(str("cannot shuffle ", shards.document_count(), " documents: 2^32 - 1 at most; split the set"));
  }
}

DocumentBatches::~DocumentBatches() = default;

std::vector<std::vector<std::int64_t>> DocumentBatches::order(std::int64_t epoch) const {
  return impl_->options.shuffle ? impl_->shuffled(epoch) : impl_->ordered();
}

std::int64_t DocumentBatches::batches_per_epoch() const {
  const std::int64_t documents = impl_->shards.document_count();
  const std::int64_t size = impl_->options.batch_size;
  const bool joined = size > 1 && documents > size && documents % size == 1;
  return (documents + size - 1) / size - (joined ? 1 : 0);
}

const std::vector<std::int64_t>& DocumentBatches::documents(std::int64_t epoch, std::int64_t batch) {
  if (epoch != impl_->epoch) {
    impl_->batches = order(epoch);
    impl_->epoch = epoch;
  }
  if (batch < 0 || batch >= batches_per_epoch()) {
    throw std::out_of_range(str("batch ", batch, " of ", batches_per_epoch()));
  }
  return impl_->batches[static_cast<std::size_t>(batch)];
}

std::vector<Document> DocumentBatches::batch(std::int64_t epoch, std::int64_t batch, int rank, int size) {
  if (rank < 0 || rank >= size) throw std::out_of_range(str("rank ", rank, " of ", size));
  const auto& indices = documents(epoch, batch);
  const bool labelled = impl_->shards.header().labelled;
  std::vector<Document> found;
  for (auto slot = static_cast<std::size_t>(rank); slot < indices.size(); slot += static_cast<std::size_t>(size)) {
    const std::int64_t index = indices[slot];
    found.push_back(
        {index, static_cast<std::int64_t>(slot), labelled ? impl_->shards.label(index) : -1, impl_->tokens(index)});
  }
  return found;
}

}  // namespace ulmfit::data
