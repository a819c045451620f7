#include "base/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "tests/support/temp_dir.h"

namespace ulmfit {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class Manifest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(dir_ / "part");
    write_file_atomic(dir_ / "b.txt", "bbb");
    write_file_atomic(dir_ / "part" / "a.txt", "aaaaa");
    write_file_atomic(dir_ / "a.txt", "a");
    write_file_atomic(dir_ / ".lock", "host");
    write_manifest(dir_.path());
  }

  std::string defect(bool checksums = true) const { return manifest_defect(dir_.path(), checksums).value_or("none"); }

  template <class Change>
  std::string defect_after(Change change) const {
    json manifest = good_;
    change(manifest);
    write_file_atomic(dir_ / "MANIFEST.json", manifest.dump());
    return defect();
  }

  test::TempDir dir_;
  json good_ = {{"format", "ulmfit-manifest"},
                {"version", 1},
                {"files", {{{"name", "a.txt"}, {"bytes", 1}, {"xxh3", fingerprint("a")}}}}};
};

TEST_F(Manifest, NamesEveryFileSortedWithSizeAndChecksum) {
  const json manifest = json::parse(read_file(dir_ / "MANIFEST.json"));
  EXPECT_EQ(manifest.at("format"), "ulmfit-manifest");
  EXPECT_EQ(manifest.at("version"), 1);
  const json expected = {{{"name", "a.txt"}, {"bytes", 1}, {"xxh3", fingerprint("a")}},
                         {{"name", "b.txt"}, {"bytes", 3}, {"xxh3", fingerprint("bbb")}},
                         {{"name", "part/a.txt"}, {"bytes", 5}, {"xxh3", fingerprint("aaaaa")}}};
  EXPECT_EQ(manifest.at("files"), expected);
  EXPECT_EQ(defect(), "none");
  EXPECT_EQ(defect(false), "none");
  EXPECT_EQ(manifest_checksum(dir_.path(), "part/a.txt"), fingerprint("aaaaa"));
  EXPECT_EQ(manifest_checksum(dir_.path(), "c.txt"), std::nullopt);
}

TEST_F(Manifest, TheCallerPicksTheError) {
  EXPECT_NO_THROW(check_manifest<DataError>(dir_.path(), true));
  fs::remove(dir_ / "b.txt");
  EXPECT_THROW(check_manifest<DataError>(dir_.path(), false), DataError);
  EXPECT_THROW(check_manifest<CheckpointError>(dir_.path(), false), CheckpointError);
}

TEST_F(Manifest, WritingItAgainIgnoresTheOldOneAndItsTemporary) {
  const std::string before = read_file(dir_ / "MANIFEST.json");
  write_file_atomic(dir_ / "MANIFEST.json.tmp", "half a mani");
  write_manifest(dir_.path());
  EXPECT_EQ(read_file(dir_ / "MANIFEST.json"), before);
  EXPECT_EQ(defect(), "none");
}

TEST_F(Manifest, NoticesEveryChange) {
  write_file_atomic(dir_ / "new.txt", "not named: ignored");
  EXPECT_EQ(defect(), "none");
  write_file_atomic(dir_ / "b.txt", "bBb");
  EXPECT_EQ(defect(false), "none");
  EXPECT_THAT(defect(),
              HasSubstr("b.txt: has checksum " + fingerprint("bBb") + ", the manifest says " + fingerprint("bbb")));
  write_file_atomic(dir_ / "b.txt", "bbbb");
  EXPECT_THAT(defect(false), HasSubstr("b.txt: has 4 bytes, the manifest says 3"));
  fs::remove(dir_ / "b.txt");
  EXPECT_THAT(defect(false), HasSubstr("b.txt: the manifest names it, but it is missing"));
  fs::create_directory(dir_ / "b.txt");
  EXPECT_THAT(defect(false), HasSubstr("b.txt: is not a regular file"));
}

TEST_F(Manifest, AFolderWithoutOneIsRefused) {
  fs::remove(dir_ / "MANIFEST.json");
  EXPECT_THAT(defect(), HasSubstr(dir_.path().string() + ": no MANIFEST.json"));
  EXPECT_THAT(manifest_defect(dir_ / "nowhere", true).value_or(""), HasSubstr("no MANIFEST.json"));
}

