#include "data_prep/csv_reader.h"

#include <algorithm>

#include "base/error.h"

namespace ulmfit::data_prep {

std::string CsvReader::place() const { return str(lines_.path().string(), ":", first_line_); }

bool CsvReader::next(std::vector<std::string>& fields) {
  std::string line;
  do {
    if (!lines_.next(line)) return false;
  } while (line.empty());
  first_line_ = lines_.line_number();
  parse(line, fields);
  if (width_ == 0) width_ = fields.size();
  if (fields.size() != width_) {
    throw DataError(str("cannot read ", place(), ": expected ", width_, " fields as in the first record, found ",
                        fields.size(), "; put fields that hold the delimiter or a line end in double quotes"));
  }
  return true;
}

void CsvReader::parse(std::string& line, std::vector<std::string>& fields) {
  fields.clear();
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
      throw DataError(str("cannot read ", lines_.path().string(), ":", lines_.line_number(),
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
      if (!lines_.next(line)) {
        throw DataError(str("cannot read ", lines_.path().string(), ":", opened,
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
