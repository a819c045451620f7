// ULMFIT_CPU_CLONES before a function: built for several instruction sets, the best one chosen when the program is loaded.
// For the few inner loops of our own that vector units speed up; sanitizers cannot run before the choice is made.
#pragma once

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ULMFIT_CPU_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ULMFIT_CPU_CLONES
#endif
