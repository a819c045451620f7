// Labelled documents for the classifier's benchmarks: made up, or of a prepared set.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "config/option_set.h"
#include "data/shard_reader.h"
#include "model/document_pooling.h"
#include "perf/synthetic_corpus.h"

namespace ulmfit::perf {

struct DocumentOptions {
  std::string data;  // "": made-up documents
  std::int64_t vocabulary = 30000;
  std::int64_t documents = 256;
  std::int64_t length = 275;  // IMDb's mean
  std::int64_t classes = 2;
  void declare(config::OptionSet& set);
};

class Documents {
 public:
  // DataError when options.data is no labelled set.
  Documents(const DocumentOptions& options, std::uint64_t seed);
  const data::ShardSet& shards() const { return *shards_; }
  std::int64_t vocabulary() const { return shards_->header().vocabulary_size; }
  std::int64_t classes() const { return classes_; }
  double mean_tokens() const;
  // Of those that gradients reach.
  double mean_tokens(const model::Bpt3cOptions& bpt3c) const;

 private:
  std::unique_ptr<SyntheticCorpus> made_;
  std::unique_ptr<data::ShardSet> shards_;
  std::int64_t classes_;
};

}  // namespace ulmfit::perf
