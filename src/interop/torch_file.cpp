#include "interop/torch_file.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "interop/zip_check.h"

namespace ulmfit::interop {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view kZipStart = "PK\x03\x04";
// The pickles that the stream form begins with: a magic number of ten bytes, its version, what machine wrote it.
constexpr std::string_view kStreamMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr std::int64_t kStreamVersion = 1001;
constexpr std::uint64_t kMostPickleBytes = 64U << 20U;

struct StorageType {
  std::string_view name;
  at::ScalarType type;
};
constexpr std::array<StorageType, 10> kStorageTypes{{{"torch.FloatStorage", at::kFloat},
                                                     {"torch.DoubleStorage", at::kDouble},
                                                     {"torch.HalfStorage", at::kHalf},
                                                     {"torch.BFloat16Storage", at::kBFloat16},
                                                     {"torch.LongStorage", at::kLong},
                                                     {"torch.IntStorage", at::kInt},
                                                     {"torch.ShortStorage", at::kShort},
                                                     {"torch.CharStorage", at::kChar},
                                                     {"torch.ByteStorage", at::kByte},
                                                     {"torch.BoolStorage", at::kBool}}};

template <class... What>
[[noreturn]] void refuse(const std::string& file, const What&... what) {
  throw CheckpointError(ulmfit::str("cannot read ", file, ": ", what...));
}

std::vector<std::int64_t> integers(const PickleValue& value, const std::string& file, const std::string& name) {
  std::vector<std::int64_t> numbers;
  if (value.kind != Kind::kSequence) refuse(file, name, " is not described as torch does");
  for (const Pickled& n : value.values) {
    if (n->kind != Kind::kInteger || n->integer < 0) refuse(file, name, ": a size or stride is no number of elements");
    numbers.push_back(n->integer);
  }
  return numbers;
}

std::string read_start(const std::string& file, std::size_t bytes) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw FileError(str("cannot read ", file, ": ", std::strerror(errno)));
  std::string start(bytes, '\0');
  in.read(start.data(), static_cast<std::streamsize>(bytes));
  start.resize(static_cast<std::size_t>(in.gcount()));
  return start;
}

// Elements of a tensor of these sizes, which are at least one each, and `most` at most in all.
std::int64_t elements(const std::vector<std::int64_t>& sizes, std::int64_t most, const std::string& file,
                      const std::string& name) {
  std::int64_t n = 1;
  for (const std::int64_t size : sizes) {
    if (size == 0) refuse(file, name, " is empty");
    if (n > most / size) refuse(file, name, " is larger than its storage");
    n *= size;
  }
  return n;
}

}  // namespace

// By key: flat tensors of the type that a reference names.
class TorchStorages {
 public:
  explicit TorchStorages(std::string file) : file_(std::move(file)) {}
  virtual ~TorchStorages() = default;
  TorchStorages(const TorchStorages&) = delete;
  TorchStorages& operator=(const TorchStorages&) = delete;

  virtual Pickled root() = 0;

  at::Tensor find(const std::string& key, at::ScalarType type, std::int64_t count) {
    const auto [place, fresh] = read_.try_emplace(key);
    if (fresh) place->second = read(key, type, count);
    if (place->second.scalar_type() != type || place->second.numel() != count) {
      refuse(file_, "storage ", key, " is named with two types or sizes");
    }
    return place->second;
  }

 protected:
  virtual at::Tensor read(const std::string& key, at::ScalarType type, std::int64_t count) = 0;

  const std::string file_;

 private:
  std::map<std::string, at::Tensor> read_;
};

namespace {

// A reference of a pickle: ('storage', type, key, device, elements), and in the stream form a view.
struct Reference {
  std::string key;
  at::ScalarType type = at::kFloat;
  std::int64_t count = 0;
};

Reference reference(const PickleValue& value, const std::string& file, const std::string& name) {
  const bool named = value.kind == Kind::kPersistent && value.values.front()->kind == Kind::kSequence &&
                     value.values.front()->values.size() >= 5 && value.values.front()->values[0]->is_text("storage");
  if (!named) refuse(file, name, " has no storage");
  const std::vector<Pickled>& parts = value.values.front()->values;
  const bool typed = parts[1]->kind == Kind::kGlobal && parts[2]->kind == Kind::kText && parts[4]->kind == Kind::kInteger &&
                     parts[4]->integer >= 0;
  if (!typed) refuse(file, name, ": its storage is not described as torch does");
  if (parts.size() > 5 && parts[5]->kind != Kind::kNone) {
    refuse(file, name, " is a view of a storage, as torch 0.3 and older wrote; save the file again with a newer one");
  }
  for (const StorageType& known : kStorageTypes) {
    if (parts[1]->text == known.name) return {parts[2]->text, known.type, parts[4]->integer};
  }
  refuse(file, name, " has a storage of type ", parts[1]->text, ", which is none of torch's plain numbers");
}

class ZipStorages : public TorchStorages {
  // caffe2's reader throws its own errors.
  template <class Body>
  auto with_errors(const Body& body) const {
    try {
      return body();
    } catch (const Error&) {
      throw;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const c10::Error& e) {
      const std::string_view text = e.what_without_backtrace();
      refuse(file_, "its zip form is broken: ", text.substr(0, text.find('\n')));
    } catch (const std::exception& e) {
      refuse(file_, "its zip form is broken: ", e.what());
    }
  }

