// Texts that come to a finished stage, one after the other, each with what came with it: of predict and embed.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/named_values.h"
#include "config/option_set.h"
#include "stages/table_options.h"

namespace ulmfit::stages {

enum class RequestFormat { kLines, kCsv, kTsv, kJsonl };
inline constexpr Named<RequestFormat> kRequestFormats[] = {{RequestFormat::kLines, "lines"},
                                                           {RequestFormat::kCsv, "csv"},
                                                           {RequestFormat::kTsv, "tsv"},
                                                           {RequestFormat::kJsonl, "jsonl"}};

struct RequestOptions {
  std::string input;                    // file; empty: standard input
  std::optional<RequestFormat> format;  // by default, by the input's ending
  TableArguments table{TableArguments::kAuto};
  std::vector<std::string> text_columns;  // none: "text", or the columns that the model was trained on
  void declare(config::OptionSet& set);
};

struct Request {
  std::string text;
  std::string object;               // of JSON lines: the object as it came
  std::vector<std::string> fields;  // of a table: the row
  std::string error;                // to report in place of an answer; empty: none
  bool empty = false;               // the text is nothing but white space

  std::size_t bytes() const {
    std::size_t sum = text.size() + object.size();
    for (const std::string& field : fields) sum += field.size();
    return sum;
  }
};

class RequestReader {
 public:
  virtual ~RequestReader() = default;
  virtual bool next(Request& request) = 0;                         // false at the end
  virtual bool may_wait() const = 0;                               // the next one may not have arrived yet
  virtual std::vector<std::string> columns() const { return {}; }  // of a table
};

// By default the format that the file's ending tells; of standard input, lines.
RequestFormat request_format(const RequestOptions& options);

// Reads `options.input`, or `in` if that is empty. What is not UTF-8 is read as U+FFFD, with one warning. `trained_on`: the
// columns of the model's training texts. Throws ConfigError where these and the options do not fit together, DataError for
// a file that cannot be read.
std::unique_ptr<RequestReader> open_requests(const RequestOptions& options, const std::vector<std::string>& trained_on,
                                             std::istream& in);

}  // namespace ulmfit::stages
