#include "interop/pickle.h"

#include <bit>
#include <cstdint>
#include <iterator>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "interop/pickle_opcodes.h"

namespace ulmfit::interop {
namespace {

using Kind = PickleValue::Kind;
using namespace opcode;

// Of values, of what stands on the stack, and of the places in lists and dicts: with the books kept of them, a hostile file
// takes some 500 MB. A vocabulary of a million words is as large as they come.
constexpr std::size_t kMostValues = std::size_t{1} << 20;
constexpr std::size_t kLongestName = 1000;  // of a class or function, and of its module

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& what) : bytes_(bytes), what_(what) {}

  ~Reader() {
    if (finished_) return;
    for (const Pickled& value : made_) {  // values may hold themselves
      std::vector<Pickled> children;
      value->release(children);
    }
  }

  Pickled read(std::size_t* length) {
    while (step()) {
    }
    if (length != nullptr) *length = at_;
    Pickled result = pop();
    require(stack_.empty() && marks_.empty(), "values are left over at its end");
    require(!any_holds_itself(made_), "a value holds itself");
    finished_ = true;
    return result;
  }

 private:
  template <class... What>
  void require(bool holds, const What&... what) const {
    if (!holds) throw CheckpointError(str("cannot read the pickle ", what_, ": ", what..., " (byte ", at_, ")"));
  }

  std::string_view take(std::uint64_t n) {
    require(n <= bytes_.size() - at_, "it is cut off");
    const std::string_view taken = bytes_.substr(at_, static_cast<std::size_t>(n));
    at_ += static_cast<std::size_t>(n);
    return taken;
  }

  static std::uint64_t little_endian(std::string_view raw) {
    std::uint64_t n = 0;
    for (std::size_t i = raw.size(); i-- > 0;) n = n << 8U | static_cast<unsigned char>(raw[i]);
    return n;
  }

  std::uint64_t unsigned_little(std::size_t width) { return little_endian(take(width)); }

  std::string_view line() {
    const std::size_t end = bytes_.find('\n', at_);
    require(end != std::string_view::npos, "it is cut off");
    const std::string_view text = take(end - at_);
    ++at_;
    return text;
  }

  Pickled make(Kind kind) {
    require(made_.size() < kMostValues, "it has more than ", kMostValues, " values");
    made_.push_back(std::make_shared<PickleValue>(kind));
    return made_.back();
  }

  void push(Pickled value) {
    require(stack_.size() < kMostValues, "it has more than ", kMostValues, " values");
    stack_.push_back(std::move(value));
  }

  Pickled pop() {
    require(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "a value is missing");
    Pickled value = std::move(stack_.back());
    stack_.pop_back();
    return value;
  }

  const Pickled& top() const {
    require(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "a value is missing");
    return stack_.back();
  }

  std::vector<Pickled> pop_to_mark() {
    require(!marks_.empty(), "a mark is missing");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Pickled> values(std::make_move_iterator(first), std::make_move_iterator(stack_.end()));
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return values;
  }

  void push_text(Kind kind, std::string_view text) {
    const Pickled value = make(kind);
    value->text = text;
    push(value);
  }

  void push_global(std::string_view module, std::string_view name) {
    require(module.size() <= kLongestName && name.size() <= kLongestName, "the name of a class is too long");
    push_text(Kind::kGlobal, str(module, ".", name));
  }

  void push_integer(std::int64_t n) {
    const Pickled value = make(Kind::kInteger);
    value->integer = n;
    push(value);
  }

  // Two's complement, little-endian.
  void push_long(std::string_view raw) {
    if (raw.size() > 8) return push_text(Kind::kLong, raw);
    const auto unused = static_cast<unsigned>(64 - 8 * raw.size());
    push_integer(raw.empty() ? 0 : static_cast<std::int64_t>(little_endian(raw) << unused) >> unused);
  }

  void push_values(Kind kind, std::vector<Pickled> values) {
    const Pickled value = make(kind);
    value->values = std::move(values);
    push(value);
  }

  void push_tuple(std::size_t count) {
    std::vector<Pickled> values(count);
    for (std::size_t i = count; i-- > 0;) values[i] = pop();
    push_values(Kind::kSequence, std::move(values));
  }

  void push_sequence(std::vector<Pickled> values) {
    count_places(values.size());
    push_values(Kind::kSequence, std::move(values));
  }

  void push_call() {
    const Pickled arguments = pop();
    push_values(Kind::kCall, {pop(), arguments});
  }

  void count_places(std::size_t more) {
    places_ += more;
    require(places_ <= kMostValues, "its lists and dicts have more than ", kMostValues, " places");
  }

  void append(const std::vector<Pickled>& values) {
    PickleValue& target = *top();
    require(target.kind == Kind::kSequence || target.kind == Kind::kCall, "it appends to what is no list");
    count_places(values.size());
    auto& list = target.kind == Kind::kCall ? target.more : target.values;
    list.insert(list.end(), values.begin(), values.end());
  }

  void set_items(const std::vector<Pickled>& pairs) {
    PickleValue& target = *top();
    require(target.kind == Kind::kDict || target.kind == Kind::kCall, "it sets an item of what is no dict");
    require(pairs.size() % 2 == 0, "a key has no value");
    count_places(pairs.size());
    for (std::size_t i = 0; i < pairs.size(); i += 2) target.items.emplace_back(pairs[i], pairs[i + 1]);
  }

  void store(std::uint64_t key) {
    require(memo_.size() < kMostValues, "it has more than ", kMostValues, " values");
    memo_[key] = top();
  }

  void recall(std::uint64_t key) {
    const auto found = memo_.find(key);
    require(found != memo_.end(), "it refers to a value that was not stored");
    push(found->second);
  }

