#include "data_prep/csv_reader.h"

#include "data_prep/csv_writer.h"
#include "data_prep/table_reader.h"
#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Rows = std::vector<std::vector<std::string>>;

Rows records(std::string_view content, char delimiter = ',') {
  test::TempDir dir;
  text::CleanCounts cleaned;
  CsvReader reader(test::put(dir / "t.csv", content), delimiter, cleaned);
  Rows rows;
  for (std::vector<std::string> fields; reader.next(fields);) rows.push_back(fields);
  return rows;
}

Rows table(std::string_view content, TableFormat format, const std::vector<std::string>& columns,
           std::optional<bool> header = {}) {
  test::TempDir dir;
  text::CleanCounts cleaned;
  const auto reader = TableReader::open(test::put(dir / "t", content), format, columns, {.header = header}, cleaned);
  Rows rows;
  for (std::vector<std::string> values; reader->next(values);) rows.push_back(values);
  return rows;
}

TEST(CsvWriter, IsReadBack) {
  const Rows rows{{"plain", "with,comma", "with;semicolon"}, {"a \"quote\"", "two\nlines", ""}, {"\"", "tab\there", " "}};
  for (const char delimiter : {',', ';'}) {
    std::string text;
    for (const auto& row : rows) text += csv_record(row, delimiter);
    EXPECT_EQ(records(text, delimiter), rows) << text;
  }
  EXPECT_EQ(csv_record({"plain", "with,comma", "a \"quote\""}), "plain,\"with,comma\",\"a \"\"quote\"\"\"\n");
  EXPECT_EQ(records(csv_record({"5\" disc", "tab\there", "x"}, '\t'), '\t'), (Rows{{"5\" disc", "tab\there", "x"}}));
}

