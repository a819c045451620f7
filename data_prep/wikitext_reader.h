// Articles of a WikiText file (Merity et al., "Pointer sentinel mixture models", 2016). An article starts at a line
// " = Title = " with a blank line, or the file's edge, on both sides; its lines that are not blank are joined by LF, the
// title first. Text before the first title is an article of its own. The word <unk> becomes xxunk.
#pragma once

#include "data_prep/corpus_reader.h"
#include "data_prep/line_reader.h"

namespace ulmfit::data_prep {

class WikitextReader : public DocumentReader {
 public:
  // `undo_marks`: " @,@ " -> ",".
  WikitextReader(const std::filesystem::path& path, bool undo_marks, text::CleanCounts& cleaned,
                 std::int64_t max_line_bytes = kMaxLineBytes);
  bool next(RawDocument& document) override;

 private:
  bool advance();  // to the next line
  void append(std::string& article, const std::string& line) const;

  LineReader lines_;
  bool undo_marks_;
  std::string line_, following_;  // the current line and the one behind it, for the blank line that a title needs
  bool has_line_ = false, has_following_ = false;
  bool blank_before_ = true;
  std::int64_t number_ = 0;
};

}  // namespace ulmfit::data_prep
