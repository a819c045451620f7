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

TEST(RequireApart, RefusesAFolderThatTextsAreReadFrom) {
  test::TempDir dir;
  test::put(dir / "texts/pos/1.txt", "good");
  test::put(dir / "more.txt", "more");
  fs::create_directory_symlink(dir / "texts", dir / "link");
  for (const fs::path& output :
       {dir / "texts", dir / "texts/", dir / "texts/data", dir / "texts/a/../fit/data", dir / "link/data"}) {
    EXPECT_THAT(test::message_of<ConfigError>([&] { require_apart(output, {dir / "texts"}); }),
                HasSubstr("that texts are read from"))
        << output;
  }
  EXPECT_THROW(require_apart(dir / "texts/data", {dir / "link"}), ConfigError);
  require_apart(dir / "data", {dir / "texts", dir / "more.txt", "", dir / "none"});
  require_apart(dir / "texts-prepared", {dir / "texts"});
  require_apart(dir / "more.txt.d", {dir / "more.txt"});
}

}  // namespace
}  // namespace ulmfit::data_prep
