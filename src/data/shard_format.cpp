#include "data/shard_format.h"

#include <charconv>
#include <iomanip>
#include <sstream>

#include "base/hash.h"

namespace ulmfit::data {

std::string shard_file_name(std::string_view split, std::int64_t number) {
  std::ostringstream name;
  name << split << '-' << std::setw(5) << std::setfill('0') << number << ".h5";
  return name.str();
}

std::optional<std::int64_t> shard_file_number(std::string_view split, std::string_view file_name) {
  if (file_name.size() <= split.size() + 1 || !file_name.starts_with(split)) return std::nullopt;
  std::int64_t number = 0;
  const char* digits = file_name.data() + split.size() + 1;
  const auto error = std::from_chars(digits, file_name.data() + file_name.size(), number).ec;
  if (error != std::errc() || shard_file_name(split, number) != file_name) return std::nullopt;
  return number;
}

std::string index_fingerprint(std::span<const std::uint64_t> document_starts,
                              std::span<const std::uint64_t> block_checksums, std::span<const std::int32_t> labels) {
  Hasher hasher;
  hasher.update(document_starts.data(), document_starts.size_bytes());
  hasher.update(block_checksums.data(), block_checksums.size_bytes());
  hasher.update(labels.data(), labels.size_bytes());
  return hasher.hex();
}

}  // namespace ulmfit::data
