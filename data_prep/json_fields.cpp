#include "data_prep/json_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "text/utf8.h"

namespace ulmfit::data_prep {
namespace {

using nlohmann::json;

constexpr std::size_t kListed = 20;  // fields that a message names

class FieldReader : public nlohmann::json_sax<json> {
 public:
  explicit FieldReader(const std::vector<std::string>& names) : names_(names), values_(names.size()) {}

  bool null() override { return scalar(""); }
  bool boolean(bool value) override { return scalar(value ? "true" : "false"); }
  bool number_integer(std::int64_t value) override { return scalar(std::to_string(value)); }
  bool number_unsigned(std::uint64_t value) override { return scalar(std::to_string(value)); }
  bool number_float(double, const std::string& digits) override { return scalar(digits); }
  bool string(std::string& value) override {
    if (depth_ == 1 && is_wanted()) {
      text::CleanCounts escapes;  // "\r\n" in a JSON text is no defect of the file: not counted
      return scalar(text::clean_utf8(value, escapes));
    }
    return scalar("");
  }
  bool binary(json::binary_t&) override { return false; }

  bool start_object(std::size_t) override { return open(/*object=*/true); }
  bool start_array(std::size_t) override { return open(/*object=*/false); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    if (depth_ != 1) return true;
    if (seen_.size() < kListed) seen_.push_back(name);
    current_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    if (dynamic_cast<const json::out_of_range*>(&e) != nullptr) {
      defect_ = "a number is larger than a double can be";
    } else {
      // "[json.exception...] parse error at line 1, column 9: syntax error while ... - REASON; last read: 'TEXT'"
      const std::string told = e.what();
      const std::size_t column = std::min(told.find("column "), told.size());
      defect_ += str(" (", told.substr(column, told.find("; last read") - column), ")");
    }
    return false;
  }

  JsonFields take() && {
    JsonFields fields;
    fields.is_object = true;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (!values_[i].found) {
        fields.defect = str("no field \"", names_[i], "\": the object has ", listed());
      } else if (!values_[i].text) {
        fields.defect = str("field \"", names_[i], "\" is an array or an object where a text is expected");
      } else {
        fields.values.push_back(*std::move(values_[i].text));
        continue;
      }
      fields.values.clear();
      break;
    }
    return fields;
  }

  // Why the line could not be read.
  std::string defect() const {
    if (depth_ > kMaxJsonDepth) return str("nested deeper than ", kMaxJsonDepth, " levels");
    return defect_;
  }

 private:
  struct Value {
    bool found = false;
    std::optional<std::string> text;  // empty: an array or an object
  };

  bool is_wanted() const { return std::find(names_.begin(), names_.end(), current_) != names_.end(); }

  void set(const std::optional<std::string>& text) {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == current_) values_[i] = {true, text};
    }
  }

  bool scalar(std::string text) {
    if (depth_ == 1) set(std::move(text));
    return depth_ > 0;
  }

  bool open(bool object) {
    if (depth_ == 0 && !object) return false;
    if (depth_ == 1) set(std::nullopt);
    return ++depth_ <= kMaxJsonDepth;
  }

  bool close() {
    --depth_;
    return true;
  }

  std::string listed() const {
    std::string list;
    for (const std::string& name : seen_) list += str(list.empty() ? "" : ", ", '"', name, '"');
    return list.empty() ? "none" : list + (seen_.size() == kListed ? " ..." : "");
  }

  const std::vector<std::string>& names_;
  std::vector<Value> values_;
  std::vector<std::string> seen_;
  std::string current_;  // of the outermost object
  std::string defect_ = "not one JSON object";
  int depth_ = 0;
};

}  // namespace

JsonFields json_fields(std::string_view line, const std::vector<std::string>& names) {
  FieldReader reader(names);
  // To the parser a NUL is the end of the input.
  const bool whole = line.find('\0') == std::string_view::npos;
  if (whole && json::sax_parse(line, &reader)) return std::move(reader).take();
  JsonFields none;
  none.defect = reader.defect();
  return none;
}

}  // namespace ulmfit::data_prep
