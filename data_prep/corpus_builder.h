// Writes one corpus folder: shards by split, vocab.txt, text.json, corpus.json, labels.txt and the manifest.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/shard_writer.h"
#include "data/share.h"
#include "data_prep/token_spool.h"
#include "text/text_pipeline.h"
#include "text/vocabulary.h"

namespace ulmfit::data_prep {

// What decides how text becomes ids.
struct TextSetup {
  text::TextPipeline pipeline;
  std::optional<text::Vocabulary> vocabulary;  // reused; else to be built
};

// `vocabulary_from`: empty (build one); a file with a token a line; or a corpus or stage folder, whose text.json then
// decides tokenizer and rules in place of `options`. Throws DataError.
TextSetup text_setup(const text::TextOptions& options, const std::filesystem::path& vocabulary_from);

// The words of the documents for which `counted` holds.
text::TokenCounts count_words(const TokenSpool& spool, const std::function<bool(std::int64_t document)>& counted);

struct SplitSummary {
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
  std::int64_t unknown = 0;  // tokens that the vocabulary does not know
  double unknown_share() const { return tokens == 0 ? 0 : static_cast<double>(unknown) / static_cast<double>(tokens); }
};

class CorpusBuilder {
 public:
  // `labels`: class names of a labelled corpus; empty for one of kind "lm". The pipeline and the vocabulary must outlive
  // this. With a `share`, several builders see the same documents, and each writes its shards of every split.
  CorpusBuilder(std::filesystem::path folder, const text::TextPipeline& pipeline, const text::Vocabulary& vocabulary,
                std::vector<std::string> labels, std::int64_t shard_tokens, data::Share share = {});

  void add(const std::string& split, std::span<const std::int32_t> ids, std::int32_t label = -1);
  // Whether the next document of a split is this builder's to add; else it is passed over, with its number of tokens.
  bool adds_next(const std::string& split) { return writer(split).writes_next(); }
  void pass_over(const std::string& split, std::size_t tokens) { writer(split).pass_over(tokens); }

  // Writes the last shards; what this builder has added, by split.
  std::map<std::string, SplitSummary> finish_shards();
  // Describes the shards of all builders, the manifest last. One builder calls it, after finish_shards() of all.
  void describe(const nlohmann::json& provenance);

 private:
  data::ShardWriter& writer(const std::string& split);

  std::filesystem::path folder_;
  const text::TextPipeline& pipeline_;
  const text::Vocabulary& vocabulary_;
  std::vector<std::string> labels_;
  std::int64_t shard_tokens_;
  data::Share share_;
  data::ShardHeader header_;
  std::map<std::string, std::unique_ptr<data::ShardWriter>> writers_;
  std::map<std::string, SplitSummary> splits_;
};

// The vocabulary's id of each local id of the spool.
std::vector<std::int32_t> vocabulary_ids(const std::vector<std::string>& words, const text::Vocabulary& vocabulary);

}  // namespace ulmfit::data_prep
