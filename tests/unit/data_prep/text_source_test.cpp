#include "data_prep/text_source.h"

#include "data_prep/line_reader.h"
#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;

std::string long_text() {
  std::string text;
  for (int i = 0; i < 60000; ++i) text += "line " + std::to_string(i * 7919 % 60000) + "\n";
  return text;
}

class CompressedSource : public ::testing::TestWithParam<const char*> {};

TEST_P(CompressedSource, IsReadByContentUnderAnyName) {
  test::TempDir dir;
  const std::string text = long_text();
  EXPECT_EQ(read_text(test::put(dir / (std::string("named.") + GetParam()), test::compressed(text, GetParam()))), text);
  EXPECT_EQ(read_text(test::put(dir / "renamed.txt", test::compressed(text, GetParam()))), text);
}

TEST_P(CompressedSource, ReadsMembersOneAfterTheOther) {
  test::TempDir dir;
  EXPECT_EQ(
      read_text(test::put(dir / "two", test::compressed("one\n", GetParam()) + test::compressed("two\n", GetParam()))),
      "one\ntwo\n");
}

TEST_P(CompressedSource, CutOffAnywhereIsRefused) {
  test::TempDir dir;
  const std::string whole = test::compressed(long_text(), GetParam());
  for (const std::size_t bytes : {whole.size() - 1, whole.size() - 5, whole.size() / 2, std::size_t{20}, std::size_t{7}}) {
    const auto path = test::put(dir / "cut.txt", whole.substr(0, bytes));
    EXPECT_THAT(test::message_of<DataError>([&] { read_text(path); }),
                AllOf(HasSubstr(path.string()), HasSubstr("cut off")))
        << bytes;
  }
}

TEST_P(CompressedSource, DamageIsRefused) {
  test::TempDir dir;
  std::string bytes = test::compressed(long_text(), GetParam());
  for (std::size_t i = bytes.size() / 2; i < bytes.size() / 2 + 64; ++i) bytes[i] = static_cast<char>(~bytes[i]);
  EXPECT_THROW(read_text(test::put(dir / "bad", bytes)), DataError);
  EXPECT_THROW(read_text(test::put(dir / "tail", test::compressed("text", GetParam()) + "garbage")), DataError);
}

TEST_P(CompressedSource, NameWithoutTheContentIsRefused) {
  test::TempDir dir;
  const auto path = test::put(dir / (std::string("plain.") + GetParam()), "just text\n");
  EXPECT_THAT(test::message_of<DataError>([&] { read_text(path); }), HasSubstr("its name says"));
  EXPECT_THROW(read_text(test::put(dir / (std::string("empty.") + GetParam()), "")), DataError);
}

TEST(TextSource, ASpreadsheetOrUtf16IsNamed) {
  test::TempDir dir;
  const auto sheet = test::put(dir / "sheet.csv", std::string_view("PK\x03\x04\x14\0", 6));
  EXPECT_THAT(test::message_of<DataError>([&] { read_text(sheet); }), HasSubstr("save the sheet as CSV"));
  for (const std::string_view text : {std::string_view("\xFF\xFE"
                                                       "a\0\n\0",
                                                       6),
                                      std::string_view("\xFE\xFF\0a\0\n", 6)}) {
    const auto path = test::put(dir / "wide.csv", text);
    text::CleanCounts cleaned;
    LineReader reader(path, cleaned);
    std::string line;
    EXPECT_THAT(test::message_of<DataError>([&] { reader.next(line); }), HasSubstr("iconv -f UTF-16"));
  }
}

TEST(TextSource, WhatIsNoTextIsNamed) {
  test::TempDir dir;
  const std::pair<std::string_view, const char*> files[] = {{"BZh91AY&SY", "bzip2"},
                                                            {"7z\xBC\xAF\x27\x1C", "7-Zip"},
                                                            {"\x04\x22\x4D\x18@@", "lz4"},
                                                            {"PAR1\x15\x04", "Parquet"},
                                                            {"%PDF-1.7", "PDF"}};
  for (const auto& [bytes, name] : files) {
    const auto path = test::put(dir / "dump.txt", bytes);
    EXPECT_THAT(test::message_of<DataError>([&] { read_text(path); }), AllOf(HasSubstr("dump.txt"), HasSubstr(name)));
  }
  const auto message_of_lines = [&](const std::string& content) {
    const auto path = test::put(dir / "lines.txt", content);
    text::CleanCounts cleaned;
    LineReader reader(path, cleaned);
    std::string line;
    return test::message_of<DataError>([&] { reader.next(line); });
  };
  std::string tar = "name" + std::string(253, '\0') + "ustar";
  tar.resize(1024);
  EXPECT_THAT(message_of_lines(tar), HasSubstr("tar archive"));
  EXPECT_THAT(message_of_lines(test::compressed(tar, "gz")), HasSubstr("tar archive"));
  EXPECT_THAT(message_of_lines("a\0b\0"s + std::string(600, '\0')), HasSubstr("it is no text"));
}

