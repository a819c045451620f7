#include "data_prep/labelled_reader.h"

#include "tests/support/real_data.h"
#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::vector<LabelledRow> rows(LabelledReader& reader) {
  std::vector<LabelledRow> all;
  for (LabelledRow row; reader.next(row);) all.push_back(row);
  return all;
}

std::vector<LabelledRow> rows(std::string_view content, LabelledFormat format, const LabelledColumns& columns = {}) {
  test::TempDir dir;
  LabelledReader reader(test::put(dir / "t", content), format, columns);
  return rows(reader);
}

std::map<std::string, int> class_counts(const std::vector<LabelledRow>& all) {
  std::map<std::string, int> counts;
  for (const LabelledRow& row : all) ++counts[row.label];
  return counts;
}

TEST(LabelledReader, ReadsTables) {
  const auto got =
      rows("label,text,group\npos,\"a\nb\",g1\nneg,c,\n", LabelledFormat::kCsv, {{"text"}, "label", "group", {}});
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].text, "a\nb");
  EXPECT_EQ(got[0].label, "pos");
  EXPECT_EQ(got[0].group, "g1");
  EXPECT_EQ(got[1].group, "");
  EXPECT_EQ(got[1].line, 4);
  EXPECT_EQ(rows("3,x,y\n", LabelledFormat::kCsv, {{"2", "3"}, "1", "", {}})[0].text, "xxfld 1 x xxfld 2 y");
  EXPECT_EQ(rows("{\"text\":\"a\",\"label\":1}\n", LabelledFormat::kJsonl)[0].label, "1");
  EXPECT_EQ(rows("label\ttext\n x \ta\n", LabelledFormat::kTsv)[0].label, "x");
}

TEST(LabelledReader, ReadsOtherDelimitersAndNamesThem) {
  LabelledColumns columns;
  columns.table.delimiter = ';';
  EXPECT_EQ(rows("label;text\nx;a, b\n", LabelledFormat::kCsv, columns)[0].text, "a, b");
  EXPECT_THAT(
      test::message_of<DataError>([] { rows("label;text\nx;a, b\n", LabelledFormat::kCsv); }),
      AllOf(HasSubstr("'label;text'"), HasSubstr("--text-column or --label-column"), HasSubstr("give --delimiter ';'")));
  EXPECT_THAT(test::message_of<DataError>([] { rows("Label,Text\nx,a\n", LabelledFormat::kCsv); }),
              HasSubstr("did you mean 'Text'?"));
  EXPECT_THAT(test::message_of<DataError>([] { rows("label\ttext\nx\ta\n", LabelledFormat::kCsv); }),
              HasSubstr("give --delimiter tab"));
}

TEST(LabelledReader, ReadsAFolderForEachClass) {
  test::TempDir dir;
  test::put(dir / "set/pos/1.txt", "a\r\nb");
  test::put(dir / "set/neg/deep/2.txt", "c");
  test::put(dir / "set/pos/.hidden", "no");
  EXPECT_EQ(labelled_format_of(dir / "set"), LabelledFormat::kFolders);
  LabelledReader reader(dir / "set", LabelledFormat::kFolders, {});
  const auto got = rows(reader);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].label, "neg");
  EXPECT_EQ(got[0].file, "set/neg/deep/2.txt");
  EXPECT_EQ(got[1].label, "pos");
  EXPECT_EQ(got[1].text, "a\nb");
  test::put(dir / "set/3.txt", "d");
  EXPECT_THAT(test::message_of<DataError>([&] { LabelledReader(dir / "set", LabelledFormat::kFolders, {}); }),
              AllOf(HasSubstr("3.txt"), HasSubstr("a folder for each class")));
}

TEST(LabelledReader, ReadsTrecQuestions) {
  const auto got = rows("NUM:dist How far is it ?\nLOC:city What : where ?\n\n", LabelledFormat::kTrec);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].label, "NUM");
  EXPECT_EQ(got[0].text, "How far is it ?");
  EXPECT_EQ(got[1].text, "What : where ?");
}

