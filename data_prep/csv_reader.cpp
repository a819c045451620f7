#include "data_prep/csv_reader.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"

namespace ulmfit::data_prep {
namespace {

// The text of the field whose opening quote stands at `at`, if the whole field is quoted; then `at` becomes its end.
std::optional<std::string> whole_quoted(const std::string& line, std::size_t& at) {
  std::string text;
  for (std::size_t from = at + 1;;) {
    const std::size_t quote = line.find('"', from);
    if (quote == std::string::npos) return std::nullopt;
    text.append(line, from, quote - from);
    from = quote + 2;
    if (quote + 1 == line.size() || line[quote + 1] == '\t') {
      at = quote + 1;
      return text;
    }
    if (line[quote + 1] != '"') return std::nullopt;
    text += '"';
  }
}

void parse_tsv(const std::string& line, std::vector<std::string>& fields) {
  for (std::size_t at = 0;; ++at) {
    std::optional<std::string> quoted;
    if (at < line.size() && line[at] == '"') quoted = whole_quoted(line, at);
    if (quoted) {
      fields.push_back(std::move(*quoted));
    } else {
      const std::size_t end = std::min(line.find('\t', at), line.size());
      fields.push_back(line.substr(at, end - at));
      at = end;
    }
    if (at == line.size()) return;
  }
}

}  // namespace

std::string CsvReader::place() const { return str(lines_.path().string(), ":", first_line_); }

bool CsvReader::next(std::vector<std::string>& fields) {
  std::string line;
  do {
    if (!lines_.next(line)) return false;
  } while (line.empty());
  first_line_ = lines_.line_number();
  fields.clear();
  if (is_tsv()) {
    parse_tsv(line, fields);
  } else {
    parse_csv(line, fields);
  }
  if (width_ == 0) width_ = fields.size();
  if (fields.size() != width_) {
    throw RecordError(
        str("cannot read ", place(), ": expected ", width_, " fields as in the first record, found ", fields.size(),
            is_tsv() ? "; a field of TSV cannot hold a line end, and a tab only if the whole field is quoted: "
                       "write the set as CSV"
                     : "; put fields that hold the delimiter or a line end in double quotes"));
  }
  return true;
}

void CsvReader::parse_csv(std::string& line, std::vector<std::string>& fields) {
  for (std::size_t at = 0;;) {
    fields.emplace_back();
    if (at < line.size() && line[at] == '"') {
      at = quoted_field(line, at + 1, fields.back());
    } else {
      const std::size_t end = std::min(line.find(delimiter_, at), line.size());
      fields.back() = line.substr(at, end - at);
      at = end;
    }
    if (at == line.size()) return;
    if (line[at] != delimiter_) {
      throw RecordError(str("cannot read ", lines_.path().string(), ":", lines_.line_number(),
                            ": text behind the closing quote of a field; inside a quoted field write a quote twice"));
    }
    ++at;
  }
}

// Appends the field whose text starts at `at`, reading on over line ends; returns the place behind its closing quote.
std::size_t CsvReader::quoted_field(std::string& line, std::size_t at, std::string& field) {
  const std::int64_t opened = lines_.line_number();
  for (;;) {
    const std::size_t quote = line.find('"', at);
    if (quote == std::string::npos) {
      field.append(line, at);
      field += '\n';
      if (static_cast<std::int64_t>(field.size()) > lines_.max_line_bytes()) {
        throw RecordError(str("cannot read ", lines_.path().string(), ":", opened,
                              ": the quote opened here is not closed within ", lines_.max_line_bytes(),
                              " bytes; if it is not missing, --max-line-bytes allows longer fields"));
      }
      if (!lines_.next(line)) {
        throw RecordError(str("cannot read ", lines_.path().string(), ":", opened,
                              ": the quote opened here is never closed; the file is cut off or a quote is not doubled"));
      }
      at = 0;
      continue;
    }
    field.append(line, at, quote - at);
    if (quote + 1 == line.size() || line[quote + 1] != '"') return quote + 1;
    field += '"';
    at = quote + 2;
  }
}

}  // namespace ulmfit::data_prep
