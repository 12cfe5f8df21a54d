# recouple_add_kernels(target file.cpp ...): compile each kernel source once per instruction-set level.
#
# A kernel source keeps everything in an anonymous namespace except one explicit specialisation
# `at<level_of_this_file>()`, so that no inline function compiled for AVX-512 can be picked by
# the linker to stand for its portable namesake.
option(RECOUPLE_MULTIVERSION "Compile kernels for AVX2 and AVX-512 beside the portable baseline" ON)
if(RECOUPLE_MULTIVERSION AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64" AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  set(RECOUPLE_X86_LEVELS ON)
else()
  set(RECOUPLE_X86_LEVELS OFF)
endif()

# Value-preserving freedoms only: fused multiply-add, and no bookkeeping of errno or FP traps.
# Kernels do not throw; without exceptions they need no personality routine, itself a weak symbol.
set(recouple_kernel_flags
    -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -fno-exceptions)
set(recouple_flags_baseline "")
set(recouple_flags_avx2 -mavx2 -mfma -mbmi2)
set(recouple_flags_avx512
    -mavx512f -mavx512dq -mavx512vl -mavx512bw -mavx512cd -mavx2 -mfma -mbmi2 -mprefer-vector-width=512)

function(recouple_add_kernels target)
  set(levels baseline)
  if(RECOUPLE_X86_LEVELS)
    list(APPEND levels avx2 avx512)
  endif()
  foreach(level IN LISTS levels)
    set(objects ${target}_kernels_${level})
    add_library(${objects} OBJECT ${ARGN})
    target_include_directories(${objects} PRIVATE "${PROJECT_SOURCE_DIR}/cpp/include" "${PROJECT_SOURCE_DIR}/cpp/src")
    target_compile_definitions(${objects} PRIVATE RECOUPLE_SIMD_LEVEL=${level})
    if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
      target_compile_options(${objects} PRIVATE ${recouple_kernel_flags} ${recouple_flags_${level}})
    endif()
    target_link_libraries(${objects} PRIVATE recouple_warnings)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
  endforeach()
endfunction()
