#include "perf/documents.h"

#include "base/error.h"
#include "data/corpus_folder.h"

namespace ulmfit::perf {

void DocumentOptions::declare(config::OptionSet& set) {
  set.add("data", data, "labelled folder of prepare-labelled (its train split); without it made-up documents");
  set.add("vocab", vocabulary, "words of the made-up documents", {.min = 16, .max = 1e8});
  set.add("documents", documents, "made-up documents", {.min = 2, .max = 1e7});
  set.add("length", length, "their tokens on average, between a quarter and seven quarters of it", {.min = 4, .max = 1e6});
  set.add("classes", classes, "their classes", {.min = 2, .max = 1e4});
}

Documents::Documents(const DocumentOptions& options, std::uint64_t seed) : classes_(options.classes) {
  if (options.data.empty()) {
    made_ = std::make_unique<SyntheticCorpus>(options.vocabulary, options.documents, options.length, options.classes, seed);
    shards_ = std::make_unique<data::ShardSet>(made_->folder(), "train");
    return;
  }
  const data::CorpusInfo info = data::open_corpus(options.data);
  if (info.kind != "labelled") {
    throw DataError(str("bench: ", options.data, info.multilabel() ? " has several labels a text" : " has no labels",
                        "; expected the labelled folder of prepare-labelled, with one label a text"));
  }
  shards_ = std::make_unique<data::ShardSet>(data::open_split(options.data, info, "train"));
  classes_ = static_cast<std::int64_t>(info.labels.size());
}

double Documents::mean_tokens() const {
  return static_cast<double>(shards_->token_count()) / static_cast<double>(shards_->document_count());
}

double Documents::mean_tokens(const model::Bpt3cOptions& bpt3c) const {
  const std::int64_t count = shards_->document_count();
  std::int64_t tokens = 0;
  for (std::int64_t d = 0; d < count; ++d) {
    tokens += model::reached_tokens(shards_->document_start(d + 1) - shards_->document_start(d), bpt3c);
  }
  return static_cast<double>(tokens) / static_cast<double>(count);
}

}  // namespace ulmfit::perf
