#include "data_prep/output_folder.h"

#include <nlohmann/json.hpp>

#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::HasSubstr;

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
