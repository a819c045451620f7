#include "data_prep/corpus_builder.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/manifest.h"
#include "data/corpus_folder.h"
#include "data/shard_reader.h"

namespace ulmfit::data_prep {

TextSetup text_setup(const text::TextOptions& options, const KnownVocabulary& known) {
  if (known.from.empty()) return {text::TextPipeline(options), std::nullopt};
  if (!fs::is_directory(known.from)) {
    return {text::TextPipeline(options), text::Vocabulary::load(known.from), known.extend};
  }
  const fs::path rules = known.from / "text.json";
  if (!fs::exists(rules) || !fs::exists(known.from / "vocab.txt")) {
    throw DataError(str("cannot take the vocabulary of ", known.from.string(), ": expected vocab.txt and text.json in it; ",
                        "give a stage or corpus folder, or a file with a token a line"));
  }
  const nlohmann::json json = nlohmann::json::parse(read_file(rules), nullptr, false);
  if (json.is_discarded())
    throw DataError(str("cannot read ", rules.string(), ": it is not JSON; take the folder from its source"));
  return {text::TextPipeline::from_json(json), text::Vocabulary::load(known.from / "vocab.txt"), known.extend};
}

void warn_of_words_left_out(const TextSetup& setup, const text::Vocabulary& built) {
  if (!setup.extend) return;
  const auto words = setup.known_words();
  const auto left_out = std::count_if(words.begin(), words.end(),
                                      [&](const std::string& word) { return word != "xxfake" && !built.knows(word); });
  if (left_out == 0) return;
  log::warn("prepare", str(left_out, " words of the known vocabulary have no room in ", built.size(),
                           " and are forgotten; a larger --vocab.size keeps them"));
}

text::TokenCounts count_words(const TokenSpool& spool, const std::function<bool(std::int64_t document)>& counted) {
  std::vector<std::int64_t> counts(spool.words().size(), 0);
  spool.visit([&](std::int64_t document, std::span<const std::uint32_t> ids) {
    if (!counted(document)) return;
    for (const std::uint32_t id : ids) ++counts[id];
  });
  text::TokenCounts words;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) words.emplace(spool.words()[i], counts[i]);
  }
  return words;
}

std::vector<std::int32_t> vocabulary_ids(const std::vector<std::string>& words, const text::Vocabulary& vocabulary) {
  std::vector<std::int32_t> ids;
  ids.reserve(words.size());
  for (const std::string& word : words) ids.push_back(vocabulary.id(word));
  return ids;
}

void SplitSummary::count(std::span<const std::int32_t> ids, const text::Vocabulary& vocabulary) {
  tokens += static_cast<std::int64_t>(ids.size());
  unknown += std::count(ids.begin(), ids.end(), vocabulary.unk());
  known_only += std::count_if(ids.begin(), ids.end(), [&](std::int32_t id) { return id >= vocabulary.first_known(); });
}

CorpusBuilder::CorpusBuilder(fs::path folder, const text::TextPipeline& pipeline, const text::Vocabulary& vocabulary,
                             LabelNames labels, std::int64_t shard_tokens, data::Share share)
    : folder_(std::move(folder)),
      pipeline_(pipeline),
      vocabulary_(vocabulary),
      labels_(std::move(labels)),
      shard_tokens_(shard_tokens),
      share_(share) {
  make_directories(folder_);
  header_.vocabulary_size = vocabulary.size();
  header_.vocabulary_fingerprint = vocabulary.fingerprint();
  header_.text_fingerprint = pipeline.fingerprint();
  header_.labelled = !labels_.classes.empty();
}

data::ShardWriter& CorpusBuilder::writer(const std::string& split) {
  std::unique_ptr<data::ShardWriter>& found = writers_[split];
  if (found == nullptr) found = std::make_unique<data::ShardWriter>(folder_, split, header_, shard_tokens_, share_);
  return *found;
}

void CorpusBuilder::add(const std::string& split, std::span<const std::int32_t> ids, std::int32_t label) {
  writer(split).add(ids, label);
  SplitSummary& summary = splits_[split];
  ++summary.documents;
  summary.count(ids, vocabulary_);
}

std::map<std::string, SplitSummary> CorpusBuilder::finish_shards() {
  for (const auto& [split, writer] : writers_) writer->finish();
  return splits_;
}

void CorpusBuilder::describe(const nlohmann::json& provenance) {
  data::CorpusInfo info;
  info.kind = labels_.classes.empty() ? "lm" : labels_.sets.empty() ? "labelled" : "multilabel";
  info.vocabulary_fingerprint = header_.vocabulary_fingerprint;
  info.text_fingerprint = header_.text_fingerprint;
  info.labels = labels_.classes;
  info.label_sets = labels_.sets;
  for (const auto& [split, writer] : writers_) info.splits[split] = data::split_info(data::ShardSet(folder_, split));
  vocabulary_.save(folder_ / "vocab.txt");
  write_file_atomic(folder_ / "text.json", pipeline_.to_json().dump(2) + "\n");
  data::write_corpus_info(folder_, info, provenance);
  write_manifest(folder_);
}

}  // namespace ulmfit::data_prep
