#include "interop/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace ulmfit::interop {
namespace {

using namespace std::string_literals;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Kind = PickleValue::Kind;

// Opcodes behind protocol 2.
std::string of(const std::string& opcodes) { return "\x80\x02"s + opcodes; }
Pickled read(const std::string& opcodes) { return read_pickle(of(opcodes), "test"); }
std::string text(const std::string& value) {
  return "X" + std::string(1, static_cast<char>(value.size())) + "\0\0\0"s + value;
}

TEST(Pickle, PlainValues) {
  EXPECT_EQ(read("N.")->kind, Kind::kNone);
  EXPECT_TRUE(read("\x88.")->boolean);
  EXPECT_FALSE(read("\x89.")->boolean);
  EXPECT_EQ(read("K\xff.")->integer, 255);
  EXPECT_EQ(read("M\x34\x12.")->integer, 0x1234);
  EXPECT_EQ(read("J\xfe\xff\xff\xff.")->integer, -2);
  EXPECT_EQ(read("\x8a\x00."s)->integer, 0);
  EXPECT_EQ(read("\x8a\x01\x80.")->integer, -128);
  EXPECT_EQ(read("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."s)->integer, INT64_MIN);
  EXPECT_EQ(read("\x8a\x09"
                 "123456789.")
                ->text,
            "123456789");
  EXPECT_EQ(read("G\x3f\xf8\x00\x00\x00\x00\x00\x00."s)->number, 1.5);
  EXPECT_TRUE(read(text("word") + ".")->is_text("word"));
  EXPECT_EQ(read("C\x02\x00\x01."s)->text, "\x00\x01"s);
}

TEST(Pickle, ListsTuplesAndDicts) {
  const Pickled list = read(
      "](K\x01K\x02"
      "e.");
  ASSERT_EQ(list->values.size(), 2U);
  EXPECT_EQ(list->values[1]->integer, 2);
  EXPECT_EQ(read("K\x01K\x02\x86.")->values[0]->integer, 1);
  const Pickled dict = read("}(" + text("a") + "K\x01" + text("b") + "K\x02u.");
  EXPECT_EQ(dict->find("b")->integer, 2);
  EXPECT_EQ(dict->find("c"), nullptr);
}

// os.system("true"), which a careless reader would run.
TEST(Pickle, CallsAreKeptAsNames) {
  const Pickled call = read("cos\nsystem\n" + text("true") + "\x85R.");
  EXPECT_EQ(call->kind, Kind::kCall);
  EXPECT_TRUE(call->calls("os.system"));
  EXPECT_TRUE(call->values[1]->values[0]->is_text("true"));
}

TEST(Pickle, AnOrderedDictFillsItsCall) {
  const Pickled dict = read("ccollections\nOrderedDict\n)R(" + text("a") + "K\x07u}" + text("m") + "NsbN0.");
  EXPECT_TRUE(dict->calls("collections.OrderedDict"));
  EXPECT_EQ(dict->find("a")->integer, 7);
  ASSERT_NE(dict->state, nullptr);
}

TEST(Pickle, SharedValuesAreOne) {
  const Pickled list = read(
      "]q\x00](h\x00h\x00"
      "e\x86."s);
  EXPECT_EQ(list->values[1]->values[0], list->values[1]->values[1]);
}

TEST(Pickle, TellsItsLength) {
  std::size_t length = 0;
  read_pickle(of("N.") + "behind", "test", &length);
  EXPECT_EQ(length, 4U);
}

TEST(Pickle, RefusesWhatIsNoPickle) {
  const auto expect = [](const std::string& opcodes, const std::string& message) {
    EXPECT_THAT([&] { read(opcodes); }, ThrowsMessage<CheckpointError>(HasSubstr(message))) << opcodes;
  };
  expect("", "it is cut off");
  expect("N", "it is cut off");
  expect(
      "X\xff\xff\xff\xff"
      "abc",
      "it is cut off");
  expect("\x8b\xff\xff\xff\xff", "it is cut off");
  expect("\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "it is cut off");
  expect(".", "a value is missing");
  expect("(.", "a value is missing");
  expect("NN.", "values are left over");
  expect("e.", "a mark is missing");
  expect(
      "N(K\x01"
      "e.",
      "appends to what is no list");
  expect("](K\x01u.", "sets an item of what is no dict");
  expect("}(K\x01u.", "a key has no value");
  expect("h\x05.", "refers to a value that was not stored");
  expect("KKK\x02\x93.", "the name of a class is no text");
  expect("N}b.", "gives a state to what is no object");
  expect("I1\n.", "opcode 73 is not one that data needs");
  expect("\x80\x00N."s, "protocol 0");
  expect(
      "]q\x00h\x00"
      "a."s,
      "holds itself");
  EXPECT_THAT([] { read_pickle("", "empty"); }, ThrowsMessage<CheckpointError>(HasSubstr("empty")));
}

// Each of six bytes would make a name twice as long as the last; and a value that holds itself is dropped on the way.
TEST(Pickle, HostileNamesAndDroppedCyclesAreRefused) {
  EXPECT_THAT([] { read("X\xd0\x07\0\0"s + std::string(2000, 'a') + "q\0h\0h\0\x93."s); },
              ThrowsMessage<CheckpointError>(HasSubstr("the name of a class is too long")));
  EXPECT_THAT([] { read("]q\0h\0a0N."s); }, ThrowsMessage<CheckpointError>(HasSubstr("holds itself")));
  std::string references = "Nq\0"s + "0](";
  for (int i = 0; i < (1 << 20) - 10; ++i) references += "h\0"s;
  EXPECT_NO_THROW(read(references + "e."));
  EXPECT_THAT([&] { read(references + "e(" + std::string(40, 'N') + "e."); },
              ThrowsMessage<CheckpointError>(HasSubstr("more than 1048576 places")));
}

// Nested a million deep, and a million values of one byte each: neither the stack nor memory gives way.
TEST(Pickle, HostileNestingAndSizeAreBounded) {
  const std::string deep = of(std::string(900'000, ']') + std::string(899'999, 'a') + ".");
  EXPECT_NO_THROW(read_pickle(deep, "deep"));
  EXPECT_THAT([] { read_pickle(of(std::string(3'000'000, 'N')), "many"); },
              ThrowsMessage<CheckpointError>(HasSubstr("it has more than 1048576 values")));
  EXPECT_THAT([] { read_pickle(of(std::string(3'000'000, '(')), "marks"); },
              ThrowsMessage<CheckpointError>(HasSubstr("it has more than 1048576 marks")));
}

TEST(Pickle, CutOffAnywhereIsRefused) {
  const std::string whole = of("}(" + text("a") +
                               "](K\x01K\x02"
                               "eq\x01" +
                               text("b") + "h\x01u.");
  EXPECT_NO_THROW(read_pickle(whole, "whole"));
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_THROW(read_pickle(std::string_view(whole).substr(0, n), "cut"), CheckpointError) << n;
  }
}

}  // namespace
}  // namespace ulmfit::interop
