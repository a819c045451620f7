#include "train/checkpoint_store.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/manifest.h"
#include "train/finite.h"

namespace ulmfit::train {
namespace {

constexpr std::string_view kTemporaryPrefix = ".saving-";

// Steps of the checkpoints in the folder, newest first, whole or not.
std::vector<std::int64_t> steps_in(const fs::path& folder) {
  std::vector<std::int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    std::int64_t step = 0;
    if (!name.starts_with("step-")) continue;
    std::from_chars(name.data() + 5, name.data() + name.size(), step);
    if (name == checkpoint_name(step)) steps.push_back(step);
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

void write_tensors(const fs::path& path, const interop::NamedTensors& tensors) {
  OutputFile file(path);
  interop::write_safetensors(file, tensors);
  file.sync();
  file.close();
}

// Whether the checkpoint is whole, and its step was the best of the run until then.
bool was_best(const fs::path& path, std::int64_t step) {
  if (manifest_defect(path, /*checksums=*/false)) return false;
  const nlohmann::json state = nlohmann::json::parse(read_file(path / "state.json"), nullptr, /*allow_exceptions=*/false);
  const nlohmann::json::json_pointer best("/counters/best_step");
  return state.is_object() && state.contains(best) && state.at(best) == step;
}

void remove_checkpoint(const fs::path& path) {
  // The manifest goes first: a removal that is cut short leaves a folder that does not exist for readers.
  std::error_code error;
  fs::remove(path / kManifestName, error);
  fs::remove_all(path, error);
  if (error) log::warn("checkpoint", str("cannot remove old checkpoint ", path.string(), ": ", error.message()));
}

// So that it is not taken for one that the run has gone through.
void set_aside(const fs::path& path) {
  const fs::path unread = path.parent_path() / ("unread-" + path.filename().string());
  std::error_code error;
  fs::remove_all(unread, error);
  fs::rename(path, unread, error);
  if (error) log::warn("checkpoint", str("cannot rename ", path.string(), ": ", error.message()));
  if (!error) log::warn("checkpoint", str(path.string(), " could not be read and is ", unread.string(), " now"));
}

}  // namespace

std::string checkpoint_name(std::int64_t step) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "step-%09lld", static_cast<long long>(step));
  return name.data();
}

// The copy being written, and the thread that writes it. The thread runs no ATen operator.
struct CheckpointStore::Writer {
  Snapshot copy;
  std::map<std::string, at::Tensor> buffers;
  std::thread thread;
  bool failed = false;            // the last save
  std::int64_t saved_best = -1;   // the last step that was the best and is saved
  std::set<std::int64_t> unread;  // steps whose checkpoints could not be read

  // Pinned if the tensor is a GPU's, which can then copy into it by itself, and if there is so much memory to pin.
  at::Tensor& buffer_for(const std::string& name, const at::Tensor& tensor) {
    at::Tensor& buffer = buffers[name];
    if (buffer.defined() && buffer.sizes() == tensor.sizes()) return buffer;
    const auto options = tensor.options().device(at::kCPU);
    try {
      buffer = at::empty(tensor.sizes(), options.pinned_memory(!tensor.is_cpu()));
    } catch (const c10::Error& e) {
      if (tensor.is_cpu()) throw;
      log::warn("checkpoint", str("copies of ", name,
                                  " will be slower, for want of memory that can be pinned: ", e.what_without_backtrace()));
      buffer = at::empty(tensor.sizes(), options);
    }
    return buffer;
  }

  interop::NamedTensors copied(const interop::NamedTensors& tensors, const std::string& prefix) {
    interop::NamedTensors out;
    for (const auto& [name, tensor] : tensors) {
      at::Tensor& buffer = buffer_for(prefix + name, tensor);
      buffer.copy_(tensor, /*non_blocking=*/true);
      out.emplace_back(name, buffer);
    }
    return out;
  }

  // All copies are queued before the host waits, once.
  void await_copies(const Snapshot& snapshot) const {
    for (const interop::NamedTensors* tensors : {&snapshot.model, &snapshot.training}) {
      const auto there =
          std::find_if(tensors->begin(), tensors->end(), [](const auto& named) { return !named.second.is_cpu(); });
      if (there == tensors->end()) continue;
      const c10::impl::VirtualGuardImpl device(there->second.device().type());
      device.synchronizeStream(device.getStream(there->second.device()));
      return;
    }
  }

  // Throws what went wrong, after removing what was written: a full disk must not stay full by it.
  void write(const fs::path& folder, const Retention& retention) {
    const fs::path temporary = folder / (std::string(kTemporaryPrefix) + checkpoint_name(copy.step));
    try {
      write_whole(temporary, folder / checkpoint_name(copy.step));
    } catch (...) {
      std::error_code error;
      fs::remove_all(temporary, error);
      throw;
    }
    if (copy.best_step == copy.step) saved_best = copy.step;
    std::int64_t rank = 0;  // from the newest
    for (const std::int64_t step : steps_in(folder)) {
      const bool after_this = step > copy.step;  // it would have been continued from if it could have been
      const bool newest = !after_this && rank++ < retention.newest;
      const bool marked = retention.every > 0 && step % retention.every == 0;
      const bool best = step == copy.best_step || step == saved_best;
      if (after_this || !(newest || marked || best)) remove(folder, step);
    }
  }

