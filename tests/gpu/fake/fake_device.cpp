#include "tests/gpu/fake/fake_device.h"

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "tests/gpu/fake/fake_recording.h"

namespace ulmfit::test {
namespace {

constexpr auto kType = at::DeviceType::PrivateUse1;
const at::Device kDevice(kType, 0);

struct State {
  std::mutex mutex;  // autograd's threads call operators too
  std::vector<std::string> waits;
  std::set<const void*> pinned;
  std::map<const void*, at::Tensor> on_the_way;  // by pinned memory: copies that the host has not waited for
};

State& state() {
  static State all;
  return all;
}

void note_wait(std::string name) {
  if (Recorder::active() != nullptr) Recorder::refuse(name);
  const std::scoped_lock lock(state().mutex);
  state().waits.push_back(std::move(name));
}

// What the device was told to copy without blocking is in the host's memory once it has waited; before, that holds no
// numbers.
void arrive() {
  std::map<const void*, at::Tensor> arrived;
  {
    const std::scoped_lock lock(state().mutex);
    arrived = std::exchange(state().on_the_way, {});
  }
  for (const auto& [memory, copy] : arrived) std::memcpy(const_cast<void*>(memory), copy.const_data_ptr(), copy.nbytes());
}

void depart(const at::Tensor& from, const at::Tensor& to) {  // both of the CPU; `to` pinned and contiguous
  at::Tensor copy = from.to(to.scalar_type(), /*non_blocking=*/false, /*copy=*/true).contiguous();
  std::memset(to.mutable_data_ptr(), 0xFF, to.nbytes());
  const std::scoped_lock lock(state().mutex);
  state().on_the_way[to.const_data_ptr()] = std::move(copy);
}

// Of 64 bytes at least, so that tensors without elements have an address too.
class HostMemory : public c10::DeviceAllocator {
 public:
  explicit HostMemory(at::Device device) : device_(device) {}
  // Of the memory in use nothing is counted.
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override { return {}; }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override {}
  at::DataPtr allocate(std::size_t bytes) override {
    void* memory = std::aligned_alloc(64, std::max<std::size_t>((bytes + 63) / 64 * 64, 64));
    if (device_.is_cpu()) {
      const std::scoped_lock lock(state().mutex);
      state().pinned.insert(memory);
    } else {
      memory_begins(memory, bytes);
    }
    return {memory, memory, &release, device_};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  static void release(void* memory) {
    memory_ends(memory);
    {
      const std::scoped_lock lock(state().mutex);
      state().pinned.erase(memory);
      state().on_the_way.erase(memory);
    }
    if (Recorder* recorder = Recorder::active()) return recorder->keep(memory);
    std::free(memory);
  }
  at::Device device_;
};

c10::Allocator* device_memory() {
  static HostMemory memory(kDevice);
  return &memory;
}

bool is_pinned(const void* data) {
  const std::scoped_lock lock(state().mutex);
  return state().pinned.contains(data);
}

struct Hooks : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  at::DeviceIndex deviceCount() const override { return 1; }
  at::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(at::DeviceIndex) const override {}
  bool hasPrimaryContext(at::DeviceIndex) const override { return true; }
  bool isPinnedPtr(const void* data) const override { return is_pinned(data); }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    static HostMemory memory(at::kCPU);
    return &memory;
  }
};

struct Guard : c10::impl::NoOpDeviceGuardImpl<kType> {
  at::Device exchangeDevice(at::Device) const override { return kDevice; }
  at::Device getDevice() const override { return kDevice; }
  c10::Stream getStream(at::Device) const noexcept override { return stream(); }
  c10::Stream getDefaultStream(at::Device) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  // One that has been recorded has not passed yet when it is asked for the first time, unless the host has waited since.
  void record(void** event, const c10::Stream&, const at::DeviceIndex, const c10::EventFlag flag) const override {
    if (*event == nullptr) *event = new Event;
    *static_cast<Event*>(*event) = {flag == c10::EventFlag::BACKEND_DEFAULT, false, std::chrono::steady_clock::now()};
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void* event) const override {
    if (event == nullptr) return true;
    auto& recorded = *static_cast<Event*>(event);
    const bool passed = std::exchange(recorded.asked, true) || recorded.time <= waited_until().load();
    if (passed) arrive();
    return passed;
  }
  void synchronizeEvent(void*) const override { wait("an event"); }
  void synchronizeStream(const c10::Stream&) const override { wait("a stream"); }
  void synchronizeDevice(const at::DeviceIndex) const override { wait("the device"); }
  double elapsedTime(void* first, void* last, const at::DeviceIndex) const override {
    const Event &begin = *static_cast<Event*>(first), &end = *static_cast<Event*>(last);
    TORCH_CHECK(begin.timed && end.timed, "an event that keeps no time was asked for it");
    return std::chrono::duration<double, std::milli>(end.time - begin.time).count();
  }
  void destroyEvent(void* event, const at::DeviceIndex) const noexcept override { delete static_cast<Event*>(event); }

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Event {
    bool timed, asked;
    Time time;
  };
  static std::atomic<Time>& waited_until() {
    static std::atomic<Time> until;
    return until;
  }
  static void wait(const char* what_for) {
    waited_until() = std::chrono::steady_clock::now();
    arrive();
    note_wait(what_for);
  }
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, kDevice); }
};

