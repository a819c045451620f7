#include "data_prep/output_folder.h"

#include <nlohmann/json.hpp>

#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::HasSubstr;

TEST(PartialFolder, IsRenamedWholeOrRemoved) {
  test::TempDir dir;
  {
    PartialFolder partial(dir / "out/");
    test::put(partial.path() / "a", "x");
    EXPECT_FALSE(fs::exists(dir / "out"));
    partial.commit();
  }
  EXPECT_EQ(test::contents(dir.path()), (std::map<std::string, std::string>{{"out/a", "x"}}));
  {
    PartialFolder partial(dir / "two");
    test::put(partial.path() / "a", "x");
  }
  EXPECT_FALSE(fs::exists(dir / "two"));
  EXPECT_FALSE(fs::exists(dir / "two.partial"));
}

TEST(PartialFolder, ClearsWhatAKilledRunLeft) {
  test::TempDir dir;
  test::put(dir / "out.partial/lm/train-00000.h5", "half");
  PartialFolder partial(dir / "out");
  test::put(partial.path() / "a", "x");
  partial.commit();
  EXPECT_EQ(test::contents(dir / "out").size(), 1U);
}

TEST(PartialFolder, TwoRunsInOneFolderAreRefused) {
  test::TempDir dir;
  PartialFolder first(dir / "out");
  EXPECT_THAT(test::message_of<CheckpointError>([&] { PartialFolder second(dir / "out"); }),
              HasSubstr("another run holds it"));
}

TEST(AlreadyPrepared, RefusesForeignContent) {
  test::TempDir dir;
  EXPECT_FALSE(already_prepared(dir / "none", {"."}, {}));
  fs::create_directories(dir / "empty");
  EXPECT_FALSE(already_prepared(dir / "empty", {"."}, {}));
  test::put(dir / "full/notes.txt", "mine");
  EXPECT_THAT(test::message_of<DataError>([&] { already_prepared(dir / "full", {"."}, {}); }),
              HasSubstr("the folder is not empty and is not the finished work"));
  EXPECT_THAT(test::message_of<DataError>([&] { already_prepared(dir / "full/notes.txt", {"."}, {}); }),
              HasSubstr("it is a file"));
}

}  // namespace
}  // namespace ulmfit::data_prep