  // Whether it goes on.
  bool step() {
    const auto code = static_cast<unsigned char>(take(1).front());
    return step_number(code) || step_text(code) || step_container(code) || step_memo(code) || step_call(code) ||
           step_frame(code);
  }

  bool step_number(unsigned char code) {
    switch (code) {
      case kNone:
        push(make(Kind::kNone));
        return true;
      case kNewTrue:
      case kNewFalse: {
        const Pickled value = make(Kind::kBool);
        value->boolean = code == kNewTrue;
        push(value);
        return true;
      }
      case kBinInt:
        push_integer(static_cast<std::int32_t>(unsigned_little(4)));
        return true;
      case kBinInt1:
        push_integer(static_cast<std::int64_t>(unsigned_little(1)));
        return true;
      case kBinInt2:
        push_integer(static_cast<std::int64_t>(unsigned_little(2)));
        return true;
      case kLong1:
        push_long(take(unsigned_little(1)));
        return true;
      case kLong4:
        push_long(take(unsigned_little(4)));
        return true;
      case kBinFloat: {
        const std::string_view raw = take(8);  // big-endian
        std::uint64_t bits = 0;
        for (const char byte : raw) bits = bits << 8U | static_cast<unsigned char>(byte);
        const Pickled value = make(Kind::kFloat);
        value->number = std::bit_cast<double>(bits);
        push(value);
        return true;
      }
      default:
        return false;
    }
  }

  bool step_text(unsigned char code) {
    switch (code) {
      case kBinUnicode:
      case kBinString:  // of Python 2, whose text it is
        push_text(Kind::kText, take(unsigned_little(4)));
        return true;
      case kShortBinUnicode:
      case kShortBinString:
        push_text(Kind::kText, take(unsigned_little(1)));
        return true;
      case kBinUnicode8:
        push_text(Kind::kText, take(unsigned_little(8)));
        return true;
      case kBinBytes:
        push_text(Kind::kBytes, take(unsigned_little(4)));
        return true;
      case kShortBinBytes:
        push_text(Kind::kBytes, take(unsigned_little(1)));
        return true;
      case kBinBytes8:
        push_text(Kind::kBytes, take(unsigned_little(8)));
        return true;
      default:
        return false;
    }
  }

  bool step_container(unsigned char code) {
    switch (code) {
      case kMark:
        require(marks_.size() < kMostValues, "it has more than ", kMostValues, " marks");
        marks_.push_back(stack_.size());
        return true;
      case kEmptyList:
      case kEmptyTuple:
      case kEmptySet:
        push(make(Kind::kSequence));
        return true;
      case kEmptyDict:
        push(make(Kind::kDict));
        return true;
      case kTuple1:
      case kTuple2:
      case kTuple3:
        push_tuple(static_cast<std::size_t>(code - kTuple1) + 1);
        return true;
      case kTuple:
      case kFrozenSet:
        push_sequence(pop_to_mark());
        return true;
      case kAppend:
        append({pop()});
        return true;
      case kAppends:
      case kAddItems:
        append(pop_to_mark());
        return true;
      case kSetItem: {
        const Pickled value = pop();
        const Pickled key = pop();
        set_items({key, value});
        return true;
      }
      case kSetItems:
        set_items(pop_to_mark());
        return true;
      default:
        return false;
    }
  }

  bool step_memo(unsigned char code) {
    switch (code) {
      case kBinPut:
        store(unsigned_little(1));
        return true;
      case kLongBinPut:
        store(unsigned_little(4));
        return true;
      case kMemoize:
        store(memo_.size());
        return true;
      case kBinGet:
        recall(unsigned_little(1));
        return true;
      case kLongBinGet:
        recall(unsigned_little(4));
        return true;
      case kPop:
        pop();
        return true;
      case kPopMark:
        pop_to_mark();
        return true;
      default:
        return false;
    }
  }

  bool step_call(unsigned char code) {
    switch (code) {
      case kGlobal: {
        const std::string module(line());
        push_global(module, line());
        return true;
      }
      case kStackGlobal: {
        const Pickled name = pop();
        const Pickled module = pop();
        require(name->kind == Kind::kText && module->kind == Kind::kText, "the name of a class is no text");
        push_global(module->text, name->text);
        return true;
      }
      case kReduce:
      case kNewObject:
        push_call();
        return true;
      case kBuild: {
        const Pickled state = pop();
        require(top()->kind == Kind::kCall, "it gives a state to what is no object");
        top()->state = state;
        return true;
      }
      case kBinPersistentId:
        push_values(Kind::kPersistent, {pop()});
        return true;
      default:
        return false;
    }
  }

  bool step_frame(unsigned char code) {
    switch (code) {
      case kProto: {
        const std::uint64_t protocol = unsigned_little(1);
        require(protocol >= 2 && protocol <= 5, "it is of protocol ", protocol, ", expected 2 to 5");
        return true;
      }
      case kFrame:
        unsigned_little(8);  // its length; opcodes tell where it ends
        return true;
      case kStop:
        return false;
      default:
        require(false, "opcode ", static_cast<int>(code), " is not one that data needs");
        return false;
    }
  }

  std::string_view bytes_;
  const std::string& what_;
  std::size_t at_ = 0;
  std::vector<Pickled> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<std::uint64_t, Pickled> memo_;
  std::vector<Pickled> made_;
  std::size_t places_ = 0;
  bool finished_ = false;
};

}  // namespace

Pickled read_pickle(std::string_view bytes, const std::string& what, std::size_t* length) {
  return Reader(bytes, what).read(length);
}

}  // namespace ulmfit::interop
