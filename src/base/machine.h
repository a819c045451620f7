// Facts about this machine, for logs, plans and cards; and what this process does with its memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ulmfit {

std::string host_name();
std::string cpu_model();              // as /proc/cpuinfo names it, "unknown CPU" if it does not
bool cpu_has(std::string_view flag);  // an instruction set by the name that /proc/cpuinfo has for it, such as avx512_bf16
// The cores that a process may run on (its affinity mask), none if that cannot be read; 0: this one.
std::vector<int> cores_allowed(int process);
int available_cores();  // their number for this process, 1 or more

// What a thread had of the cores so far, in nanoseconds: the time on one, and the time in which it could have run but
// others had it.
struct CoreTime {
  std::uint64_t running = 0;
  std::uint64_t waiting = 0;
};
// Of the threads of this process that live now, by their ids. None where the kernel does not count it (schedstat).
std::map<std::string, CoreTime> core_times(const std::filesystem::path& tasks = "/proc/self/task");

std::uint64_t resident_bytes();       // memory of this process now
std::uint64_t peak_resident_bytes();  // and at most so far
// What the processes of this machine may still take together: of its memory, and of their control groups' (v1 and v2,
// limits less what is in use and not mere file cache); the least of them. `root` stands for "/" in tests.
std::uint64_t available_memory_bytes(const std::filesystem::path& root = "/");
// What this process alone may still take of its address space (ulimit -v); the largest number if there is no limit.
std::uint64_t available_address_space_bytes();

// From now on this process may have as many files open as its hard limit allows: a corpus is a file for each 134 million
// tokens, and the usual soft limit is 1,024.
void raise_open_files();

// Blocks below 64 MiB that are freed from now on stay with this process and are used again. Else glibc returns large ones
// to the kernel, which gives them back zeroed, page by page, in every step of training. Larger ones still go back: gaps of
// their size, which other blocks cannot fill, made a classifier's memory grow by two thirds.
void keep_freed_memory();

// Gives what is free now back to the kernel, also between blocks in use. Blocks of changing sizes leave gaps that the next
// ones do not fit: without it a language model's memory grew by half in some hundred steps.
void return_freed_memory();

}  // namespace ulmfit