// Frames that decoders pass over, and windows larger than zstd's default.
TEST(TextSource, EveryZstdFileIsRead) {
  test::TempDir dir;
  const std::string skippable("\x50\x2A\x4D\x18\x03\0\0\0abc", 11);
  EXPECT_EQ(read_text(test::put(dir / "a.zst", skippable + test::compressed("text\n", "zst"))), "text\n");
  // A frame's header without its content's size, with a window of 2^(10 + 18) bytes; one raw block, the last, of "hi".
  const std::string wide("\x28\xB5\x2F\xFD\x00\x90\x11\x00\x00hi", 11);
  EXPECT_EQ(read_text(test::put(dir / "b.zst", wide)), "hi");
}

INSTANTIATE_TEST_SUITE_P(All, CompressedSource, ::testing::Values("gz", "xz", "zst"));

TEST(TextSource, PlainFilesAreReadAsTheyAre) {
  test::TempDir dir;
  EXPECT_EQ(read_text(test::put(dir / "a", std::string("a\0b\r\n", 5))), std::string("a\0b\r\n", 5));
  EXPECT_EQ(read_text(test::put(dir / "empty", "")), "");
}

TEST(TextSource, NamesWhatCannotBeRead) {
  test::TempDir dir;
  EXPECT_THAT(test::message_of<DataError>([&] { TextSource(dir / "none.txt"); }),
              AllOf(HasSubstr("none.txt"), HasSubstr("no such file")));
  EXPECT_THAT(test::message_of<DataError>([&] { TextSource{dir.path()}; }),
              HasSubstr("it is a folder where a file is expected"));
  EXPECT_THAT(test::message_of<DataError>([] { TextSource("/dev/null"); }), HasSubstr("not a regular file"));
}

TEST(TextSource, CompressionEndingsAreTakenOff) {
  EXPECT_EQ(without_compression_ending("a/b.csv.xz"), "a/b.csv");
  EXPECT_EQ(without_compression_ending("a/b.csv"), "a/b.csv");
}

TEST(LineReader, GivesCleanLinesWithTheirNumbers) {
  test::TempDir dir;
  const auto path = test::put(dir / "a", std::string("\xEF\xBB\xBFone\r\ntwo\rthree\n\nfo\0ur\xFF", 25));
  text::CleanCounts cleaned;
  LineReader lines(path, cleaned);
  std::vector<std::string> got;
  for (std::string line; lines.next(line);) got.push_back(line);
  EXPECT_EQ(got, (std::vector<std::string>{"one", "two", "three", "", "four\xEF\xBF\xBD"}));
  EXPECT_EQ(lines.line_number(), 5);
  EXPECT_EQ(cleaned.byte_order_marks, 1U);
  EXPECT_EQ(cleaned.carriage_returns, 2U);
  EXPECT_EQ(cleaned.nul_bytes, 1U);
  EXPECT_EQ(cleaned.invalid_utf8, 1U);
}

TEST(LineReader, LinesMayBeLongerThanTheBuffer) {
  test::TempDir dir;
  const std::string longest(200000, 'x');
  text::CleanCounts cleaned;
  LineReader lines(test::put(dir / "a", longest + "\n" + longest), cleaned);
  std::string line;
  EXPECT_TRUE(lines.next(line) && line == longest);
  EXPECT_TRUE(lines.next(line) && line == longest);
  EXPECT_FALSE(lines.next(line));
}

TEST(LineReader, ALineHasNoMoreBytesThanItMay) {
  test::TempDir dir;
  for (const std::string end : {"\n", ""}) {
    const auto path = test::put(dir / "a", "one\n" + std::string(100000, 'x') + end);
    text::CleanCounts cleaned;
    std::string line;
    LineReader fits(path, cleaned, 100000);
    EXPECT_TRUE(fits.next(line) && fits.next(line));
    EXPECT_EQ(line.size(), 100000U);
    LineReader lines(path, cleaned, 99999);
    EXPECT_TRUE(lines.next(line));
    EXPECT_THAT(test::message_of<DataError>([&] { lines.next(line); }),
                AllOf(HasSubstr("a:2: the line has more than 99999 bytes"), HasSubstr("--max-line-bytes")));
  }
}

}  // namespace
}  // namespace ulmfit::data_prep
