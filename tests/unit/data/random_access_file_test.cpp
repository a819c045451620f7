#include "data/random_access_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::data {
namespace {

using ::testing::HasSubstr;

template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const DataError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(RandomAccessFile, ReadsAtAnyOffset) {
  test::TempDir dir;
  write_file_atomic(dir / "f", "0123456789");
  RandomAccessFile first(dir / "f");
  const RandomAccessFile file(std::move(first));
  EXPECT_EQ(file.size(), 10U);
  std::string four(4, ' ');
  file.read(6, four.data(), 4);
  EXPECT_EQ(four, "6789");
  file.read(0, four.data(), 4);
  EXPECT_EQ(four, "0123");
  EXPECT_THAT(refusal([&] { file.read(7, four.data(), 4); }), HasSubstr("the file ends before them"));
}

TEST(RandomAccessFile, RefusesWhatIsNotARegularFile) {
  test::TempDir dir;
  EXPECT_THAT(refusal([&] { RandomAccessFile(dir / "none"); }), HasSubstr("No such file"));
  EXPECT_THAT(refusal([&] { RandomAccessFile{dir.path()}; }), HasSubstr("not a regular file"));
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(refusal([&] { RandomAccessFile(dir / "pipe"); }), HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace ulmfit::data
