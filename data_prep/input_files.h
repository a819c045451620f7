// The files that a list of paths stands for, in an order that does not depend on the machine.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ulmfit::data_prep {

struct InputFile {
  std::filesystem::path path;
  std::string name;  // relative to the folder that holds the path given: the same on every machine
};

// Paths in the order given; a folder stands for all regular files below it, sorted by the bytes of their names, without
// hidden ones. With `endings` (".html", ...) only files that end so (before a .gz, .xz or .zst) are taken from folders.
// Throws DataError for a path that is not there, a folder without a fitting file; ConfigError for an empty list.
std::vector<InputFile> list_files(const std::vector<std::filesystem::path>& paths,
                                  const std::vector<std::string_view>& endings = {});

// [{"name", "bytes", "xxh3"}] of the files as stored: the identity of the input.
nlohmann::json describe_files(const std::vector<InputFile>& files);

}  // namespace ulmfit::data_prep
