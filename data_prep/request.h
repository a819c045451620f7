// What a prepared folder was asked to hold, as JSON for its provenance, and the lines that report a finished one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "data_prep/corpus_builder.h"
#include "data_prep/table_reader.h"
#include "text/text_pipeline.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace ulmfit::data_prep {

// Keys tokenizer, rules, sentencepiece, max_words, min_count; or, with a known vocabulary, vocabulary (or extended) and
// what decides with it.
nlohmann::json describe_text(const text::TextOptions& text, const text::VocabularyOptions& vocabulary,
                             const KnownVocabulary& known);

// Adds `header` and `delimiter`; null: the default.
void describe_table(const TableOptions& table, nlohmann::json& request);
// Adds `license`; null: not stated.
void describe_license(const std::string& license, nlohmann::json& request);

nlohmann::json describe(const text::CleanCounts& counts);

// Logs documents, tokens and unknown words by split, the vocabulary, what was cleaned, and MB/s.
void log_prepared(const std::map<std::string, SplitSummary>& splits, std::int64_t vocabulary_size,
                  const text::CleanCounts& cleaned, std::uint64_t text_bytes, double seconds);

}  // namespace ulmfit::data_prep
