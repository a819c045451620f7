# Helpers that the top-level list reads with: one library a folder, one test program a folder.

add_library(ulmfit_warnings INTERFACE)
target_compile_options(ulmfit_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion $<$<BOOL:${ULMFIT_WERROR}>:-Werror>)
if(ULMFIT_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(ULMFIT_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
endif()

# ulmfit_library(NAME FOLDER [PRIVATE libs...] [PUBLIC libs...]): target ulmfit_NAME from all .cpp files of FOLDER.
function(ulmfit_library name folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cpp)
  add_library(ulmfit_${name} STATIC ${sources})
  target_include_directories(ulmfit_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
  target_link_libraries(ulmfit_${name} ${ARGN})
  target_link_libraries(ulmfit_${name} PRIVATE ulmfit_warnings)
endfunction()

# ulmfit_embed(NAME FILES...): for each text file dir/page.css a constant std::string_view kPageCss in namespace
# ulmfit::NAME, declared in the generated header "NAME/embedded.h".
function(ulmfit_embed name)
  set(constants "")
  foreach(file IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${file})
    file(READ ${CMAKE_SOURCE_DIR}/${file} text)
    get_filename_component(base ${file} NAME)
    string(REGEX REPLACE "[._-]" ";" words ${base})
    set(constant k)
    foreach(word IN LISTS words)
      string(SUBSTRING ${word} 0 1 first)
      string(SUBSTRING ${word} 1 -1 rest)
      string(TOUPPER ${first} first)
      string(APPEND constant ${first}${rest})
    endforeach()
    string(APPEND constants "inline constexpr std::string_view ${constant} = R\"embedded(${text})embedded\";\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/embedded/${name}/embedded.h @ONLY CONTENT
    "#pragma once\n#include <string_view>\nnamespace ulmfit::${name} {\n${constants}}\n")
  target_include_directories(ulmfit_${name} PRIVATE ${CMAKE_BINARY_DIR}/embedded)
endfunction()

# One precompiled header of torch's large headers, built once with the first library and reused by the others.
function(ulmfit_torch_pch first)
  target_precompile_headers(ulmfit_${first} PRIVATE ${CMAKE_SOURCE_DIR}/src/cmake/torch_pch.h)
  target_compile_options(ulmfit_${first} PRIVATE -fpch-preprocess)
  foreach(other IN LISTS ARGN)
    target_precompile_headers(ulmfit_${other} REUSE_FROM ulmfit_${first})
    target_compile_options(ulmfit_${other} PRIVATE -fpch-preprocess)
  endforeach()
endfunction()

include(FindCudart)

# NCCL: src/comm/nccl/*.cpp is compiled wherever the headers are (a CPU build compiles it too, so that it stays correct), and
# cuda_calls.cpp, the only file that needs the libraries, linked into the comm library where CUDA is. Headers come from the
# nvidia-nccl wheel beside torch, or from the system. Sets ULMFIT_NCCL_HEADERS for who calls it.
function(ulmfit_nccl comm)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/comm/nccl/*.cpp)
  find_path(ULMFIT_NCCL_INCLUDE nccl.h HINTS ${ULMFIT_WHEELS}/nvidia/nccl/include)
  file(GLOB ULMFIT_NCCL_LIBRARY ${ULMFIT_WHEELS}/nvidia/nccl/lib/libnccl.so.2 /usr/lib/x86_64-linux-gnu/libnccl.so.2)
  find_path(ULMFIT_CUDA_INCLUDE cuda_runtime_api.h
    HINTS ${ULMFIT_WHEELS}/nvidia/cu13/include ${ULMFIT_WHEELS}/nvidia/cuda_runtime/include PATHS /usr/local/cuda/include)
  if(NOT sources OR NOT ULMFIT_NCCL_INCLUDE OR NOT ULMFIT_CUDA_INCLUDE)
    message(STATUS "NCCL: not built (nccl.h: ${ULMFIT_NCCL_INCLUDE}, cuda_runtime_api.h: ${ULMFIT_CUDA_INCLUDE})")
    return()
  endif()
  set(calls ${CMAKE_SOURCE_DIR}/src/comm/nccl/cuda_calls.cpp)
  list(REMOVE_ITEM sources ${calls})
  add_library(ulmfit_nccl OBJECT ${sources})
  add_library(ulmfit_cuda_calls OBJECT ${calls})
  foreach(objects ulmfit_nccl ulmfit_cuda_calls)
    target_include_directories(${objects} PRIVATE ${CMAKE_SOURCE_DIR}/src)
    target_include_directories(${objects} SYSTEM PUBLIC ${ULMFIT_NCCL_INCLUDE} ${ULMFIT_CUDA_INCLUDE})
    target_link_libraries(${objects} PRIVATE ulmfit_base ulmfit::torch ulmfit_warnings)  # not the comm library: it holds these
  endforeach()
  target_sources(ulmfit_${comm} PRIVATE $<TARGET_OBJECTS:ulmfit_nccl>)
  set(ULMFIT_NCCL_HEADERS ${ULMFIT_NCCL_INCLUDE} ${ULMFIT_CUDA_INCLUDE} PARENT_SCOPE)
  if(ULMFIT_WITH_CUDA AND ULMFIT_NCCL_LIBRARY)
    message(STATUS "NCCL: ${ULMFIT_NCCL_LIBRARY}")
    target_sources(ulmfit_${comm} PRIVATE $<TARGET_OBJECTS:ulmfit_cuda_calls>)
    target_include_directories(ulmfit_${comm} SYSTEM PRIVATE ${ULMFIT_NCCL_INCLUDE} ${ULMFIT_CUDA_INCLUDE})
    target_compile_definitions(ulmfit_${comm} PRIVATE ULMFIT_WITH_NCCL=1)
    ulmfit_find_cudart(cudart ${ULMFIT_TORCH_ROOT})
    if(NOT cudart)
      message(FATAL_ERROR "torch in ${ULMFIT_TORCH_ROOT} is one for CUDA, but there is no libcudart.so in its lib folder, in the nvidia "
        "wheels beside it or in /usr/local/cuda; install the CUDA runtime that it was built with, or build with -DULMFIT_CUDA=OFF")
    endif()
    target_link_libraries(ulmfit_${comm} PUBLIC ${ULMFIT_NCCL_LIBRARY} ${cudart})
  else()
    message(STATUS "NCCL: compiled, not linked (no CUDA in this build)")
  endif()
endfunction()

# ulmfit_test(NAME FOLDER LABEL libs...): one GoogleTest program from FOLDER/*_test.cpp, each case a CTest entry.
function(ulmfit_test name folder label)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(${name}_test ${sources})
  target_link_libraries(${name}_test PRIVATE ${ARGN} GTest::gmock GTest::gtest_main ulmfit_warnings)
  target_include_directories(${name}_test PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/src)
  gtest_discover_tests(${name}_test TEST_PREFIX ${name}. PROPERTIES LABELS "${label}" DISCOVERY_TIMEOUT 60
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endfunction()
