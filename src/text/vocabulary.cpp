#include "text/vocabulary.h"

#include <algorithm>
#include <iterator>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "text/code_point.h"
#include "text/utf8.h"

namespace ulmfit::text {
namespace {

constexpr std::string_view kFake = "xxfake";  // pads the vocabulary; may stand several times
constexpr std::int64_t kMultiple = 8;

bool is_valid_utf8(std::string_view bytes) {
  CleanCounts counts;
  clean_utf8(bytes, counts);
  return counts.invalid_utf8 == 0;
}

bool holds_blank(std::string_view token) {
  for (std::size_t at = 0; at < token.size(); at += code_point_bytes(token[at])) {
    if (is_blank(code_point_at(token, at))) return true;
  }
  return false;
}

void check_token(std::string_view token, std::size_t id) {
  if (token.empty()) throw DataError(str("token ", id, " of the vocabulary is empty; each line must hold one token"));
  if (!is_valid_utf8(token)) throw DataError(str("token ", id, " of the vocabulary is not valid UTF-8; save it as UTF-8"));
  if (holds_blank(token)) {
    throw DataError(str("token ", id, " of the vocabulary, \"", token,
                        "\", holds a blank or a control character; each line must hold one token and end in LF alone"));
  }
}

std::string file_form(const std::vector<std::string>& tokens) {
  std::string text;
  for (const std::string& token : tokens) text.append(token).push_back('\n');
  return text;
}

// The words of `known` that `tokens` lacks, until there are `most`.
void add_known(std::span<const std::string> known, const TokenCounts& counts, std::size_t most,
               std::vector<std::string>& tokens) {
  const std::unordered_set<std::string> taken(tokens.begin(), tokens.end());
  std::vector<std::pair<std::int64_t, std::string>> more;
  for (const std::string& word : known) {
    if (word == kFake || taken.contains(word)) continue;
    const auto seen = counts.find(word);
    more.emplace_back(seen == counts.end() ? 0 : seen->second, word);
  }
  std::stable_sort(more.begin(), more.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (auto& [count, word] : more) {
    if (tokens.size() >= most) return;
    tokens.push_back(std::move(word));
  }
}

}  // namespace

bool is_special_token(std::string_view token) {
  return std::find(std::begin(kSpecialTokens), std::end(kSpecialTokens), token) != std::end(kSpecialTokens);
}

Vocabulary::Vocabulary(std::vector<std::string> tokens, std::int64_t first_known) : Vocabulary(std::move(tokens)) {
  first_known_ = first_known;
}

Vocabulary::Vocabulary(std::vector<std::string> tokens) : tokens_(std::move(tokens)), first_known_(size()) {
  ids_.reserve(tokens_.size());
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    check_token(tokens_[i], i);
    if (tokens_[i] == kFake) continue;
    const auto [known, fresh] = ids_.emplace(tokens_[i], static_cast<std::int32_t>(i));
    if (!fresh) {
      throw DataError(str("the vocabulary has \"", tokens_[i], "\" twice, as ids ", known->second, " and ", i,
                          "; each token must stand once"));
    }
  }
  for (const std::string_view needed : {"xxunk", "xxpad"}) {
    if (!knows(needed)) {
      throw DataError(str("the vocabulary of ", tokens_.size(), " tokens lacks ", needed,
                          "; a vocabulary needs xxunk (unknown words) and xxpad (padding)"));
    }
  }
  unk_ = ids_.at("xxunk");
  bos_ = id("xxbos");
  fingerprint_ = ulmfit::fingerprint(file_form(tokens_));
}

Vocabulary Vocabulary::build(const TokenCounts& counts, const VocabularyOptions& options,
                             std::span<const std::string> known) {
  const auto specials = static_cast<std::int64_t>(std::size(kSpecialTokens));
  if (options.max_words < specials) {
    throw ConfigError(str("a vocabulary of at most ", options.max_words, " words has no room for the ", specials,
                          " special tokens; allow more words"));
  }
  std::vector<std::pair<std::int64_t, std::string_view>> words;
  for (const auto& [token, count] : counts) {
    if (count >= options.min_count && token != kFake && !is_special_token(token)) words.emplace_back(count, token);
  }
  const auto room = static_cast<std::size_t>(options.max_words - specials);
  const auto kept = words.begin() + static_cast<std::ptrdiff_t>(std::min(room, words.size()));
  std::partial_sort(words.begin(), kept, words.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });

  std::vector<std::string> tokens(std::begin(kSpecialTokens), std::end(kSpecialTokens));
  std::transform(words.begin(), kept, std::back_inserter(tokens),
                 [](const auto& word) { return std::string(word.second); });
  const auto first_known = static_cast<std::int64_t>(tokens.size());
  add_known(known, counts, static_cast<std::size_t>(options.max_words), tokens);
  const bool some = static_cast<std::int64_t>(tokens.size()) > first_known;
  while (tokens.size() % kMultiple != 0) tokens.emplace_back(kFake);
  const auto size = static_cast<std::int64_t>(tokens.size());
  return Vocabulary(std::move(tokens), some ? first_known : size);
}

Vocabulary Vocabulary::load(const std::filesystem::path& vocab_txt) {
  try {
    return Vocabulary(read_lines(vocab_txt));
  } catch (const DataError& error) {
    throw DataError(str("cannot use the vocabulary ", vocab_txt.string(), ": ", error.what()));
  }
}

void Vocabulary::save(const std::filesystem::path& vocab_txt) const { write_file_atomic(vocab_txt, file_form(tokens_)); }

std::int32_t Vocabulary::id(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? unk_ : found->second;
}

bool Vocabulary::knows(std::string_view token) const { return ids_.find(token) != ids_.end(); }

}  // namespace ulmfit::text
