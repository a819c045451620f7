# ulmfit_find_cudart(RESULT TORCH): the CUDA runtime library that belongs to the libtorch in the folder TORCH, or nothing. Wheels
# for CUDA 13 keep it in nvidia/cu13, those for CUDA 12 in nvidia/cuda_runtime, an unpacked libtorch (with a hash in the name)
# in its own lib folder; distributions have it in their toolkit.
function(ulmfit_find_cudart result torch)
  foreach(place ${torch}/../nvidia/cu13/lib ${torch}/../nvidia/cuda_runtime/lib ${torch}/lib /usr/local/cuda/lib64
      /usr/lib/x86_64-linux-gnu)
    file(GLOB found ${place}/libcudart.so ${place}/libcudart.so.* ${place}/libcudart-*.so.*)
    if(found)
      list(GET found 0 found)
      set(${result} ${found} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(${result} "" PARENT_SCOPE)
endfunction()
