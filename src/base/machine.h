// Facts about this machine, for logs, plans and cards; and what this process does with its memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ulmfit {

std::string host_name();
std::string cpu_model();              // as /proc/cpuinfo names it, "unknown CPU" if it does not
bool cpu_has(std::string_view flag);  // an instruction set by the name that /proc/cpuinfo has for it, such as avx512_bf16
int available_cores();                // that this process may run on (its affinity mask)
std::uint64_t resident_bytes();       // memory of this process now
std::uint64_t peak_resident_bytes();  // and at most so far

// How a process keeps the memory of tensors that it frees. By itself glibc returns much of it to the kernel in every step,
// which gives it back zeroed, page by page. Measured on CPUs: a classifier is slower in huge pages; a language model that
// keeps its blocks grows by half within a hundred steps, through gaps that nothing else fits.

// For training a language model: tensors of 16 MiB and more lie in huge pages of their own, if this kernel gives any, one
// page fault for 2 MB; a freed one goes back to the kernel. Call it before the first tensor is made: torch, which asks for
// the pages, looks at its setting then (THP_MEM_ALLOC_ENABLE; one that the user has made is kept).
void use_huge_pages();

// For classifiers: freed blocks below 64 MiB stay with the process and are used again, larger ones still go back; no huge
// pages.
void keep_freed_memory();

}  // namespace ulmfit
