#include "interop/safetensors_header.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <unordered_set>

#include "base/error.h"
#include "base/json.h"

namespace ulmfit::interop {
namespace {

using Json = nlohmann::json;  // not ordered_json, which looks for each new key among all before it

constexpr std::string_view kMetadataKey = "__metadata__";

struct Dtype {
  std::string_view name;
  at::ScalarType type;
};
constexpr std::array<Dtype, 9> kDtypes{{{"F64", at::kDouble},
                                        {"F32", at::kFloat},
                                        {"F16", at::kHalf},
                                        {"BF16", at::kBFloat16},
                                        {"I64", at::kLong},
                                        {"I32", at::kInt},
                                        {"I16", at::kShort},
                                        {"U8", at::kByte},
                                        {"BOOL", at::kBool}}};

// Finds a key that an object has twice, and nesting: a header is three levels deep ({tensor: {shape: []}}); refusing more
// keeps hostile ones cheap.
class KeyWatch : public JsonStructure {
 public:
  std::string defect;

  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& key) override {
    if (!keys_.back().insert(key).second) defect = str("the header has the key '", key, "' twice");
    return defect.empty();
  }

 private:
  bool open() {
    keys_.emplace_back();
    if (keys_.size() > 3) defect = "the header is nested too deeply";
    return defect.empty();
  }
  bool close() {
    keys_.pop_back();
    return true;
  }

  std::vector<std::unordered_set<std::string>> keys_;  // of the objects that are open
};

class Parser {
 public:
  Parser(std::string_view text, std::uint64_t data_bytes, const std::string& file)
      : text_(text), data_bytes_(data_bytes), file_(file) {}

  SafetensorsHeader parse() {
    check_ends();
    const Json root = parse_json();
    SafetensorsHeader header;
    for (const auto& [key, value] : root.items()) {
      if (key == kMetadataKey) {
        header.metadata = parse_metadata(value);
      } else {
        header.tensors.push_back(parse_tensor(key, value));
      }
    }
    check_offsets(header.tensors);
    return header;
  }

 private:
  template <class... Args>
  void require(bool holds, const Args&... rule) const {
    if (!holds)
      throw CheckpointError(str("cannot read ", file_, ": ", rule..., "; the file is damaged or not safetensors"));
  }

  void check_ends() const {
    require(!text_.empty() && text_.front() == '{', "the header does not start with '{'");
    const std::size_t last = text_.find_last_not_of(' ');
    require(text_[last] == '}', "the header does not end with '}' and blanks");
  }

  // Twice: first for what the finished object no longer shows. (One parse with a callback would look through all tensors
  // read so far after each of them.)
  Json parse_json() const {
    try {
      KeyWatch watch;
      if (!Json::sax_parse(text_, &watch) && !watch.defect.empty()) require(false, watch.defect);
      return Json::parse(text_);
    } catch (const Json::exception& e) {
      throw CheckpointError(str("cannot read ", file_, ": the header is not valid JSON (", e.what(), ")"));
    }
  }

  Metadata parse_metadata(const Json& value) const {
    require(value.is_object(), kMetadataKey, " is not an object");
    Metadata metadata;
    for (const auto& [key, entry] : value.items()) {
      require(entry.is_string(), kMetadataKey, " entry '", key, "' is not a string");
      metadata[key] = entry.get<std::string>();
    }
    return metadata;
  }

  TensorInfo parse_tensor(const std::string& name, const Json& value) const {
    require(value.is_object(), "tensor '", name, "' is not described by an object");
    for (const auto& [key, entry] : value.items()) {
      require(key == "dtype" || key == "shape" || key == "data_offsets", "tensor '", name, "' has an unknown field '", key,
              "'");
    }
    require(value.size() == 3, "tensor '", name, "' lacks dtype, shape or data_offsets");
    TensorInfo info{name, parse_dtype(name, value.at("dtype")), {}, 0, 0};
    const std::uint64_t bytes = parse_shape(value.at("shape"), info);
    parse_offsets(value.at("data_offsets"), info);
    require(info.end - info.begin == bytes, "tensor '", name, "' has ", info.end - info.begin,
            " bytes, but its shape and dtype need ", bytes);
    return info;
  }

