// The words that a model knows, by id. File form (vocab.txt): one token a line, line number = id, UTF-8, LF.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ulmfit::text {

// fastai v2's special tokens in its order, ids 0 to 8.
inline constexpr std::string_view kSpecialTokens[] = {"xxunk", "xxpad",  "xxbos", "xxeos", "xxfld",
                                                      "xxrep", "xxwrep", "xxup",  "xxmaj"};
bool is_special_token(std::string_view token);

struct VocabularyOptions {
  std::int64_t max_words = 60000;  // specials included, before padding
  std::int64_t min_count = 3;
};

using TokenCounts = std::unordered_map<std::string, std::int64_t>;

class Vocabulary {
 public:
  // From the tokens in id order. Throws DataError on a duplicate (xxfake apart), an empty token, one that is not valid
  // UTF-8, one with a blank or a control character, or without xxunk/xxpad.
  explicit Vocabulary(std::vector<std::string> tokens);
  Vocabulary(std::vector<std::string> tokens, std::int64_t first_known);  // see first_known()

  // fastai's make_vocab: the most common words with at least min_count, specials in front, cut to max_words, then padded
  // with xxfake to a multiple of 8 (none when it is one already). Ties are broken by token bytes. Throws ConfigError when
  // max_words leaves no room for the specials.
  // Behind them come the words of `known` that are not among them, those seen more often first, then in their order, as far
  // as max_words leaves room.
  static Vocabulary build(const TokenCounts& counts, const VocabularyOptions& options,
                          std::span<const std::string> known = {});

  static Vocabulary load(
      const std::filesystem::path& vocab_txt);              // throws DataError naming the file; FileError if unreadable
  void save(const std::filesystem::path& vocab_txt) const;  // atomic

  std::int64_t size() const { return static_cast<std::int64_t>(tokens_.size()); }
  std::int32_t id(std::string_view token) const;  // unk() if not known; xxfake is never found
  const std::string& token(std::int64_t id) const { return tokens_.at(static_cast<std::size_t>(id)); }
  const std::vector<std::string>& tokens() const { return tokens_; }
  bool knows(std::string_view token) const;
  // The first id of a word that build() has from `known` alone; size() if there is none. Not in vocab.txt.
  std::int64_t first_known() const { return first_known_; }

  std::int32_t unk() const { return unk_; }
  std::int32_t bos() const { return bos_; }  // unk() in a vocabulary without xxbos

  const std::string& fingerprint() const { return fingerprint_; }  // of vocab.txt's bytes

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> ids_;
  std::int64_t first_known_ = 0;
  std::int32_t unk_ = 0;
  std::int32_t bos_ = 2;
  std::string fingerprint_;
};

}  // namespace ulmfit::text
