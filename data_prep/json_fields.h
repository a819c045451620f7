// Texts out of a JSON object on a line, without building the object: a hostile one, nested however deep, costs no stack.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ulmfit::data_prep {

struct JsonFields {
  bool is_object = false;           // the line is one JSON object, and not too deep
  std::string defect;               // why there are no values; empty: there are
  std::vector<std::string> values;  // in the order of the names
};

// The fields called `names` of the object on the line: strings cleaned (text::clean_utf8), numbers as they are written,
// true and false by name, null as an empty text. Of a field that the object has twice, the last. A defect is a line that is
// not one JSON object or is nested deeper than kMaxJsonDepth (base/json.h), a field that it lacks (those that it has are
// listed), and an array or an object where a text is expected.
JsonFields json_fields(std::string_view line, const std::vector<std::string>& names);

}  // namespace ulmfit::data_prep