TEST(CsvReader, ReadsQuotedFields) {
  EXPECT_EQ(records("a,b\n1,2\n"), (Rows{{"a", "b"}, {"1", "2"}}));
  EXPECT_EQ(records("\"a,b\",\"c \"\"d\"\"\"\n"), (Rows{{"a,b", "c \"d\""}}));
  EXPECT_EQ(records("\"one\ntwo\r\n\nfour\",x\ny,z"), (Rows{{"one\ntwo\n\nfour", "x"}, {"y", "z"}}));
  EXPECT_EQ(records("\"\",\n,\"\"\"\"\n"), (Rows{{"", ""}, {"", "\""}}));
  EXPECT_EQ(records("a \"quote\" inside,b\n"), (Rows{{"a \"quote\" inside", "b"}}));
  EXPECT_EQ(records("a\tb,c\td\n", '\t'), (Rows{{"a", "b,c", "d"}}));
  EXPECT_EQ(records("\n\na,b\n\nc,d\n\n"), (Rows{{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(records("\xEF\xBB\xBF\"a\",b\r\n"), (Rows{{"a", "b"}}));
  EXPECT_EQ(records(""), Rows{});
}

TEST(CsvReader, DefectsAreRefusedWithTheirLine) {
  EXPECT_THAT(test::message_of<DataError>([] { records("a,b\n1,\"never\nclosed\n"); }),
              AllOf(HasSubstr("t.csv:2"), HasSubstr("never closed")));
  EXPECT_THAT(test::message_of<DataError>([] { records("a,b\n\"x\"y,1\n"); }),
              AllOf(HasSubstr("t.csv:2"), HasSubstr("text behind the closing quote")));
  EXPECT_THAT(test::message_of<DataError>([] { records("a,b\n\"1\n2\",3\n4\n"); }),
              AllOf(HasSubstr("t.csv:4"), HasSubstr("expected 2 fields"), HasSubstr("found 1")));
}

TEST(CsvReader, AQuoteThatIsNotClosedDoesNotTakeTheWholeFile) {
  test::TempDir dir;
  const auto path = test::put(dir / "t.csv", "a,b\n1,\"open\n" + std::string(3000, '\n'));
  text::CleanCounts cleaned;
  CsvReader reader(path, ',', cleaned, 1000);
  std::vector<std::string> fields;
  EXPECT_TRUE(reader.next(fields));
  EXPECT_THAT(test::message_of<DataError>([&] { reader.next(fields); }),
              AllOf(HasSubstr("t.csv:2"), HasSubstr("not closed within 1000 bytes"), HasSubstr("--max-line-bytes")));
}

TEST(CsvReader, ALoneQuoteInTsvIsTextAndKeepsItsRow) {
  EXPECT_EQ(records("\"lone start\tneg\nnext\tpos\n", '\t'), (Rows{{"\"lone start", "neg"}, {"next", "pos"}}));
  EXPECT_EQ(records("neg\t\"never closed\npos\tends here\"\n", '\t'),
            (Rows{{"neg", "\"never closed"}, {"pos", "ends here\""}}));
  EXPECT_EQ(records("\"\t\"\"\"\n", '\t'), (Rows{{"\t\""}}));
}

TEST(CsvReader, QuotesInTsvAreTextUnlessTheWholeFieldIsQuoted) {
  EXPECT_EQ(records("\"Great\" movie\tx\n5\" disc\ty\nz\t\"\n", '\t'),
            (Rows{{"\"Great\" movie", "x"}, {"5\" disc", "y"}, {"z", "\""}}));
  EXPECT_EQ(records("\"one\" and \"two\"\tx\n\"a \"b\" c\"\ty\n", '\t'),
            (Rows{{"\"one\" and \"two\"", "x"}, {"\"a \"b\" c\"", "y"}}));
}

TEST(CsvReader, UndoesTheQuotingOfPandasInTsv) {
  EXPECT_EQ(records("\"say \"\"hi\"\"\"\tx\n\"\"\t\"\"\"\"\n", '\t'), (Rows{{"say \"hi\"", "x"}, {"", "\""}}));
  EXPECT_EQ(records("\"one\ttwo\"\tx\na\t\"b\tc\"\n", '\t'), (Rows{{"one\ttwo", "x"}, {"a", "b\tc"}}));
  EXPECT_EQ(records("\"a\"\t\n\tb\n", '\t'), (Rows{{"a", ""}, {"", "b"}}));
}

TEST(CsvReader, TsvRowsOfAnotherWidthAreRefusedWithTheirLine) {
  EXPECT_THAT(test::message_of<DataError>([] { records("a\tb\n\"1\n2\"\t3\n", '\t'); }),
              AllOf(HasSubstr("t.csv:2"), HasSubstr("expected 2 fields"), HasSubstr("found 1"), HasSubstr("as CSV")));
  EXPECT_THAT(test::message_of<DataError>([] { records("a\tb\n\n\"x\ty\tz\n", '\t'); }),
              AllOf(HasSubstr("t.csv:3"), HasSubstr("found 3")));
}

TEST(TableReader, TakesColumnsByNameOrNumber) {
  const std::string csv = "id,text,label\n7,hello,x\n";
  EXPECT_EQ(table(csv, TableFormat::kCsv, {"text", "id"}), (Rows{{"hello", "7"}}));
  EXPECT_EQ(table(csv, TableFormat::kCsv, {"2"}), (Rows{{"text"}, {"hello"}}));
  EXPECT_EQ(table(csv, TableFormat::kCsv, {"2"}, true), (Rows{{"hello"}}));
  EXPECT_EQ(table(csv, TableFormat::kCsv, {"text", "3"}), (Rows{{"hello", "x"}}));
  EXPECT_EQ(table("a\tb\n1\t2\n", TableFormat::kTsv, {"b"}), (Rows{{"2"}}));
}

TEST(TableReader, MissingColumnsAreListed) {
  EXPECT_THAT(test::message_of<DataError>([] { table("id,body\n1,x\n", TableFormat::kCsv, {"text"}); }),
              AllOf(HasSubstr("cannot find column 'text'"), HasSubstr("'id', 'body'")));
  EXPECT_THAT(test::message_of<DataError>([] { table("1,x\n", TableFormat::kCsv, {"3"}); }), HasSubstr("columns 1 to 2"));
  EXPECT_THAT(test::message_of<DataError>([] { table("1,x\n", TableFormat::kCsv, {"0"}); }), HasSubstr("columns 1 to 2"));
  EXPECT_THROW(table("text,x\n", TableFormat::kCsv, {"text"}, false), ConfigError);
}

TEST(TableReader, ReadsJsonLines) {
  const std::string lines =
      "{\"text\": \"a\\nb\", \"n\": 3, \"ok\": true, \"none\": null}\n\n{\"text\":\"\\u00e9\",\"n\":4.5,\"ok\":0,"
      "\"none\":\"\"}\n";
  EXPECT_EQ(table(lines, TableFormat::kJsonl, {"text", "n", "ok", "none"}),
            (Rows{{"a\nb", "3", "true", ""}, {"\xC3\xA9", "4.5", "0", ""}}));
}

TEST(TableReader, BadJsonLinesAreRefusedWithTheirLine) {
  const auto message = [](std::string_view line) {
    return test::message_of<DataError>(
        [&] { table(std::string("{\"text\":\"x\"}\n") + std::string(line), TableFormat::kJsonl, {"text"}); });
  };
  EXPECT_THAT(message("{\"text\": "), AllOf(HasSubstr("t:2"), HasSubstr("not one JSON object")));
  EXPECT_THAT(message("[1]"), HasSubstr("not one JSON object"));
  EXPECT_THAT(message("{\"body\": 1}"), HasSubstr("t:2: no field \"text\": the object has \"body\""));
  EXPECT_THAT(message("{\"text\": [1]}"), HasSubstr("t:2: field \"text\" is an array or an object"));
}

TEST(JoinFields, MarksSeveralColumnsAsFastaiDoes) {
  EXPECT_EQ(join_fields({"only"}, 1), "only");
  EXPECT_EQ(join_fields({"title", "body", "label"}, 2), "xxfld 1 title xxfld 2 body");
}

}  // namespace
}  // namespace ulmfit::data_prep
