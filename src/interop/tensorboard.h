// TensorBoard event files with scalars: TFRecord framing around Event messages (tensorboard/compat/proto/event.proto),
// encoded by hand, as five fields need no protobuf library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"

namespace ulmfit::interop {

// One event file being written. TensorBoard finds it if its name contains "tfevents". On resume the same path is opened
// again, cut back to where the checkpoint was taken.
class EventWriter {
 public:
  // Keeps the whole records among the first `append_at_bytes` bytes of the file and goes on behind them; a missing,
  // shorter or damaged file is no error, since a plot must not stop a run. With 0 the file is new. Throws FileError where
  // it cannot be written.
  explicit EventWriter(std::filesystem::path path, std::uint64_t append_at_bytes = 0);
  ~EventWriter();  // flushes, silently
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  // `wall_time` in seconds since 1970, now if not given. Buffered until flush() or 64 KiB. After a FileError (a full disk)
  // the file ends as before the call; what was not written stays in the buffer for the next flush.
  void add_scalar(std::string_view tag, double value, std::int64_t step, std::optional<double> wall_time = std::nullopt);
  void flush();

  std::uint64_t bytes() const { return bytes_; }  // of the file once flushed: what a checkpoint remembers

 private:
  void append_record(std::string_view event);

  std::filesystem::path path_;
  std::uint64_t bytes_ = 0;  // with the buffer
  std::string buffer_;
  std::unique_ptr<OutputFile> file_;
};

}  // namespace ulmfit::interop
