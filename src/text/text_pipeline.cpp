#include "text/text_pipeline.h"

#include <unicode/uversion.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "text/fastai1_rules.h"
#include "text/rules.h"
#include "text/utf8.h"

namespace ulmfit::text {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kBos = "xxbos";

// In text.json, by the version whose rules they are.
constexpr Named<TextRules> kVersionedRules[] = {
    {TextRules::kFastai, "fastai 2.8.12"}, {TextRules::kFastai1, "fastai 1.0.61"}, {TextRules::kNone, "none"}};

// One for each thing that another library version might do otherwise: apostrophes, numbers, addresses, marks, scripts that
// need a dictionary, emoji, cases.
constexpr std::array<std::string_view, 8> kSamples = {
    "The film WASN'T bad -- it's great!!! I'd give it 3.5/10 <br /><br />(no, 9.5)...",
    "Mail me: jane.doe@example.org or see https://example.org/a_b?c=1&amp;d=%20, from 1,000 \u20AC.",
    "very very very long, so-called U.S. \u201Cre-entry\u201D of the 1990\u2019s; they\u2019re 90% done",
    "\u0130stanbul \u039F\u0394\u039F\u03A3 stra\u00DFe cafe\u0301 \u01C4 \u2163 H\u2082O",
    "\u4ECA\u5929\u5929\u6C14\u5F88\u597D\uFF0C\u6211\u4EEC\u53BB\u5317\u4EAC\u5927\u5B66\u3002",
    "\u6771\u4EAC\u30BF\u30EF\u30FC\u3078\u884C\u304D\u307E\u3059 \uD55C\uAD6D\uC5B4 \uBB38\uC7A5",
    "\u0E2A\u0E27\u0E31\u0E2A\u0E14\u0E35\u0E0A\u0E32\u0E27\u0E42\u0E25\u0E01 \u0645\u0631\u062D\u0628\u0627 "
    "\u0928\u092E\u0938\u094D\u0924\u0947",
    "\U0001F44D\U0001F3FD \U0001F468\u200D\U0001F469\u200D\U0001F467 \U0001F1E9\U0001F1EA c++ #tag @name snake_case 12:30",
};

std::string icu_version() {
  UVersionInfo version;
  u_getVersion(version);
  std::array<char, U_MAX_VERSION_STRING_LENGTH> text{};
  u_versionToString(version, text.data());
  return text.data();
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 0xF]);
  }
  return hex;
}

std::string from_hex(std::string_view hex) {
  const auto value = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = value(hex[i]);
    const int low = i + 1 < hex.size() ? value(hex[i + 1]) : -1;
    if (high < 0 || low < 0) {
      throw DataError(str("text.json: sentencepiece_model holds no pair of hexadecimal digits at character ", i,
                          "; the file is damaged, take it from the original folder again"));
    }
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  return bytes;
}

template <class T>
T value_of(const Json& json, const std::string& key) {
  try {
    return json.at(key).get<T>();
  } catch (const Json::exception& error) {
    throw DataError(
        str("text.json: cannot read \"", key, "\" (", error.what(),
            "); the file is damaged or was written by another program, take it from the original folder again"));
  }
}

std::string_view rules_name(const TextOptions& options) { return name_in(kVersionedRules, options.rules); }

TextOptions options_from(const Json& json) {
  TextOptions options;
  const auto kind = value_of<std::string>(json, "tokenizer");
  const std::optional<TokenizerKind> known = value_in(kTokenizerKinds, kind);
  if (!known) {
    throw DataError(str("text.json: there is no tokenizer \"", kind, "\"; expected ", list_names(kTokenizerKinds, ", ")));
  }
  options.tokenizer = *known;
  const auto rules = value_of<std::string>(json, "rules");
  const std::optional<TextRules> known_rules = value_in(kVersionedRules, rules);
  if (!known_rules) {
    throw DataError(str("text.json: the text rules \"", rules, "\" are not known; expected one of ",
                        list_names(kVersionedRules, ", "), "; use the program version that wrote the file"));
  }
  options.rules = *known_rules;
  if (options.tokenizer == TokenizerKind::kSentencePiece) {
    options.sentencepiece_model = from_hex(value_of<std::string>(json, "sentencepiece_model"));
  }
  return options;
}

void check_sample(const TextPipeline& pipeline, const Json& sample, const std::string& icu) {
  const auto text = value_of<std::string>(sample, "text");
  const auto expected = value_of<std::vector<std::string>>(sample, "tokens");
  const auto found = pipeline.tokenize(text);
  if (found == expected) return;
  throw DataError(
      str("text.json: the sample \"", text, "\" gives other tokens here than where the file was written: expected ",
          Json(expected).dump(), ", found ", Json(found).dump(), "; the file was written with ICU ", icu,
          ", this program runs with ICU ", icu_version(), "; use the same ICU version or prepare the corpus again"));
}

}  // namespace

TextPipeline::TextPipeline(TextOptions options)
    : options_(std::move(options)), tokenizer_(make_tokenizer(options_.tokenizer, options_.sentencepiece_model)) {}

std::vector<std::string> TextPipeline::tokenize(std::string_view document) const {
  if (document.size() > kLongestDocument) {
    throw DataError(str("cannot tokenize a document of ", document.size(), " bytes; the longest is ", kLongestDocument,
                        ": split it, or choose the input format that finds its documents"));
  }
  CleanCounts counts;
  std::string text = clean_utf8(document, counts);
  if (options_.rules == TextRules::kFastai) text = apply_fastai_rules(text).substr(kBos.size());
  if (options_.rules == TextRules::kFastai1) text = fastai1::apply_rules(text);
  std::vector<std::string> tokens = {std::string(kBos)};
  tokens.reserve(text.size() / 4);
  tokenizer_->tokenize(text, tokens);
  if (options_.rules == TextRules::kFastai1) return fastai1::mark_capitals(std::move(tokens));
  return tokens;
}

Json TextPipeline::to_json() const {
  Json json = {
      {"tokenizer", name_in(kTokenizerKinds, options_.tokenizer)}, {"rules", rules_name(options_)}, {"icu", icu_version()}};
  if (options_.tokenizer == TokenizerKind::kSentencePiece)
    json["sentencepiece_model"] = to_hex(options_.sentencepiece_model);
  for (const std::string_view sample : kSamples)
    json["samples"].push_back({{"text", sample}, {"tokens", tokenize(sample)}});
  return json;
}

TextPipeline TextPipeline::from_json(const Json& json) {
  TextPipeline pipeline(options_from(json));
  const auto icu = value_of<std::string>(json, "icu");
  const auto samples = value_of<std::vector<Json>>(json, "samples");
  if (samples.empty()) throw DataError("text.json: \"samples\" is empty; take the file from the original folder again");
  for (const Json& sample : samples) check_sample(pipeline, sample, icu);
  return pipeline;
}

std::string TextPipeline::fingerprint() const {
  Hasher hasher;
  for (const std::string_view part : {name_in(kTokenizerKinds, options_.tokenizer), rules_name(options_)}) {
    hasher.update(part);
    hasher.update("\n");
  }
  hasher.update(options_.sentencepiece_model);
  return hasher.hex();
}

}  // namespace ulmfit::text
