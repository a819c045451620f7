// Small files for the tests of this folder.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/iostreams/copy.hpp>
#include <boost/iostreams/device/array.hpp>
#include <boost/iostreams/device/back_inserter.hpp>
#include <boost/iostreams/filter/gzip.hpp>
#include <boost/iostreams/filter/lzma.hpp>
#include <boost/iostreams/filter/zstd.hpp>
#include <boost/iostreams/filtering_stream.hpp>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::test {

inline std::filesystem::path put(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::create_directories(path.parent_path());
  write_file_atomic(path, content);
  return path;
}

// gz, xz or zst; anything else: as it is.
inline std::string compressed(std::string_view content, std::string_view how) {
  namespace io = boost::iostreams;
  std::string result;
  io::filtering_ostream out;
  if (how == "gz") out.push(io::gzip_compressor());
  if (how == "xz") out.push(io::lzma_compressor());
  if (how == "zst") out.push(io::zstd_compressor());
  out.push(io::back_inserter(result));
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  io::close(out);
  return result;
}

// The message of the Expected that `run` throws.
template <class Expected, class Run>
std::string message_of(const Run& run) {
  try {
    run();
  } catch (const Expected& e) {
    return e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << "another error was thrown: " << e.what();
    return {};
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

// Content by name of all files below a folder.
inline std::map<std::string, std::string> contents(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
  }
  return files;
}

}  // namespace ulmfit::test
