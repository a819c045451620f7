#include "stages/peak_memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <fstream>

#include "base/machine.h"

namespace ulmfit::stages {

PeakMemory peak_memory(at::Device device) {
  PeakMemory peak{.host = peak_resident_bytes(), .gpu = std::nullopt};
  if (!device.is_cpu()) {
    constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
    peak.gpu = static_cast<std::uint64_t>(stats.allocated_bytes[kAll].peak);
  }
  return peak;
}

void forget_peak(at::Device device) {
  std::ofstream("/proc/self/clear_refs") << "5";  // see proc(5); where it may not be written to, the peak stays
  if (!device.is_cpu()) c10::getDeviceAllocator(device.type())->resetPeakStats(device.index());
}

}  // namespace ulmfit::stages
