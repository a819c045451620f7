#include "data_prep/token_spool.h"

#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {
namespace {

using Documents = std::vector<std::vector<std::string>>;

Documents spooled(const std::vector<std::string>& texts, int threads, std::vector<std::string>* words = nullptr) {
  test::TempDir dir;
  const text::TextPipeline pipeline({});
  TokenSpool spool(dir / "spool", pipeline, threads);
  for (const std::string& text : texts) spool.add(text);
  spool.finish();
  EXPECT_EQ(spool.document_count(), static_cast<std::int64_t>(texts.size()));
  Documents documents;
  std::int64_t tokens = 0;
  spool.visit([&](std::int64_t document, std::span<const std::uint32_t> ids) {
    EXPECT_EQ(document, static_cast<std::int64_t>(documents.size()));
    documents.emplace_back();
    for (const std::uint32_t id : ids) documents.back().push_back(spool.words()[id]);
    tokens += static_cast<std::int64_t>(ids.size());
  });
  EXPECT_EQ(spool.token_count(), tokens);
  if (words != nullptr) *words = spool.words();
  return documents;
}

TEST(TokenSpool, GivesBackTheTokensOfEachDocument) {
  const std::vector<std::string> texts{"Hello there.", "", "there!"};
  const text::TextPipeline pipeline({});
  Documents expected;
  for (const std::string& text : texts) expected.push_back(pipeline.tokenize(text));
  EXPECT_EQ(spooled(texts, 2), expected);
  EXPECT_EQ(spooled({}, 2), Documents{});
}

TEST(TokenSpool, DoesNotDependOnTheNumberOfThreads) {
  std::vector<std::string> texts;  // several batches
  for (int i = 0; i < 4000; ++i) {
    texts.emplace_back();
    for (int w = 0; w < 100; ++w) texts.back() += "word" + std::to_string(i * w % 977) + " ";
  }
  std::vector<std::string> one, three;
  EXPECT_EQ(spooled(texts, 1, &one), spooled(texts, 3, &three));
  EXPECT_EQ(one, three);
}

TEST(TokenSpool, NamesAFileItCannotWrite) {
  const text::TextPipeline pipeline({});
  EXPECT_THAT(test::message_of<FileError>([&] { TokenSpool("/proc/no/spool", pipeline, 1); }),
              ::testing::HasSubstr("/proc/no/spool"));
}

TEST(TokenSpool, AFullDiskIsReported) {
  const text::TextPipeline pipeline({});
  TokenSpool spool("/dev/full", pipeline, 1);
  EXPECT_THAT(test::message_of<FileError>([&] {
                spool.add("some text");
                spool.finish();
              }),
              ::testing::HasSubstr("No space left"));
}

}  // namespace
}  // namespace ulmfit::data_prep
