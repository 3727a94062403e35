# What every target of ours is compiled with.
add_library(mmsb_flags INTERFACE)
target_compile_options(mmsb_flags INTERFACE -Wall -Wextra -Wconversion -Wshadow
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
    $<$<BOOL:${MMSB_WERROR}>:-Werror>)
if(MMSB_SANITIZE)
    target_compile_options(mmsb_flags INTERFACE -fsanitize=${MMSB_SANITIZE} -fno-omit-frame-pointer
        -fno-sanitize-recover=all)
    target_link_options(mmsb_flags INTERFACE -fsanitize=${MMSB_SANITIZE})
    # gcc: libstdc++'s fences are not known to the thread sanitizer; the code does without there.
    target_compile_options(mmsb_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
endif()
