# Where the CUDA libraries and headers of a libtorch lie: in nvidia's wheels beside it (of CUDA 13 nvidia/cu13, of CUDA 12 a
# folder a library), in its own folder (an unpacked libtorch), in the environment whose Python holds it (conda), in what
# CMAKE_PREFIX_PATH names, in CUDA's toolkit, and where distributions put them.

# ulmfit_cuda_folders(RESULT TORCH KIND): those of these folders that are there, in this order, for the libtorch in TORCH.
# KIND: lib | include.
function(ulmfit_cuda_folders result torch kind)
  file(GLOB wheels ${torch}/../nvidia/*)
  set(environment "")
  if(torch MATCHES "^(.+)/lib/python[^/]*/site-packages/torch$")
    set(environment ${CMAKE_MATCH_1})
  endif()
  string(REPLACE ":" ";" from_environment "$ENV{CMAKE_PREFIX_PATH}")
  set(places_of_lib lib lib64 lib/x86_64-linux-gnu)
  set(places_of_include include targets/x86_64-linux/include)  # conda's toolkit has the second alone
  set(folders "")
  foreach(root ${wheels} ${torch} ${environment} ${CMAKE_PREFIX_PATH} ${from_environment} /usr/local/cuda /usr)
    foreach(place ${places_of_${kind}})
      get_filename_component(folder ${root}/${place} ABSOLUTE)
      if(IS_DIRECTORY ${folder})
        list(APPEND folders ${folder})
      endif()
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES folders)
  set(${result} ${folders} PARENT_SCOPE)
endfunction()

# ulmfit_find_cuda_library(RESULT TORCH NAME): the nearest libNAME.so for the libtorch in TORCH, with a version or without,
# of one folder the newest, or nothing. An unpacked libtorch has a hash in the name.
function(ulmfit_find_cuda_library result torch name)
  ulmfit_cuda_folders(folders ${torch} lib)
  foreach(folder ${folders})
    file(GLOB found ${folder}/lib${name}.so ${folder}/lib${name}.so.* ${folder}/lib${name}-[0-9a-f]*.so.*)
    if(found)
      list(SORT found COMPARE NATURAL ORDER DESCENDING)
      list(GET found 0 found)
      set(${result} ${found} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(${result} "" PARENT_SCOPE)
endfunction()
