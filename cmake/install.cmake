# What `cmake --install` lays down: headers, library, and how CMake and pkg-config find them.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/mmsb DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
install(TARGETS mmsb EXPORT mmsbTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# A static library names its own libraries to its users' linker; a shared one has them inside.
get_target_property(mmsb_library_type mmsb TYPE)
if(mmsb_library_type STREQUAL "STATIC_LIBRARY")
    set(MMSB_STATIC ON)
    set(MMSB_PC_REQUIRES "Requires")
    set(MMSB_PC_LIBS "-L\${libdir} -lmmsb ${CMAKE_THREAD_LIBS_INIT}")
else()
    set(MMSB_STATIC OFF)
    set(MMSB_PC_REQUIRES "Requires.private")
    set(MMSB_PC_LIBS "-L\${libdir} -lmmsb")
endif()

set(mmsb_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mmsb)
install(EXPORT mmsbTargets NAMESPACE mmsb:: DESTINATION ${mmsb_config_dir})
configure_package_config_file(cmake/mmsbConfig.cmake.in ${PROJECT_BINARY_DIR}/mmsbConfig.cmake
    INSTALL_DESTINATION ${mmsb_config_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mmsbConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mmsbConfig.cmake ${PROJECT_BINARY_DIR}/mmsbConfigVersion.cmake
    DESTINATION ${mmsb_config_dir})

# Paths in mmsb.pc are relative to the file itself, so that the folder may be moved.
file(RELATIVE_PATH MMSB_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" MMSB_PC_PREFIX ${MMSB_PC_PREFIX})
configure_file(cmake/mmsb.pc.in ${PROJECT_BINARY_DIR}/mmsb.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mmsb.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
