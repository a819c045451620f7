#include "text/word_tokenizer.h"

#include <unicode/brkiter.h>
#include <unicode/uchar.h>
#include <unicode/utext.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "text/code_point.h"

namespace ulmfit::text {
namespace {

void require(UErrorCode status, std::string_view what) {
  if (U_SUCCESS(status)) return;
  throw DataError(str("ICU cannot ", what, ": ", u_errorName(status), "; is its data package (libicu) complete?"));
}

// One a thread: a break iterator holds its text and place. Made one after the other: the thread sanitizer does not see into
// ICU, whose own guards of what it loads first are atomics, and takes two at a time for a race.
icu::BreakIterator& word_breaks() {
  static std::mutex loading;
  thread_local const std::unique_ptr<icu::BreakIterator> breaks = [] {
    const std::lock_guard lock(loading);
    UErrorCode status = U_ZERO_ERROR;
    std::unique_ptr<icu::BreakIterator> made(icu::BreakIterator::createWordInstance(icu::Locale::getRoot(), status));
    require(status, "load its word boundary rules");
    return made;
  }();
  return *breaks;
}

// UTF-8 text as ICU reads it, without a copy.
class Utf8Text {
 public:
  explicit Utf8Text(std::string_view text) {
    UErrorCode status = U_ZERO_ERROR;
    utext_openUTF8(&text_, text.data(), static_cast<std::int64_t>(text.size()), &status);
    require(status, "open a text");
  }
  ~Utf8Text() { utext_close(&text_); }
  Utf8Text(const Utf8Text&) = delete;
  Utf8Text& operator=(const Utf8Text&) = delete;
  UText* get() { return &text_; }

 private:
  UText text_ = UTEXT_INITIALIZER;
};

constexpr std::string_view kApostrophe = "'";
constexpr std::string_view kCurlyApostrophe = "\u2019";

bool is_apostrophe(std::string_view text) { return text == kApostrophe || text == kCurlyApostrophe; }

// What stands behind the apostrophe of an English ending, "n't" apart.
bool is_ending(std::string_view letters) {
  if (letters.empty() || letters.size() > 2) return false;
  std::string lower(letters);
  for (char& c : lower) c = static_cast<char>(c | 0x20);
  static constexpr std::array<std::string_view, 6> kEndings = {"s", "re", "ve", "ll", "d", "m"};
  return std::find(kEndings.begin(), kEndings.end(), lower) != kEndings.end();
}

// Where the last ending with an apostrophe begins; 0 if the word has none, or is one.
std::size_t ending_begin(std::string_view word) {
  constexpr std::size_t kLongest = kCurlyApostrophe.size() + 2;
  const std::size_t tail = word.size() - std::min(word.size(), kLongest);
  for (const std::string_view apostrophe : {kApostrophe, kCurlyApostrophe}) {
    const std::size_t found = word.substr(tail).rfind(apostrophe);
    if (found == std::string_view::npos) continue;
    const std::size_t mark = tail + found;
    const std::string_view behind = word.substr(mark + apostrophe.size());
    if (is_ending(behind)) return mark;
    if ((behind == "t" || behind == "T") && mark > 0 && (word[mark - 1] | 0x20) == 'n') return mark - 1;
  }
  return 0;
}

void push_word(std::string_view word, std::vector<std::string>& tokens) {
  const std::size_t first = tokens.size();
  for (std::size_t cut = 0; (cut = ending_begin(word)) > 0; word = word.substr(0, cut)) {  // "shouldn't've" has two
    tokens.emplace_back(word.substr(cut));
  }
  tokens.emplace_back(word);
  std::reverse(tokens.begin() + static_cast<std::ptrdiff_t>(first), tokens.end());
}

// Soft hyphens, zero-width spaces and the like alone make no token.
bool is_visible(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); at += code_point_bytes(text[at])) {
    if (is_ascii(text[at])) return true;
    const auto code = static_cast<UChar32>(code_point_at(text, at));
    if (!u_hasBinaryProperty(code, UCHAR_DEFAULT_IGNORABLE_CODE_POINT)) return true;
  }
  return false;
}

}  // namespace

void WordTokenizer::tokenize(std::string_view text, std::vector<std::string>& tokens) const {
  Utf8Text utf8(text);
  icu::BreakIterator& breaks = word_breaks();
  UErrorCode status = U_ZERO_ERROR;
  breaks.setText(utf8.get(), status);
  require(status, "look for words");

  std::size_t apostrophe_end = std::string_view::npos;  // of a last token that is an apostrophe alone
  std::size_t begin = 0;
  for (std::int32_t next = breaks.next(); next != icu::BreakIterator::DONE; next = breaks.next()) {
    const auto end = static_cast<std::size_t>(next);
    const std::string_view segment = text.substr(begin, end - begin);
    if (apostrophe_end == begin && is_ending(segment)) {
      tokens.back().append(segment);
    } else {
      // A segment can hold a blank: a combining mark joins whatever is in front of it.
      split_at_blanks(segment, [&](std::string_view part) {
        if (is_visible(part)) push_word(part, tokens);
      });
      apostrophe_end = is_apostrophe(segment) ? end : std::string_view::npos;
    }
    begin = end;
  }
}

}  // namespace ulmfit::text