  // What could not be read once may be whole: it is set aside.
  void remove(const fs::path& folder, std::int64_t step) {
    const fs::path path = folder / checkpoint_name(step);
    unread.erase(step) > 0 ? set_aside(path) : remove_checkpoint(path);
  }

  void write_whole(const fs::path& temporary, const fs::path& final_name) {
    fs::remove_all(temporary);
    make_directories(temporary);
    write_tensors(temporary / "model.safetensors", copy.model);
    write_tensors(temporary / "training.safetensors", copy.training);
    write_file_atomic(temporary / "state.json", copy.state.dump(1));
    write_manifest(temporary);
    sync_directory(temporary);
    if (fs::exists(final_name)) remove(final_name.parent_path(), copy.step);
    rename_synced(temporary, final_name);
  }
};

CheckpointStore::CheckpointStore(fs::path folder, Retention retention)
    : folder_(std::move(folder)), retention_(retention), writer_(std::make_unique<Writer>()) {
  make_directories(folder_);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().filename().string().starts_with(kTemporaryPrefix)) fs::remove_all(entry.path(), error);
  }
  for (const std::int64_t step : steps_in(folder_)) {
    if (writer_->saved_best < 0 && was_best(folder_ / checkpoint_name(step), step)) writer_->saved_best = step;
  }
}

CheckpointStore::~CheckpointStore() { finish(); }

bool CheckpointStore::finish() {
  if (writer_->thread.joinable()) writer_->thread.join();
  return !writer_->failed;
}

void CheckpointStore::prepare(const Snapshot& like) {
  finish();
  for (const auto& [name, tensor] : like.model) writer_->buffer_for("model/" + name, tensor);
  for (const auto& [name, tensor] : like.training) writer_->buffer_for("training/" + name, tensor);
  // The kernel gives memory when it is first written; pinned memory is there.
  std::vector<at::Tensor> unwritten;
  for (const auto& [name, buffer] : writer_->buffers) {
    if (!buffer.is_pinned()) unwritten.push_back(buffer);
  }
  writer_->thread = std::thread([unwritten = std::move(unwritten)] {
    for (const at::Tensor& buffer : unwritten) std::memset(buffer.mutable_data_ptr(), 0, buffer.nbytes());
  });
}

void CheckpointStore::save(const Snapshot& snapshot) {
  finish();
  writer_->copy.step = snapshot.step;
  writer_->copy.best_step = snapshot.best_step;
  writer_->copy.state = snapshot.state;
  writer_->copy.model = writer_->copied(snapshot.model, "model/");
  writer_->copy.training = writer_->copied(snapshot.training, "training/");
  writer_->await_copies(snapshot);
  writer_->thread = std::thread([this] {
    try {
      writer_->write(folder_, retention_);
      writer_->failed = false;
    } catch (const std::exception& e) {
      writer_->failed = true;
      log::warn("checkpoint", str("checkpoint of step ", writer_->copy.step, " not saved: ", e.what(),
                                  "; the run goes on, the checkpoint before it stands"));
    }
  });
}

Snapshot CheckpointStore::load(std::int64_t step) {
  const fs::path path = folder_ / checkpoint_name(step);
  check_manifest<CheckpointError>(path, /*checksums=*/true);
  Snapshot snapshot;
  snapshot.step = step;
  snapshot.model = interop::SafetensorsFile(path / "model.safetensors").read_all();
  snapshot.training = interop::SafetensorsFile(path / "training.safetensors").read_all();
  try {
    snapshot.state = parse_json(read_file(path / "state.json"));
  } catch (const nlohmann::json::exception& e) {
    throw CheckpointError(str("cannot read ", (path / "state.json").string(), ": ", e.what()));
  }
  return snapshot;
}

std::optional<Snapshot> CheckpointStore::sound(std::int64_t step) {
  try {
    Snapshot snapshot = load(step);
    auto broken = first_not_finite(snapshot.model);
    if (!broken) broken = first_not_finite(snapshot.training);
    if (!broken) return snapshot;
    log::warn("checkpoint", str("checkpoint of step ", step, ": ", *broken,
                                " is not finite, the run had diverged; using the checkpoint before it"));
  } catch (const Error& e) {
    writer_->unread.insert(step);
    log::warn("checkpoint", str(e.what(), "; using the checkpoint before it"));
  }
  return std::nullopt;
}

std::optional<Snapshot> CheckpointStore::latest() {
  for (const std::int64_t step : steps_in(folder_)) {
    if (auto snapshot = sound(step)) return snapshot;
  }
  return std::nullopt;
}

bool CheckpointStore::holds_any() const { return !steps_in(folder_).empty(); }

std::optional<Snapshot> CheckpointStore::best(std::int64_t best_step) {
  finish();
  if (auto snapshot = sound(best_step)) return snapshot;
  for (const std::int64_t step : steps_in(folder_)) {
    if (step >= best_step || !was_best(folder_ / checkpoint_name(step), step)) continue;
    if (auto snapshot = sound(step)) return snapshot;
  }
  return std::nullopt;
}

}  // namespace ulmfit::train
