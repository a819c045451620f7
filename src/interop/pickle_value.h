// What a pickle says, as plain values.
#pragma once

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
  // Calls visit(child) for all that it holds, none of which is null.
  template <class Visit>
  void for_children(Visit&& visit) const {
    for (const Pickled& child : values) visit(child);
    for (const Pickled& child : more) visit(child);
    for (const auto& [key, child] : items) {
      visit(key);
      visit(child);
    }
    if (state != nullptr) visit(state);
  }
  // Moves all that it holds to the end of `out`.
  void release(std::vector<Pickled>& out);
};

// Whether one of these values holds itself: it would have no end, and never be freed.
bool any_holds_itself(const std::vector<Pickled>& values);

}  // namespace ulmfit::interop