  at::ScalarType parse_dtype(const std::string& name, const Json& value) const {
    require(value.is_string(), "tensor '", name, "' has a dtype that is not a string");
    const auto& dtype = value.get_ref<const std::string&>();
    const auto known = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const Dtype& d) { return d.name == dtype; });
    require(known != kDtypes.end(), "tensor '", name, "' has the dtype '", dtype,
            "', which is none of F64 F32 F16 BF16 I64 I32 I16 U8 BOOL");
    return known->type;
  }

  // Returns the tensor's bytes.
  std::uint64_t parse_shape(const Json& value, TensorInfo& info) const {
    require(value.is_array(), "tensor '", info.name, "' has a shape that is not a list");
    // libtorch multiplies the sizes, zeros included, into strides: no partial product may leave int64.
    std::uint64_t product = element_bytes(info.type);
    bool empty = false;
    for (const Json& size : value) {
      require(size.is_number_unsigned(), "tensor '", info.name, "' has a shape with an entry that is not a whole number");
      const auto n = size.get<std::uint64_t>();
      empty = empty || n == 0;
      const bool overflows = __builtin_mul_overflow(product, std::max<std::uint64_t>(n, 1), &product);
      require(!overflows && product <= INT64_MAX, "tensor '", info.name, "' has a shape too large for any machine");
      info.shape.push_back(static_cast<std::int64_t>(n));
    }
    return empty ? 0 : product;
  }

  void parse_offsets(const Json& value, TensorInfo& info) const {
    const bool two =
        value.is_array() && value.size() == 2 && value[0].is_number_unsigned() && value[1].is_number_unsigned();
    require(two, "tensor '", info.name, "' has data_offsets that are not two whole numbers");
    info.begin = value[0].get<std::uint64_t>();
    info.end = value[1].get<std::uint64_t>();
    require(info.begin <= info.end, "tensor '", info.name, "' ends before it begins");
  }

  void check_offsets(std::vector<TensorInfo>& tensors) const {
    std::stable_sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::uint64_t at = 0;
    for (const TensorInfo& info : tensors) {
      require(info.begin >= at, "tensor '", info.name, "' overlaps the one before it");
      require(info.begin == at, "there is a hole of ", info.begin - at, " bytes before tensor '", info.name, "'");
      at = info.end;
    }
    require(at == data_bytes_, "the tensors have ", at, " bytes, but the file holds ", data_bytes_, " behind its header");
  }

  std::string_view text_;
  std::uint64_t data_bytes_;
  const std::string& file_;
};

const Dtype* find_dtype(at::ScalarType type) {
  const auto known = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const Dtype& d) { return d.type == type; });
  return known == kDtypes.end() ? nullptr : &*known;
}

}  // namespace

std::string format_header(const SafetensorsHeader& header) {
  auto root = nlohmann::ordered_json::object();  // tensors as they lie in the file
  if (!header.metadata.empty()) root[std::string(kMetadataKey)] = header.metadata;
  for (const TensorInfo& info : header.tensors) {
    root[info.name] = {
        {"dtype", find_dtype(info.type)->name}, {"shape", info.shape}, {"data_offsets", {info.begin, info.end}}};
  }
  try {
    std::string text = root.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    return text;
  } catch (const nlohmann::ordered_json::type_error& e) {
    throw std::invalid_argument(ulmfit::str("write_safetensors: a name or metadata entry is not UTF-8 (", e.what(), ")"));
  }
}

SafetensorsHeader parse_header(std::string_view text, std::uint64_t data_bytes, const std::string& file) {
  return Parser(text, data_bytes, file).parse();
}

std::uint64_t element_bytes(at::ScalarType type) { return c10::elementSize(type); }

bool has_dtype(at::ScalarType type) { return find_dtype(type) != nullptr; }

}  // namespace ulmfit::interop
