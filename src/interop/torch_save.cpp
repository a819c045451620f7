#include "interop/torch_save.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>

#include <exception>
#include <map>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace ulmfit::interop {
namespace {

// Protocol 2, as torch.save writes; see Python's pickletools for the opcodes.
class PickleWriter {
 public:
  PickleWriter() : out_("\x80\x02") {}

  void opcode(char code) { out_ += code; }
  void text(std::string_view value) {
    out_ += 'X';
    little(value.size(), 4);
    out_ += value;
  }
  void integer(std::int64_t value) {
    if (value >= INT32_MIN && value <= INT32_MAX) {
      out_ += 'J';
      little(static_cast<std::uint64_t>(value), 4);
    } else {
      out_ += std::string_view("\x8a\x08", 2);
      little(static_cast<std::uint64_t>(value), 8);
    }
  }
  void integers(at::IntArrayRef values) {
    out_ += '(';
    for (const std::int64_t value : values) integer(value);
    out_ += 't';
  }
  void global(std::string_view module, std::string_view name) { out_ += str('c', module, '\n', name, '\n'); }
  // An empty ordered dictionary: SETITEMS can follow.
  void ordered_dict() {
    global("collections", "OrderedDict");
    out_ += ")R";
  }
  std::string finish() && { return std::move(out_) + '.'; }

 private:
  void little(std::uint64_t value, int width) {
    for (int i = 0; i < width; ++i) out_ += static_cast<char>(value >> (8 * i) & 0xFFU);
  }

  std::string out_;
};

const char* storage_type(const at::Tensor& tensor) {
  if (tensor.scalar_type() == at::kFloat) return "FloatStorage";
  if (tensor.scalar_type() == at::kLong) return "LongStorage";
  throw std::invalid_argument("write_state_dict: tensors are float32 or int64");
}

// The dict as torch.load reads it. `storages` gets the tensors whose memory it names "0", "1", ..., each once.
std::string pickled_state_dict(const NamedTensors& tensors, std::vector<at::Tensor>& storages) {
  std::map<std::pair<const void*, std::size_t>, std::string> keys;  // of the storages, by their memory
  PickleWriter pickle;
  pickle.ordered_dict();
  pickle.opcode('(');
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.is_contiguous() || !tensor.is_cpu()) {
      throw std::invalid_argument("write_state_dict: " + name + " is not contiguous on the CPU");
    }
    const auto [key, fresh] = keys.try_emplace({tensor.const_data_ptr(), tensor.nbytes()}, std::to_string(storages.size()));
    if (fresh) storages.push_back(tensor);
    pickle.text(name);
    pickle.global("torch._utils", "_rebuild_tensor_v2");
    pickle.opcode('(');
    pickle.opcode('(');  // the storage
    pickle.text("storage");
    pickle.global("torch", storage_type(tensor));
    pickle.text(key->second);
    pickle.text("cpu");
    pickle.integer(tensor.numel());
    pickle.opcode('t');
    pickle.opcode('Q');
    pickle.integer(0);
    pickle.integers(tensor.sizes());
    pickle.integers(tensor.strides());
    pickle.opcode('\x89');  // requires no gradient
    pickle.ordered_dict();  // has no hooks
    pickle.opcode('t');
    pickle.opcode('R');
  }
  pickle.opcode('u');
  return std::move(pickle).finish();
}

}  // namespace

void write_state_dict(const std::filesystem::path& pth, const NamedTensors& tensors) {
  std::vector<at::Tensor> storages;
  const std::string values = pickled_state_dict(tensors, storages);

  // The writer of zip files must not be thrown through: it would write on in its destructor, into what threw.
  const fs::path partial = pth.string() + ".partial";
  std::exception_ptr failure;
  try {
    OutputFile file(partial);
    {
      caffe2::serialize::PyTorchStreamWriter zip([&](const void* data, std::size_t bytes) {
        try {
          if (failure == nullptr) file.write(data, bytes);
        } catch (...) {
          failure = std::current_exception();
        }
        return bytes;
      });
      zip.writeRecord("data.pkl", values.data(), values.size());
      zip.writeRecord("byteorder", "little", 6);
      for (std::size_t i = 0; i < storages.size(); ++i) {
        zip.writeRecord("data/" + std::to_string(i), storages[i].const_data_ptr(), storages[i].nbytes());
      }
      zip.writeEndOfFile();
    }
    if (failure != nullptr) std::rethrow_exception(failure);
    file.sync();
    file.close();
    rename_synced(partial, pth);
  } catch (...) {
    std::error_code ignored;
    fs::remove(partial, ignored);
    throw;
  }
}

std::string pickled_texts(const std::vector<std::vector<std::string>>& lists) {
  PickleWriter pickle;
  const auto write = [&](const std::vector<std::string>& texts) {
    pickle.opcode(']');
    pickle.opcode('(');
    for (const std::string& text : texts) pickle.text(text);
    pickle.opcode('e');
  };
  if (lists.size() == 1) {
    write(lists.front());
  } else {
    pickle.opcode(']');
    pickle.opcode('(');
    for (const auto& texts : lists) write(texts);
    pickle.opcode('e');
  }
  return std::move(pickle).finish();
}

}  // namespace ulmfit::interop
