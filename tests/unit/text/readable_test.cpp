#include "text/readable.h"

#include <gtest/gtest.h>

#include "text/text_pipeline.h"

namespace ulmfit::text {
namespace {

std::string there_and_back(std::string_view text) { return readable_text(TextPipeline({}).tokenize(text)); }

TEST(ReadableText, IsTheTextAgain) {
  for (const char* text : {"The film WASN'T bad, it's great!!! I'd give it 9.", "So good good good good.", "NASA",
                           "WOW WOW WOW, Good Good Good.", "", "List: one; two (three) 90% done?"}) {
    EXPECT_EQ(there_and_back(text), text);
  }
}

TEST(ReadableText, PiecesBecomeWords) {
  EXPECT_EQ(joined_pieces({"xxbos", "\u2581", "xxmaj", "\u2581the", "\u2581fi", "lm", ".", "\u2581", "a"}),
            (std::vector<std::string>{"xxbos", "xxmaj", "the", "film.", "a"}));
}

TEST(ReadableText, MarksWithoutWhatTheyMarkStay) {
  EXPECT_EQ(readable_text({"xxbos", "a", "xxmaj"}), "a xxmaj");
  EXPECT_EQ(readable_text({"xxup"}), "xxup");
  EXPECT_EQ(readable_text({"xxmaj", "xxunk", "xxup", "xxunk", "."}), "xxunk xxunk.");
  EXPECT_EQ(readable_text({"xxrep", "3"}), "xxrep 3");
  EXPECT_EQ(readable_text({"xxrep", "many", "a"}), "xxrep many a");
  EXPECT_EQ(readable_text({"xxbos", "xxfld", "1", "title", "xxfld", "2", "body", "xxunk"}), "title body xxunk");
  EXPECT_EQ(readable_text({"xxrep", "999999999", "a"}).size(), 100U);
}

TEST(ReadableBeginning, EndsWithoutAMarkWhoseWordIsCutOff) {
  EXPECT_EQ(readable_beginning({"xxbos", "xxmaj", "the", "xxup", "us"}, TokenizerKind::kWords, 4), "The ...");
  EXPECT_EQ(readable_beginning({"xxbos", "xxmaj", "the", "xxup", "us"}, TokenizerKind::kWords, 5), "The US");
  EXPECT_EQ(readable_beginning({"\u2581fi", "lm", "s"}, TokenizerKind::kSentencePiece, 2), "film ...");
}

}  // namespace
}  // namespace ulmfit::text
