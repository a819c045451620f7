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

#include "data/label_sets.h"
#include "data/shard_writer.h"
#include "data/share.h"
#include "data_prep/token_spool.h"
#include "text/text_pipeline.h"
#include "text/vocabulary.h"

namespace ulmfit::data_prep {

// Words that are known before a text is read.
struct KnownVocabulary {
  std::filesystem::path from;  // empty: none; a file with a token a line; or a corpus or stage folder
  bool extend = false;         // by the words of the text, which come first (Vocabulary::build); else taken as it is
};

// What decides how text becomes ids.
struct TextSetup {
  text::TextPipeline pipeline;
  std::optional<text::Vocabulary> known;
  bool extend = false;

  bool builds() const { return !known || extend; }
  std::span<const std::string> known_words() const {
    return known ? std::span<const std::string>(known->tokens()) : std::span<const std::string>();
  }
};

// The text.json of a folder that the known words come from decides tokenizer and rules in place of `options`. Throws
// DataError.
TextSetup text_setup(const text::TextOptions& options, const KnownVocabulary& known);

// Says how many known words --vocab.size leaves no room for.
void warn_of_words_left_out(const TextSetup& setup, const text::Vocabulary& built);

// The words of the documents for which `counted` holds.
text::TokenCounts count_words(const TokenSpool& spool, const std::function<bool(std::int64_t document)>& counted);

struct SplitSummary {
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
  std::int64_t unknown = 0;     // tokens that the vocabulary does not know
  std::int64_t known_only = 0;  // tokens that it knows by what it was extended from alone

  void count(std::span<const std::int32_t> ids, const text::Vocabulary& vocabulary);  // all but the documents
  double unknown_share() const { return share(unknown); }
  double known_only_share() const { return share(known_only); }

 private:
  double share(std::int64_t part) const {
    return tokens == 0 ? 0 : static_cast<double>(part) / static_cast<double>(tokens);
  }
};

// What the labels of a corpus mean. Without classes it is of kind "lm".
struct LabelNames {
  std::vector<std::string> classes;  // by number
  data::LabelSets sets;              // where texts have several labels; else empty
};

class CorpusBuilder {
 public:
  // The pipeline and the vocabulary must outlive this. With a `share`, several builders see the same documents, and each
  // writes its shards of every split.
  CorpusBuilder(std::filesystem::path folder, const text::TextPipeline& pipeline, const text::Vocabulary& vocabulary,
                LabelNames labels, std::int64_t shard_tokens, data::Share share = {});

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
  LabelNames labels_;
  std::int64_t shard_tokens_;
  data::Share share_;
  data::ShardHeader header_;
  std::map<std::string, std::unique_ptr<data::ShardWriter>> writers_;
  std::map<std::string, SplitSummary> splits_;
};

// The vocabulary's id of each local id of the spool.
std::vector<std::int32_t> vocabulary_ids(const std::vector<std::string>& words, const text::Vocabulary& vocabulary);

}  // namespace ulmfit::data_prep
