#include "base/partial_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/support/temp_dir.h"

namespace ulmfit {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(PartialFolder, IsRenamedWholeOrRemoved) {
  test::TempDir dir;
  {
    PartialFolder partial(dir / "out/");
    write_file_atomic(partial.path() / "a", "x");
    EXPECT_FALSE(fs::exists(dir / "out"));
    partial.commit();
  }
  EXPECT_EQ(read_file(dir / "out/a"), "x");
  EXPECT_FALSE(fs::exists(dir / "out/.lock"));
  {
    PartialFolder partial(dir / "two");
    write_file_atomic(partial.path() / "a", "x");
  }
  EXPECT_FALSE(fs::exists(dir / "two"));
  EXPECT_FALSE(fs::exists(dir / "two.partial"));
}

TEST(PartialFolder, ClearsWhatAKilledRunLeft) {
  test::TempDir dir;
  make_directories(dir / "out.partial/lm");
  write_file_atomic(dir / "out.partial/lm/train-00000.h5", "half");
  PartialFolder partial(dir / "out");
  write_file_atomic(partial.path() / "a", "x");
  partial.commit();
  EXPECT_TRUE(fs::exists(dir / "out/a"));
  EXPECT_FALSE(fs::exists(dir / "out/lm"));
}

TEST(PartialFolder, ALinkToAnEmptyFolderIsFilled) {
  test::TempDir dir;
  make_directories(dir / "scratch/real");
  fs::create_directory_symlink("scratch/real", dir / "out");
  PartialFolder partial(dir / "out");
  write_file_atomic(partial.path() / "a", "x");
  partial.commit();
  EXPECT_TRUE(fs::is_symlink(dir / "out"));
  EXPECT_EQ(read_file(dir / "scratch/real/a"), "x");
}

TEST(PartialFolder, WhatARenameCannotReplaceIsRefusedAtOnce) {
  EXPECT_THAT([] { PartialFolder("."); }, ThrowsMessage<FileError>(HasSubstr("it is the current folder")));
  EXPECT_THAT([] { PartialFolder("/proc"); }, ThrowsMessage<FileError>(HasSubstr("where a file system is mounted")));
}

TEST(PartialFolder, StaysWhereItCannotBeRenamed) {
  test::TempDir dir;
  PartialFolder partial(dir / "out");
  write_file_atomic(partial.path() / "a", "x");
  make_directories(dir / "out");
  write_file_atomic(dir / "out/of-another", "y");
  EXPECT_THAT([&] { partial.commit(); }, ThrowsMessage<FileError>(HasSubstr("the finished work is in")));
  EXPECT_EQ(read_file(dir / "out.partial/a"), "x");
}

TEST(PartialFolder, TwoRunsInOneFolderAreRefused) {
  test::TempDir dir;
  PartialFolder first(dir / "out");
  EXPECT_THAT([&] { PartialFolder second(dir / "out"); },
              ThrowsMessage<CheckpointError>(HasSubstr("another run holds it")));
}

}  // namespace
}  // namespace ulmfit