bool is_ours(const at::Tensor& t) { return t.defined() && t.device().type() == kType; }

// The same memory as a tensor of the CPU. One without elements may be resized.
at::Tensor on_cpu(const at::Tensor& t) {
  const auto options = at::TensorOptions(at::kCPU).dtype(t.scalar_type());
  if (t.numel() == 0) return at::empty(t.sizes(), options);
  return at::from_blob(t.data_ptr(), t.sizes(), t.strides(), options);
}

// The CPU's memory as a tensor of the device, which keeps it alive.
at::Tensor on_device(const at::Tensor& cpu) {
  auto* owner = new at::Tensor(cpu);
  const auto release = [](void* kept) {
    const std::unique_ptr<at::Tensor> tensor(static_cast<at::Tensor*>(kept));
    memory_ends(tensor->const_data_ptr());
  };
  at::DataPtr data(cpu.data_ptr(), owner, release, kDevice);
  const std::size_t bytes = at::detail::computeStorageNbytes(cpu.sizes(), cpu.strides(), cpu.element_size());
  memory_begins(cpu.const_data_ptr(), bytes);
  c10::Storage storage(c10::Storage::use_byte_size_t(), bytes, std::move(data), device_memory(), /*resizable=*/true);
  at::Tensor made = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), cpu.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(cpu.sizes(), cpu.strides());
  return made;
}

// Runs an operator on the CPU, on the memory of the tensors that it is given.
class Call {
 public:
  explicit Call(const c10::OperatorHandle& op) : op_(op) {}

  void run(torch::jit::Stack* stack) {
    const std::size_t count = op_.schema().arguments().size();
    for (auto at = stack->end() - static_cast<std::ptrdiff_t>(count); at != stack->end(); ++at) to_cpu(*at);
    TORCH_CHECK(!cpu_ || twins_.empty(), name(), " got tensors of the CPU and of the device");
    constexpr std::string_view kShapeDependsOnValues[] = {"aten::nonzero", "aten::_unique", "aten::_unique2",
                                                          "aten::masked_select", "aten::equal"};
    if (std::find(std::begin(kShapeDependsOnValues), std::end(kShapeDependsOnValues), name()) !=
        std::end(kShapeDependsOnValues)) {
      note_wait(name());
    }
    Recorder* recorder = Recorder::active();
    torch::jit::Stack arguments;
    if (recorder != nullptr) arguments.assign(stack->end() - static_cast<std::ptrdiff_t>(count), stack->end());
    op_.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
    for (auto& [ours, cpu] : twins_) {
      if (!ours.sizes().equals(cpu.sizes())) adopt(ours, cpu);  // an output that was resized
    }
    const std::size_t returns = op_.schema().returns().size();
    if (recorder != nullptr) {
      std::vector<at::Tensor> kept;
      for (const auto& [ours, cpu] : twins_) kept.push_back(ours);
      recorder->add(op_, std::move(arguments), {stack->end() - static_cast<std::ptrdiff_t>(returns), stack->end()},
                    std::move(kept));
    }
    for (auto at = stack->end() - static_cast<std::ptrdiff_t>(returns); at != stack->end(); ++at) from_cpu(*at);
  }

 private:
  std::string name() const { return op_.schema().name(); }

  at::Tensor twin(const at::Tensor& t) {
    if (!t.defined()) return t;
    if (!is_ours(t)) {
      cpu_ = cpu_ || t.dim() > 0;
      return t;
    }
    for (const auto& [ours, cpu] : twins_) {
      if (ours.is_same(t)) return cpu;
    }
    return twins_.emplace_back(t, on_cpu(t)).second;
  }

