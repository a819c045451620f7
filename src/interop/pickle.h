// Reads pickles (Python's serialized objects) as plain values. Nothing is called and nothing imported: the name of a
// function stays a name, a call stays a pair of name and arguments, and whoever reads the values decides which of them mean
// something. Of the formats, protocols 2 to 5 without out-of-band buffers, which is what torch.save and pickle.dump write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ulmfit::interop {

class PickleValue;
using Pickled = std::shared_ptr<PickleValue>;

class PickleValue {
 public:
  enum class Kind {
    kNone,
    kBool,
    kInteger,  // 64 bits
    kLong,     // a longer one: `text` has its little-endian bytes
    kFloat,
    kText,  // as it stands there, mostly UTF-8
    kBytes,
    kSequence,    // a list, tuple or set: `values`
    kDict,        // `items`, in their order
    kGlobal,      // a class or function: `text` is "module.name"
    kCall,        // `values` = {what is called, its arguments}; then filled like a list (`more`) or dict (`items`)
    kPersistent,  // a reference that the reader resolves: `values` = {it}
  };

  explicit PickleValue(Kind value_kind) : kind(value_kind) {}
  ~PickleValue();  // without recursion, however deep it is
  PickleValue(const PickleValue&) = delete;
  PickleValue& operator=(const PickleValue&) = delete;

  Kind kind;
  bool boolean = false;
  std::int64_t integer = 0;
  double number = 0;
  std::string text;
  std::vector<Pickled> values;
  std::vector<std::pair<Pickled, Pickled>> items;
  std::vector<Pickled> more;
  Pickled state;  // of a call: what its result was given by BUILD; may be null

  bool is_text(std::string_view expected) const { return kind == Kind::kText && text == expected; }
  // The value of a text key of a dict (or of a call that fills one); null: there is none.
  const PickleValue* find(std::string_view key) const;
  // Whether this is a call of that global, "module.name".
  bool calls(std::string_view global) const;
};

// Reads the pickle at the front of `bytes` and says how long it is. `what` names it in messages. Throws CheckpointError for
// what is cut off, malformed, of an unknown opcode, holds itself, or has more than a million values.
Pickled read_pickle(std::string_view bytes, const std::string& what, std::size_t* length = nullptr);

}  // namespace ulmfit::interop