TEST_F(Manifest, RefusesNamesThatLeadAway) {
  const auto named = [&](const std::string& name) { return defect_after([&](json& m) { m["files"][0]["name"] = name; }); };
  EXPECT_EQ(named("a.txt"), "none");
  EXPECT_THAT(named(""), HasSubstr("is not a relative path"));
  EXPECT_THAT(named("/etc/passwd"), HasSubstr("is not a relative path"));
  for (const char* name : {"../a.txt", "part/../a.txt", "part/..", "./a.txt", "part//a.txt", "a.txt/", "."}) {
    EXPECT_THAT(named(name), HasSubstr("not a valid manifest")) << name;
  }
  EXPECT_THAT(named(std::string("a.txt\0b", 7)), HasSubstr("has a zero byte"));
  EXPECT_THAT(named("MANIFEST.json"), HasSubstr("is the manifest itself"));
}

TEST_F(Manifest, FollowsNoLinks) {
  test::TempDir outside;
  write_file_atomic(outside / "a.txt", "aaaaa");
  fs::rename(dir_ / "part", dir_ / "real");
  fs::create_directory_symlink(dir_ / "real", dir_ / "part");
  EXPECT_THAT(defect(), HasSubstr("part/a.txt: is, or lies behind, a symbolic link"));
  fs::remove(dir_ / "part");
  fs::rename(dir_ / "real", dir_ / "part");
  EXPECT_EQ(defect(), "none");
  fs::remove(dir_ / "part" / "a.txt");
  fs::create_symlink(outside / "a.txt", dir_ / "part" / "a.txt");
  EXPECT_THAT(defect(), HasSubstr("symbolic link"));
  EXPECT_THROW(write_manifest(dir_.path()), FileError);
  fs::rename(dir_ / "MANIFEST.json", outside / "m");
  fs::create_symlink(outside / "m", dir_ / "MANIFEST.json");
  EXPECT_THAT(defect(), HasSubstr("no MANIFEST.json"));
}

TEST_F(Manifest, RefusesSpecialFilesAndMissingFolders) {
  ASSERT_EQ(::mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(write_manifest(dir_.path()), FileError);
  EXPECT_THROW(write_manifest(dir_ / "nowhere"), FileError);
}

TEST_F(Manifest, RefusesMalformedOnes) {
  const json second = {{"name", "a.txt"}, {"bytes", 1}, {"xxh3", fingerprint("a")}};
  EXPECT_EQ(defect_after([](json&) {}), "none");
  EXPECT_THAT(defect_after([](json& m) { m["format"] = "x"; }), HasSubstr("its format is not \"ulmfit-manifest\""));
  EXPECT_THAT(defect_after([](json& m) { m["version"] = 2; }), HasSubstr("version 2 where this program knows version 1"));
  EXPECT_THAT(defect_after([&](json& m) { m["files"].push_back(second); }), HasSubstr("file names are not sorted"));
  EXPECT_THAT(defect_after([](json& m) { m["files"][0]["bytes"] = -1; }),
              HasSubstr("the size of a.txt is not a whole number"));
  EXPECT_THAT(defect_after([](json& m) { m["files"][0]["bytes"] = 1.5; }),
              HasSubstr("the size of a.txt is not a whole number"));
  for (const auto& change : std::vector<std::function<void(json&)>>{
           [](json& m) { m = 3; }, [](json& m) { m.erase("files"); }, [](json& m) { m["files"] = "a.txt"; },
           [](json& m) { m["files"][0] = "a.txt"; }, [](json& m) { m["files"][0]["name"] = 5; },
           [](json& m) { m["files"][0].erase("xxh3"); }, [](json& m) { m["format"] = nullptr; }}) {
    EXPECT_THAT(defect_after(change), HasSubstr("MANIFEST.json: not a valid manifest"));
  }
  for (const std::string text : {"", "{", "[1", "\xff\xfe", "{\"format\": \"ulmfit-manifest\"} more"}) {
    write_file_atomic(dir_ / "MANIFEST.json", text);
    EXPECT_THAT(defect(), HasSubstr("not a valid manifest"));
  }
}

}  // namespace
}  // namespace ulmfit
