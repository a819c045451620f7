#include "interop/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/program.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::interop {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class Archive : public ::testing::Test {
 protected:
  Archive() {
    make_directories(dir_ / "model");
    write_file_atomic(dir_ / "model/weights.pth", weights_);
    write_file_atomic(dir_ / "model/words.pkl", "words");
  }
  // By tar or zip, with `options`.
  fs::path packed(const std::string& name, const std::vector<std::string>& options) {
    std::vector<std::string> words = {"tar",      "--directory", dir_.path().string(),
                                      "--create", "--file",      (dir_ / name).string()};
    words.insert(words.end(), options.begin(), options.end());
    EXPECT_EQ(run_program(words), 0);
    return dir_ / name;
  }
  void expect_refused(const fs::path& archive, const std::string& why, std::int64_t longest = kLongestUnpacked) {
    EXPECT_THAT([&] { unpack_file(archive, ".pth", dir_ / "out", longest); },
                ThrowsMessage<CheckpointError>(HasSubstr(why)));
  }

  test::TempDir dir_;
  std::string weights_ = std::string(100000, 'w') + "end";
};

TEST_F(Archive, GivesTheOneFileOfAnEnding) {
  for (const auto& [name, option] :
       {std::pair("a.tar", "--no-same-owner"), std::pair("a.tgz", "--gzip"), std::pair("a.tar.xz", "--xz")}) {
    unpack_file(packed(name, {option, "model"}), ".pth", dir_ / "out");
    EXPECT_EQ(read_file(dir_ / "out"), weights_) << name;
  }
  write_zip(dir_ / "a.zip", dir_ / "model", {"weights.pth", "words.pkl"}, "there");
  unpack_file(dir_ / "a.zip", ".pkl", dir_ / "out");
  EXPECT_EQ(read_file(dir_ / "out"), "words");
}

TEST_F(Archive, NamesMayHoldAnyCharacters) {
  write_file_atomic(dir_ / "model/mod\u00E8le \u6620\u753B.bin", "x");
  unpack_file(packed("names.tar", {"model"}), ".bin", dir_ / "out");
  EXPECT_EQ(read_file(dir_ / "out"), "x");
  write_zip(dir_ / "names.zip", dir_ / "model", {"mod\u00E8le \u6620\u753B.bin"}, "l\u00E0");
  unpack_file(dir_ / "names.zip", ".bin", dir_ / "out");
  EXPECT_EQ(read_file(dir_ / "out"), "x");
}

TEST_F(Archive, LinksAreNotFollowed) {
  fs::create_symlink("/etc/passwd", dir_ / "model/link.pth");
  fs::create_hard_link(dir_ / "model/weights.pth", dir_ / "model/zz.pth");  // the second of the two is stored as a link
  unpack_file(packed("links.tar", {"--sort=name", "model"}), ".pth", dir_ / "out");
  EXPECT_EQ(read_file(dir_ / "out"), weights_);
}

TEST_F(Archive, RefusesWhatIsBrokenTooLargeOrNotOne) {
  const std::string whole = read_file(packed("a.tgz", {"--gzip", "model"}));
  expect_refused(dir_ / "a.tgz", "more than 100002 bytes", 100002);
  unpack_file(dir_ / "a.tgz", ".pth", dir_ / "out", 100003);
  for (const std::size_t length : {std::size_t{0}, std::size_t{5}, whole.size() / 2, whole.size() - 9}) {
    write_file_atomic(dir_ / "cut.tgz", whole.substr(0, length));
    expect_refused(dir_ / "cut.tgz", "cannot unpack");
  }
  std::string flipped = whole;
  flipped[whole.size() / 2] = static_cast<char>(flipped[whole.size() / 2] ^ 0x10);
  write_file_atomic(dir_ / "flipped.tgz", flipped);
  expect_refused(dir_ / "flipped.tgz", "cannot unpack");
  write_zip(dir_ / "whole.zip", dir_ / "model", {"weights.pth"}, "there");
  std::string zip = read_file(dir_ / "whole.zip");
  zip[zip.size() / 2] ^= 1;
  write_file_atomic(dir_ / "flipped.zip", zip);
  expect_refused(dir_ / "flipped.zip", "CRC");
  write_file_atomic(dir_ / "text", "no archive at all");
  expect_refused(dir_ / "text", "cannot unpack");
  EXPECT_THAT([&] { unpack_file(dir_ / "a.tgz", ".bin", dir_ / "out"); },
              ThrowsMessage<CheckpointError>(HasSubstr("no file *.bin")));
  write_file_atomic(dir_ / "model/other.pth", "x");
  expect_refused(packed("two.tar", {"model"}), "one file *.pth was expected");
}

TEST_F(Archive, AZipIsWholeOrAbsentAndTheSameForTheSameFiles) {
  write_zip(dir_ / "a.zip", dir_ / "model", {"weights.pth", "words.pkl"}, "there");
  fs::last_write_time(dir_ / "model/words.pkl", fs::file_time_type::clock::now() + std::chrono::hours(5));
  write_zip(dir_ / "b.zip", dir_ / "model", {"weights.pth", "words.pkl"}, "there");
  EXPECT_EQ(read_file(dir_ / "a.zip"), read_file(dir_ / "b.zip"));
  EXPECT_ANY_THROW(write_zip(dir_ / "c.zip", dir_ / "model", {"weights.pth", "missing"}, "there"));
  EXPECT_FALSE(fs::exists(dir_ / "c.zip"));
  EXPECT_FALSE(fs::exists(dir_ / "c.zip.partial"));
}

}  // namespace
}  // namespace ulmfit::interop
