// Labelled documents in global batches. The order of an epoch is a pure function of (seed, epoch) and the lengths:
// documents are shuffled, sorted by length within runs of 50 batches, cut into batches of `batch_size` documents, and the
// batches are shuffled, the one with the longest document first (so that too little memory shows at once). A rank takes a
// slice of each global batch; a last batch of one document joins the one before it (batch norm needs two), unless
// batch_size is 1.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/shard_reader.h"

namespace ulmfit::data {

struct DocumentBatchOptions {
  std::int64_t batch_size = 64;  // documents a global batch
  bool shuffle = true;           // training; else batches by decreasing length, for evaluation
  bool backward = false;         // tokens reversed behind the first (xxbos stays in front)
  std::uint64_t seed = 0;
};

struct Document {
  std::int64_t index = 0;  // in the set
  std::int64_t slot = 0;   // in the global batch: keys its dropout masks
  std::int32_t label = -1;
  std::vector<std::int64_t> tokens;
};

class DocumentBatches {
 public:
  // Throws ConfigError for batch_size < 1. Keeps a reference to `shards`.
  DocumentBatches(const ShardSet& shards, const DocumentBatchOptions& options);
  ~DocumentBatches();

  // Document indices of each global batch of an epoch, in order.
  std::vector<std::vector<std::int64_t>> order(std::int64_t epoch) const;
  std::int64_t batches_per_epoch() const;

  // The documents of global batch `batch`, by slot; valid until another epoch is asked for. Not thread-safe.
  const std::vector<std::int64_t>& documents(std::int64_t epoch, std::int64_t batch);

  // The documents at slots rank, rank + size, rank + 2 size, ... of global batch `batch` (so every rank gets a like mix of
  // lengths), sorted by slot. May be empty on some ranks for a short last batch. Not thread-safe.
  std::vector<Document> batch(std::int64_t epoch, std::int64_t batch, int rank, int size);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ulmfit::data
