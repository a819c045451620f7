#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/hash.h"
#include "tests/support/temp_dir.h"

namespace ulmfit {
namespace {

using ::testing::HasSubstr;

TEST(AtomicFile, IsWholeAndLeavesNoTemporary) {
  test::TempDir dir;
  write_file_atomic(dir / "a.txt", "one\ntwo");
  EXPECT_EQ(read_file(dir / "a.txt"), "one\ntwo");
  EXPECT_EQ(read_lines(dir / "a.txt"), (std::vector<std::string>{"one", "two"}));
  EXPECT_FALSE(fs::exists(dir / "a.txt.tmp"));
  EXPECT_EQ(file_fingerprint(dir / "a.txt"), fingerprint("one\ntwo"));
}

TEST(AtomicFile, NamesPathAndReason) {
  try {
    write_file_atomic("/proc/nowhere/file", "x");
    FAIL();
  } catch (const FileError& e) {
    EXPECT_THAT(e.what(), HasSubstr("/proc/nowhere/file.tmp"));
    EXPECT_THAT(e.what(), HasSubstr("No such file"));
  }
}

TEST(TruncateFile, CutsAndNeverGrows) {
  test::TempDir dir;
  write_file_atomic(dir / "m", "0123456789");
  truncate_file(dir / "m", 4);
  EXPECT_EQ(read_file(dir / "m"), "0123");
  truncate_file(dir / "m", 100);
  EXPECT_EQ(read_file(dir / "m"), "0123");
}

}  // namespace
}  // namespace ulmfit