  void to_cpu(c10::IValue& value) {
    if (value.isTensor()) {
      value = twin(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& t : value.toTensorVector()) list.push_back(twin(t));
      value = std::move(list);
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor>& t : value.toOptionalTensorVector()) {
        list.push_back(t ? std::optional(twin(*t)) : std::nullopt);
      }
      value = std::move(list);
    } else if (value.isDevice() && value.toDevice().type() == kType) {
      value = at::Device(at::kCPU);
      makes_ = true;
    }
  }

  at::Tensor original(const at::Tensor& t) const {
    if (!t.defined() || (twins_.empty() && !makes_)) return t;
    for (const auto& [ours, cpu] : twins_) {
      if (cpu.is_same(t)) return ours;
    }
    return on_device(t);
  }

  void from_cpu(c10::IValue& value) const {
    if (value.isTensor()) {
      value = original(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& t : value.toTensorVector()) list.push_back(original(t));
      value = std::move(list);
    }
  }

  static void adopt(const at::Tensor& ours, const at::Tensor& cpu) {
    const at::Tensor made = on_device(cpu);
    ours.unsafeGetTensorImpl()->set_storage_keep_dtype(made.storage());
    ours.unsafeGetTensorImpl()->set_sizes_and_strides(made.sizes(), made.strides());
  }

  const c10::OperatorHandle& op_;
  std::vector<std::pair<at::Tensor, at::Tensor>> twins_;  // ours, and the same memory on the CPU
  bool cpu_ = false;                                      // it got tensors of the CPU, more than a number
  bool makes_ = false;                                    // it was told the device
};

void by_the_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) { Call(op).run(stack); }

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, device_memory(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   type.value_or(at::kFloat), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> type,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, device_memory(),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), type.value_or(at::kFloat));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  const bool waits = is_ours(from) != is_ours(to) && !(non_blocking && is_pinned((is_ours(to) ? from : to).data_ptr()));
  if (waits) note_wait(is_ours(to) ? "copy to the device" : "copy to the host");
  if (waits) arrive();
  const auto cpu = [](const at::Tensor& t) { return is_ours(t) ? on_cpu(t) : t; };
  if (Recorder* recorder = Recorder::active()) {
    if (is_ours(from) != is_ours(to)) Recorder::refuse("a copy between host and device");
    recorder->add([from, to] { on_cpu(to).copy_(on_cpu(from)); });
  }
  if (is_ours(from) && !is_ours(to) && !waits && to.is_contiguous()) {
    depart(on_cpu(from), to);
  } else {
    cpu(to).copy_(cpu(from));
  }
  return to;
}

at::Scalar read(const at::Tensor& t) {
  arrive();
  note_wait("aten::_local_scalar_dense");
  return on_cpu(t).item();
}

// The LSTM cell that GPUs have and CPUs do not, in plain operators. Its workspace: the gates before their activations.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell(const at::Tensor& of_input, const at::Tensor& of_state,
                                                         const at::Tensor& c, const std::optional<at::Tensor>& input_bias,
                                                         const std::optional<at::Tensor>& state_bias) {
  at::Tensor gates = of_input + of_state;
  if (input_bias && input_bias->defined()) gates = gates + *input_bias + *state_bias;
  const std::vector<at::Tensor> gate = gates.chunk(4, 1);
  const at::Tensor next = at::sigmoid(gate[1]) * c + at::sigmoid(gate[0]) * at::tanh(gate[2]);
  return {at::sigmoid(gate[3]) * at::tanh(next), next, gates};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell_backward(const std::optional<at::Tensor>& of_h,
                                                                  const std::optional<at::Tensor>& of_c,
                                                                  const at::Tensor& c, const at::Tensor& next,
                                                                  const at::Tensor& gates, bool has_bias) {
  const auto all = at::_thnn_differentiable_lstm_cell_backward(of_h, of_c, gates, at::zeros_like(gates), {}, {}, c, next);
  const at::Tensor& of_gates = std::get<0>(all);
  return {of_gates, std::get<2>(all), has_bias ? of_gates.sum(0) : at::Tensor()};
}

// The product that adds to a wider tensor, which CUDA has and CPUs have not.
at::Tensor& addmm_dtype_out(const at::Tensor& self, const at::Tensor& a, const at::Tensor& b, at::ScalarType type,
                            const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  return out.copy_(self * beta + at::mm(a.to(type), b.to(type)) * alpha);
}

}  // namespace

at::Device fake_device() {
  static const bool once = [] {
    static Hooks hooks;
    at::RegisterPrivateUse1HooksInterface(&hooks);
    c10::SetAllocator(kType, device_memory());
    c10::register_privateuse1_backend("fake");
    return true;
  }();
  static_cast<void>(once);
  return kDevice;
}

std::vector<std::string> waits_of_the_host() {
  const std::scoped_lock lock(state().mutex);
  return std::exchange(state().waits, {});
}

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&by_the_cpu>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("view", &at::native::view);
  m.impl("_copy_from", &copy_from);
  m.impl("_local_scalar_dense", &read);
  m.impl("addmm.dtype_out", &addmm_dtype_out);
  m.impl("_thnn_fused_lstm_cell", &lstm_cell);
  m.impl("_thnn_fused_lstm_cell_backward_impl", &lstm_cell_backward);
}

}  // namespace ulmfit::test
