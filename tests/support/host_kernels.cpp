#include "tests/support/host_kernels.h"

#include <ucontext.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "tests/support/host_bodies.h"

namespace ulmfit::test {
namespace {

using bodies::Bfloat16;
using bodies::Long;
using bodies::MaskDraws;
using bodies::Thread;
using bodies::Word;

// The threads of one block, each with a stack of its own: one runs until it waits or ends.
class Block {
 public:
  Block(Word threads, std::mt19937& order, const std::function<void(Word)>& body) : body_(body), order_(order) {
    constexpr std::size_t kStack = 1 << 16;
    static std::vector<char> stacks(kStack * kernels::kThreads);  // launch() runs one block at a time
    running_ = this;
    threads_.resize(threads);
    for (Word i = 0; i < threads; ++i) {
      Fiber& fiber = threads_[i];
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = stacks.data() + i * kStack;
      fiber.context.uc_stack.ss_size = kStack;
      fiber.context.uc_link = &outside_;
      makecontext(&fiber.context, reinterpret_cast<void (*)()>(&Block::begin), 1, i);
    }
  }

  void run() {
    std::vector<Word> turn(threads_.size());
    std::iota(turn.begin(), turn.end(), 0);
    while (!turn.empty()) {
      std::shuffle(turn.begin(), turn.end(), order_);
      for (const Word i : turn) {
        current_ = i;
        swapcontext(&outside_, &threads_[i].context);
      }
      std::erase_if(turn, [&](Word i) { return threads_[i].ended; });
    }
    running_ = nullptr;
  }

  static void wait() {
    if (without_barriers) return;
    swapcontext(&running_->threads_[running_->current_].context, &running_->outside_);
  }

  static thread_local bool without_barriers;

 private:
  struct Fiber {
    ucontext_t context{};
    bool ended = false;
  };

  static void begin(Word i) {
    running_->body_(i);
    running_->threads_[i].ended = true;
  }

  static thread_local Block* running_;
  const std::function<void(Word)>& body_;
  std::mt19937& order_;
  ucontext_t outside_{};
  std::vector<Fiber> threads_;
  Word current_ = 0;
};

thread_local Block* Block::running_ = nullptr;
thread_local bool Block::without_barriers = false;

template <class T>
T argument(void** arguments, int number) {
  return *static_cast<T*>(arguments[number]);
}

// What a thread does; `shared`: memory of its block, two floats a thread.
using Body = std::function<void(const Thread&, void** arguments, float* shared)>;

template <class In, class Out>
void masked_copy(const Thread& t, void** a, float*) {
  bodies::masked_copy(t, argument<const In*>(a, 0), argument<Out*>(a, 1), argument<Long>(a, 2), argument<MaskDraws>(a, 3));
}

template <class Number>
void row_losses(const Thread& t, void** a, float* shared) {
  bodies::row_losses(t, argument<const Number*>(a, 0), argument<const float*>(a, 1), argument<const long long*>(a, 2),
                     argument<float*>(a, 3), argument<float*>(a, 4), argument<Long>(a, 5), shared, shared + t.threads);
}

template <class Number>
void row_gradients(const Thread& t, void** a, float*) {
  bodies::row_gradients(t, argument<Number*>(a, 0), argument<const float*>(a, 1), argument<const long long*>(a, 2),
                        argument<const float*>(a, 3), argument<float*>(a, 4), argument<Long>(a, 5), argument<Long>(a, 6),
                        argument<Long>(a, 7), argument<float>(a, 8));
}

template <class... Parameters>
std::vector<std::size_t> sizes() {
  return {sizeof(Parameters)...};
}

struct Known {
  Body body;
  std::vector<std::size_t> sizes;  // of its parameters
  bool waits = false;
};

const std::map<std::string, Known>& known_kernels() {
  static const std::map<std::string, Known> all = {
      {"masked_copy_float_float", {&masked_copy<float, float>, sizes<const void*, void*, Long, MaskDraws>()}},
      {"masked_copy_float_bfloat16", {&masked_copy<float, Bfloat16>, sizes<const void*, void*, Long, MaskDraws>()}},
      {"masked_copy_bfloat16_float", {&masked_copy<Bfloat16, float>, sizes<const void*, void*, Long, MaskDraws>()}},
      {"locked_masks",
       {[](const Thread& t, void** a, float*) {
          bodies::locked_masks(t, argument<const long long*>(a, 0), argument<float*>(a, 1), argument<Long>(a, 2),
                               argument<Long>(a, 3), argument<MaskDraws>(a, 4));
        },
        sizes<const void*, void*, Long, Long, MaskDraws>()}},
      {"mask_at",
       {[](const Thread& t, void** a, float*) {
          bodies::mask_at(t, argument<const long long*>(a, 0), argument<float*>(a, 1), argument<Long>(a, 2),
                          argument<MaskDraws>(a, 3));
        },
        sizes<const void*, void*, Long, MaskDraws>()}},
      {"row_losses_float", {&row_losses<float>, sizes<const void*, const void*, const void*, void*, void*, Long>(), true}},
      {"row_losses_bfloat16",
       {&row_losses<Bfloat16>, sizes<const void*, const void*, const void*, void*, void*, Long>(), true}},
      {"row_gradients_float",
       {&row_gradients<float>, sizes<void*, const void*, const void*, const void*, void*, Long, Long, Long, float>()}},
      {"row_gradients_bfloat16",
       {&row_gradients<Bfloat16>, sizes<void*, const void*, const void*, const void*, void*, Long, Long, Long, float>()}}};
  return all;
}

}  // namespace

void HostLauncher::launch(const char* kernel, unsigned blocks, void** arguments) {
  static std::mutex mutex;  // autograd's threads start kernels, too
  const std::scoped_lock lock(mutex);
  ++launches_[kernel];
  const auto found = known_kernels().find(kernel);
  if (found == known_kernels().end()) throw std::runtime_error(std::string("no kernel ") + kernel);
  std::mt19937 order(blocks);
  std::vector<Word> turn(blocks);
  std::iota(turn.begin(), turn.end(), 0);
  std::shuffle(turn.begin(), turn.end(), order);
  Block::without_barriers = without_barriers;
  for (const Word block : turn) {
    std::vector<float> shared(2UL * kernels::kThreads, std::nanf(""));
    const auto thread = [&](Word i) {
      found->second.body({block, blocks, i, kernels::kThreads}, arguments, shared.data());
    };
    if (found->second.waits) {
      Block(kernels::kThreads, order, thread).run();
      continue;
    }
    std::vector<Word> threads(kernels::kThreads);
    std::iota(threads.begin(), threads.end(), 0);
    std::shuffle(threads.begin(), threads.end(), order);
    for (const Word i : threads) thread(i);
  }
}

std::unique_ptr<kernels::Recording> HostLauncher::record(const std::function<void()>&) {
  throw std::logic_error("HostLauncher records nothing");
}

std::vector<std::vector<std::byte>> HostLauncher::kept_arguments(const std::string& kernel, void** arguments) {
  std::vector<std::vector<std::byte>> kept;
  for (const std::size_t size : known_kernels().at(kernel).sizes) {
    const auto* value = static_cast<const std::byte*>(arguments[kept.size()]);
    kept.emplace_back(value, value + size);
  }
  return kept;
}

void wait_for_block() { Block::wait(); }

}  // namespace ulmfit::test
