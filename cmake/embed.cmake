# cmake -DOUT=x.cc -DNAMES=kA,kB -DFILES=a,b -P embed.cmake: writes x.cc, which defines each name in
# namespace r1 as a std::string_view of that file's text.
string(REPLACE "," ";" NAMES "${NAMES}")
string(REPLACE "," ";" FILES "${FILES}")
set(source "// Made by cmake/embed.cmake.\n#include <string_view>\n\nnamespace r1 {\n")
foreach(name file IN ZIP_LISTS NAMES FILES)
  file(READ "${file}" text)
  string(FIND "${text}" ")r1embed\"" end)
  if(NOT end EQUAL -1)
    message(FATAL_ERROR "${file}: holds the end of a raw string")
  endif()
  string(APPEND source "extern const std::string_view ${name};\n"
         "const std::string_view ${name} = R\"r1embed(${text})r1embed\";\n")
endforeach()
file(WRITE "${OUT}" "${source}}  // namespace r1\n")
