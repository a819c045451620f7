#include "interop/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "interop/crc32c.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::interop {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

template <class T>
T load(const std::string& bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// The messages of an event file; fails the test on broken framing.
std::vector<std::string> records(const std::filesystem::path& path) {
  const std::string file = read_file(path);
  std::vector<std::string> out;
  for (std::size_t at = 0; at < file.size();) {
    const auto length = load<std::uint64_t>(file, at);
    EXPECT_EQ(load<std::uint32_t>(file, at + 8), masked_crc32c(file.substr(at, 8)));
    out.push_back(file.substr(at + 12, length));
    EXPECT_EQ(load<std::uint32_t>(file, at + 12 + length), masked_crc32c(out.back()));
    at += 16 + length;
  }
  return out;
}

// What the tests write: one scalar a step.
void add(EventWriter& writer, std::int64_t first, std::int64_t last) {
  for (std::int64_t step = first; step <= last; ++step)
    writer.add_scalar("train/loss", 1.0 / static_cast<double>(step), step, 100.0);
}

TEST(EventWriter, WritesTheWireFormat) {
  test::TempDir dir;
  const auto path = dir / "events.out.tfevents.1.host";
  {
    EventWriter writer(path);
    writer.add_scalar("loss", 2.5, 300, 1.0);
  }
  const std::vector<std::string> found = records(path);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_THAT(found[0], HasSubstr("\x1a\x0d"
                                  "brain.Event:2"));
  const std::string expected = std::string("\x09\x00\x00\x00\x00\x00\x00\xf0\x3f", 9) +  // wall_time = 1.0
                               "\x10\xac\x02" +                                          // step = 300
                               "\x2a\x0d\x0a\x0b" +                                      // summary { value {
                               "\x0a\x04loss" + std::string("\x15\x00\x00\x20\x40", 5);  // tag, simple_value = 2.5 } }
  EXPECT_EQ(found[1], expected);
}

TEST(EventWriter, CountsItsBytes) {
  test::TempDir dir;
  EventWriter writer(dir / "tfevents");
  add(writer, 1, 5000);
  writer.flush();
  EXPECT_EQ(writer.bytes(), std::filesystem::file_size(dir / "tfevents"));
  EXPECT_THAT(records(dir / "tfevents"), SizeIs(5001));
}

TEST(EventWriter, ResumedFileIsTheUninterruptedOne) {
  test::TempDir dir;
  std::uint64_t checkpoint = 0;
  {
    EventWriter writer(dir / "cut");
    add(writer, 1, 3);
    checkpoint = writer.bytes();
    add(writer, 4, 9);  // lost with the run
  }
  {
    EventWriter writer(dir / "cut", checkpoint);
    EXPECT_EQ(writer.bytes(), checkpoint);
    add(writer, 4, 6);
  }
  {
    EventWriter writer(dir / "whole");
    add(writer, 1, 6);
  }
  // The first record holds the time of day.
  const auto cut = records(dir / "cut");
  const auto whole = records(dir / "whole");
  EXPECT_EQ(std::vector(cut.begin() + 1, cut.end()), std::vector(whole.begin() + 1, whole.end()));
}

TEST(EventWriter, GoesOnBehindTheLastWholeRecordOfADamagedFile) {
  test::TempDir dir;
  const auto path = dir / "tfevents";
  std::uint64_t two = 0;
  std::uint64_t three = 0;
  {
    EventWriter writer(path);
    add(writer, 1, 2);
    two = writer.bytes();
    add(writer, 3, 3);
    three = writer.bytes();
  }
  const std::string good = read_file(path);
  for (std::uint64_t size = two; size < three; ++size) {
    write_file_atomic(path, good.substr(0, size));
    EXPECT_EQ(EventWriter(path, three).bytes(), two) << "file of " << size << " bytes";
    write_file_atomic(path, good);
    EXPECT_EQ(EventWriter(path, size).bytes(), two) << "cut at " << size;
    std::string flipped = good;
    flipped[size] = static_cast<char>(flipped[size] ^ 0x10);
    write_file_atomic(path, flipped);
    EXPECT_EQ(EventWriter(path, three).bytes(), two) << "byte " << size << " flipped";
    EXPECT_THAT(records(path), SizeIs(3));
  }
}

TEST(EventWriter, StartsAnewWhereNothingIsLeft) {
  test::TempDir dir;
  EXPECT_GT(EventWriter(dir / "missing", 500).bytes(), 0U);
  EXPECT_THAT(records(dir / "missing"), SizeIs(1));
  write_file_atomic(dir / "noise", std::string(200, 'x'));
  { EventWriter writer(dir / "noise", 200); }
  EXPECT_THAT(records(dir / "noise"), SizeIs(1));
  { EventWriter writer(dir / "noise"); }
  EXPECT_THAT(records(dir / "noise"), SizeIs(1));
}

TEST(EventWriter, UnwritablePlaceIsNamed) {
  try {
    EventWriter writer("/proc/nowhere/tfevents");
    FAIL();
  } catch (const FileError& e) {
    EXPECT_THAT(e.what(), HasSubstr("/proc/nowhere/tfevents"));
  }
}

}  // namespace
}  // namespace ulmfit::interop
