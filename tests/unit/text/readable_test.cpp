#include "text/readable.h"

#include <gtest/gtest.h>

#include "text/text_pipeline.h"

namespace ulmfit::text {
namespace {

std::string there_and_back(std::string_view text) { return readable_text(TextPipeline({}).tokenize(text)); }

TEST(ReadableText, IsTheTextAgain) {
  for (const char* text : {"The film WASN'T bad, it's great!!! I'd give it 9.", "So good good good good.", "NASA", "",
                           "List: one; two (three) 90% done?"}) {
    EXPECT_EQ(there_and_back(text), text);
  }
}

TEST(ReadableText, MarksWithoutWhatTheyMarkStay) {
  EXPECT_EQ(readable_text({"xxbos", "a", "xxmaj"}), "a xxmaj");
  EXPECT_EQ(readable_text({"xxup"}), "xxup");
  EXPECT_EQ(readable_text({"xxrep", "3"}), "xxrep 3");
  EXPECT_EQ(readable_text({"xxrep", "many", "a"}), "xxrep many a");
  EXPECT_EQ(readable_text({"xxbos", "xxfld", "1", "title", "xxfld", "2", "body", "xxunk"}), "title body xxunk");
  EXPECT_EQ(readable_text({"xxrep", "999999999", "a"}).size(), 100U);
}

}  // namespace
}  // namespace ulmfit::text
