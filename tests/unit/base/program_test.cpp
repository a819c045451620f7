#include "base/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace ulmfit {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Program, GetsItsWordsAsTheyAreAndGivesItsStatus) {
  test::TempDir dir;
  EXPECT_EQ(run_program({"printf", "%s|", "a b", "$HOME", "", "'"}, dir / "out"), 0);
  EXPECT_EQ(read_file(dir / "out"), "a b|$HOME||'|");
  EXPECT_EQ(run_program({"sh", "-c", "exit 7"}), 7);
  EXPECT_EQ(run_program({"sh", "-c", "kill -TERM $$"}), 128 + 15);
  EXPECT_EQ(run_program({"cat"}, dir / "nothing"), 0);
  EXPECT_EQ(read_file(dir / "nothing"), "");
}

TEST(Program, ThatIsNotThereIsNamed) {
  EXPECT_THAT([] { run_program({"no-such-program"}); }, ThrowsMessage<ConfigError>(HasSubstr("no-such-program")));
}

TEST(Sha256, OfTheStandardsExample) {
  test::TempDir dir;
  write_file_atomic(dir / "-a file", "abc");
  EXPECT_EQ(sha256_of(dir / "-a file"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_THAT([&] { sha256_of(dir / "none"); }, ThrowsMessage<FileError>(HasSubstr("none")));
}

}  // namespace
}  // namespace ulmfit
