// Other programs, run to their end.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace ulmfit {

// Runs words[0], found in PATH, with the other words as they are (no shell), standard input empty. Its standard output goes
// to the file `output`, if one is given; its standard error is this program's. Returns the exit status, 128 + n when signal
// n ended it. It ends with this process. Throws ConfigError if it cannot be started, FileError for `output`.
int run_program(const std::vector<std::string>& words, const std::filesystem::path& output = {});

// 64 hexadecimal digits, as coreutils' sha256sum gives them. Throws FileError, ConfigError.
std::string sha256_of(const std::filesystem::path& file);

}  // namespace ulmfit