 public:
  explicit ZipStorages(const std::string& file)
      : TorchStorages(file), bytes_(fs::file_size(file)), zip_(with_errors([&] {
          check_zip(file);
          return std::make_unique<caffe2::serialize::PyTorchStreamReader>(file);
        })) {}

  Pickled root() override {
    if (has("byteorder") && record("byteorder") != "little") refuse(file_, "its numbers are not little-endian");
    return read_pickle(record("data.pkl"), file_ + " (data.pkl)");
  }

 protected:
  at::Tensor read(const std::string& key, at::ScalarType type, std::int64_t count) override {
    const std::string name = "data/" + key;
    const std::uint64_t expected = static_cast<std::uint64_t>(count) * c10::elementSize(type);
    if (static_cast<std::uint64_t>(count) > bytes_ || size(name) != expected) {
      refuse(file_, name, " has ", size(name), " bytes, expected ", count, " elements of ", c10::elementSize(type));
    }
    at::Tensor data = at::empty({count}, type);
    with_errors([&] { return zip_->getRecord(name, data.mutable_data_ptr(), data.nbytes()); });
    return data;
  }

 private:
  bool has(const std::string& name) {
    return with_errors([&] { return zip_->hasRecord(name); });
  }

  std::uint64_t size(const std::string& name) {
    if (!has(name)) refuse(file_, "it has no record ", name);
    return with_errors([&] { return zip_->getRecordSize(name); });
  }

  std::string record(const std::string& name) {
    std::string bytes(size(name), '\0');
    if (bytes.size() > kMostPickleBytes) refuse(file_, "its record ", name, " has ", bytes.size(), " bytes");
    with_errors([&] { return zip_->getRecord(name, bytes.data(), bytes.size()); });
    return bytes;
  }

  std::uint64_t bytes_;
  std::unique_ptr<caffe2::serialize::PyTorchStreamReader> zip_;
};

// Magic number, version, machine, the values, the list of the keys: five pickles; then by key a count of 8 bytes and the
// elements.
class StreamStorages : public TorchStorages {
 public:
  explicit StreamStorages(const std::string& file) : TorchStorages(file), bytes_(read_file(file)) {
    next();  // the magic number, looked at before
    if (const Pickled version = next(); version->kind != Kind::kInteger || version->integer != kStreamVersion) {
      refuse(file, "it is of an unknown version of torch's stream form");
    }
    const Pickled machine = next();
    const PickleValue* little = machine->find("little_endian");
    if (little != nullptr && !little->boolean) refuse(file, "its numbers are not little-endian");
    root_ = next();
    keys_ = next();
    elements_ = at_;
  }

  Pickled root() override { return root_; }

 protected:
  at::Tensor read(const std::string& key, at::ScalarType type, std::int64_t count) override {
    if (places_.empty()) find_places();
    const auto found = places_.find(key);
    if (found == places_.end()) refuse(file_, "storage ", key, " is missing");
    const Place& place = found->second;
    if (place.type != type || place.count != static_cast<std::uint64_t>(count)) {
      refuse(file_, "storage ", key, " has ", place.count, " elements of another type or number than expected");
    }
    at::Tensor data = at::empty({count}, type);
    if (count > 0) std::memcpy(data.mutable_data_ptr(), bytes_.data() + place.at, data.nbytes());
    return data;
  }

 private:
  Pickled next() {
    std::size_t length = 0;
    const auto rest = std::string_view(bytes_).substr(at_).substr(0, kMostPickleBytes);
    Pickled value = read_pickle(rest, file_, &length);
    at_ += length;
    return value;
  }

  struct Place {
    at::ScalarType type = at::kFloat;
    std::uint64_t at = 0;     // in the file
    std::uint64_t count = 0;  // of elements
  };

