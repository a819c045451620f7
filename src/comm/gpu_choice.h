// Which GPU each rank takes, and why there may be none to take. Launchers differ: some show all GPUs of a host to each of
// its ranks (mpirun), some one to each (srun --gpus-per-task=1, CUDA_VISIBLE_DEVICES set by rank). So ranks go by what each
// sees, told apart by the GPUs' own identities.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace ulmfit::comm {

// visible[r]: identities of the GPUs that rank r sees, in the order of its device numbers. Returns the device number of
// each rank: in rank order, each takes the first that no rank before it has. CommError if one sees none, or only GPUs that
// others have, unless `may_share`: then it takes one of those that the fewest have.
std::vector<std::size_t> choose_gpus(const std::vector<std::vector<std::string>>& visible, bool may_share);

// Why a program with CUDA's runtime of the version `runtime` (13000: 13.0) finds no GPU although this machine has one: a
// device node of NVIDIA's, and CUDA_VISIBLE_DEVICES (`visible`; nullptr: unset) does not hide it. Empty: there is none, or
// it is hidden. `root` stands for "/" in tests.
std::string gpu_out_of_reach(const std::filesystem::path& root, const char* visible, long runtime);

}  // namespace ulmfit::comm
