#include "interop/pickle_value.h"

#include <unordered_map>

namespace ulmfit::interop {

PickleValue::~PickleValue() {
  std::vector<Pickled> open;
  release(open);
  while (!open.empty()) {
    const Pickled value = std::move(open.back());
    open.pop_back();
    if (value != nullptr && value.use_count() == 1) value->release(open);
  }
}

void PickleValue::release(std::vector<Pickled>& out) {
  for (Pickled& child : values) out.push_back(std::move(child));
  for (Pickled& child : more) out.push_back(std::move(child));
  for (auto& [key, child] : items) {
    out.push_back(std::move(key));
    out.push_back(std::move(child));
  }
  out.push_back(std::move(state));
  values.clear();
  more.clear();
  items.clear();
}

const PickleValue* PickleValue::find(std::string_view key) const {
  for (const auto& [name, value] : items) {
    if (name->is_text(key)) return value.get();
  }
  return nullptr;
}

bool PickleValue::calls(std::string_view global) const {
  return kind == Kind::kCall && values.front()->kind == Kind::kGlobal && values.front()->text == global;
}

bool any_holds_itself(const std::vector<Pickled>& values) {
  std::unordered_map<const PickleValue*, bool> done;      // false: its children are under way
  std::vector<std::pair<const PickleValue*, bool>> walk;  // and whether its children were walked
  for (const Pickled& root : values) {
    if (!done.contains(root.get())) walk.emplace_back(root.get(), false);
    while (!walk.empty()) {
      const auto [value, left] = walk.back();
      walk.pop_back();
      if (left) {
        done[value] = true;
        continue;
      }
      if (!done.try_emplace(value, false).second) continue;  // pushed twice, walked once
      walk.emplace_back(value, true);
      bool found = false;
      value->for_children([&](const Pickled& child) {
        const auto seen = done.find(child.get());
        if (seen == done.end()) walk.emplace_back(child.get(), false);
        found = found || (seen != done.end() && !seen->second);
      });
      if (found) return true;
    }
  }
  return false;
}

}  // namespace ulmfit::interop
