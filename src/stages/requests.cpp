#include "stages/requests.h"

#include <algorithm>
#include <istream>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/read_line.h"
#include "data_prep/json_fields.h"
#include "data_prep/table_reader.h"
#include "data_prep/text_source.h"
#include "text/code_point.h"
#include "text/utf8.h"

namespace ulmfit::stages {
namespace {

// The columns, or fields of JSON objects, that make up a text, for models trained on `trained_on`.
std::vector<std::string> text_columns(const RequestOptions& options, const std::vector<std::string>& trained_on) {
  const auto refuse = [&](const std::string& what) {
    std::string names;
    for (const auto& column : trained_on) names += (names.empty() ? "" : ", ") + column;
    return ConfigError(str("the model was trained on texts of ", trained_on.size(), " columns (", names, "), ", what));
  };
  const RequestFormat format = request_format(options);
  if (trained_on.size() > 1 && format == RequestFormat::kLines) {
    throw refuse("a line is one text: give --format=jsonl and objects with a field for each column, or a table");
  }
  if (!options.text_columns.empty()) {
    if (options.text_columns.size() == trained_on.size()) return options.text_columns;
    throw refuse(str("--text-column names ", options.text_columns.size(), " columns: give one for each, in that order"));
  }
  const bool by_number = std::any_of(trained_on.begin(), trained_on.end(), data_prep::is_column_number);
  if (format != RequestFormat::kLines && format != RequestFormat::kJsonl && by_number && !options.table.resolved().header) {
    log::info("input", str("the texts are in column ", trained_on.front(),
                           ", as those that the model was trained on; the first row is taken for one (--header yes: it "
                           "holds names)"));
  }
  if (format != RequestFormat::kJsonl || !by_number) return trained_on;
  if (trained_on.size() == 1) return {"text"};
  throw refuse("known by their numbers: name the fields, in that order, by --text-column FIELD FIELD...");
}

// Of one input: what had to be cleaned.
class Cleaned {
 public:
  text::CleanCounts& counts() { return counts_; }
  void warn_once() {
    if (counts_.invalid_utf8 == 0 || std::exchange(warned_, true)) return;
    log::warn("input",
              "some bytes are not UTF-8: they are read, and where columns are copied also written, as U+FFFD; convert "
              "the text first, for instance by iconv -f LATIN1 -t UTF-8");
  }

 private:
  text::CleanCounts counts_;
  bool warned_ = false;
};

// Lines, and JSON lines, of a stream.
class LineRequests : public RequestReader {
 public:
  LineRequests(std::istream& in, bool json, std::vector<std::string> fields, std::int64_t max_line_bytes)
      : in_(in), json_(json), fields_(std::move(fields)), max_line_bytes_(max_line_bytes) {}

  bool next(Request& request) override {
    request = {};
    std::string line;
    switch (read_line(in_, line, max_line_bytes_)) {
      case LineRead::kEnd:
        return false;
      case LineRead::kTooLong:
        request.error = str("the line has more than ", max_line_bytes_, " bytes (--max-line-bytes)");
        return true;
      case LineRead::kLine:
        break;
    }
    if (std::exchange(first_, false)) data_prep::refuse_binary(line, "the input");
    if (json_) {
      read_object(line, request);
    } else {
      request.text = text::clean_utf8(line, cleaned_.counts());
      cleaned_.warn_once();
      request.empty = text::strip(request.text).empty();
    }
    return true;
  }

  bool may_wait() const override { return in_.rdbuf()->in_avail() <= 0; }

 private:
  void read_object(const std::string& line, Request& request) const {
    const data_prep::JsonFields object = data_prep::json_fields(line, fields_);
    request.error = object.defect;
    if (object.defect.empty()) {
      request.text = data_prep::join_fields(object.values, object.values.size());
      request.empty = data_prep::all_blank(object.values, object.values.size());
    }
    if (!object.is_object) return;
    const std::size_t begin = line.find('{');
    request.object = line.substr(begin, line.rfind('}') + 1 - begin);
  }