TEST(LabelledReader, DefectsAreRefusedWithTheirPlace) {
  EXPECT_THAT(test::message_of<DataError>([] { rows("text,label\na,x\nb,\n", LabelledFormat::kCsv); }),
              AllOf(HasSubstr("t:3"), HasSubstr("the label is empty")));
  EXPECT_THAT(test::message_of<DataError>([] { rows("text,class\na,x\n", LabelledFormat::kCsv); }),
              AllOf(HasSubstr("column 'label'"), HasSubstr("'text', 'class'")));
  EXPECT_THAT(test::message_of<DataError>([] { rows("text,label\na,\"x\ny\"\n", LabelledFormat::kCsv); }),
              HasSubstr("the label holds a line end"));
  EXPECT_THAT(test::message_of<DataError>([] { rows("A:b c\nno label here\n", LabelledFormat::kTrec); }),
              AllOf(HasSubstr("t:2"), HasSubstr("expected 'COARSE:fine question'")));
  EXPECT_THAT(test::message_of<DataError>([] { rows(":b c\n", LabelledFormat::kTrec); }), HasSubstr("the label is empty"));
  EXPECT_THROW(rows("A:b c\n", LabelledFormat::kTrec, {{"text"}, "label", "g", {}}), ConfigError);
}

TEST(LabelledReader, SeveralLabelsOrNoneStandInAField) {
  EXPECT_THAT(labels_in(" b; a ;;b;\t;a b", ';'), ElementsAre("a", "a b", "b"));
  EXPECT_THAT(labels_in("a  b a", ' '), ElementsAre("a", "b"));
  EXPECT_THAT(labels_in("", ';'), ElementsAre());
  EXPECT_THAT(labels_in(" ; ", ';'), ElementsAre());
  LabelledColumns columns;
  columns.label_delimiter = ';';
  EXPECT_EQ(rows("text,label\na,x;y\nb,\n", LabelledFormat::kCsv, columns)[1].label, "");
  EXPECT_THAT(test::message_of<DataError>([&] { rows("text,label\na,\"x;\ny\"\n", LabelledFormat::kCsv, columns); }),
              HasSubstr("the label holds a line end"));
}

TEST(LabelledFormat, IsToldByTheEnding) {
  EXPECT_EQ(labelled_format_of("a.csv.xz"), LabelledFormat::kCsv);
  EXPECT_EQ(labelled_format_of("a.tsv"), LabelledFormat::kTsv);
  EXPECT_EQ(labelled_format_of("a.jsonl.gz"), LabelledFormat::kJsonl);
  EXPECT_EQ(labelled_format_of("train_5500.label"), LabelledFormat::kTrec);
  EXPECT_THAT(test::message_of<DataError>([] { labelled_format_of("a.dat"); }),
              HasSubstr("cannot tell the format of a.dat"));
}

TEST(LabelledReader, ReadsRealTrec) {
  ULMFIT_REAL_DATA(data);
  LabelledReader train(data / "trec/train_5500.label.xz", LabelledFormat::kTrec, {});
  EXPECT_THAT(class_counts(rows(train)), ElementsAre(Pair("ABBR", 86), Pair("DESC", 1162), Pair("ENTY", 1250),
                                                     Pair("HUM", 1223), Pair("LOC", 835), Pair("NUM", 896)));
  EXPECT_EQ(train.cleaned().invalid_utf8, 1U);
  LabelledReader test(data / "trec/TREC_10.label.xz", LabelledFormat::kTrec, {});
  EXPECT_EQ(rows(test).size(), 500U);
  EXPECT_EQ(test.cleaned().invalid_utf8, 0U);
}

TEST(LabelledReader, ReadsRealAgNewsWithoutHeader) {
  ULMFIT_REAL_DATA(data);
  LabelledReader reader(data / "ag_news/train_10k.csv.xz", LabelledFormat::kCsv, {{"2", "3"}, "1", "", {}});
  const auto all = rows(reader);
  EXPECT_THAT(class_counts(all), ElementsAre(Pair("1", 2514), Pair("2", 2504), Pair("3", 2519), Pair("4", 2463)));
  EXPECT_THAT(all[1].text, HasSubstr("xxfld 1 New challenges for Lukoil chief xxfld 2 Vagit Alekperov, the chief"));
}

TEST(LabelledReader, ReadsRealImdb) {
  ULMFIT_REAL_DATA(data);
  LabelledReader reader(data / "imdb/train.csv.xz", LabelledFormat::kCsv, {});
  EXPECT_THAT(class_counts(rows(reader)), ElementsAre(Pair("0", 2500), Pair("1", 2500)));
}

}  // namespace
}  // namespace ulmfit::data_prep
