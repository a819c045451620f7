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

include(CudaLibraries)
get_filename_component(ULMFIT_WHEELS ${ULMFIT_TORCH_ROOT}/.. ABSOLUTE)  # beside a wheel's torch folder lie the nvidia ones
find_library(ULMFIT_TORCH_CUDA_LIBRARY torch_cuda HINTS ${ULMFIT_TORCH_ROOT}/lib NO_DEFAULT_PATH)
find_library(ULMFIT_C10_CUDA_LIBRARY c10_cuda HINTS ${ULMFIT_TORCH_ROOT}/lib NO_DEFAULT_PATH)
# Of all that libtorch_cuda.so needs: the CUDA runtime we call ourselves; who has cuDNN, which comes apart, has the rest.
set(_missing "")
foreach(library cudart cudnn)
  string(TOUPPER ULMFIT_${library} _found)
  ulmfit_find_cuda_library(${_found} ${ULMFIT_TORCH_ROOT} ${library})
  if(NOT ${_found})
    list(APPEND _missing lib${library}.so)
  endif()
endforeach()

set(_pins "")
if(EXISTS ${ULMFIT_WHEELS}/ulmfit-pins.txt)
  file(READ ${ULMFIT_WHEELS}/ulmfit-pins.txt _pins)
endif()
set(_why_not "")  # there is no CUDA in this build
set(_surprises OFF)
if(NOT ULMFIT_TORCH_CUDA_LIBRARY OR NOT ULMFIT_C10_CUDA_LIBRARY)
  string(CONCAT _why_not "the torch in ${ULMFIT_TORCH_ROOT} is one for CPUs: its lib folder lacks libtorch_cuda.so or "
    "libc10_cuda.so; run launch/setup --gpu, or name one for CUDA by -DULMFIT_TORCH_DIR")
elseif(_pins MATCHES " cpu\n?$")  # its torch is the wheel for CUDA all the same
  string(CONCAT _why_not "the torch in ${ULMFIT_TORCH_ROOT} is what launch/setup fetches for CPUs, without CUDA's "
    "libraries; run launch/setup --gpu")
elseif(_missing)
  ulmfit_cuda_folders(_folders ${ULMFIT_TORCH_ROOT} lib)
  list(JOIN _missing " and " _missing)
  list(JOIN _folders ", " _folders)
  string(CONCAT _why_not "the torch in ${ULMFIT_TORCH_ROOT} is one for CUDA, and in none of these folders is ${_missing}, "
    "which it needs: ${_folders}. Install cuDNN and the CUDA runtime that it was built with, or give -DCMAKE_PREFIX_PATH=P "
    "where P/lib has them")
  set(_surprises ON)
endif()
set(ULMFIT_WITH_CUDA OFF)
if(NOT ULMFIT_CUDA STREQUAL "OFF")
  if(NOT _why_not)
    set(ULMFIT_WITH_CUDA ON)
  elseif(ULMFIT_CUDA STREQUAL "ON")
    message(FATAL_ERROR "ULMFIT_CUDA=ON, but ${_why_not}.")
  elseif(_surprises)
    message(WARNING "This build will use no GPU: ${_why_not}. If you want none, -DULMFIT_CUDA=OFF says so.")
  endif()
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
# A libtorch for CPUs needs some libraries of CUDA, too.
file(GLOB _folders ${ULMFIT_WHEELS}/nvidia/*/lib)
list(PREPEND _folders ${ULMFIT_TORCH_ROOT}/lib)
if(ULMFIT_WITH_CUDA)
  foreach(library ${ULMFIT_CUDNN} ${ULMFIT_CUDART})
    get_filename_component(folder ${library} DIRECTORY)
    list(APPEND _folders ${folder})
  endforeach()
  # Registered by its static initialisers: it must be linked although nothing names it. So must cuDNN, which
  # libtorch_cuda.so alone calls: along the program's search path (RUNPATH) is found only what the program itself needs.
  target_link_libraries(ulmfit_torch INTERFACE
    -Wl,--no-as-needed ${ULMFIT_TORCH_CUDA_LIBRARY} ${ULMFIT_C10_CUDA_LIBRARY} ${ULMFIT_CUDNN} -Wl,--as-needed)
  target_compile_definitions(ulmfit_torch INTERFACE ULMFIT_WITH_CUDA=1)
endif()
list(REMOVE_DUPLICATES _folders)
foreach(folder ${_folders})
  target_link_options(ulmfit_torch INTERFACE -Wl,-rpath,${folder} -Wl,-rpath-link,${folder})
endforeach()