  std::istream& in_;
  bool json_;
  std::vector<std::string> fields_;
  std::int64_t max_line_bytes_;
  bool first_ = true;  // no line was read yet
  Cleaned cleaned_;
};

// The same of a file, compressed or not.
class FileRequests : public RequestReader {
 public:
  FileRequests(const std::string& path, bool json, std::vector<std::string> fields, std::int64_t max_line_bytes)
      : source_(path), stream_(&source_.characters()), lines_(stream_, json, std::move(fields), max_line_bytes) {}

  bool next(Request& request) override { return lines_.next(request); }
  bool may_wait() const override { return false; }

 private:
  data_prep::TextSource source_;
  std::istream stream_;
  LineRequests lines_;
};

class TableRequests : public RequestReader {
 public:
  TableRequests(const std::string& path, data_prep::TableFormat format, const std::vector<std::string>& columns,
                const data_prep::TableOptions& options)
      : delimiter_(format == data_prep::TableFormat::kTsv ? '\t' : options.delimiter),
        table_(path, format, columns, options, cleaned_.counts()) {}

  bool next(Request& request) override {
    request = {};
    std::vector<std::string> values;
    try {
      if (!table_.next(values)) return false;
      request.text = data_prep::join_fields(values, values.size());
      request.empty = data_prep::all_blank(values, values.size());
      request.fields = table_.row();
    } catch (const data_prep::RecordError& e) {
      request.error = e.what();
      request.fields = table_.row();  // as much of it as could be read
      for (std::size_t i = table_.names().size(); i < request.fields.size(); ++i) {
        request.fields[table_.names().size() - 1] += delimiter_ + request.fields[i];
      }
      request.fields.resize(table_.names().size());
    }
    cleaned_.warn_once();
    return true;
  }
  bool may_wait() const override { return false; }
  std::vector<std::string> columns() const override { return table_.names(); }

 private:
  Cleaned cleaned_;
  char delimiter_;
  data_prep::DelimitedTable table_;
};

}  // namespace

void RequestOptions::declare(config::OptionSet& set) {
  set.add("input", input, "file of texts, compressed or not; without it standard input");
  set.add("format", format, kRequestFormats,
          "a text a line, a table, or a JSON object a line; auto: by the ending of --input, else lines");
  set.add_alias("input-format", "format");
  table.declare(set);
  set.add(
      "text-column", text_columns,
      "column of a table, or field of a JSON object, that holds the text; of a model trained on several columns, all in "
      "their order (default: those that a classifier was trained on, if they have names; else text)");
  set.add_alias("text-field", "text-column");
}

RequestFormat request_format(const RequestOptions& options) {
  if (options.format) return *options.format;
  const std::string ending = data_prep::without_compression_ending(options.input).extension().string();
  if (ending == ".csv") return RequestFormat::kCsv;
  if (ending == ".tsv") return RequestFormat::kTsv;
  if (ending == ".jsonl" || ending == ".ndjson" || ending == ".json") return RequestFormat::kJsonl;
  for (const char* other : {".label", ".trec", ".html", ".htm", ".xhtml"}) {  // that training reads in other ways
    if (ending != other) continue;
    throw ConfigError(str("cannot tell by its ending how the texts of ", options.input, " are to be read; give --format ",
                          list_names(kRequestFormats)));
  }
  return RequestFormat::kLines;
}

std::unique_ptr<RequestReader> open_requests(const RequestOptions& options, const std::vector<std::string>& trained_on,
                                             std::istream& in) {
  const RequestFormat format = request_format(options);
  const data_prep::TableOptions table = options.table.resolved();
  std::vector<std::string> columns = text_columns(options, trained_on);
  const bool json = format == RequestFormat::kJsonl;
  const bool lines = json || format == RequestFormat::kLines;
  if (options.input.empty()) {
    if (lines) return std::make_unique<LineRequests>(in, json, std::move(columns), table.max_line_bytes);
    throw ConfigError(
        str("--format=", name_in(kRequestFormats, format), " needs --input=FILE: standard input is lines or jsonl"));
  }
  if (lines) return std::make_unique<FileRequests>(options.input, json, std::move(columns), table.max_line_bytes);
  const auto kind = format == RequestFormat::kCsv ? data_prep::TableFormat::kCsv : data_prep::TableFormat::kTsv;
  return std::make_unique<TableRequests>(options.input, kind, columns, table);
}

}  // namespace ulmfit::stages
