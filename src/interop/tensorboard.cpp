#include "interop/tensorboard.h"

#include <bit>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/stopwatch.h"
#include "interop/crc32c.h"

namespace ulmfit::interop {
namespace {

constexpr std::size_t kBufferBytes = 1 << 16;
constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kCrcBytes = 4;

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

template <class T>
T load(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// Protocol buffer wire format: a field is a varint of (number << 3 | type), then the value.
enum WireType : std::uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80U; value >>= 7) out.push_back(static_cast<char>((value & 0x7FU) | 0x80U));
  out.push_back(static_cast<char>(value));
  return out;
}

std::string key(std::uint32_t number, WireType type) { return varint(number << 3 | type); }

std::string bytes_field(std::uint32_t number, std::string_view bytes) {
  return key(number, kBytes) + varint(bytes.size()) + std::string(bytes);
}

// Event.wall_time = 1, step = 2; `what` is file_version = 3 or summary = 5.
std::string event(double wall_time, std::int64_t step, const std::string& what) {
  return key(1, kFixed64) + raw(wall_time) + key(2, kVarint) + varint(static_cast<std::uint64_t>(step)) + what;
}

// Bytes of the whole, undamaged records at the start of `file`.
std::size_t whole_records(std::string_view file) {
  std::size_t at = 0;
  while (file.size() - at >= kLengthBytes + kCrcBytes) {
    const std::string_view head = file.substr(at);
    const auto length = load<std::uint64_t>(head);
    if (load<std::uint32_t>(head.substr(kLengthBytes)) != masked_crc32c(head.substr(0, kLengthBytes))) break;
    const std::string_view rest = head.substr(kLengthBytes + kCrcBytes);
    if (rest.size() < kCrcBytes || length > rest.size() - kCrcBytes) break;
    if (load<std::uint32_t>(rest.substr(length)) != masked_crc32c(rest.substr(0, length))) break;
    at += kLengthBytes + kCrcBytes + length + kCrcBytes;
  }
  return at;
}

}  // namespace

EventWriter::EventWriter(std::filesystem::path path, std::uint64_t append_at_bytes) : path_(std::move(path)) {
  if (append_at_bytes > 0 && std::filesystem::exists(path_)) {
    bytes_ = whole_records(std::string_view(read_file(path_)).substr(0, append_at_bytes));
  }
  truncate_file(path_, bytes_);
  file_ = std::make_unique<OutputFile>(path_, OutputFile::Mode::kAppend);
  if (bytes_ == 0) append_record(event(wall_clock(), 0, bytes_field(3, "brain.Event:2")));
}

EventWriter::~EventWriter() {
  try {
    flush();
  } catch (const FileError&) {  // a destructor has nobody to tell; callers that care flush first
  }
}

void EventWriter::add_scalar(std::string_view tag, double value, std::int64_t step, std::optional<double> wall_time) {
  // Summary.value = 1; Value.tag = 1, simple_value = 2.
  const std::string scalar = bytes_field(1, tag) + key(2, kFixed32) + raw(static_cast<float>(value));
  append_record(event(wall_time.value_or(wall_clock()), step, bytes_field(5, bytes_field(1, scalar))));
  if (buffer_.size() >= kBufferBytes) flush();
}

void EventWriter::flush() {
  try {
    file_->write(buffer_);
  } catch (const FileError&) {
    truncate_file(path_, bytes_ - buffer_.size());  // no part of a record twice
    throw;
  }
  buffer_.clear();
}

// TFRecord: length, its masked checksum, the data, its masked checksum.
void EventWriter::append_record(std::string_view event_bytes) {
  const std::string length = raw(static_cast<std::uint64_t>(event_bytes.size()));
  const std::size_t before = buffer_.size();
  buffer_ += length + raw(masked_crc32c(length));
  buffer_ += event_bytes;
  buffer_ += raw(masked_crc32c(event_bytes));
  bytes_ += buffer_.size() - before;
}

}  // namespace ulmfit::interop
