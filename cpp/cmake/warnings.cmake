# One place for the compiler's strictness; the wheel build stays tolerant of compilers we have not met.
add_library(recouple_warnings INTERFACE)
if(RECOUPLE_STRICT AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  target_compile_options(recouple_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wnon-virtual-dtor -Werror)
endif()
