#include "text/word_tokenizer.h"

#include <unicode/brkiter.h>
#include <unicode/uchar.h>
#include <unicode/utext.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "text/code_point.h"

namespace ulmfit::text {
namespace {

void require(UErrorCode status, std::string_view what) {
  if (U_SUCCESS(status)) return;
  throw DataError(str("ICU cannot ", what, ": ", u_errorName(status), "; is its data package (libicu) complete?"));
}

// One a thread: a break iterator holds its text and place.
icu::BreakIterator& word_breaks() {
  thread_local const std::unique_ptr<icu::BreakIterator> breaks = [] {
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
  std::size_t mark = word.rfind(kApostrophe);
  std::size_t letters = mark + kApostrophe.size();
  if (mark == std::string_view::npos) {
    mark = word.rfind(kCurlyApostrophe);
    if (mark == std::string_view::npos) return 0;
    letters = mark + kCurlyApostrophe.size();
  }
  const std::string_view behind = word.substr(letters);
  if (is_ending(behind)) return mark;
  const bool negation = (behind == "t" || behind == "T") && mark > 0 && (word[mark - 1] == 'n' || word[mark - 1] == 'N');
  return negation ? mark - 1 : 0;
}

void push_word(std::string_view word, std::vector<std::string>& tokens) {
  const std::size_t cut = ending_begin(word);
  if (cut > 0) push_word(word.substr(0, cut), tokens);  // "shouldn't've" has two
  tokens.emplace_back(word.substr(cut));
}

// Soft hyphens, zero-width spaces and the like alone make no token.
bool is_visible(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); at += code_point_bytes(text[at])) {
    if (is_ascii(text[at])) return true;
    if (!u_hasBinaryProperty(static_cast<UChar32>(code_point_at(text, at)), UCHAR_DEFAULT_IGNORABLE_CODE_POINT))
      return true;
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
