// Records of a CSV or TSV file as csv_reader.h reads them.
#pragma once

#include <string>
#include <vector>

namespace ulmfit::data_prep {

// The fields as one record, its line end included. In quotes is what has to be: what holds the delimiter, a quote or a line
// end (RFC 4180; of TSV, a field with a line end cannot be read back).
std::string csv_record(const std::vector<std::string>& fields, char delimiter = ',');

}  // namespace ulmfit::data_prep
