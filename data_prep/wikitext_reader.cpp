#include "data_prep/wikitext_reader.h"

#include <string_view>

#include "text/text_pipeline.h"

namespace ulmfit::data_prep {
namespace {

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\f\v") == std::string_view::npos; }

// "= Title =" with one equals sign on each side: sections have two and more, written "= = Section = =".
bool is_title(std::string_view line) {
  const std::size_t first = line.find_first_not_of(' ');
  if (first == std::string_view::npos) return false;
  line = line.substr(first, line.find_last_not_of(' ') + 1 - first);
  return line.size() > 4 && line.starts_with("= ") && line.ends_with(" =") && !line.starts_with("= =") &&
         !line.ends_with("= =");
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (std::size_t at = 0;;) {
    const std::size_t found = text.find(from, at);
    result.append(text.substr(at, found - at));
    if (found == std::string_view::npos) return result;
    result.append(to);
    at = found + from.size();
  }
}

}  // namespace

WikitextReader::WikitextReader(const std::filesystem::path& path, bool undo_marks, text::CleanCounts& cleaned,
                               std::int64_t max_line_bytes)
    : lines_(path, cleaned, max_line_bytes), undo_marks_(undo_marks) {
  has_following_ = lines_.next(following_);
  advance();
}

bool WikitextReader::advance() {
  if (number_ > 0) blank_before_ = is_blank(line_);
  has_line_ = has_following_;
  line_ = std::move(following_);
  ++number_;
  if (has_line_) has_following_ = lines_.next(following_);
  if (!has_following_) following_.clear();
  return has_line_;
}

void WikitextReader::append(std::string& article, const std::string& line) const {
  if (is_blank(line)) return;
  if (!article.empty()) article += '\n';
  const std::string known = replaced(line, "<unk>", "xxunk");
  article += undo_marks_ ? replaced(known, " @,@ ", ",") : known;
}

bool WikitextReader::next(RawDocument& document) {
  document.text.clear();
  for (; has_line_; advance()) {
    const bool title = blank_before_ && is_title(line_) && is_blank(following_);
    if (title && !document.text.empty()) return true;
    if (document.text.empty()) document.line = number_;
    append(document.text, line_);
    if (document.text.size() > text::kLongestDocument) return true;  // CorpusReader refuses it, with its place
  }
  return !document.text.empty();
}

}  // namespace ulmfit::data_prep
