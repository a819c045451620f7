#include "data_prep/request.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"

namespace ulmfit::data_prep {
namespace {

std::string fixed(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

}  // namespace

nlohmann::json describe_text(const text::TextOptions& text, const text::VocabularyOptions& vocabulary,
                             const KnownVocabulary& known) {
  nlohmann::json described = {{"tokenizer", name_in(text::kTokenizerKinds, text.tokenizer)},
                              {"fastai_rules", text.rules == text::TextRules::kFastai}};
  if (text.rules == text::TextRules::kFastai1) described["fastai_rules"] = name_in(text::kTextRules, text.rules);
  if (!text.sentencepiece_model.empty()) described["sentencepiece"] = fingerprint(text.sentencepiece_model);
  if (!known.from.empty() && !fs::exists(known.from)) {
    throw DataError(str("cannot take the vocabulary of ", known.from.string(), ": no such file or folder"));
  }
  if (fs::is_directory(known.from)) {
    const fs::path rules = known.from / "text.json";
    described = {{"text_rules", fs::exists(rules) ? file_fingerprint(rules) : ""}};  // they stand in for the options
    const fs::path words = known.from / "vocab.txt";
    described["vocabulary"] = fs::exists(words) ? file_fingerprint(words) : "";
  } else if (!known.from.empty()) {
    described["vocabulary"] = file_fingerprint(known.from);
  }
  const nlohmann::json built = {{"max_words", vocabulary.max_words}, {"min_count", vocabulary.min_count}};
  if (known.from.empty()) {
    described.update(built);
  } else if (known.extend) {  // under a key of its own: the other two are to differ from it
    described["extended"] = built;
    described["extended"]["vocabulary"] = described["vocabulary"];
    described.erase("vocabulary");
  }
  return described;
}

void describe_table(const TableOptions& table, nlohmann::json& request) {
  request["header"] = table.header ? nlohmann::json(*table.header) : nlohmann::json();
  // Of the default, null: see output_folder.cpp, which compares the keys of the new request.
  request["delimiter"] = table.delimiter == ',' ? nlohmann::json() : nlohmann::json(std::string(1, table.delimiter));
}

void describe_license(const std::string& license, nlohmann::json& request) {
  request["license"] = license.empty() ? nlohmann::json() : nlohmann::json(license);
}

nlohmann::json describe(const text::CleanCounts& counts) {
  return {{"invalid_utf8", counts.invalid_utf8},
          {"nul_bytes", counts.nul_bytes},
          {"carriage_returns", counts.carriage_returns},
          {"byte_order_marks", counts.byte_order_marks}};
}

void log_prepared(const std::map<std::string, SplitSummary>& splits, std::int64_t vocabulary_size,
                  const text::CleanCounts& cleaned, std::uint64_t text_bytes, double seconds) {
  for (const auto& [split, summary] : splits) {
    const double without = summary.unknown_share() + summary.known_only_share();
    log::info("prepare",
              str(split, ": ", summary.documents, " documents, ", summary.tokens, " tokens, ",
                  fixed(100 * summary.unknown_share(), 2), " % unknown words",
                  summary.known_only == 0 ? "" : str(" (without the known vocabulary ", fixed(100 * without, 2), " %)")));
  }
  if (cleaned.invalid_utf8 + cleaned.nul_bytes > 0) {
    log::warn("prepare", str("cleaned: ", cleaned.invalid_utf8, " byte sequences that are not UTF-8 became U+FFFD, ",
                             cleaned.nul_bytes, " NUL bytes were removed"));
  }
  if (cleaned.carriage_returns + cleaned.byte_order_marks > 0) {
    log::info("prepare", str(cleaned.carriage_returns, " line ends of CRLF or CR were read as LF, ",
                             cleaned.byte_order_marks, " byte-order marks left out"));
  }
  const double megabytes = static_cast<double>(text_bytes) / 1e6;
  log::info("prepare", str("vocabulary: ", vocabulary_size, " words; ", fixed(megabytes, 1), " MB of text in ",
                           fixed(seconds, 1), " s (", fixed(megabytes / std::max(seconds, 1e-9), 1), " MB/s)"));
}

}  // namespace ulmfit::data_prep
