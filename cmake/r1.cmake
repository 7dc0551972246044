# r1_library(NAME DEPS folder... LIBS target...): the folder this is called from becomes the static
# library r1_NAME, made of its *.cc. Its *_test.cc become NAME_test. DEPS are the folders it may
# include from, each by name: scripts/check_includes.sh reads them.
function(r1_library NAME)
  cmake_parse_arguments(A "" "" "DEPS;LIBS;SOURCES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  list(APPEND sources ${A_SOURCES})
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(sources)
    add_library(r1_${NAME} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(r1_${NAME} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(r1_${NAME} ${scope} ${PROJECT_SOURCE_DIR}/src)
  list(TRANSFORM A_DEPS PREPEND r1_)
  target_link_libraries(r1_${NAME} ${scope} ${A_DEPS} ${A_LIBS})
  if(tests AND BUILD_TESTING)
    r1_test(${NAME}_test SOURCES ${tests} LIBS r1_${NAME})
  endif()
endfunction()

# r1_test(NAME SOURCES file... LIBS target...): an executable of GoogleTest's tests, known to ctest.
function(r1_test NAME)
  cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${NAME} ${A_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${A_LIBS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${NAME} PRIVATE R1_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  gtest_discover_tests(${NAME} DISCOVERY_MODE PRE_TEST NO_PRETTY_VALUES PROPERTIES TIMEOUT 600)
endfunction()

# r1_fenced_tests(NAME...): the tests run once more over memory that nobody but an op may touch, as
# fenced.NAME.
function(r1_fenced_tests)
  foreach(name ${ARGN})
    add_test(NAME fenced.${name} COMMAND ${name})
    set_tests_properties(fenced.${name} PROPERTIES ENVIRONMENT R1_ISA=fenced TIMEOUT 1200)
  endforeach()
endfunction()

# r1_embed(OUT NAMES name... FILES file...): makes OUT, a source that defines each name in namespace
# r1 as a std::string_view of its file's text. A binary needs no files beside it.
function(r1_embed OUT)
  cmake_parse_arguments(A "" "" "NAMES;FILES" ${ARGN})
  list(JOIN A_NAMES "," names)
  list(JOIN A_FILES "," files)
  add_custom_command(
    OUTPUT ${OUT}
    COMMAND ${CMAKE_COMMAND} -DOUT=${OUT} "-DNAMES=${names}" "-DFILES=${files}" -P
            ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${A_FILES} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    VERBATIM)
endfunction()
