#include "data_prep/corpus_reader.h"

#include "tests/support/real_data.h"
#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::vector<std::string> documents(CorpusSource source) {
  CorpusReader reader(std::move(source));
  std::vector<std::string> texts;
  for (RawDocument document; reader.next(document);) texts.push_back(document.text);
  return texts;
}

std::vector<std::string> documents(std::string_view content, CorpusFormat format, bool undo_marks = true) {
  test::TempDir dir;
  return documents({{test::put(dir / "t", content)}, format, {"text"}, {}, undo_marks});
}

TEST(CorpusReader, LinesThatAreNotBlankAreDocuments) {
  EXPECT_THAT(documents("one\n\n  \t\ntwo \r\nthree", CorpusFormat::kLines), ElementsAre("one", "two ", "three"));
  EXPECT_THAT(documents("", CorpusFormat::kLines), SizeIs(0));
}

TEST(CorpusReader, WikitextIsCutAtTitles) {
  const std::string text =
      " \n = First title = \n \n Text , with 1 @,@ 000 <unk> . \n \n = = Section = = \n \n More . \n"
      " = not a title = \n \n = Second = \n \n = = S = = \n";
  EXPECT_THAT(documents(text, CorpusFormat::kWikitext),
              ElementsAre(" = First title = \n Text , with 1,000 xxunk . \n = = Section = = \n More . \n = not a title = ",
                          " = Second = \n = = S = = "));
  EXPECT_THAT(documents(" a 1 @,@ 0 \n", CorpusFormat::kWikitext, false), ElementsAre(" a 1 @,@ 0 "));
  EXPECT_THAT(documents(" before \n\n = T = \n", CorpusFormat::kWikitext), ElementsAre(" before ", " = T = "));
  EXPECT_THAT(documents(" = T = \r\n\r\n x\r\n\r\n = U = \r\n\r\n", CorpusFormat::kWikitext),
              ElementsAre(" = T = \n x", " = U = "));
}

TEST(CorpusReader, FoldersAreReadInTheOrderOfNames) {
  test::TempDir dir;
  test::put(dir / "c/b.txt", "b");
  test::put(dir / "c/a/z.txt.gz", test::compressed("\xEF\xBB\xBFz\r\nz", "gz"));
  test::put(dir / "c/a.txt", "a");
  test::put(dir / "c/empty", " \n");
  test::put(dir / "c/.hidden", "no");
  test::put(dir / "c/.git/x", "no");
  CorpusSource source{{dir / "c/"}, CorpusFormat::kFiles, {"text"}, {}, true};
  EXPECT_THAT(documents(source), ElementsAre("a", "z\nz", "b"));  // "c/a.txt" < "c/a/z" by bytes
  CorpusReader reader(source);
  RawDocument document;
  ASSERT_TRUE(reader.next(document));
  EXPECT_EQ(reader.place(document), "c/a.txt:1");
}

TEST(CorpusReader, HtmlFoldersGiveOnlyPages) {
  test::TempDir dir;
  test::put(dir / "m/index.html", "<p>page</p>");
  test::put(dir / "m/style.css", "p {}");
  test::put(dir / "m/b.html.xz", test::compressed("<p>second</p>", "xz"));
  EXPECT_THAT(documents({{dir / "m"}, CorpusFormat::kHtml, {}, {}, true}), ElementsAre("second", "page"));
}

TEST(CorpusReader, TablesGiveTheirTextColumns) {
  test::TempDir dir;
  const auto csv = test::put(dir / "a.csv", "title,text\nT,\"one\ntwo\"\nU,\n");
  EXPECT_THAT(documents({{csv}, CorpusFormat::kCsv, {"text"}, {}, true}), ElementsAre("one\ntwo"));
  EXPECT_THAT(documents({{csv}, CorpusFormat::kCsv, {"title", "text"}, {}, true}),
              ElementsAre("xxfld 1 T xxfld 2 one\ntwo", "xxfld 1 U xxfld 2 "));
  EXPECT_THAT(documents("{\"text\":\"a\"}\n{\"text\":\"b\"}\n", CorpusFormat::kJsonl), ElementsAre("a", "b"));
  EXPECT_THAT(documents("x\ttext\n1\tb\n", CorpusFormat::kTsv), ElementsAre("b"));
}

TEST(CorpusReader, NamesInputThatIsNotThere) {
  test::TempDir dir;
  std::filesystem::create_directories(dir / "empty");
  EXPECT_THAT(test::message_of<DataError>([&] {
                documents({{dir / "no"}, CorpusFormat::kLines, {}, {}, true});
              }),
              HasSubstr("no such file or folder"));
  EXPECT_THAT(test::message_of<DataError>([&] {
                documents({{dir / "empty"}, CorpusFormat::kHtml, {}, {}, true});
              }),
              HasSubstr(".html, .htm"));
  EXPECT_THROW(documents({{}, CorpusFormat::kLines, {}, {}, true}), ConfigError);
}

TEST(CorpusReader, ReadsRealWikitextArticles) {
  ULMFIT_REAL_DATA(data);
  const std::map<std::string, std::size_t> articles{{"train", 600}, {"valid", 60}, {"test", 60}};
  for (const auto& [split, expected] : articles) {
    CorpusSource source{{data / "wikitext-2" / (split + ".txt.xz")}, CorpusFormat::kWikitext, {}, {}, true};
    EXPECT_THAT(documents(source), SizeIs(expected)) << split;
  }
}

TEST(CorpusReader, ReadsRealChineseLines) {
  ULMFIT_REAL_DATA(data);
  EXPECT_THAT(documents({{data / "zh/wiki_paragraphs_cmrc2018.txt.xz"}, CorpusFormat::kLines, {}, {}, true}), SizeIs(1104));
}

TEST(ListFiles, RefusesANameThatIsNotUtf8BeforeAnythingIsRead) {
  test::TempDir dir;
  test::put(dir / "pages/b\xFF.txt", "text");
  EXPECT_THAT(test::message_of<DataError>([&] { list_files({dir / "pages"}); }),
              testing::HasSubstr("its name is not UTF-8"));
}

}  // namespace
}  // namespace ulmfit::data_prep