  // Where each storage lies: its width is known only from what refers to it.
  void find_places() {
    const std::map<std::string, at::ScalarType> types = storage_types();
    std::uint64_t at = elements_;
    for (const Pickled& stored : keys_->values) {
      const auto known = stored->kind == Kind::kText ? types.find(stored->text) : types.end();
      if (known == types.end()) refuse(file_, "it stores elements that nothing refers to");
      if (bytes_.size() - at < 8) refuse(file_, "it is cut off");
      Place place{known->second, at + 8, 0};
      std::memcpy(&place.count, bytes_.data() + at, 8);
      const std::uint64_t width = c10::elementSize(place.type);
      if (place.count > (bytes_.size() - place.at) / width) refuse(file_, "it is cut off");
      if (!places_.emplace(stored->text, place).second) refuse(file_, "it stores ", stored->text, " twice");
      at = place.at + place.count * width;
    }
  }

  std::map<std::string, at::ScalarType> storage_types() const {
    std::map<std::string, at::ScalarType> types;
    std::vector<const PickleValue*> open{root_.get()};
    std::set<const PickleValue*> seen;
    while (!open.empty()) {
      const PickleValue& v = *open.back();
      open.pop_back();
      if (!seen.insert(&v).second) continue;
      if (v.kind == Kind::kPersistent) {
        const Reference found = reference(v, file_, "a tensor");
        const auto [known, fresh] = types.emplace(found.key, found.type);
        if (!fresh && known->second != found.type) refuse(file_, "storage ", found.key, " is named with two types");
        continue;
      }
      v.for_children([&](const Pickled& child) { open.push_back(child.get()); });
    }
    return types;
  }

  std::string bytes_;
  std::size_t at_ = 0;
  std::size_t elements_ = 0;
  Pickled root_;
  Pickled keys_;
  std::map<std::string, Place> places_;
};

std::unique_ptr<TorchStorages> open_storages(const std::string& file) {
  const std::string start = read_start(file, 64);
  if (start.starts_with(kZipStart)) return std::make_unique<ZipStorages>(file);
  // A pickle of protocol 2 of the magic number.
  if (start.find(kStreamMagic) != std::string::npos) return std::make_unique<StreamStorages>(file);
  refuse(file, "it is no file of torch.save, neither in its zip form nor in the stream form before it");
}

}  // namespace

TorchFile::TorchFile(const std::filesystem::path& path)
    : file_(path.string()), storages_(open_storages(file_)), root_(storages_->root()) {}

TorchFile::~TorchFile() = default;

std::optional<at::Tensor> TorchFile::tensor(const PickleValue& value, const std::string& name) {
  const auto arguments = [](const PickleValue& call) -> const std::vector<Pickled>& { return call.values[1]->values; };
  const bool parameter = value.calls("torch._utils._rebuild_parameter") && value.values[1]->kind == Kind::kSequence &&
                         !arguments(value).empty();
  const PickleValue& data = parameter ? *arguments(value).front() : value;
  if (!data.calls("torch._utils._rebuild_tensor_v2") && !data.calls("torch._utils._rebuild_tensor")) return std::nullopt;
  const std::vector<Pickled>& parts = arguments(data);  // storage, offset, sizes, strides, ...
  const bool described = data.values[1]->kind == Kind::kSequence && parts.size() >= 4 && parts[1]->kind == Kind::kInteger;
  if (!described) refuse(file_, name, " is not described as torch does");
  const Reference stored = reference(*parts[0], file_, name);
  const std::vector<std::int64_t> sizes = integers(*parts[2], file_, name);
  const std::vector<std::int64_t> strides = integers(*parts[3], file_, name);
  const std::int64_t offset = parts[1]->integer;
  if (sizes.size() != strides.size() || sizes.size() > 8) refuse(file_, name, ": sizes and strides do not fit together");
  if (offset < 0 || offset >= stored.count) refuse(file_, name, " lies outside its storage");
  elements(sizes, stored.count, file_, name);
  std::int64_t last = offset;  // the place of the last element
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 1) continue;
    if (strides[i] > (stored.count - 1 - last) / (sizes[i] - 1)) refuse(file_, name, " lies outside its storage");
    last += (sizes[i] - 1) * strides[i];
  }
  const at::Tensor storage = storages_->find(stored.key, stored.type, stored.count);
  const at::Tensor view = at::as_strided(storage, sizes, strides, offset);
  if (!view.is_contiguous()) refuse(file_, name, " is not contiguous; save the weights of the model, not views of them");
  return view;
}

}  // namespace ulmfit::interop
