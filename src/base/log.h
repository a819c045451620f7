// Logging to standard error, and to a file once a run folder is known. The only user of spdlog (in log.cpp).
// Lines read "10:31:07 [0] [train] message": time, rank, component. Ranks other than 0 print warnings and errors only.
#pragma once

#include <filesystem>
#include <string_view>

namespace ulmfit::log {

// Sets the rank shown in each line; before the call the rank is 0. Call once, before threads start.
void set_rank(int rank, int size);

// Appends all further lines to `path` as well, with the date and I, W or E (information, warning, error) before the time,
// in place of a file before it (rank 0 calls this for OUT/log.txt). A file that cannot be opened is a warning.
void open_file(const std::filesystem::path& path);
void close_file();

void info(std::string_view component, std::string_view message);
void warn(std::string_view component, std::string_view message);
void error(std::string_view component, std::string_view message);

}  // namespace ulmfit::log
