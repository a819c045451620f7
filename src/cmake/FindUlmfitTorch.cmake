# Finds libtorch without torch's own CMake package (which stops under CMake 3.25 with a CUDA 13 toolkit). Looked at, in order:
# -DULMFIT_TORCH_DIR, the environment's ULMFIT_TORCH_DIR, CMAKE_PREFIX_PATH (a user's own libtorch), and the folder that launch/setup
# fills. A wheel's `torch` folder and an unpacked libtorch have the same layout: include/ and lib/.
# Defines the target ulmfit::torch, and ULMFIT_WITH_CUDA.
if(NOT "$ENV{XDG_DATA_HOME}" STREQUAL "")
  set(_data $ENV{XDG_DATA_HOME})
else()
  set(_data $ENV{HOME}/.local/share)
endif()
find_path(ULMFIT_TORCH_INCLUDE ATen/ATen.h
  HINTS ${ULMFIT_TORCH_DIR} $ENV{ULMFIT_TORCH_DIR}
  PATHS ${_data}/ulmfit/torch-2.11.0-gpu/torch ${_data}/ulmfit/torch-2.11.0-cpu/torch
  PATH_SUFFIXES include torch/include)
get_filename_component(ULMFIT_TORCH_ROOT "${ULMFIT_TORCH_INCLUDE}/.." ABSOLUTE)
find_library(ULMFIT_TORCH_CPU_LIBRARY torch_cpu HINTS ${ULMFIT_TORCH_ROOT}/lib NO_DEFAULT_PATH)
find_library(ULMFIT_C10_LIBRARY c10 HINTS ${ULMFIT_TORCH_ROOT}/lib NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(UlmfitTorch
  REQUIRED_VARS ULMFIT_TORCH_INCLUDE ULMFIT_TORCH_CPU_LIBRARY ULMFIT_C10_LIBRARY
  REASON_FAILURE_MESSAGE "run launch/setup, or give -DULMFIT_TORCH_DIR=/path/to/libtorch")

set(ULMFIT_WHEELS ${ULMFIT_TORCH_ROOT}/..)  # beside a wheel's torch folder lie the nvidia ones
file(GLOB ULMFIT_CUDNN ${ULMFIT_WHEELS}/nvidia/cudnn/lib/libcudnn.so.* ${ULMFIT_TORCH_ROOT}/lib/libcudnn*.so.*)
find_library(ULMFIT_TORCH_CUDA_LIBRARY torch_cuda HINTS ${ULMFIT_TORCH_ROOT}/lib NO_DEFAULT_PATH)
find_library(ULMFIT_C10_CUDA_LIBRARY c10_cuda HINTS ${ULMFIT_TORCH_ROOT}/lib NO_DEFAULT_PATH)
set(ULMFIT_WITH_CUDA OFF)
if(NOT ULMFIT_CUDA STREQUAL "OFF" AND ULMFIT_TORCH_CUDA_LIBRARY AND ULMFIT_CUDNN)
  set(ULMFIT_WITH_CUDA ON)
elseif(ULMFIT_CUDA STREQUAL "ON")
  message(FATAL_ERROR "ULMFIT_CUDA=ON, but the torch in ${ULMFIT_TORCH_ROOT} has no CUDA libraries beside it; run launch/setup --gpu")
endif()
message(STATUS "torch: ${ULMFIT_TORCH_ROOT}, CUDA ${ULMFIT_WITH_CUDA}")

add_library(ulmfit_torch INTERFACE)
add_library(ulmfit::torch ALIAS ulmfit_torch)
# After the system's folders: the wheel brings a copy of fmt that would shadow the one spdlog needs.
target_compile_options(ulmfit_torch INTERFACE "SHELL:-idirafter \"${ULMFIT_TORCH_INCLUDE}\""
  "SHELL:-idirafter \"${ULMFIT_TORCH_INCLUDE}/torch/csrc/api/include\"")
target_link_libraries(ulmfit_torch INTERFACE ${ULMFIT_TORCH_CPU_LIBRARY} ${ULMFIT_C10_LIBRARY})
# at::parallel_for is a template: compiled without OpenMP it runs on one thread. The thread sanitizer cannot see into libgomp.
if(NOT ULMFIT_SANITIZE STREQUAL "thread")
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  target_link_libraries(ulmfit_torch INTERFACE OpenMP::OpenMP_CXX)
endif()
file(GLOB _cuda_runtime_lib ${ULMFIT_WHEELS}/nvidia/cu13/lib ${ULMFIT_WHEELS}/nvidia/*/lib)
foreach(folder ${ULMFIT_TORCH_ROOT}/lib ${_cuda_runtime_lib})
  target_link_options(ulmfit_torch INTERFACE -Wl,-rpath,${folder} -Wl,-rpath-link,${folder})
endforeach()
if(ULMFIT_WITH_CUDA)
  # Registered by its static initialisers: it must be linked although nothing names it.
  target_link_libraries(ulmfit_torch INTERFACE -Wl,--no-as-needed ${ULMFIT_TORCH_CUDA_LIBRARY} ${ULMFIT_C10_CUDA_LIBRARY} -Wl,--as-needed)
  target_compile_definitions(ulmfit_torch INTERFACE ULMFIT_WITH_CUDA=1)
endif()
